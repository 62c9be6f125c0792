"""The page in a real browser, with load running: it works, it stays still, it can be used by keyboard, it is legible.

Accessibility is asked of the browser itself (names, roles, computed colours), after the rules of WCAG 2.2 AA.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from support.page_serving import page_served

pytestmark = pytest.mark.browser

PANELS = ("Hit rate by category", "Health", "How lookups ended", "Why it missed", "Latency", "Time saved")

WATCH = """
window.moved = []; window.violations = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.moved.push([entry.value, document.documentElement.dataset.frame ?? 0]);
}).observe({ type: "layout-shift" });
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class Seen:
    """A page, and everything that it said, asked for or was refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))

    def frames(self, n: int) -> None:
        """Wait for so many more frames."""
        number = int(self.page.locator("html").get_attribute("data-frame") or 0)
        attribute = re.compile("|".join(str(k) for k in range(number + n, number + n + 50)))
        expect(self.page.locator("html")).to_have_attribute("data-frame", attribute, timeout=30_000)

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Seen]:
    """A page of its own context, with its first figures; nothing may be wrong with it at the end."""
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
    context.add_init_script(WATCH)
    seen = Seen(context.new_page())
    seen.page.goto(address)
    expect(seen.page.locator("#board")).to_be_visible(timeout=30_000)
    yield seen
    assert seen.complaints == []
    assert seen.run("window.violations") == []
    assert [url for url in seen.asked if not url.startswith(address)] == []
    context.close()


def picture(seen: Seen, name: str) -> None:
    """Keep a screenshot where ``PICTURES`` names a folder."""
    if folder := os.environ.get("PICTURES"):
        seen.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_shows_what_is_counted_and_stays_still(browser: Browser, loaded: str, scheme: Any) -> None:
    """Every panel has figures, they change, and nothing moves while they do; no error, no request elsewhere."""
    with opened(browser, loaded, color_scheme=scheme) as seen:
        seen.frames(2)
        for title in PANELS:
            expect(seen.page.get_by_role("heading", name=title)).to_be_visible()
        for category in ("context", "embedding", "tool", "prompt"):
            expect(seen.page.get_by_role("button", name=category)).to_be_visible()
        assert seen.page.locator(".line").count() >= 4
        assert seen.page.locator(".bars rect").count() >= 2
        assert seen.page.locator(".range").count() >= 6
        # the load has begun to do all that it does
        expect(seen.page.locator(".reasons li").nth(2)).to_be_visible(timeout=60_000)
        expect(seen.page.locator(".finding").first).to_be_visible(timeout=60_000)
        seen.frames(2)
        before = seen.page.locator(".tiles").inner_text()
        assert re.search(r"Hit rate\s+\d+\.\d %", before)
        top = [seen.run("document.querySelector('.legend').offsetTop"), seen.run("document.body.scrollHeight")]
        first = int(seen.page.locator("html").get_attribute("data-frame") or 0)
        seen.frames(5)
        assert seen.page.locator(".tiles").inner_text() != before
        assert [seen.run("document.querySelector('.legend').offsetTop"), seen.run("document.body.scrollHeight")] == top
        # a part of a bar grows by some pixels; the web vitals call up to 0.1 good
        assert sum(value for value, number in seen.run("window.moved") if int(number) > first + 1) < 0.002
        picture(seen, scheme)


def test_its_figures_are_those_of_the_json(browser: Browser, loaded: str) -> None:
    """The fleet's hits in all, as the page's frames say them, lie between those of two answers around it."""
    with opened(browser, loaded) as seen:
        url = loaded + "cache/metrics?scope=fleet"
        before = httpx.get(url, timeout=10).json()
        seen.frames(2)
        shown = seen.page.locator(".tile").nth(1).locator("dd").nth(1).inner_text()
        after = httpx.get(url, timeout=10).json()
        n = int(re.sub(r"\D", "", shown.partition(" ")[0])) if "K" not in shown else None
        assert n is None or before["total_requests"] <= n <= after["total_requests"]
        reasons = {word for one in after["categories"].values() for word, n in one["miss_reasons"].items() if n}
        listed = set(seen.page.locator(".reasons li b").all_inner_texts())
        assert listed <= reasons and len(listed) == min(5, len(reasons))


def test_nothing_but_names_and_numbers_is_on_it(browser: Browser, loaded: str) -> None:
    """The load's keys, texts, paths and tasks are nowhere: not in the page, and not in what streams to it."""
    with opened(browser, loaded) as seen:
        seen.frames(2)
        assert "canary" not in seen.page.content()
    with httpx.stream("GET", loaded + "cache/stream", timeout=20) as answer:
        lines = answer.iter_lines()
        frame = next(line for line in lines if line.startswith("data: {"))
    assert '"hit"' in frame and "canary" not in frame and "read_file" not in frame and "127.0.0.1" not in frame


