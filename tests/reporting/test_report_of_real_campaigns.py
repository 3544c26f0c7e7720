"""The report of real campaigns, opened in a browser. Their records lie in tests/data/campaigns.

GFN1-xTB is the reference in all. `CdTe_learned` and `CuAsS_reference_only` are of benchmarks/learning_loop.py: `learn`
with M3GNet, seed 0 (v_Cd_0, site symmetry Td), and v_Cu_0 in an orthorhombic host (site symmetry Cs), of which every
eighth frame of each relaxation and the last are left. `CdSeTe_unfinished` is two vacancies in a random alloy,
Cd27Te14Se13, four rounds into the loop of the first.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read

from defectscout.analysis.trend import trend
from defectscout.reporting.report.build import build_report
from defectscout.workflow.overview import Overview, read_overview
from reporting.browser import column, drawn, pixels, saved, until

CAMPAIGNS = Path(__file__).parents[1] / "data" / "campaigns"
NAMES = ("CdTe_learned", "CuAsS_reference_only", "CdSeTe_unfinished")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Overview]:
    """A campaign, unpacked and read."""
    known: dict[str, Overview] = {}

    def unpacked(name: str) -> Overview:
        if name not in known:
            folder = tmp_path_factory.mktemp("campaigns") / name
            folder.mkdir()
            (folder / "campaign.db").write_bytes(gzip.decompress((CAMPAIGNS / f"{name}.db.gz").read_bytes()))
            known[name] = read_overview(folder)
        return known[name]

    return unpacked


def test_their_records_can_still_be_read(real: Callable[[str], Overview]) -> None:
    item = real("CdTe_learned").defects["v_Cd_0"]
    assert item.finished
    assert item.ground_state is not None
    assert item.ground_state.lowering == pytest.approx(-3.108, abs=1e-3)
    assert [bond.species for bond in item.ground_state.minimum.new_bonds] == [("Te", "Te")] * 3
    assert (len(item.result.minima), item.cost.reference_calls, len(item.sampling)) == (4, 75, 15)


def test_a_search_of_an_orthorhombic_host(real: Callable[[str], Overview]) -> None:
    overview = real("CuAsS_reference_only")
    item = overview.defects["v_Cu_0"]
    assert overview.host.space_group == "Pnma"
    assert (len(item.result.minima), item.cost.reference_calls) == (1, 998)
    assert len(item.result.minima[0].sampled_by) == 15


def test_half_a_search_of_an_alloy(real: Callable[[str], Overview]) -> None:
    overview = real("CdSeTe_unfinished")
    first, second = overview.defects.values()
    assert (overview.finished, first.finished, second.ground_state) == (False, False, None)
    assert first.ground_state is not None
    bonds = {bond.species for bond in first.ground_state.minimum.new_bonds}
    assert ("Se", "Te") in bonds  # of two anions, as Te–Te is
    (row, _) = trend([overview]).rows
    assert (row.holes, row.anion_anion) == (2, len(first.ground_state.minimum.new_bonds))
    assert build_report([overview]).answers[0].level == "low"


@pytest.mark.parametrize("name", NAMES)
def test_report_in_a_browser(name: str, real: Callable[[str], Overview], open_page: Callable[..., Any]) -> None:
    overview = real(name)
    report = build_report([overview])

    def page_of() -> Any:
        return report

    page_of.__name__ = name
    page, _ = open_page(page_of)
    section, item = report.sections[0], next(iter(overview.defects.values()))
    assert item.ground_state is not None

    left, right = drawn(page)  # not blank, and turning together
    before = pixels(left), pixels(right)
    page.locator(".stage").first.focus()
    page.keyboard.press("ArrowRight")
    until(lambda: np.abs(pixels(left) - before[0]).mean() > 1 and np.abs(pixels(right) - before[1]).mean() > 1)

    table = f"table[data-file='{section.key}-{section.minima.key}']"
    page.locator(f"{table} th").nth(1).get_by_role("button").click()
    page.keyboard.press("Enter")
    energies = [minimum.relative_energy for minimum in item.result.minima]
    assert column(page, table, 1) == pytest.approx(sorted(energies, reverse=True))

    figure = page.locator(".view").nth(1)
    lowest = ("Ground state", "Lowest so far")
    ground_state = next(n for n, model in enumerate(section.models) if model.title.startswith(lowest))
    figure.locator("select").select_option(str(ground_state))
    _, text = saved(page, figure.get_by_role("button", name="XYZ"))
    atoms = read(io.StringIO(text), format="extxyz")
    known = item.ground_state.minimum.atoms
    assert list(atoms.symbols) == list(known.symbols)
    np.testing.assert_allclose(atoms.get_all_distances(mic=True), known.get_all_distances(mic=True), atol=1e-6)

    plots = page.locator(".plot-area")
    for number in range(plots.count()):
        plots.nth(number).scroll_into_view_if_needed()
        plots.nth(number).locator(".main-svg").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_its_way(
    scheme: str, real: Callable[[str], Overview], open_page: Callable[..., Any]
) -> None:
    """By the rules of axe-core (WCAG 2 and best practice)."""
    import axe_playwright_python

    def cdte() -> Any:
        return build_report([real("CdTe_learned")])

    page, _ = open_page(cdte, bypass_csp=True, color_scheme=scheme)
    drawn(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.add_script_tag(path=Path(axe_playwright_python.__file__).with_name("axe.min.js"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
    assert len(found["passes"]) > 40
