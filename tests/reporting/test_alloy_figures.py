"""What is in the figures of alloys; how they look is tested with those of the other analyses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from defectscout.analysis.alloys import AlloyAnalysis, EnvironmentResult, SiteComparison, Verdict
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.figures import alloys
from defectscout.reporting.figures.alloys import draw_alloy_bonds, draw_alloy_energies, draw_fine_and_coarse
from defectscout.reporting.table import csv_text
from reporting.alloy_cases import ENVIRONMENTS, a_quinary_alloy, a_site, an_alloy

pytest.importorskip("matplotlib")


def figures_of(draw: Any, found: AlloyAnalysis) -> list[Any]:
    """Finished figures, laid out, for their artists to be looked at."""
    caught: list[Any] = []

    def keep(figure: Any, path: Path, table: object) -> tuple[Path, ...]:
        figure.draw_without_rendering()
        caught.append(figure)
        return (path,)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alloys, "write", keep)
        draw(found, Path("figure.png"))
    return caught


def figure_of(draw: Any, found: AlloyAnalysis) -> Any:
    (figure,) = figures_of(draw, found)
    return figure


def texts_of(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


# Energies


def points_of(axis: Any) -> list[tuple[float, float, str, str]]:
    """Place, energy, marker and colour of each point."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line.get_marker(), line.get_color())
        for line in axis.lines
    ]


def test_every_energy_is_a_point_in_its_composition() -> None:
    found = an_alloy()
    axis = figure_of(draw_alloy_energies, found).axes[0]
    expected = [site for site in found.sites if site.relative is not None]
    points = points_of(axis)
    assert [point[1] for point in points] == [site.relative for site in expected]
    places = {0.2: 0, 0.5: 1, 0.8: 2}
    assert [round(point[0]) for point in points] == [places[site.x] for site in expected]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.20", "0.50", "0.80"]


def test_environments_differ_in_marker_colour_and_place() -> None:
    found = an_alloy()
    looks: dict[str, set[tuple[str, str, float]]] = {}
    points = points_of(figure_of(draw_alloy_energies, found).axes[0])
    for site, (place, _, marker, colour) in zip(
        (site for site in found.sites if site.relative is not None), points, strict=True
    ):
        looks.setdefault(site.environment, set()).add((marker, colour, round(place - round(place), 6)))
    assert set(looks) == set(ENVIRONMENTS)
    assert all(len(each) == 1 for each in looks.values())  # the same in every composition
    every = [next(iter(each)) for each in looks.values()]
    for part in zip(*every, strict=True):
        assert len(set(part)) == len(ENVIRONMENTS)


def test_the_spread_of_a_composition_is_seen_and_said() -> None:
    axis = figure_of(draw_alloy_energies, an_alloy()).axes[0]
    fields = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in axis.patches]
    assert fields == [pytest.approx(span) for span in ((0.12, 0.42), (0.0, 0.56), (0.47, 0.81))]
    assert [text.get_text() for text in axis.texts] == ["0.30", "0.56", "0.34"]


def test_a_search_that_goes_on_has_an_open_marker() -> None:
    found = an_alloy()
    figure = figure_of(draw_alloy_energies, found)
    faces = [line.get_markerfacecolor() for line in figure.axes[0].lines]
    shown = [site for site in found.sites if site.relative is not None]
    assert [face == "white" for face in faces] == [not site.finished for site in shown]
    assert "so far" in texts_of(figure)
    done = replace(found, sites=tuple(replace(site, finished=True) for site in found.sites))
    assert "so far" not in texts_of(figure_of(draw_alloy_energies, done))


def test_kinds_have_panels_and_mixtures_their_composition_in_words() -> None:
    figure = figure_of(draw_alloy_energies, a_quinary_alloy())
    assert [axis.get_title(loc="left")[:2] for axis in figure.axes] == ["a)", "b)"]
    assert figure.axes[0].get_xticklabels()[0].get_text() == "Cd 0.750\nZn 0.250\nTe 0.500\nSe 0.250\nS 0.250"
    assert figure.axes[0].get_ylabel() == "energy above the lowest\nin the supercell / eV"
    for axis in figure.axes:
        assert len(axis.lines) == 14  # seven sites of two realisations


def test_many_environments_are_still_told_apart() -> None:
    names = [f"Te{one}Se{12 - one}-Te{two}" for one in range(2, 8) for two in range(2, 8)]
    sites = tuple(a_site(x, name, 0.01 * number) for x in (0.2, 0.8) for number, name in enumerate(names))
    environments = tuple(EnvironmentResult("v_Cd_0", name, 2, (), None) for name in names)
    figure = figure_of(draw_alloy_energies, AlloyAnalysis("Cd(Te,Se)", sites, environments, (), "Se"))
    points = points_of(figure.axes[0])
    assert len({point[2:] for point in points}) == len(names)
    places = sorted({point[0] for point in points})
    across = figure.axes[0].transData.transform([(place, 0.0) for place in places])[:, 0]
    assert min(second - first for first, second in pairwise(across)) > 4  # pixels of 100 an inch
    assert places[len(names) - 1] < 0.5 < places[len(names)]


# Bonds


