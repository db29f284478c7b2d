"""The page's own files without a server: requests are answered from the source tree, the API's by canned answers."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from playwright.async_api import Page, Route

import perhop

__all__ = ["AGENTS", "ORIGIN", "serve_offline"]

ORIGIN = "http://localhost"
"""Localhost is a secure context, so that the page may ask for a microphone."""

WEB = Path(str(perhop.__file__)).parent / "web"

AGENTS = [
    {
        "name": "oneroof",
        "title": "Oneroof",
        "description": "Finds homes for rent and books viewings.",
        "phrases": ["I'd like to see a two bedroom in Oakland on Friday", "Text me the details"],
        "model": "local",
    },
    {"name": "reception", "title": "Reception", "description": "Takes messages.", "phrases": [], "model": "local"},
]

Answer = tuple[int, object]

DEFAULTS: Mapping[str, Answer] = {
    "/api/agents": (200, AGENTS),
    "/api/config": (200, {"ice_servers": []}),
    "/api/realtime/token": (200, {"client_secret": "ek_test"}),
}


async def serve_offline(page: Page, answers: Mapping[str, Answer | None] | None = None) -> None:
    """Answers every request of a page.

    Args:
        answers: by path, status and body (a str is sent as it is, anything else as JSON); None means that the server
            cannot be reached.
    """
    known: dict[str, Answer | None] = {**DEFAULTS, **(answers or {})}

    async def answer(route: Route) -> None:
        path = "/" + route.request.url.removeprefix(ORIGIN).split("?")[0].lstrip("/")
        file = WEB / ("demo.html" if path == "/demo" else path.removeprefix("/web/"))
        if path == "/empty":
            await route.fulfill(body="<!doctype html><title>empty</title>", content_type="text/html")
        elif path in known:
            canned = known[path]
            if canned is None:
                await route.abort("connectionrefused")
                return
            status, body = canned
            text = body if isinstance(body, str) else json.dumps(body)
            await route.fulfill(status=status, body=text, content_type="application/json")
        elif file.is_file():
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            await route.fulfill(body=file.read_bytes(), content_type=kind)
        else:
            await route.fulfill(status=404, body="{}", content_type="application/json")

    await page.route("**/*", answer)
