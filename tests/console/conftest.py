"""A browser at the console of a cloud."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.conftest import Cloud, new_cloud_up

ROOT = Path(__file__).parents[2]
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
BUILT = ROOT / "src/pileus/console/built/index.html"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
]
# Chromium gives up what is under way when an interface comes or goes: those of a rig do.
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")  # two at once are not possible in one process
def browser() -> Iterator[Any]:
    program = programs.chromium()
    if not AXE.exists() or not BUILT.exists():
        programs.absent("the built console and axe-core", "make setup")
    with programs.playwright().sync_playwright() as p:
        started = p.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


class Visit:
    """An operator at the console. ``errors``: what the browser complained of, refusals that a test
    expects (``allowed``: statuses) aside."""

    def __init__(self, browser: Any, cloud: Cloud, **options: Any) -> None:
        self.cloud = cloud
        self.context = browser.new_context(
            **{"reduced_motion": "reduce", "viewport": DESK, "color_scheme": "light", **options}
        )
        self.errors: list[str] = []
        self.allowed: tuple[str, ...] = ()
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))

    def _heard(self, message: Any) -> None:
        expected = any(f"status of {status} " in message.text for status in self.allowed)
        expected = expected or NETWORK_CHANGED in message.text
        if message.type in ("error", "warning") and not expected:
            self.errors.append(f"{message.type}: {message.text} {message.location}")

    def arrive(self, place: str = "") -> Visit:
        address = f"{self.cloud.edge}/admin/{place}"
        try:
            self.page.goto(address)
        except programs.playwright().Error as error:
            if NETWORK_CHANGED not in str(error):
                raise
            self.page.goto(address)
        self.page.locator("h1").wait_for()
        return self

    def sign_in(self, key: str = "", secret: str = "") -> Visit:
        self.page.get_by_label("Access key id").fill(key or self.cloud.env["AWS_ACCESS_KEY_ID"])
        secret = secret or self.cloud.env["AWS_SECRET_ACCESS_KEY"]
        self.page.get_by_label("Secret access key").fill(secret)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.locator("#content h1").wait_for()
        return self

    def go(self, place: str) -> Visit:
        """Another page of the console, waited for until it shows something."""
        self.page.evaluate("(place) => { location.hash = place }", f"#/{place}")
        self.settled()
        return self

    def settled(self) -> None:
        busy = self.find(".waiting, .progress[data-on]")
        programs.playwright().expect(busy).to_have_count(0)

    def find(self, selector: str, **how: Any) -> Any:
        return self.page.locator(selector, **how)

    def button(self, name: str, **how: Any) -> Any:
        return self.page.get_by_role("button", name=name, **how)

    def looked(self, state: str) -> None:
        """Nothing is too wide, nothing was complained of; a picture where they are asked for."""
        pictures = os.environ.get("PILEUS_SCREENSHOTS")
        if pictures:
            self.page.screenshot(path=f"{pictures}/{state}.png", full_page=True)
        assert self.errors == [], state
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{state}: {width} px wider than the window"

    def seen(self, state: str) -> None:
        """``looked``, and nobody is shut out of this state (axe finds no violation)."""
        self.settled()
        self.page.evaluate(DRAWN)  # axe must not meet a button half-way between two states
        self.looked(state)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        told = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for violation in told["violations"]:
            nodes = [(n["html"], n["failureSummary"]) for n in violation["nodes"]]
            raise AssertionError(f"{state}: {violation['id']}: {violation['help']} {nodes}")


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The operator's cloud: at first nobody has used it."""
    settings = 'front_processes = 2\naccounts = "111111111111"\n'
    with new_cloud_up(settings, tmp_path_factory.mktemp("house") / "home") as made:
        yield made


@pytest.fixture
def visit(browser: Any, house: Cloud) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def arrive(place: str = "", **options: Any) -> Visit:
        visits.append(Visit(browser, house, **options))
        return visits[-1].arrive(place)

    yield arrive
    for each in visits:
        each.context.close()