def test_it_is_used_by_keyboard(browser: Browser, loaded: str) -> None:
    """Tab reaches everything in the order in which it is read, what has the focus is seen, arrows read a chart."""
    with opened(browser, loaded) as seen:
        seen.frames(1)
        page = seen.page
        reached = []
        for _ in range(30):
            page.keyboard.press("Tab")
            told = seen.run(
                "(() => { const e = document.activeElement; const b = e.getBoundingClientRect();"
                " const s = getComputedStyle(e); const name = e.getAttribute('aria-label') ?? e.innerText;"
                " return [e.className.baseVal ?? e.className, name, b.top + scrollY, s.outlineStyle,"
                " parseFloat(s.outlineWidth)]; })()"
            )
            if seen.run("document.activeElement === document.body"):
                # after the last one it is the browser's turn
                break
            assert told[3] == "solid" and told[4] >= 2, f"no focus is seen on {told[:2]}"
            reached.append(told)
        words = [str(one[1]).split("\n")[0] for one in reached]
        assert words[0] == "Skip to the figures"
        for name in (
            "Theme: auto",
            "Table: Hit rate by category",
            "context",
            "Table: How lookups ended",
            "Table: Latency",
        ):
            assert name in words, words
        assert any("Arrow keys" in word for word in words)
        assert words.index("Table: Hit rate by category") < words.index("Table: How lookups ended")

        chart = page.get_by_role("group", name="Hit rate by category over")
        chart.focus()
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        said = chart.locator("xpath=..").get_by_role("status").inner_text()
        assert re.match(r"\d\d:\d\d:\d\d: context \d", said), said
        picture(seen, "keyboard")
        page.keyboard.press("Escape")

        page.get_by_role("button", name="Table: How lookups ended").focus()
        page.keyboard.press("Enter")
        table = page.get_by_role("region", name="How lookups ended")
        expect(table.get_by_role("columnheader", name="miss")).to_be_visible()
        assert table.get_by_role("row").count() >= 2
        seen.frames(2)
        expect(page.get_by_role("button", name="Table: How lookups ended")).to_be_focused()
        picture(seen, "table")


