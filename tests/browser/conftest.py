"""Browsers and pages for these tests; one browser per module, because starting one takes a second."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.browser.chromium import CHROMIUM, launch, open_page
from tests.browser.offline import ORIGIN, serve_offline
from tests.browser.server import Server, running_server
from tests.frames import Inspector


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs Chromium; where it is missing, the tests say so instead of failing."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists():
                item.add_marker(pytest.mark.skip(reason=f"{CHROMIUM} is missing: apt-get install chromium"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[Server]:
    """A Perhop with the example agents and the echo."""
    with running_server(tmp_path_factory.mktemp("perhop"), "--echo") as running:
        inspector.follow(running.offences)
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser without a microphone."""
    async with launch() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def offline(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that can import the browser client's modules; there is no server behind it."""
    async with open_page(browser) as (page, errors):
        await serve_offline(page)
        await page.goto(f"{ORIGIN}/empty")
        yield page
        assert errors == []
