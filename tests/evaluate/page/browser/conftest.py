"""A headless Chromium of the system, and what it is shown. Skipped plainly where there is none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ARTEFACTS = Path(__file__).parents[4] / "artefacts"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync "
    # A microphone that hums, and a user who allows it.
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 1000}
TIMEOUT_MS = 120_000  # machines are shared; nothing waits longer than it must


@pytest.fixture(scope="session")
def browser():
    """Chromium, started with an empty profile of its own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


class Watched:
    """A browser's page, with what it logged and whom it asked."""

    def __init__(self, page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        page.on("request", lambda request: self._asked(request.url))

    def _heard(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _asked(self, url: str) -> None:
        if url.startswith(("http:", "https:", "ws:", "wss:")):
            self.hosts.add(url.split("/")[2].split(":")[0])

    def fits(self) -> bool:
        """Whether nothing needs to be scrolled sideways to be reached, but what says so."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )

    def picture(self, name: str) -> None:
        """Keep a screenshot for people."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


@pytest.fixture
def window(browser) -> Iterator[Watched]:
    """A page of a desk's width."""
    context = browser.new_context(viewport=DESK)
    yield Watched(context.new_page())
    context.close()


@pytest.fixture
def phone(browser) -> Iterator[Watched]:
    """A page of a phone's width that is touched."""
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    yield Watched(context.new_page())
    context.close()
