"""A headless Chromium for tests of the HTML report."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "DEFECTSCOUT_CHROMIUM"
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
"""WebGL on the processor, and a browser that asks for nothing by itself."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped without one, but fails where all is to be tested (CI)."""
    path = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _without(f"no Chromium: none of {', '.join(NAMES)} is on PATH, and {VARIABLE} is not set")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("the package playwright is not installed")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def _without(reason: str) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


PATIENCE = 20_000  # ms; WebGL without a graphics card is slow


@dataclass
class Witness:
    """What a page said and asked for."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", lambda dialog: self.messages.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))

    @property
    def network(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("data:", "blob:"))]


SMALL = """canvas => {
  const small = Object.assign(document.createElement('canvas'), { width: 150, height: 120 });
  const context = small.getContext('2d');
  context.drawImage(canvas, 0, 0, 150, 120);
  return Array.from(context.getImageData(0, 0, 150, 120).data);
}"""


def pixels(canvas: Locator) -> np.ndarray:
    """What a viewer shows, small; red, green, blue."""
    return np.array(canvas.evaluate(SMALL)).reshape(120, 150, 4)[:, :, :3]


def until(condition: Callable[[], bool]) -> None:
    end = perf_counter() + PATIENCE / 1000
    while not condition():
        assert perf_counter() < end, "nothing happened"
        threading.Event().wait(0.1)


def drawn(page: Page, selector: str = ".pair") -> list[Locator]:
    """The canvases of a section's viewers, once both are drawn."""
    page.locator(selector).first.scroll_into_view_if_needed()
    canvases = [page.locator(f"{selector} .stage").nth(side).locator("canvas") for side in range(2)]
    for canvas in canvases:
        canvas.wait_for()
        until(lambda canvas=canvas: len(np.unique(pixels(canvas).reshape(-1, 3), axis=0)) > 50)  # type: ignore[misc]
    return canvases


def column(page: Page, table: str, index: int) -> list[Any]:
    cells = page.locator(f"{table} tbody tr td:nth-child({index + 1})")
    return [json.loads(text) for text in cells.evaluate_all("cells => cells.map(cell => cell.dataset.v)")]


def saved(page: Page, button: Locator) -> tuple[str, str]:
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_text(encoding="utf-8")
