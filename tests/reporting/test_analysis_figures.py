"""Figures of analyses: what is in them, what they look like, and whether they can be read without colour.

The baseline pictures in tests/data/figures are greyscale, `WIDTH` pixels wide. They are written anew from the
figures of today with DEFECTSCOUT_NEW_BASELINES=1; look at them before you keep them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import REPOSITORY
from defectscout.analysis.acceleration import Acceleration
from defectscout.analysis.distortions import DistortionPlot, DistortionSeries
from defectscout.analysis.lowerings import Lowerings
from defectscout.analysis.paths import Paths
from defectscout.analysis.structure_map import StructureMap
from defectscout.analysis.trend import Trend
from defectscout.core.errors import NothingFoundError, SettingsError
from defectscout.reporting.acceleration_tables import funnel_table, time_table
from defectscout.reporting.analysis_tables import (
    distortion_table,
    element_table,
    lowering_table,
    map_table,
    motif_member_table,
    path_step_table,
    trend_table,
)
from defectscout.reporting.figure_style import save
from defectscout.reporting.figures import (
    alloys,
    bonds,
    distortions,
    elements,
    funnel,
    lowerings,
    motif_examples,
    motifs,
    structure_map,
    trajectories,
)
from defectscout.reporting.figures.alloys import draw_alloy_bonds, draw_alloy_energies, draw_fine_and_coarse
from defectscout.reporting.figures.bonds import draw_bonds
from defectscout.reporting.figures.distortions import draw_distortion_pages, draw_distortions
from defectscout.reporting.figures.elements import draw_elements
from defectscout.reporting.figures.funnel import draw_acceleration, draw_funnel
from defectscout.reporting.figures.lowerings import by_host, draw_lowerings, joined
from defectscout.reporting.figures.motif_examples import draw_motif_examples
from defectscout.reporting.figures.motifs import draw_motifs
from defectscout.reporting.figures.structure_map import MapColour, draw_map
from defectscout.reporting.figures.style import columns_of_rows, defect_text, formula_text, pages
from defectscout.reporting.figures.trajectories import draw_path_pages, draw_paths
from defectscout.reporting.table import csv_text
from reporting.alloy_cases import an_alloy
from reporting.landscape_cases import (
    a_distortion_plot,
    a_map,
    a_trend,
    an_acceleration,
    many_lowerings,
    some_elements,
    some_examples,
    some_motifs,
    some_paths,
)

pytest.importorskip("matplotlib")

BASELINES: Final = REPOSITORY / "tests" / "data" / "figures"
WIDTH: Final = 240
"""Pixels."""

TOLERANCE: Final = 3.0
"""Largest mean difference of a tile of a picture from its baseline, grey levels of 256, after both were blurred.