def test_each_chart_has_a_table_and_everything_a_name(browser: Browser, loaded: str) -> None:
    """Axe's plainer rules, asked of the browser: names, landmarks, headings in order, no id twice, a language."""
    with opened(browser, loaded) as seen:
        seen.frames(1)
        assert seen.run("document.documentElement.lang") == "en"
        assert seen.run("document.querySelectorAll('main').length") == 1
        assert seen.run("document.querySelectorAll('h1').length") == 1
        levels = seen.run("[...document.querySelectorAll('h1,h2,h3')].map((e) => Number(e.tagName[1]))")
        assert all(b - a <= 1 for a, b in pairwise(levels))
        ids = seen.run("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
        nameless = seen.run(
            "[...document.querySelectorAll('button, a, [role=img], [role=group], [role=region], svg[role]')]"
            ".filter((e) => !e.closest('[hidden]') && !(e.getAttribute('aria-label') || e.innerText || "
            "document.getElementById(e.getAttribute('aria-labelledby'))?.innerText))"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert nameless == []
        bare = seen.run(
            "[...document.querySelectorAll('section.card')]"
            ".filter((e) => e.querySelector('svg.plot, .stack-bar, .pair') && !e.querySelector('.table')).length"
        )
        assert bare == 0
        for button in seen.page.get_by_role("button", name=re.compile("^Table: ")).all():
            button.click()
            name = (button.get_attribute("aria-label") or "").removeprefix("Table: ")
            table = seen.page.get_by_role("region", name=name, exact=True).last
            assert table.locator("tbody tr").count() > 0, name
            assert len(table.locator("tbody tr").first.inner_text().strip()) > 0
        small = seen.run(
            "[...document.querySelectorAll('button, nav a')].map((e) => [e.getBoundingClientRect(), e.innerText])"
            ".filter(([b]) => b.width && (b.width < 24 || b.height < 24)).map(([, name]) => name)"
        )
        assert small == []


CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(browser: Browser, loaded: str, scheme: Any) -> None:
    """WCAG 1.4.3 and 1.4.11, computed from what is drawn: text 4.5 to 1, lines, bars and keys 3 to 1."""
    with opened(browser, loaded, color_scheme=scheme) as seen:
        seen.frames(1)
        assert seen.run(CONTRAST) == []
        focus = seen.run("getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()")
        assert focus


def test_the_switch_is_kept(browser: Browser, loaded: str) -> None:
    """Auto follows the system; light and dark stay over a reload, without a flash of the other."""
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, loaded, color_scheme="dark") as seen:
        dark = seen.run(ground)
        button = seen.page.get_by_role("button", name="Theme")
        button.click()
        expect(button).to_have_text("Theme: light")
        light = seen.run(ground)
        assert light != dark
        seen.page.reload(wait_until="commit")
        expect(seen.page.locator("#theme")).to_have_text("Theme: light")
        assert seen.run(ground) == light
        button.click()
        assert seen.run(ground) == dark


@pytest.mark.parametrize("width", [320, 390, 820])
def test_it_fits_a_narrow_screen(browser: Browser, loaded: str, width: int) -> None:
    """Nothing is cut off and nothing scrolls sideways, down to 320 CSS pixels (WCAG 1.4.10)."""
    with opened(browser, loaded, viewport={"width": width, "height": 844}, color_scheme="dark") as seen:
        seen.frames(1)
        assert seen.run("document.documentElement.scrollWidth") <= width
        wide = seen.run(
            "[...document.querySelectorAll('.big, .stack-n, .note, .key')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map((e) => e.innerText)"
        )
        assert wide == []
        picture(seen, f"narrow-{width}")


def test_it_says_when_it_is_cut_off_and_comes_back(browser: Browser, store: str) -> None:
    """The server ends: the page says so, and keeps the last figures; nothing was looked up: it says how to begin."""
    with page_served("embedded://") as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", name="Nothing was looked up yet")).to_be_visible(timeout=30_000)
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=Path(folder) / "empty.png", full_page=True)
    expect(page.locator("#state")).to_contain_text(re.compile("ended|Not connected|Reconnecting"), timeout=10_000)
    expect(page.locator("#board")).to_be_visible()
    context.close()


def test_the_door_opens_with_the_token(browser: Browser, store: str) -> None:
    """Beyond loopback: a wrong token is told so, the right one opens; scripts see no cookie."""
    with page_served(store, CACHE_API_PAGE="token", CACHE_API_TOKEN="a-test-token") as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token that is set.")
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=Path(folder) / "door.png")
        field.fill("a-test-token")
        page.keyboard.press("Enter")
        expect(page.locator("#board")).to_be_visible(timeout=30_000)
        assert page.evaluate("document.cookie") == ""
        assert [(one["httpOnly"], one["sameSite"]) for one in context.cookies()] == [(True, "Strict")]
        context.close()
