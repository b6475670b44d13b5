"""A real Chromium for tests of pages: it is told of every request, message and error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page of a file, and what it did besides showing it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def assert_quiet(self) -> None:
        """Nothing was asked of anybody, and nothing went wrong."""
        assert self.requests == []
        assert self.complaints == []

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def plot(self, selector: str) -> Any:
        """Traces and layout of a plotly figure, as plotly holds them."""
        return self.page.evaluate(
            """selector => {
                const { data, layout } = document.querySelector(selector);
                return { traces: Object.fromEntries(data.map(trace => [trace.name ?? "", trace])), layout };
            }""",
            selector,
        )


def show(browser: Browser, file: Path, **context: Any) -> Shown:
    """Open a file; ``context`` is Playwright's, such as ``color_scheme``."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, accept_downloads=True, **context)
    shown = Shown(page)

    def asked(route: Any) -> None:
        if route.request.url.partition("#")[0] == file.as_uri():
            route.continue_()
        else:
            shown.requests.append(route.request.url)
            route.abort()

    def interrupted(dialog: Any) -> None:
        shown.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.route("**/*", asked)
    page.on("console", lambda message: shown.complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    page.on("dialog", interrupted)
    page.goto(file.as_uri())
    return shown