Fonts drawn without hinting make up to 1.8; an emptied panel makes more than 4.5, which is tested below.
"""

TILES: Final = 8
"""Across the width; what is wrong in one part of a picture must not drown in the rest."""

Draw = Callable[[Path], tuple[Path, ...]]
Files = Callable[[str], tuple[Path, ...]]

FIGURES: dict[str, tuple[Any, Draw]] = {
    "bonds": (bonds, lambda path: draw_bonds(a_trend(), path)),
    "motifs": (motifs, lambda path: draw_motifs(some_motifs(), path)),
    "motif-examples": (motif_examples, lambda path: draw_motif_examples(some_examples(), path)),
    "lowerings": (lowerings, lambda path: draw_lowerings(many_lowerings(12), path)),
    "distortions": (
        distortions,
        lambda path: draw_distortions([a_distortion_plot(), a_distortion_plot("Sb2S3", "v_Sb_C1_0", False)], path),
    ),
    "map-host": (structure_map, lambda path: draw_map(a_map(), path, MapColour.HOST)),
    "map-energy": (structure_map, lambda path: draw_map(a_map(), path, MapColour.ENERGY)),
    "map-stage": (structure_map, lambda path: draw_map(a_map(), path, MapColour.STAGE)),
    "elements": (elements, lambda path: draw_elements(some_elements(), path)),
    "funnel": (funnel, lambda path: draw_funnel(an_acceleration(), path)),
    "times": (funnel, lambda path: draw_acceleration(an_acceleration(), path)),
    "paths": (trajectories, lambda path: draw_paths([some_paths()], path)),
    "alloy-energies": (alloys, lambda path: draw_alloy_energies(an_alloy(), path)),
    "alloy-bonds": (alloys, lambda path: draw_alloy_bonds(an_alloy(), path)),
    "alloy-fine-and-coarse": (alloys, lambda path: draw_fine_and_coarse(an_alloy(), path)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, ...]]:
    """The files of each figure, drawn once."""
    folder = tmp_path_factory.mktemp("figures")
    return cache(lambda name: FIGURES[name][1](folder / f"{name}.png"))


def figure_of(name: str, draw: Draw | None = None) -> Any:
    """A finished figure, laid out, for its artists to be looked at."""
    return _usual_figure(name) if draw is None else _figure(name, draw)


@cache
def _usual_figure(name: str) -> Any:
    return _figure(name, FIGURES[name][1])


def _figure(name: str, draw: Draw) -> Any:
    caught = []

    def keep(figure: Any, path: Path, table: object) -> None:
        figure.draw_without_rendering()
        caught.append(figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FIGURES[name][0], "write", keep)
        draw(Path(name))
    return caught[0]


def texts_of(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def picture(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """A picture in grey, `WIDTH` pixels wide, or of a given size."""
    from PIL import Image

    with Image.open(path) as image:
        height = round(WIDTH * image.height / image.width)
        grey = image.convert("L").resize(size or (WIDTH, height), Image.Resampling.BOX)
    return np.asarray(grey, dtype=float)


def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest mean absolute difference of a tile, grey levels."""
    from scipy.ndimage import gaussian_filter

    apart = np.abs(gaussian_filter(one, 2.0) - gaussian_filter(other, 2.0))
    rows = max(2, round(TILES * apart.shape[0] / apart.shape[1]))
    tiles = (tile for row in np.array_split(apart, rows, 0) for tile in np.array_split(row, TILES, 1))
    return max(float(tile.mean()) for tile in tiles)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_like_its_baseline(name: str, files: Files) -> None:
    from PIL import Image

    drawn = files(name)[0]
    baseline = BASELINES / f"{name}.png"
    if os.environ.get("DEFECTSCOUT_NEW_BASELINES"):
        baseline.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(drawn).round().astype(np.uint8)).save(baseline, optimize=True)
    expected = picture(baseline)
    height, width = expected.shape
    assert width == WIDTH
    assert picture(drawn).shape[0] == pytest.approx(height, rel=0.04)
    assert difference(picture(drawn, (width, height)), expected) < TOLERANCE


@pytest.mark.parametrize("name", FIGURES)
def test_an_emptied_panel_would_be_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, draw = FIGURES[name]
    expected = picture(BASELINES / f"{name}.png")
    number, panels = 0, 1
    while number < panels:

        def emptied(figure: Any, path: Path, table: Any, number: int = number) -> Any:
            nonlocal panels
            panels = len(figure.axes)
            axis = figure.axes[number]
            for artist in [*axis.lines, *axis.patches, *axis.collections, *axis.texts]:
                artist.remove()
            return (save(figure, path),)

        monkeypatch.setattr(module, "write", emptied)
        drawn = picture(draw(tmp_path / f"{number}.png")[0], (expected.shape[1], expected.shape[0]))
        assert difference(drawn, expected) > 1.5 * TOLERANCE, f"panel {number}"
        number += 1


