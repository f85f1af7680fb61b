"""The page in Chromium, as people use it: mouse, keyboard, phone, dark and light (K1)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import segno

from apps.links.tests.conftest import Links
from tests import programs

playwright = programs.playwright()
AXE = Path(__file__).parents[3] / "web/node_modules/axe-core/axe.min.js"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
LONG = "https://example.org/a/very/long/path/that/nobody/wants/to/type?with=a&few=parameters#end"
DESK, PHONE = {"width": 1180, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = programs.chromium()
    if not AXE.exists():
        programs.absent("axe-core", "make setup")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=program, args=FLAGS, timeout=120_000)
        yield started
        started.close()


class Visit:
    """A person with a browser at the page, and what went wrong meanwhile."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"reduced_motion": "reduce", **options})
        self.context.set_default_timeout(90_000)  # bounds, for a machine that has more to do
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        # The far end of the links: nothing leaves the machine.
        self.context.route("https://example.org/**", self._far_end)
        self.errors: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(address)
        self.find("h1").wait_for()

    @staticmethod
    def _far_end(route: Any) -> None:
        route.fulfill(body="<!doctype html><title>Far end</title>", content_type="text/html")

    def _heard(self, message: Any) -> None:
        # Chromium reports every answer of 400 and more; a refused wish is one, and no fault.
        refused = "Failed to load resource" in message.text and "/shorten" in str(message.location)
        if message.type in ("error", "warning") and not refused:
            self.errors.append(f"{message.type}: {message.text} {message.location}")

    def find(self, selector: str) -> Any:
        return self.page.locator(selector)

    def seen(self, state: str) -> None:
        """Nobody is shut out of this state, and nothing was complained of so far."""
        pictures = os.environ.get("PILEUS_SCREENSHOTS")
        if pictures:
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=f"{pictures}/{state}.png", full_page=True)
        still = "Promise.all(document.getAnimations().map((a) => a.finished)).then(() => null)"
        self.page.evaluate(still)  # colours are judged when nothing fades any more
        self.page.evaluate(AXE.read_text())
        told = self.page.evaluate("axe.run(document, {resultTypes: ['violations', 'incomplete']})")
        for violation in told["violations"]:
            nodes = [(n["html"], n["failureSummary"]) for n in violation["nodes"]]
            raise AssertionError(f"{state}: {violation['id']}: {violation['help']} {nodes}")
        assert self.errors == []
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{state}: {width} px wider than the window"

    def shorten(self, url: str = LONG, alias: str = "", ends: str = "") -> None:
        self.find("#url").fill(url)
        if alias or ends:
            if not self.find("#alias").is_visible():
                self.find("summary").click()
            self.find("#alias").fill(alias)
            self.find("#expires").select_option(label=ends or "never")
        self.find("form button").click()


@pytest.fixture
def visit(browser: Any, python_links: Links) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def arrive(address: str = "", **options: Any) -> Visit:
        options = {"viewport": DESK, "color_scheme": "light"} | options
        visits.append(Visit(browser, address or python_links.page, **options))
        return visits[-1]

    yield arrive
    for each in visits:
        each.context.close()


def test_shorten_copy_follow_and_see_the_visit(
    visit: Callable[..., Visit], python_links: Links
) -> None:
    me = visit()
    me.seen("1-empty")
    me.shorten()
    me.find(".result").wait_for()
    me.seen("2-made")
    short = me.find(".short").get_attribute("href")
    assert short.startswith(python_links.page)
    me.find("#copy").click()
    playwright.expect(me.find("#copy")).to_have_text("Copied ✓")
    assert me.page.evaluate("navigator.clipboard.readText()") == short
    me.seen("3-copied")
    with me.context.expect_page() as opened:
        me.find(".short").click()
    opened.value.wait_for_url(LONG)
    me.find("#refresh").click()
    playwright.expect(me.find(".visits")).to_have_text("1 visit")
    assert python_links.stats(short.rpartition("/")[2])["clicks"] == 1
    me.page.reload()
    playwright.expect(me.find("li a")).to_have_attribute("href", short)
    me.find("li .away").click()
    playwright.expect(me.find(".empty")).to_be_visible()
    assert me.errors == []


def test_the_qr_code_says_the_short_link(visit: Callable[..., Visit], python_links: Links) -> None:
    me = visit(color_scheme="dark")
    # As long as fills a code of version 4 to its last byte: filling is not the same everywhere.
    me.shorten(alias="qr-" + "x" * (78 - 3 - len(python_links.page)))
    me.find(".qr svg").wait_for()
    short = me.find(".short").get_attribute("href")
    assert len(short) == 78
    assert me.find(".qr").get_attribute("aria-label") == f"QR code of {short}"
    path = me.find(".qr svg path").get_attribute("d")
    black = {(int(x) - 4, int(y) - 4) for x, y in re.findall(r"M(\d+),(\d+)", path)}
    codes = [segno.make(short, version=4, mode="byte", error="L", mask=m) for m in range(8)]
    assert black in [
        {(x, y) for y, row in enumerate(code.matrix) for x, bit in enumerate(row) if bit}
        for code in codes
    ]
    # Black on white in the dark, too: else phones do not read it.
    assert me.find(".qr svg rect").get_attribute("fill") == "white"


