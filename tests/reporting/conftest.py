"""Fixtures for tests of the HTML report in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from defectscout.reporting.report.document import Report
from defectscout.reporting.report.html import html_report
from reporting.browser import PATIENCE, Witness, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Report]], Path]:
    """A report's file, written once."""
    folder, known = tmp_path_factory.mktemp("reports"), dict[str, Path]()

    def write(name: str, report: Callable[[], Report]) -> Path:
        if name not in known:
            known[name] = folder / f"{name}.html"
            known[name].write_text(html_report(report()), encoding="utf-8")
        return known[name]

    return write


@pytest.fixture
def open_page(browser: Browser, written: Callable[..., Path]) -> Iterator[Callable[..., tuple[Page, Witness]]]:
    """A report in a page of its own; that it was silent and asked for nothing is checked at the end."""
    opened: list[tuple[Page, Witness, str]] = []

    def go(report: Callable[[], Report], width: int = 1280, hash_: str = "", init: str = "", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, reduced_motion="reduce", accept_downloads=True, **options
        )
        page, witness = context.new_page(), Witness()
        page.set_default_timeout(PATIENCE)
        witness.watch(page)
        if init:
            page.add_init_script(init)
        url = written(getattr(report, "__name__", "report"), report).as_uri()
        opened.append((page, witness, url))
        page.goto(url + hash_)
        return page, witness

    yield go
    for page, witness, url in opened:
        page.context.close()
        assert not witness.messages
        assert {request.split("#")[0] for request in witness.network} == {url}