@pytest.mark.parametrize("name", FIGURES)
def test_files_repeat_byte_for_byte(name: str, files: Files, tmp_path: Path) -> None:
    first, again = files(name), FIGURES[name][1](tmp_path / "again.svg")
    assert [path.suffix for path in first] == [".png", ".svg", ".csv"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_no_font_is_too_small(name: str) -> None:
    from matplotlib.text import Text

    figure = figure_of(name)
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
    assert sizes
    assert min(sizes) >= 8


@pytest.mark.parametrize("name", FIGURES)
def test_labels_of_axes_do_not_touch(name: str) -> None:
    figure = figure_of(name)
    for axis in figure.axes:
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            # Turned labels lie beside each other although their boxes overlap.
            flat = [label for label in labels if label.get_text() and not label.get_rotation()]
            boxes = [label.get_window_extent() for label in flat]
            for one, other in pairwise(boxes):
                assert not one.shrunk(0.95, 0.75).overlaps(other), [label.get_text() for label in flat]


def test_the_data_of_a_figure_lie_beside_it(files: Files) -> None:
    plots = [a_distortion_plot(), a_distortion_plot("Sb2S3", "v_Sb_C1_0", False)]
    expected = {
        "bonds": trend_table(a_trend()),
        "motifs": motif_member_table(some_motifs()),
        "lowerings": lowering_table(many_lowerings(12)),
        "distortions": distortion_table(plots),
        "map-energy": map_table(a_map()),
        "elements": element_table(some_elements()),
        "funnel": funnel_table(an_acceleration()),
        "times": time_table(an_acceleration()),
        "paths": path_step_table([some_paths()]),
    }
    for name, table in expected.items():
        assert files(name)[2].read_text() == csv_text(table)


def test_an_svg_names_what_is_in_it(files: Files) -> None:
    text = files("times")[1].read_text()
    assert text.rstrip().endswith("</svg>")
    for words in ("this search", "reference-only search", "reference-only, estimate", "(unfinished)"):
        assert f"<!-- {words} -->" in text or words in text
    text = files("distortions")[1].read_text()
    for words in ("scouted, then reference", "reference only", "bond distortion factor", "Dimer"):
        assert f"<!-- {words} -->" in text


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda path: draw_bonds(Trend((), (), None), path), "no defect"),
        (lambda path: draw_motifs((), path), "no motif"),
        (lambda path: draw_motif_examples((), path), "no motif"),
        (lambda path: draw_lowerings(Lowerings((), ()), path), "no defect"),
        (lambda path: draw_distortions([], path), "no start"),
        (lambda path: draw_distortion_pages([], path), "no start"),
        (
            lambda path: draw_distortions(
                [DistortionPlot("A", "v_A_0", "ground state", (DistortionSeries("a", ()),))], path
            ),
            "no start",
        ),
        (lambda path: draw_map(StructureMap((), (0.0, 0.0), ""), path), "no structure"),
        (lambda path: draw_elements((), path), "no element"),
        (lambda path: draw_funnel(Acceleration((), (), None, None), path), "no search funnel"),
        (lambda path: draw_acceleration(Acceleration((), (), None, None), path), "no acceleration"),
        (lambda path: draw_paths([], path), "no relaxation"),
        (lambda path: draw_path_pages([Paths("A", "v_A_0", (), ())], path), "no relaxation"),
    ],
)
def test_nothing_to_draw_is_said(draw: Draw, words: str, tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match=words):
        draw(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="Cannot write"):
        draw_elements(some_elements(), tmp_path / "file" / "elements.png")


# Names


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("v_Cd_0", r"V$_\mathrm{Cd}^{0}$"),
        ("v_Te_-2", r"V$_\mathrm{Te}^{-2}$"),
        ("Te_Cd_+1", r"Te$_\mathrm{Cd}^{+1}$"),
        ("Li_i_Td_Te2.83_+1", r"Li$_\mathrm{i,\,Td,\,Te2.83}^{+1}$"),
        ("v_Cu_C1_S2.30_0", r"V$_\mathrm{Cu,\,C1,\,S2.30}^{0}$"),
        ("my defect", "my defect"),
        ("five_dollars_$", r"five_dollars_\$"),
    ],
)
def test_defects_are_typeset(label: str, text: str) -> None:
    from matplotlib.mathtext import MathTextParser

    assert defect_text(label) == text
    MathTextParser("path").parse(text)  # raises if it cannot be set


def test_amounts_are_lowered() -> None:
    assert formula_text("Li4SnS4") == "Li₄SnS₄"
    assert formula_text("CdSe0.5Te0.5") == "CdSe₀.₅Te₀.₅"
    assert formula_text("Ca(PO3)2") == "Ca(PO₃)₂"
    assert formula_text("GaCuS2 (run2)") == "GaCuS₂ (run2)"


