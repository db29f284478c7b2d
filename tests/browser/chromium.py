"""Debian's Chromium as the tests drive it: offline, with a file or nothing as its microphone, and ears of its own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Browser, Page, async_playwright

__all__ = ["CHROMIUM", "heard", "launch", "open_page"]

CHROMIUM = Path("/usr/bin/chromium")

_FLAGS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
)

_RECORDER = (Path(__file__).parent / "recorder.js").read_text()


@asynccontextmanager
async def launch(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """A browser whose microphone plays a 48 kHz mono file once; without a file it has no microphone at all."""
    flags = list(_FLAGS)
    if microphone is not None:
        flags += [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}%noloop",
        ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(browser: Browser, **options: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page that records what its calls receive, and the list of what went wrong in it (errors on the console)."""
    context = await browser.new_context(**options)
    await context.add_init_script(_RECORDER)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        yield page, errors
    finally:
        await context.close()


async def heard(page: Page) -> tuple[np.ndarray, int]:
    """What the page's calls have received so far: int16 samples, and how many a second."""
    data, rate = await page.evaluate("() => window.recorder.take()")
    return np.frombuffer(base64.b64decode(data), dtype=np.int16), int(rate)
