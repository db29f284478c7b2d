"""The demo page for everybody: by keyboard, by screen reader, on a phone, in the dark, offline."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from tests.browser.chromium import open_page
from tests.browser.offline import AGENTS, ORIGIN, serve_offline

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def demo(browser: Browser) -> AsyncIterator[Page]:
    """The demo page before a call."""
    async with open_page(browser) as (page, errors):
        await serve_offline(page)
        await page.goto(f"{ORIGIN}/demo")
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
        yield page
        assert errors == []


async def test_every_agent_is_a_card_and_the_first_is_chosen(demo: Page) -> None:
    cards = demo.get_by_role("radio")
    await expect(cards).to_have_count(len(AGENTS))
    await expect(demo.get_by_role("radio", name="Oneroof")).to_be_checked()
    await expect(demo.get_by_text("Finds homes for rent and books viewings.")).to_be_visible()


async def test_an_agent_can_be_chosen_by_the_address(demo: Page) -> None:
    await demo.goto(f"{ORIGIN}/demo?agent=reception")
    await expect(demo.get_by_role("radio", name="Reception")).to_be_checked()


async def test_the_phrases_of_the_chosen_agent_are_offered(demo: Page) -> None:
    await expect(demo.get_by_role("button", name="Text me the details")).to_be_visible()
    await demo.get_by_role("radio", name="Reception").check()
    await expect(demo.locator("#try")).to_be_hidden()
    await expect(demo.locator("#line-agent")).to_have_text("Reception")


async def test_agents_are_chosen_and_called_by_keyboard_alone(demo: Page) -> None:
    await demo.get_by_role("radio", name="Oneroof").focus()
    await demo.keyboard.press("ArrowDown")
    await expect(demo.get_by_role("radio", name="Reception")).to_be_checked()
    await demo.keyboard.press("Tab")
    await expect(demo.get_by_role("button", name="Call", exact=True)).to_be_focused()


async def test_everything_that_can_be_used_has_a_name(demo: Page) -> None:
    nameless = await demo.evaluate("""() => [...document.querySelectorAll("button, input, a, [role=meter], canvas")]
        .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length
            || element.getAttribute("aria-label")))
        .map((element) => element.outerHTML)""")
    assert nameless == []
    await expect(demo.get_by_label("Your message to the agent")).to_be_disabled()
    await expect(demo.get_by_role("status")).to_contain_text("Ready to call")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_nothing_sticks_out_at_any_width(demo: Page, width: int) -> None:
    await demo.set_viewport_size({"width": width, "height": 800})
    assert await demo.evaluate("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_enough_contrast_in_light_and_dark(demo: Page, scheme: str) -> None:
    await demo.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ratios = await demo.evaluate("""() => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
      const paint = canvas.getContext("2d");
      const light = (name) => {
        paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        paint.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((value) => {
          const share = value / 255;
          return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ratio = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
      };
      const pairs = [["--ink", "--sheet"], ["--ink", "--paper"], ["--soft", "--sheet"], ["--soft", "--sunk"],
        ["--soft", "--paper"], ["--caller", "--sheet"], ["--agent-ink", "--sheet"], ["--stop", "--sheet"],
        ["--on-call", "--caller"], ["--sheet", "--stop"], ["--ink", "--stop-wash"], ["--ink", "--caller-wash"],
        ["--soft", "--caller-wash"]];
      return Object.fromEntries(pairs.map(([a, b]) => [`${a} on ${b}`, ratio(a, b)]));
    }""")
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


async def test_with_reduced_motion_nothing_moves(demo: Page) -> None:
    await demo.emulate_media(reduced_motion="reduce")
    await demo.evaluate("() => (document.getElementById('line').dataset.flow = 'up')")
    assert await demo.evaluate("() => document.getAnimations().length") == 0


async def test_the_page_asks_no_other_server_for_anything(browser: Browser) -> None:
    async with open_page(browser) as (page, _errors):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await serve_offline(page)
        await page.goto(f"{ORIGIN}/demo")
        await expect(page.get_by_role("button", name="Call", exact=True)).to_be_enabled()
        assert [url for url in asked if not url.startswith(ORIGIN)] == []


async def test_data_of_an_agent_is_never_taken_for_html(browser: Browser) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    agent = {"name": evil, "title": evil, "description": evil, "phrases": [evil], "model": evil}
    async with open_page(browser) as (page, _errors):
        await serve_offline(page, {"/api/agents": (200, [agent])})
        await page.goto(f"{ORIGIN}/demo")
        await expect(page.locator(".card__what")).to_have_text(evil)
        assert await page.locator("img").count() == 0


VALUE = """async (value) => {
  const { valueView } = await import("/web/js/value_view.js");
  document.body.replaceChildren(valueView(value));
  return document.body.innerText.replace(/[\\n\\t]+/g, " | ");
}"""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"city": "Oakland", "max_rent": 3000, "pets": True}, "City | Oakland | Max rent | 3000 | Pets | yes"),
        (
            [{"address": "1 Oak St", "rent": 12000}, {"address": "2 Elm St"}],
            "Address | Rent | 1 Oak St | 12,000 | 2 Elm St | \N{EN DASH}",
        ),
        ([{"n": index} for index in range(7)], "N | 0 | 1 | 2 | 3 | 4 | and 2 more"),
        (["10:00", "14:30"], "10:00, 14:30"),
        ([], "nothing"),
        ("sent", "sent"),
        (None, "\N{EN DASH}"),
    ],
)
async def test_arguments_and_results_of_tools_read_like_forms_and_tables(
    offline: Page, value: object, text: str
) -> None:
    assert await offline.evaluate(VALUE, value) == text
