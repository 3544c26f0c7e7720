"""Reconstruction motifs by host (paper, fig. S2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.motifs import MotifGroup, NamedMinimum
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.analysis_tables import motif_member_table
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import SMALL, Written, bar_style, formula_text, panel_letters, write

MOST_HOSTS: Final = 12
"""Hosts that are told apart; the others are drawn as one, and counted in the legend."""


def draw_motifs(groups: Sequence[MotifGroup], path: Path) -> Written:
    """Draw how many ground states, and how many minima in all, have each motif, in layers by host.

    Args:
        groups: minima by motif.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no minimum.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    groups = [group for group in groups if group.members]
    if not groups:
        raise NothingFoundError("There is no motif to draw: the reference has found no minimum yet.")
    layers = _layers(groups)
    with new_figure(7.6, 0.36 * len(groups) + 1.3 + 0.2 * -(-len(layers) // 4), 1, 2) as (figure, axes):
        left, right = axes[0]
        _bars(left, groups, layers, lambda item: item.rank == 0)
        _bars(right, groups, layers, lambda _: True)
        left.set_yticks(range(len(groups)), [str(group.motif) for group in groups])
        right.set_yticks(range(len(groups)), [""] * len(groups))
        left.set_title("ground states", loc="left")
        right.set_title("all minima", loc="left")
        for axis in (left, right):
            axis.set_ylim(len(groups) - 0.5, -0.5)
            axis.set_xlabel("number")
        panel_letters((left, right))
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(layers)))
        return write(figure, path, motif_member_table(groups))


def _layers(groups: Sequence[MotifGroup]) -> list[tuple[str, frozenset[str]]]:
    """Name of each layer and its hosts, those with the most minima first."""
    counts = Counter(item.host for group in groups for item in group.members)
    hosts = sorted(counts, key=lambda host: (-counts[host], host))
    if len(hosts) <= MOST_HOSTS:
        return [(formula_text(host), frozenset({host})) for host in hosts]
    named, others = hosts[: MOST_HOSTS - 1], hosts[MOST_HOSTS - 1 :]
    layers = [(formula_text(host), frozenset({host})) for host in named]
    return [*layers, (f"{len(others)} other hosts", frozenset(others))]


def _bars(
    axis: Any,
    groups: Sequence[MotifGroup],
    layers: Sequence[tuple[str, frozenset[str]]],
    counted: Callable[[NamedMinimum], bool],
) -> None:
    ends = [0] * len(groups)
    for number, (name, hosts) in enumerate(layers):
        counts = [sum(item.host in hosts and counted(item) for item in group.members) for group in groups]
        axis.barh(range(len(groups)), counts, 0.7, left=ends, label=name, **bar_style(number))
        ends = [end + count for end, count in zip(ends, counts, strict=True)]
    for place, end in enumerate(ends):
        axis.annotate(str(end), (end, place), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
    axis.set_xlim(0, 1.12 * max(*ends, 1))
    axis.xaxis.get_major_locator().set_params(integer=True)