# Reading without colour


def test_series_of_distortions_differ_in_marker_and_line() -> None:
    figure = figure_of("distortions")
    lines = {line.get_label(): line for line in figure.legends[0].get_lines()}
    own, other = lines["scouted, then reference"], lines["reference only"]
    assert own.get_linestyle() != other.get_linestyle()
    assert own.get_marker() != other.get_marker()
    assert other.get_markerfacecolor() == "none"  # a ring, so that a point within it is seen
    assert "no minimum (yet)" in texts_of(figure)


def test_starts_without_a_minimum_stand_at_the_upper_edge() -> None:
    axis = figure_of("distortions").axes[0]
    failed = [line for line in axis.lines if line.get_marker() == 6]
    energies = [y for line in axis.lines if line.get_marker() in ("o", "s") for y in line.get_ydata()]
    assert len(failed) == 2
    assert all(line.get_xdata()[0] == pytest.approx(0.6) for line in failed)
    assert all(line.get_ydata()[0] > max(energies) for line in failed)


def test_bars_differ_in_hatch() -> None:
    for name in ("motifs", "funnel"):
        axis = figure_of(name).axes[0]
        hatches = [container.patches[0].get_hatch() for container in axis.containers]
        assert len(set(hatches)) == len(hatches) > 2
    kinds = figure_of("bonds").axes[2]
    assert len({container.patches[0].get_hatch() for container in kinds.containers}) == 3


def test_many_hosts_are_told_apart_and_the_rest_counted() -> None:
    groups = some_motifs(tuple(f"Host{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"))
    figure = figure_of("motifs", lambda path: draw_motifs(groups, path))
    looks = {
        (patch.get_facecolor(), patch.get_hatch()) for patch in (item.patches[0] for item in figure.axes[0].containers)
    }
    assert len(looks) == motifs.MOST_HOSTS
    assert "9 other hosts" in texts_of(figure)
    assert figure.axes[0].get_xlim()[1] > 20  # nobody was dropped


def test_hosts_and_stages_of_the_map_differ_in_marker() -> None:
    for name in ("map-host", "map-energy", "map-stage"):
        axis = figure_of(name).axes[0]
        shapes = [collection.get_paths()[0].vertices.tobytes() for collection in axis.collections]
        assert len(set(shapes)) == 2
        rims = [collection.get_linewidths()[0] for collection in axis.collections]
        assert sorted(set(rims)) == [0.0, 0.8]  # ends of relaxations are rimmed


def test_energies_grow_lighter_evenly_and_stop_at_five() -> None:
    figure = figure_of("map-energy")
    shown = figure.axes[0].collections[0]
    assert shown.get_clim() == (0.0, 5.0)
    lightness = shown.get_cmap()(np.linspace(0, 1, 50))[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(lightness) > 0).all()
    assert "energy above the lowest / eV" in texts_of(figure)


def test_minima_of_trajectories_differ_in_pattern_and_marker() -> None:
    figure = figure_of("paths")
    lines = {line.get_label(): line for line in figure.legends[0].get_lines()}
    ground, other = lines["ground state"], lines["metastable 1"]
    assert ground.get_marker() != other.get_marker()
    assert ground._unscaled_dash_pattern != other._unscaled_dash_pattern  # the pattern, not its name
    assert {"merged, into →", "failed", "still running", "in no minimum"} <= set(lines)


def test_a_merge_is_an_arrow_to_the_end_of_the_other() -> None:
    axis = figure_of("paths").axes[0]
    arrows = [text for text in axis.texts if getattr(text, "arrow_patch", None) is not None]
    target, merged = some_paths().paths[1], some_paths().paths[2]
    assert len(arrows) == 1
    assert arrows[0].xy == (target.steps[-1], target.energies[-1])
    assert arrows[0].get_position() == (merged.steps[-1], merged.energies[-1])