def test_what_cannot_be_shortened_is_said_at_the_field(visit: Callable[..., Visit]) -> None:
    me = visit()
    me.find("form button").click()
    playwright.expect(me.find("#error")).to_have_text("Enter an address first.")
    me.shorten("http://192.168.1.1/")
    playwright.expect(me.find("#error")).to_have_text("Internal addresses cannot be shortened.")
    assert me.find("#url").get_attribute("aria-invalid") == "true"
    playwright.expect(me.find("#url")).to_be_focused()
    me.seen("4-refused")
    me.shorten("javascript:alert(1)")
    playwright.expect(me.find("#error")).to_contain_text("Only http and https")
    me.find("#url").fill("example.org/without-scheme")
    playwright.expect(me.find("#error")).to_have_text("")
    me.find("form button").click()
    playwright.expect(me.find(".result .target")).to_have_text(
        "→ https://example.org/without-scheme"
    )


def test_an_own_name_and_an_end(visit: Callable[..., Visit], python_links: Links) -> None:
    me = visit()
    me.shorten(alias="spring-party", ends="a week")
    playwright.expect(me.find(".short")).to_contain_text("/spring-party")
    told = python_links.stats("spring-party")
    assert told["expires"] - told["created"] in (7 * 86400, 7 * 86400 + 1)
    me.shorten("https://example.org/other", alias="spring-party")
    playwright.expect(me.find("#error")).to_have_text("The alias spring-party is taken.")
    playwright.expect(me.find("#alias")).to_be_focused()
    assert me.find("#alias").get_attribute("aria-invalid") == "true"
    me.seen("5-taken")
    me.find("#alias").fill("spring-party-2")
    me.page.keyboard.press("Enter")
    playwright.expect(me.find("li")).to_have_count(2)
    me.page.evaluate(
        """() => { const kept = JSON.parse(localStorage.links); kept[1].ends = 1;
        localStorage.links = JSON.stringify(kept); }"""
    )
    me.page.reload()
    playwright.expect(me.find("li .ended")).to_have_text("spring-party")
    me.seen("6-ended")


def test_by_keyboard_alone(visit: Callable[..., Visit]) -> None:
    me = visit()
    press = me.page.keyboard.press
    playwright.expect(me.find("#url")).to_be_focused()
    me.page.keyboard.type(LONG)
    press("Enter")
    playwright.expect(me.find("#copy")).to_be_focused()
    short = me.find(".short").get_attribute("href")
    press("Enter")
    playwright.expect(me.find("#copy")).to_have_text("Copied ✓")
    assert me.page.evaluate("navigator.clipboard.readText()") == short
    playwright.expect(me.find("[role=status]")).to_have_text("Copied")
    press("Shift+Tab")
    with me.context.expect_page() as opened:
        press("Enter")
    opened.value.wait_for_url(LONG)
    me.page.bring_to_front()
    for _ in range(3):  # by the options and the button back to the address
        press("Shift+Tab")
    playwright.expect(me.find("#url")).to_be_focused()
    me.page.keyboard.type("https://example.org/next")
    for key in ("Tab", "Tab", "Enter", "Tab"):  # open the options
        press(key)
    playwright.expect(me.find("#alias")).to_be_focused()
    me.page.keyboard.type("by-keys")
    press("Enter")
    playwright.expect(me.find(".short")).to_contain_text("/by-keys")
    assert me.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", ["desk", "phone"])
def test_every_scheme_and_width(visit: Callable[..., Visit], scheme: str, window: str) -> None:
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    me = visit(color_scheme=scheme, **(phone if window == "phone" else {}))
    me.seen(f"7-{window}-{scheme}-empty")
    me.shorten(alias=f"{window}-{scheme}-first", ends="a day")
    playwright.expect(me.find("li")).to_have_count(1)
    me.shorten("https://example.org/" + "unbroken" * 40, alias=f"{window}-{scheme}-of-a-long-name")
    playwright.expect(me.find("li")).to_have_count(2)
    me.seen(f"7-{window}-{scheme}-made")
    me.shorten("http://10.0.0.1/" + "unbroken" * 20)
    playwright.expect(me.find("#error")).to_contain_text("Internal")
    me.seen(f"7-{window}-{scheme}-refused")


@pytest.mark.parametrize("form", ["bare", "path"])
def test_at_every_address_of_the_edge(
    visit: Callable[..., Visit], python_links: Links, form: str
) -> None:
    id_ = python_links.outputs["Domain"].partition(".")[0]
    address = f"{python_links.cloud.edge}/" + (f"_cdn/{id_}/" if form == "path" else "")
    me = visit(address)
    me.shorten()
    short = me.find(".short").get_attribute("href")
    assert short.startswith(address)
    with me.context.expect_page() as opened:
        me.find(".short").click()
    opened.value.wait_for_url(LONG)
    assert me.errors == []


def test_a_page_of_another_origin_may_use_the_api(
    visit: Callable[..., Visit], python_links: Links
) -> None:
    me = visit()
    told = me.page.evaluate(
        """async ([api, url]) => (await fetch(`${api}/shorten`, {method: "POST",
        headers: {"content-type": "application/json"},
        body: JSON.stringify({urlToShorten: url})})).json()""",
        [python_links.api, LONG],
    )
    assert isinstance(told, str) and python_links.stats(told)["url"] == LONG
    assert me.errors == []


def test_a_browser_at_a_link_that_is_not_there(
    visit: Callable[..., Visit], python_links: Links
) -> None:
    me = visit(f"{python_links.page}nothing")
    playwright.expect(me.find("h1")).to_have_text("No such link")
    me.errors.clear()  # Chromium reports the 404 itself
    me.seen("8-no-such-link")
    me.find("a").click()
    playwright.expect(me.find("h1")).to_have_text("Short links")
