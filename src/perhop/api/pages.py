"""The pages, the files of the browser client, and the API's own documentation. Nothing comes from a CDN."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

__all__ = ["DOCS_ASSETS", "WEB", "mount_pages"]

WEB = Path(str(files("perhop") / "web"))
"""The pages and the browser client."""

DOCS_ASSETS = Path(str(files("fastapi_offline") / "static"))
"""Swagger UI, from a wheel instead of a CDN, so that ``/docs`` works offline."""


def mount_pages(app: FastAPI) -> None:
    """Adds ``/``, ``/demo``, ``/calls``, ``/web/…`` and ``/docs``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> RedirectResponse:
        return RedirectResponse("/demo")

    @router.get("/demo")
    async def demo() -> FileResponse:
        return _page("demo.html")

    @router.get("/calls")
    async def calls() -> FileResponse:
        return _page("calls.html")

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
            # The validator badge would be fetched from its maker.
            swagger_ui_parameters={"validatorUrl": None},
        )

    app.include_router(router)
    app.mount("/docs/assets", StaticFiles(directory=DOCS_ASSETS), name="docs-assets")
    app.mount("/web", _NoCacheFiles(directory=WEB, html=True, check_dir=False), name="web")


def _page(name: str) -> FileResponse:
    page = WEB / name
    if not page.is_file():
        raise HTTPException(404, "This installation came without its pages.")
    return FileResponse(page, headers={"Cache-Control": "no-cache"})


class _NoCacheFiles(StaticFiles):
    """Files that browsers must ask for again (a 304 is enough): an upgrade never mixes old and new modules."""

    def file_response(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
