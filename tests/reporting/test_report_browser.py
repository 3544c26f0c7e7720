"""The HTML report in a browser: what is drawn, sorted, filtered, saved, printed, and reached without a mouse."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from defectscout.reporting.report.document import Report
from defectscout.reporting.report.html import html_report
from defectscout.reporting.table import csv_text
from reporting import report_samples as samples
from reporting.browser import Witness, column, drawn, pixels, saved, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def three_hundred() -> Report:
    return samples.many_defects(300, minima=2)


def forty() -> Report:
    return samples.many_defects(40, minima=2)


def test_structures_are_drawn_and_turn_together(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect, width=800)
    left, right = drawn(page)
    before = pixels(left), pixels(right)
    assert (np.abs(before[0] - before[0][0, 0]).sum(axis=2) > 60).mean() > 0.1  # not blank
    assert np.abs(before[0] - before[1]).sum() > 0  # the bond

    stage = page.locator(".stage").first
    stage.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: np.abs(pixels(left) - before[0]).mean() > 1)
    assert np.abs(pixels(right) - before[1]).mean() > 1

    turned = pixels(right)
    box = page.locator(".stage").nth(1).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 140)
    page.mouse.up()
    until(lambda: np.abs(pixels(right) - turned).mean() > 1)
    page.keyboard.press("+")
    page.get_by_role("button", name="Reset view").click()
    until(lambda: np.abs(pixels(left) - before[0]).mean() < 0.5 and np.abs(pixels(right) - before[1]).mean() < 0.5)


def test_structures_are_shown_as_asked(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect, width=800)
    left, right = drawn(page)
    for name in ("Element", "Near the site", "Cell", "Labels"):
        before = pixels(right)
        button = page.get_by_role("button", name=name)
        pressed = button.get_attribute("aria-pressed")
        button.click()
        assert button.get_attribute("aria-pressed") != pressed
        until(lambda before=before: np.abs(pixels(right) - before).mean() > 0.05)  # type: ignore[misc]
    assert "Cd" in page.locator(".legend").inner_text()
    before = pixels(left)
    page.get_by_role("button", name="Spin").click()
    until(lambda: np.abs(pixels(left) - before).mean() > 0.5)
    page.get_by_role("button", name="Spin").click()
    page.locator("select").nth(1).select_option("2")
    assert "Te–Te 2.77" in page.locator("figcaption").nth(1).inner_text()
    assert "Te–Te 2.77" in page.locator(".stage").nth(1).get_attribute("aria-label")


def test_wheel_scrolls_the_page_until_a_view_is_chosen(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect, width=800)
    left, _ = drawn(page)
    box = page.locator(".stage").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    before, place = pixels(left), page.evaluate("scrollY")
    page.mouse.wheel(0, 40)
    until(lambda: page.evaluate("scrollY") != place)
    assert np.abs(pixels(left) - before).mean() == 0
    page.mouse.click(box["x"] + 5, page.locator(".stage").first.bounding_box()["y"] + 5)
    place = page.evaluate("scrollY")
    page.mouse.wheel(0, 40)
    until(lambda: np.abs(pixels(left) - before).mean() > 0.5)
    assert page.evaluate("scrollY") == place


def test_without_webgl_pictures_turn(open_page: Callable[..., Any]) -> None:
    no_webgl = """const get = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
      return kind.includes("webgl") ? null : get.call(this, kind, ...rest);
    };"""
    page, _ = open_page(samples.one_defect, init=no_webgl)
    stages = page.locator(".stage")
    stages.first.scroll_into_view_if_needed()
    page.locator(".stage svg").nth(1).wait_for()
    before = [stages.nth(side).locator("svg").inner_html() for side in range(2)]
    assert before[0].count("<circle") > 40
    stages.first.focus()
    page.keyboard.press("ArrowUp")
    after = [stages.nth(side).locator("svg").inner_html() for side in range(2)]
    assert [one.count("<circle") for one in before] == [one.count("<circle") for one in after]
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert page.locator("canvas").count() == 0


def test_saved_structures_are_the_ones_shown(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.three_defects, width=800)
    section = samples.three_defects().sections[1]
    figure = page.locator(f"[id='{section.key}'] .view").nth(1)
    figure.locator("select").select_option("3")
    model = section.models[3]

    def saved_atoms(button: str, name: str, format_: str) -> Atoms:
        given_name, text = saved(page, figure.get_by_role("button", name=button))
        assert given_name == name
        atoms = read(io.StringIO(text), format=format_)
        assert isinstance(atoms, Atoms)
        return atoms

    by_element = model.atoms[np.argsort([symbol != "Cd" for symbol in model.atoms.symbols], kind="stable")]
    poscar = saved_atoms("POSCAR", f"POSCAR_{model.key}.vasp", "vasp")
    xyz = saved_atoms("XYZ", f"{model.key}.xyz", "extxyz")
    cif = saved_atoms("CIF", f"{model.key}.cif", "cif")
    for atoms, given in ((poscar, by_element), (xyz, model.atoms)):
        assert list(atoms.symbols) == list(given.symbols)
        assert atoms.pbc.all()
        np.testing.assert_allclose(atoms.cell.array, given.cell.array, rtol=0, atol=1e-6)
        np.testing.assert_allclose(atoms.positions, given.positions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(xyz.arrays["displacement"], model.displacements, rtol=0, atol=1e-4)
    assert list(cif.symbols) == list(model.atoms.symbols)  # a CIF has no orientation
    np.testing.assert_allclose(cif.cell.cellpar(), model.atoms.cell.cellpar(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        cif.get_all_distances(mic=True), model.atoms.get_all_distances(mic=True), rtol=0, atol=1e-6
    )


def test_saved_tables_and_data_are_whole(open_page: Callable[..., Any]) -> None:
    report = samples.with_failures()
    page, _ = open_page(samples.with_failures)
    section = report.sections[0]
    for table in (section.minima, section.set_aside):
        button = page.locator(f"[data-csv='{section.key}-{table.key}']")
        name, text = saved(page, button)
        assert name == f"{section.key}-{table.key}.csv"
        assert text == csv_text(table)
    name, text = saved(page, page.get_by_role("button", name="JSON"))
    data = json.loads(text)
    assert name.endswith(".json")
    assert data["title"] == report.title
    assert data["answers"][1]["defect"] == samples.HOSTILE
    assert [len(one["structures"]["models"]) for one in data["sections"]] == [
        len(one.models) for one in report.sections
    ]
    assert data["sections"][0]["minima"]["records"][0]["energy_eV"] == -0.7551234567


def test_tables_sort_by_click_and_key(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect)
    table = "table[data-file='CdTe-v_Cd_0-minima']"
    head = page.locator(f"{table} th").nth(2)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rising = column(page, table, 2)
    assert rising == [*sorted(rising[:-1]), None]
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, table, 2) == [*sorted(rising[:-1], reverse=True), None]
    other = page.locator(f"{table} th").nth(1)
    other.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert column(page, table, 1) == sorted(column(page, table, 1))


def test_three_hundred_defects_stay_quick(open_page: Callable[..., Any]) -> None:
    start = perf_counter()
    page, _ = open_page(three_hundred)
    page.locator("table.answers tbody tr").nth(299).wait_for(state="attached")
    assert perf_counter() - start < 15
    assert page.locator("canvas").count() == 0

    page.locator("th[data-key=confidence] button").click()
    levels = column(page, "table.answers", 4)
    assert levels == ["low"] * 100 + ["moderate"] * 100 + ["high"] * 100
    page.get_by_role("searchbox").fill("v_Cd17 GaCuS2")
    assert page.locator("[data-filter-count]").inner_text() == "6 of 300 defects"
    assert page.locator("table.answers tbody tr:visible").count() == 6
    assert page.locator("details.one:visible").count() == 6
    page.locator("[data-filter-level]").select_option("high")
    assert page.locator("table.answers tbody tr:visible").count() == 2
    page.get_by_role("searchbox").fill("")
    page.locator("[data-filter-level]").select_option("")
    assert page.locator("details.one:visible").count() == 300

    keys = [section.key for section in three_hundred().sections]
    for key in keys[40:44]:  # more than there are viewers for
        page.evaluate("key => { location.hash = key }", key)
        page.locator(f"[id='{key}'] canvas").first.wait_for()
    assert page.locator("canvas").count() <= 6
    assert page.locator(f"[id='{keys[40]}'] .stage svg").count() == 2  # a still picture stays behind


def test_links_and_keys_open_a_section(open_page: Callable[..., Any]) -> None:
    key = three_hundred().sections[250].key
    page, _ = open_page(three_hundred, hash_=f"#{key}")
    section = page.locator(f"[id='{key}']")
    assert section.get_attribute("open") is not None
    until(lambda: 0 <= section.bounding_box()["y"] < 200)
    assert page.evaluate("document.activeElement.parentElement.id") == key
    page.keyboard.press("Enter")
    assert section.get_attribute("open") is None
    page.keyboard.press("Space")
    assert section.get_attribute("open") is not None


def test_first_key_leads_past_the_navigation(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.half_finished)
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("document.activeElement.id") == "content")
    status = page.locator(".status")
    assert "Not finished" in status.inner_text()
    assert status.is_visible()
    assert page.get_by_text("not finished", exact=True).count() == 2


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXTS = """() => Array.from(document.querySelectorAll('main *, header *, .bar *')).filter(element =>
  Array.from(element.childNodes).some(node => node.nodeType === 3 && node.textContent.trim()) &&
  element.checkVisibility() && !element.closest('svg, .plain, .plot-area, .stage')
).map(element => {
  let under = element;
  while (under && getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
  return [getComputedStyle(element).color, getComputedStyle(under ?? document.body).backgroundColor, element.outerHTML];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(open_page: Callable[..., Any], scheme: str) -> None:
    page, _ = open_page(samples.half_finished, color_scheme=scheme)
    background = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (background < 0.05) == (scheme == "dark")
    texts = page.evaluate(TEXTS)
    assert len(texts) > 100
    for ink, under, element in texts:
        low, high = sorted((luminance(ink), luminance(under)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, element


def test_figures_follow_the_theme(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect, color_scheme="light")
    plot = page.locator(".plot-area").first
    plot.scroll_into_view_if_needed()
    axis = plot.locator(".xtick text").first
    axis.wait_for()
    assert plot.locator(".scatterlayer .trace").count() == 2

    def ink() -> float:
        return luminance(axis.evaluate("text => getComputedStyle(text).fill"))

    assert ink() < 0.1
    page.get_by_role("button", name="Dark").click()
    until(lambda: ink() > 0.5)
    until(lambda: plot.locator(".modebar-btn[data-title='Save as SVG']").count() == 1)
    plot.hover()
    name, svg = saved(page, plot.locator(".modebar-btn[data-title='Save as SVG']"))
    assert name == "CdTe-v_Cd_0-distortion.svg"
    assert "Bond distortion" in svg
    page.locator(".plot summary").first.click()
    assert page.locator(".plot table").first.is_visible()


@pytest.mark.parametrize("report", [samples.three_defects, samples.half_finished, samples.with_failures, three_hundred])
def test_fits_a_phone(open_page: Callable[..., Any], report: Callable[[], Report]) -> None:
    page, _ = open_page(report, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.querySelectorAll('details').forEach((one, index) => { one.open = index < 8; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_paper_shows_all_sections(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(forty, color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("details.one[open]").count() == 40
    assert page.locator(".stage svg").count() == 80
    assert page.locator(".pair-tools").first.is_hidden()
    assert page.locator(".bar").is_hidden()
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
    assert luminance(page.evaluate("getComputedStyle(document.body).color")) < 0.1
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.one[open]").count() == 0


def test_printing_needs_no_preparation(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.three_defects)
    page.evaluate("document.querySelectorAll('details.one').forEach(one => { one.open = false; })")
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") >= 4
    assert page.locator("details.one[open]").count() == 0


def test_words_are_copied_plain(open_page: Callable[..., Any]) -> None:
    page, _ = open_page(samples.one_defect, permissions=["clipboard-read", "clipboard-write"])
    page.locator("[data-copy=methods-text]").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "\n\n".join(samples.one_defect().methods)
    page.locator("#citations summary").click()
    page.locator("[data-copy=bibtex]").click()
    until(lambda: "@article" in page.evaluate("navigator.clipboard.readText()"))


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server of a live report, and what it answers."""
    state: dict[str, Any] = {"version": "1", "finished": False, "lines": ["v_Cd_0: round 2"], "loads": 0, "made": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            progress = self.path.startswith("/progress")
            state["loads"] += not progress
            text = (
                json.dumps({key: state[key] for key in ("version", "finished", "lines")})
                if progress
                else html_report(
                    samples.half_finished(), live=f"/progress#{state['made']}" if state["made"] else "/progress"
                )
            )
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if progress else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", state
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize("reads", [False, True], ids=["untouched", "being read"])
def test_live_report_tells_of_news(browser: Browser, server: tuple[str, dict[str, Any]], reads: bool) -> None:
    address, state = server
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page, witness = context.new_page(), Witness()
    witness.watch(page)
    page.clock.install()
    page.goto(address)
    page.get_by_text("v_Cd_0: round 2").wait_for()
    button = page.get_by_role("button", name="New results: reload")
    assert button.is_hidden()
    if reads:
        page.evaluate("scrollTo(0, 600)")
        page.wait_for_function("scrollY > 0")
    state["version"], state["lines"] = "2", ["v_Cd_0: round 3"]
    page.clock.run_for(5100)
    if reads:
        button.wait_for()
        assert state["loads"] == 1
        button.click()
    until(lambda: state["loads"] == 2)
    page.get_by_text("v_Cd_0: round 3").wait_for()
    assert not witness.messages
    assert all(url.startswith(address) for url in witness.network)
    context.close()


def test_live_report_that_was_old_when_it_came_is_known(browser: Browser, server: tuple[str, dict[str, Any]]) -> None:
    address, state = server
    state["made"] = "0"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{address}#answers")  # whoever follows a link reads
    page.get_by_role("button", name="New results: reload").wait_for()
    assert state["loads"] == 1
    context.close()
