"""Datasets as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from defectscout.workflow.dataset import SplitReport
from defectscout.workflow.dataset_summary import DatasetSummary, DefectSummary, RuleCount, SubsetCount

MOST_UNREADABLE = 10
"""Lines of what could not be read; the rest is counted, and `--json` lists it."""


def summary_view(summary: DatasetSummary) -> RenderableType:
    """What a dataset holds: a heading, its defects, and what could not be read."""
    parts: list[RenderableType] = [_heading(summary), _defects_table(summary.defects)]
    if summary.dropped:
        parts.append(Text(f"Taken out: {_rules(summary.dropped)}"))
    if summary.unreadable:
        parts.append(_unreadable(summary))
    parts.append(Text(summary.digest, style="dim"))
    return Group(*parts)


def split_view(report: SplitReport) -> RenderableType:
    """How a dataset was split, and what leaks."""
    parts: list[RenderableType] = []
    if report.reason:
        parts.append(Text(report.reason))
    parts.append(_defects_table(report.summary.defects))
    parts.append(Text(f"Frames: {_subsets(report.summary.subsets)}"))
    if not report.leaks:
        parts.append(Text("Nothing of the training set is in validation or test."))
    parts += [Text(leak.sentence, style="dim" if leak.expected else "red") for leak in report.leaks]
    return Group(*parts)


def _heading(summary: DatasetSummary) -> Text:
    subsets = f" ({_subsets(summary.subsets)})" if summary.subsets else ", not split yet"
    return Text(
        f"{summary.path}\n{summary.frames} frames, {summary.selected} selected{subsets}\n"
        f"hosts: {', '.join(summary.hosts)}; elements: {', '.join(summary.elements)}; "
        f"method: {', '.join(summary.methods)}"
    )


def _defects_table(defects: Sequence[DefectSummary]) -> Table:
    """A line for each defect, under the name of its method where there are several."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline", collapse_padding=True)
    table.add_column("defect", overflow="fold", min_width=12)
    for name in (
        "atoms", "relax-\nations", "frames", "taken\nout", "selec-\nted", "range\n/ eV", "max force\n/ eV/Å",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    if any(item.subsets for item in defects):
        for name in ("train", "vali-\ndation", "test"):
            table.add_column(name, justify="right")
    methods = dict.fromkeys(item.defect_id.method for item in defects)
    for method in methods:
        if len(methods) > 1:
            table.add_row(Text(method, style="italic"))
        for item in defects:
            if item.defect_id.method == method:
                table.add_row(*_defect_row(item))
    return table


def _defect_row(item: DefectSummary) -> tuple[str, ...]:
    cells = (
        str(item.defect_id),
        ", ".join(str(n) for n in item.n_atoms),
        str(item.relaxations),
        str(item.frames),
        str(sum(count.frames for count in item.dropped)),
        str(item.selected),
        f"{item.energy_range:.2f}",
        f"{item.max_force:.2f}",
    )
    return (*cells, *(str(count.frames) for count in item.subsets))


def _rules(counts: Sequence[RuleCount]) -> str:
    return ", ".join(f"{count.frames} {count.rule}" for count in counts)


def _subsets(counts: Sequence[SubsetCount]) -> str:
    return ", ".join(f"{count.frames} {count.subset}" for count in counts)


def _unreadable(summary: DatasetSummary) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline")
    table.add_column("gave no frame", overflow="fold")
    table.add_column("reason", overflow="fold")
    for item in summary.unreadable[:MOST_UNREADABLE]:
        table.add_row(item.source, item.reason)
    if len(summary.unreadable) > MOST_UNREADABLE:
        table.add_row(f"and {len(summary.unreadable) - MOST_UNREADABLE} more", "(--json lists them all)")
    return table
