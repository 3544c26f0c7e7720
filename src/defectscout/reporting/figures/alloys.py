"""Defects of an alloy: energies by environment and composition, bonds, and a fine search beside a coarse one.

Figure 4 and table S15 of the paper, as pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.alloys import AlloyAnalysis, SiteComparison, SiteResult, Verdict
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.figure_style import MARKERS, new_figure
from defectscout.reporting.figures.style import (
    SMALL,
    Written,
    bar_style,
    colour,
    defect_text,
    formula_text,
    numbered,
    pages,
    panel_letters,
    text_width,
    write,
)

MOST_KINDS: Final = 12
"""Kinds of bonds that are told apart; the others are drawn as one, and counted in the legend."""

MOST_ROWS: Final = 40
"""Sites compared on one page."""

_SLOT: Final = 0.17
"""Width of an environment's place within a composition, inches."""

_VERDICTS: Final[Mapping[Verdict, dict[str, Any]]] = {
    Verdict.LOWER: {"facecolor": colour(0), "hatch": ""},
    Verdict.MISSED: {"facecolor": colour(3), "hatch": "///"},
    Verdict.LEVEL: {"facecolor": colour(4), "hatch": "xxx"},
    Verdict.SAME: {"facecolor": "0.7", "hatch": ""},
    Verdict.OPEN: {"facecolor": "white", "hatch": "////"},
}
_WORDS: Final = {
    Verdict.LOWER: "fine search lower",
    Verdict.MISSED: "coarse search lower",
    Verdict.LEVEL: "level, another structure",
    Verdict.SAME: "same ground state",
    Verdict.OPEN: "not finished",
}
_EDGE: Final[dict[str, Any]] = {"edgecolor": "black", "linewidth": 0.6}


def draw_alloy_energies(found: AlloyAnalysis, path: Path) -> Written:
    """Draw the relative formation energy of each site by composition, in the marker and colour of its environment.

    One panel for each defect and charge. A grey field reaches from the lowest to the highest energy of a composition,
    with its height above it; an open marker stands for a search that has not finished.

    Args:
        found: the study.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if no energy is known.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    sites = [site for site in found.sites if site.relative is not None]
    if not sites:
        raise NothingFoundError("There is no energy of an alloy's defects to draw: no site has a ground state yet.")
    kinds = list(dict.fromkeys(site.kind for site in sites))
    names = [name for name in _environments(found) if any(site.environment == name for site in sites)]
    compositions = list(dict.fromkeys(site.composition for site in sites))
    width = max(3.0, len(compositions) * max(0.7, _SLOT * (len(names) + 1)) + 0.9)
    rows = -(-len(names) // max(2, int(width * len(kinds) / 1.1)))
    lines = 0 if found.variable else max(len(_lines(composition)) for composition in compositions)
    with new_figure(width * len(kinds), 3.0 + 0.18 * rows + 0.15 * lines, 1, len(kinds)) as (figure, axes):
        for axis, kind in zip(axes[0], kinds, strict=True):
            _energies(axis, [site for site in sites if site.kind == kind], compositions, names)
            _composition_axis(axis, found, sites, compositions)
            axis.set_title(f"{defect_text(kind)} in {formula_text(found.title)}", loc="left")
        axes[0][0].set_ylabel(_energy_label(sites))
        panel_letters(list(axes[0]))
        _environment_legend(figure, sites, names, width * len(kinds))
        return write(figure, path, site_table(found))


def draw_alloy_bonds(found: AlloyAnalysis, path: Path) -> Written:
    """Draw how many ground states of each environment have which new bonds, as stacked bars.

    Args:
        found: the study.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no ground state.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    shown = [item for item in found.environments if item.searched]
    if not shown:
        raise NothingFoundError("There are no bonds of an alloy's defects to draw: no site has a ground state yet.")
    kinds = list(dict.fromkeys(item.kind for item in shown))
    totals: Counter[str] = Counter()
    for item in shown:
        totals.update(dict(item.bonds))
    layers = _layers(totals)
    most = max(sum(item.kind == kind for item in shown) for kind in kinds)
    labels = [formula_text(item.environment) for item in shown]
    width = max(2.8, most * max(0.6, text_width(labels) + 0.1) + 0.9)
    height = 2.8 + 0.2 * len(layers) / max(1, int(width * len(kinds) / 1.6))
    with new_figure(width * len(kinds), height, 1, len(kinds)) as (figure, axes):
        for axis, kind in zip(axes[0], kinds, strict=True):
            members = [item for item in shown if item.kind == kind]
            ends = [0] * len(members)
            for number, (name, bonds) in enumerate(layers):
                counts = [sum(count for text, count in item.bonds if text in bonds) for item in members]
                axis.bar(range(len(members)), counts, 0.7, bottom=ends, label=name, **bar_style(number))
                ends = [end + count for end, count in zip(ends, counts, strict=True)]
            for place, end in enumerate(ends):
                axis.annotate(str(end), (place, end), (0, 2), textcoords="offset points", ha="center", fontsize=SMALL)
            axis.set_xticks(range(len(members)), [formula_text(item.environment) for item in members])
            axis.set_xlim(-0.6, len(members) - 0.4)
            axis.set_ylim(0, 1.15 * max(ends))
            axis.yaxis.get_major_locator().set_params(integer=True)
            axis.set_xlabel("neighbours of the site")
            axis.set_title(f"{defect_text(kind)} in {formula_text(found.title)}", loc="left")
        axes[0][0].set_ylabel("ground states")
        panel_letters(list(axes[0]))
        handles, texts = axes[0][0].get_legend_handles_labels()
        columns = max(1, min(len(texts), int(width * len(kinds) / (text_width(texts, SMALL) + 0.5))))
        figure.legend(handles, texts, loc="outside lower center", ncols=columns, title="new bonds")
        return write(figure, path, environment_table(found))