def test_every_ground_state_is_in_a_bar() -> None:
    found = an_alloy()
    axis = figure_of(draw_alloy_bonds, found).axes[0]
    layers = {container.get_label(): [bar.get_height() for bar in container] for container in axis.containers}
    assert layers == {
        "Se–Te": [0, 1, 2, 0, 0],
        "Te–Te": [2, 1, 0, 0, 0],
        "Se–Se": [0, 0, 0, 2, 0],
        "2 Te–Te + Se–Te": [0, 0, 1, 0, 0],
        "none": [0, 0, 0, 0, 1],
    }
    tops = [max(bar.get_y() + bar.get_height() for bar in bars) for bars in zip(*axis.containers, strict=True)]
    assert tops == [2, 2, 3, 2, 1]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["Te₄", "Te₃Se", "Te₂Se₂", "TeSe₃", "Se₄"]


def test_kinds_of_bonds_differ_in_hatch() -> None:
    axis = figure_of(draw_alloy_bonds, an_alloy()).axes[0]
    hatches = [container.patches[0].get_hatch() for container in axis.containers]
    assert len(set(hatches)) == len(hatches) == 5


def test_rare_bonds_are_drawn_as_one_where_there_are_many() -> None:
    bonds = tuple((f"{number} Te–Te", 30 - number) for number in range(1, 21))
    found = replace(an_alloy(), environments=(EnvironmentResult("v_Cd_0", "Te4", 390, bonds, None),))
    axis = figure_of(draw_alloy_bonds, found).axes[0]
    labels = [container.get_label() for container in axis.containers]
    assert labels[-1] == "9 other kinds"
    assert len(labels) == alloys.MOST_KINDS
    assert sum(container.patches[0].get_height() for container in axis.containers) == 390


# Fine and coarse


def test_pairs_of_bars_are_the_minima_of_both_searches() -> None:
    found = an_alloy()
    figure = figure_of(draw_fine_and_coarse, found)
    coarse, fine = figure.axes[0].containers
    assert [bar.get_width() for bar in coarse] == [item.coarse.minima for item in found.comparisons]
    assert [bar.get_width() for bar in fine] == [item.fine.minima for item in found.comparisons]
    assert coarse.patches[0].get_hatch() != fine.patches[0].get_hatch()
    assert {"coarse (15 structures)", "fine (31 structures)"} <= set(texts_of(figure))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "x = 0.20, Te₃Se"
    assert len(set(names)) == len(found.comparisons)


def test_each_difference_has_its_bar_its_number_and_its_reconstruction() -> None:
    found = an_alloy()
    axis = figure_of(draw_fine_and_coarse, found).axes[1]
    known = [item for item in found.comparisons if item.difference is not None]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([item.difference for item in known])
    texts = [text.get_text() for text in axis.texts]
    assert [text for text in texts if text.startswith(("−", "+", "0"))] == [
        "−0.40",
        "−0.20",
        "0.00",
        "+0.01",
        "−0.15",
        "+0.11",
    ]
    assert [text for text in texts if "→" in text] == [item.reconstruction for item in known]
    assert texts.count("not known") == 1


def test_verdicts_differ_in_hatch_or_lightness() -> None:
    figure = figure_of(draw_fine_and_coarse, an_alloy())
    looks = set()
    for bar in figure.axes[1].patches:
        red, green, blue, _ = bar.get_facecolor()
        looks.add((bar.get_hatch(), round(0.299 * red + 0.587 * green + 0.114 * blue, 1)))
    assert len(looks) == len(Verdict)
    assert {"fine search lower", "coarse search lower", "same ground state", "level, another structure",
            "not finished"} <= set(texts_of(figure))  # fmt: skip


def test_names_tell_what_is_several() -> None:
    figure = figure_of(draw_fine_and_coarse, a_quinary_alloy())
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(names)) == len(names) == 32
    assert "Cd 0.500, Zn 0.500; Te 0.500, Se 0.500\nsupercell 2, V$_\\mathrm{Zn}^{-2}$ Se₄" in names
    sites = tuple(a_site(0.5, "Te4", 0.1, defect=f"v_Cd_Te4_s{number}_0") for number in (3, 7))
    twice = replace(an_alloy(), comparisons=tuple(SiteComparison(site, site, 0.0, Verdict.SAME) for site in sites))
    figure = figure_of(draw_fine_and_coarse, twice)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["x = 0.50, v_Cd_Te4_s3_0", "x = 0.50, v_Cd_Te4_s7_0"]


def test_many_sites_fill_pages() -> None:
    found = a_quinary_alloy()
    many = replace(found, comparisons=found.comparisons * 3)
    figures = figures_of(draw_fine_and_coarse, many)
    assert [len(figure.axes[0].get_yticklabels()) for figure in figures] == [40, 40, 16]


# Files


def test_the_data_lie_beside_the_figures(tmp_path: Path) -> None:
    found = an_alloy()
    for draw, table in (
        (draw_alloy_energies, site_table(found)),
        (draw_alloy_bonds, environment_table(found)),
        (draw_fine_and_coarse, comparison_table(found)),
    ):
        files = draw(found, tmp_path / f"{table.key}.png")
        assert [path.name for path in files] == [f"{table.key}{suffix}" for suffix in (".png", ".svg", ".csv")]
        assert files[2].read_text() == csv_text(table)


@pytest.mark.parametrize(
    ("draw", "words"),
    [(draw_alloy_energies, "no energy"), (draw_alloy_bonds, "no bonds"), (draw_fine_and_coarse, "no coarse search")],
)
def test_nothing_to_draw_is_said(draw: Any, words: str, tmp_path: Path) -> None:
    nothing = AlloyAnalysis(
        "Cd(Te,Se)", (a_site(0.5, "Te4", None),), (EnvironmentResult("v_Cd_0", "Te4", 0, (), None),), ()
    )
    with pytest.raises(NothingFoundError, match=words):
        draw(nothing, tmp_path / "none.png")
    assert not list(tmp_path.iterdir())