def test_a_fall_from_60_ev_leaves_room_for_what_happens_below_one() -> None:
    axis = figure_of("paths").axes[0]
    heights = axis.transAxes.inverted().transform(axis.transData.transform([(0, 0.0), (0, 0.7), (0, 60.0)]))[:, 1]
    assert axis.get_yscale() == "symlog"
    assert heights[1] - heights[0] > 0.25
    assert heights[2] < 1.0
    calm = figure_of("paths").axes[1]
    assert calm.get_yscale() == "linear"


def test_estimates_are_hatched_white_and_said_to_be_estimates() -> None:
    figure = figure_of("times")
    _, measured, estimated = figure.axes[0].containers
    assert [bar.get_width() for bar in measured] == [900, 0, 0]
    assert [bar.get_width() for bar in estimated] == [0, 901, 902]
    assert estimated.patches[0].get_hatch() not in (None, measured.patches[0].get_hatch())
    assert estimated.patches[0].get_facecolor()[:3] == (1.0, 1.0, 1.0)
    texts = texts_of(figure)
    assert {"900", "≈ 901", "60  (15.0× fewer)", "61  (≈ 14.8× fewer)", "62 so far"} <= set(texts)


# What is in each


def test_circles_say_the_percentage() -> None:
    axis = figure_of("bonds").axes[1]
    assert sorted(text.get_text() for text in axis.texts) == ["100 %"] * 3 + ["33 %"] * 3
    sizes, shares = axis.collections[0].get_sizes(), [item.share for item in a_trend().shares]
    assert sizes / sizes.max() == pytest.approx(shares)  # the area is the share
    across = axis.transData.transform([(0, 0), (1, 1)])
    apart = float(np.abs(across[1] - across[0]).min()) * 72 / axis.figure.dpi
    assert 0.6 * apart < float(np.sqrt(sizes.max())) < apart  # two full circles side by side do not touch


def test_defects_without_a_ground_state_are_in_the_histogram() -> None:
    axis = figure_of("bonds").axes[0]
    answered, waiting = axis.containers
    assert sum(bar.get_height() for bar in answered) == 6
    assert [bar.get_height() for bar in waiting] == [0, 0, 0, 0, 1]
    only_waiting = Trend(a_trend().rows[-1:], (), None)
    alone = figure_of("bonds", lambda path: draw_bonds(only_waiting, path))
    assert len(alone.axes) == 1


@pytest.mark.parametrize("count", [1, 2, 59, 61])
def test_every_defect_has_its_row(count: int) -> None:
    found = many_lowerings(count)
    figure = figure_of("lowerings", lambda path: draw_lowerings(found, path))
    labels = [label.get_text() for axis in figure.axes for label in axis.get_yticklabels()]
    assert len(labels) == count
    values = [text for text in texts_of(figure) if text == "not known" or (text[:1] in "−0" and text[-3:-2] == ".")]
    assert len(values) >= count
    assert len(figure.axes) == (1 if count < 60 else 2)


def test_three_hundred_defects_fill_columns_that_can_be_read() -> None:
    found = many_lowerings(300)
    figure = figure_of("lowerings", lambda path: draw_lowerings(found, path))
    width, height = figure.get_size_inches()
    assert len(figure.axes) == 5
    assert width < 24
    assert height < 16
    for axis in figure.axes[:1]:
        boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
        assert not any(one.shrunk(1, 0.75).overlaps(other) for one, other in pairwise(boxes))


def test_hosts_stay_together_and_the_largest_lowering_comes_first() -> None:
    rows = by_host(many_lowerings(40).rows)
    hosts = [row.host for row in rows]
    assert len({host for one, host in zip(["", *hosts], hosts, strict=False) if one != host}) == len(set(hosts))
    changes = sum(one != other for one, other in pairwise(hosts))
    assert changes == len(set(hosts)) - 1
    assert rows[0].lowering == min(row.lowering for row in rows if row.lowering is not None)


def test_labels_of_thresholds_are_joined_only_where_they_would_touch() -> None:
    thresholds = (-2.0, -1.0, -0.5, -0.1, -0.05)
    assert joined(thresholds, 1e-6) == [[value] for value in thresholds]
    assert joined(thresholds, 0.02) == [[-2.0], [-1.0], [-0.5], [-0.1, -0.05]]
    assert joined(thresholds, 10.0) == [list(thresholds)]