def draw_fine_and_coarse(found: AlloyAnalysis, path: Path) -> tuple[Path, ...]:
    """Draw the minima of the coarse and the fine search of each site, and how far apart their ground states lie.

    Beside each bar stands the change of the new bonds. Many sites fill several pages: `name.png`, `name-2.png`, ...

    Args:
        found: the study.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        Three files of each page.

    Raises:
        NothingFoundError: if no site was searched both coarsely and finely.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not found.comparisons:
        raise NothingFoundError(
            "There is no coarse search of an alloy to draw beside the fine one: give a reference-only study of the "
            "same supercells (--reference-only)."
        )
    shown = pages(len(found.comparisons), MOST_ROWS)
    if len(shown) < 2:
        return _page(found, found, path)
    written: list[Path] = []
    for page, numbers in enumerate(shown):
        part = replace(found, comparisons=tuple(found.comparisons[number] for number in numbers))
        written += _page(part, found, numbered(path, page, len(shown)))
    return tuple(written)


def _environments(found: AlloyAnalysis) -> list[str]:
    return list(dict.fromkeys(item.environment for item in found.environments))


def _energies(axis: Any, sites: Sequence[SiteResult], compositions: Sequence[str], names: Sequence[str]) -> None:
    half = min(0.38, 0.09 * len(names))
    for place, composition in enumerate(compositions):
        values = [site.relative for site in sites if site.composition == composition and site.relative is not None]
        if not values:
            continue
        least, most = min(values), max(values)
        axis.bar([place], [most - least], 2 * half + 0.14, bottom=least, color="0.9", zorder=1, linewidth=0)
        axis.annotate(f"{most - least:.2f}", (place, most), (0, 7), textcoords="offset points", ha="center",
                      fontsize=SMALL, color="0.3")  # fmt: skip
    for site in sites:
        number = names.index(site.environment)
        shift = half * (2 * number / (len(names) - 1) - 1) if len(names) > 1 else 0.0
        axis.plot([compositions.index(site.composition) + shift], [site.relative], zorder=3, **_mark(number, site))
    energies = [site.relative for site in sites if site.relative is not None]
    room = max(max(energies), 0.1)
    axis.set_ylim(-0.06 * room, 1.16 * room)


def _mark(number: int, site: SiteResult) -> dict[str, Any]:
    return {
        "linestyle": "",
        "color": colour(number),
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 6,
        "markeredgewidth": 1.2,
        "markerfacecolor": colour(number) if site.finished else "white",
    }


def _composition_axis(
    axis: Any, found: AlloyAnalysis, sites: Sequence[SiteResult], compositions: Sequence[str]
) -> None:
    shares = {site.composition: site.x for site in sites}
    if found.variable:
        labels = [f"{shares[composition]:.2f}" for composition in compositions]
        axis.set_xlabel(f"x, share of {found.variable}")
    else:
        labels = ["\n".join(_lines(composition)) for composition in compositions]
        axis.set_xlabel("composition")
    axis.set_xticks(range(len(compositions)), labels)
    axis.set_xlim(-0.6, len(compositions) - 0.4)


def _lines(composition: str) -> list[str]:
    return composition.replace("; ", ", ").split(", ")


def _energy_label(sites: Sequence[SiteResult]) -> str:
    known = [site.formation_energy is not None for site in sites]
    if all(known):
        return "relative formation energy / eV"
    return "relative energy / eV" if any(known) else "energy above the lowest\nin the supercell / eV"


def _environment_legend(figure: Any, sites: Sequence[SiteResult], names: Sequence[str], width: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    point: dict[str, Any] = {"linestyle": "", "markersize": 6}
    handles: list[Any] = [
        Line2D([], [], color=colour(number), marker=MARKERS[number % len(MARKERS)], label=formula_text(name), **point)
        for number, name in enumerate(names)
    ]
    if not all(site.finished for site in sites):
        handles.append(Line2D([], [], color="0.3", marker="o", markerfacecolor="white", label="so far", **point))
    handles.append(Patch(color="0.9", label="spread / eV"))
    columns = min(len(handles), max(2, int(width / (text_width([item.get_label() for item in handles], SMALL) + 0.45))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=1.2)


def _layers(totals: Mapping[str, int]) -> list[tuple[str, frozenset[str]]]:
    """Name of each layer and the bonds in it, the most frequent first."""
    kinds = sorted(totals, key=lambda text: (-totals[text], text))
    if len(kinds) <= MOST_KINDS:
        return [(kind, frozenset({kind})) for kind in kinds]
    named, others = kinds[: MOST_KINDS - 1], kinds[MOST_KINDS - 1 :]
    return [*((kind, frozenset({kind})) for kind in named), (f"{len(others)} other kinds", frozenset(others))]


def _page(part: AlloyAnalysis, whole: AlloyAnalysis, path: Path) -> Written:
    rows = part.comparisons
    names = _row_names(rows, whole)
    changes = [item.reconstruction for item in rows]
    width = 4.6 + text_width(names) + text_width(changes, SMALL)
    with new_figure(width, 0.44 * max(len(rows), 3) + 1.3, 1, 2) as (figure, axes):
        left, right = axes[0]
        _minima(left, rows)
        left.set_yticks(range(len(rows)), names)
        left.set_xlabel("minima on the reference's surface")
        left.set_title("minima", loc="left")
        _differences(right, rows)
        right.set_yticks(range(len(rows)), [""] * len(rows))
        right.set_xlabel("ground state, fine less coarse / eV")
        right.set_title("energy and reconstruction", loc="left")
        for axis in (left, right):
            axis.set_ylim(len(rows) - 0.4, -0.6)
            axis.tick_params(axis="y", length=0)
        panel_letters((left, right))
        _comparison_legend(figure, rows)
        return write(figure, path, comparison_table(part))


def _row_names(rows: Sequence[SiteComparison], found: AlloyAnalysis) -> list[str]:
    """What tells the sites apart: composition and environment, and defect and realisation where there are several."""
    every = [item.fine for item in found.comparisons]
    several_kinds = len({site.kind for site in every}) > 1
    several_made = len({site.realisation for site in every}) > 1
    # With every site searched, only the label tells those of one environment apart.
    places = Counter((site.supercell, site.kind, site.environment) for site in every)
    names = []
    for item in rows:
        site = item.fine
        unique = places[site.supercell, site.kind, site.environment] == 1
        place = formula_text(site.environment) if unique else site.defect.replace("$", r"\$")
        rest = [f"supercell {site.realisation}"] if several_made else []
        rest.append(f"{defect_text(site.kind)} {place}" if several_kinds and unique else place)
        what, joint = (f"x = {site.x:.2f}", ", ") if found.variable else (site.composition, "\n")
        names.append(what + joint + ", ".join(rest))
    return names


def _minima(axis: Any, rows: Sequence[SiteComparison]) -> None:
    for number, values in enumerate(([item.coarse.minima for item in rows], [item.fine.minima for item in rows])):
        places = [place + 0.36 * (number - 0.5) for place in range(len(rows))]
        axis.barh(places, values, 0.36, **_search_style(number))
        for place, value in zip(places, values, strict=True):
            axis.annotate(str(value), (value, place), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
    axis.set_xlim(0, 1.15 * max(1, *(max(item.coarse.minima, item.fine.minima) for item in rows)))
    axis.xaxis.get_major_locator().set_params(integer=True)


def _search_style(number: int) -> dict[str, Any]:
    return {**_EDGE, "facecolor": colour(1 - number), "hatch": "..." if number == 0 else ""}


def _differences(axis: Any, rows: Sequence[SiteComparison]) -> None:
    known = [item.difference for item in rows if item.difference is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    reach = max(high - low, 0.1)
    for place, item in enumerate(rows):
        if item.difference is None:
            axis.annotate("not known", (0.0, place), (4, 0), textcoords="offset points", va="center", fontsize=SMALL,
                          color="0.45")  # fmt: skip
        else:
            axis.barh([place], [item.difference], 0.6, **_EDGE, **_VERDICTS[item.verdict])
            left = item.difference < 0
            axis.annotate(f"{round(item.difference, 2) + 0.0:+.2f}".replace("-", "−").replace("+0.00", "0.00"),
                          (item.difference, place), (-3 if left else 3, 0), textcoords="offset points",
                          ha="right" if left else "left", va="center", fontsize=SMALL)  # fmt: skip
        axis.annotate(item.reconstruction, (1.02, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=SMALL, annotation_clip=False)  # fmt: skip
    axis.set_xlim(low - 0.28 * reach, high + 0.28 * reach)
    axis.axvline(0.0, color="black", linewidth=0.8)


def _comparison_legend(figure: Any, rows: Sequence[SiteComparison]) -> None:
    from matplotlib.patches import Patch

    searches = {"coarse": [item.coarse for item in rows], "fine": [item.fine for item in rows]}
    texts = [
        f"{name} ({' or '.join(map(str, sorted({site.sampling for site in sites})))} structures)"
        for name, sites in searches.items()
    ]
    handles = [Patch(label=text, **_search_style(number)) for number, text in enumerate(texts)]
    verdicts = {item.verdict for item in rows if item.difference is not None}
    handles += [Patch(label=_WORDS[item], **_EDGE, **_VERDICTS[item]) for item in Verdict if item in verdicts]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