def test_an_open_marker_stands_for_a_search_that_goes_on() -> None:
    found = many_lowerings(12)
    figure = figure_of("lowerings")
    axis = figure.axes[0]
    markers = [line for line in axis.lines if line.get_marker() not in ("None", "x", None, "")]
    unfinished = [line for line in markers if line.get_markerfacecolor() == "white"]
    assert len(unfinished) == sum(not row.finished and row.lowering is not None for row in found.rows)
    assert sum(line.get_marker() == "x" for line in axis.lines) == sum(row.rattled is not None for row in found.rows)


def test_elements_lie_where_a_chemist_looks_for_them() -> None:
    axis = figure_of("elements").axes[0]
    places = {text.get_text(): text.get_position() for text in axis.texts}
    assert places["H"] == (1, 1)
    assert places["He"] == (18, 1)
    assert places["Cd"][0] == 12
    assert places["Te"][0] == 16
    assert places["Te"][1] == places["Cd"][1]
    assert places["La"][1] > places["Fr"][1] + 1
    assert {"812", "75", "3", "0"} <= set(places)
    assert len([patch for patch in axis.patches if patch.get_linewidth() == 0.9]) == len(some_elements())


def test_text_on_dark_cells_is_light() -> None:
    axis = figure_of("elements").axes[0]
    colours = {text.get_text(): text.get_color() for text in axis.texts}
    assert (colours["S"], colours["La"], colours["Li"]) == ("white", "black", "black")


def test_many_defects_of_the_funnel_are_summed_by_host() -> None:
    result = an_acceleration(100)
    figure = figure_of("funnel", lambda path: draw_funnel(result, path))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["GaCuS₂ (50 defects)", "CdTe (50 defects)\n(unfinished)"]
    assert [bar.get_width() for bar in figure.axes[0].containers[0]] == [750, 750]


def test_a_search_that_cost_more_says_so() -> None:
    row = replace(an_acceleration().times[0], calls=1800, calls_factor=0.5)
    result = Acceleration((), (row,), None, None)
    figure = figure_of("times", lambda path: draw_acceleration(result, path))
    assert "1800  (2.0× more)" in texts_of(figure)


def test_the_new_bond_is_drawn_thick_and_labelled_with_its_length() -> None:
    before, after, *_ = figure_of("motif-examples").axes
    length = some_examples()[0].named.bonds[0].length
    assert f"{length:.2f} Å" in {text.get_text() for text in after.texts}
    thick = [line for line in after.lines if line.get_linewidth() > 4]
    ends = np.array(thick[0].get_xydata())
    # Seen almost from the side on which it is longest.
    assert 0.9 * length < float(np.linalg.norm(ends[1] - ends[0])) <= length + 1e-9
    assert not [line for line in before.lines if line.get_linewidth() > 4]
    assert len(before.patches) == len(after.patches)  # the same atoms on both sides, and the vacant site


# Pages


def test_many_defects_fill_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distortions, "PANELS", 2)
    plots = [a_distortion_plot(defect=f"v_Cd_s{number}_0", both=False) for number in range(3)]
    names = [path.name for path in draw_distortion_pages(plots, tmp_path / "distortions.png")]
    assert names == [f"distortions-{page}.{suffix}" for page in (1, 2) for suffix in ("png", "svg", "csv")]
    drawn = [(tmp_path / f"distortions-{page}.csv").read_text() for page in (1, 2)]
    assert [text.count(",Unperturbed,") for text in drawn] == [2, 1]
    names = [path.name for path in draw_path_pages([some_paths()], tmp_path / "paths.png")]
    assert names == ["paths.png", "paths.svg", "paths.csv"]


@pytest.mark.parametrize("count", [1, 12, 13, 60, 61, 300, 1000])
def test_pages_and_columns_hold_everything_once(count: int) -> None:
    assert [n for part in pages(count, 12) for n in part] == list(range(count))
    columns = columns_of_rows(count)
    assert [n for part in columns for n in part] == list(range(count))
    assert len(columns) <= 6
