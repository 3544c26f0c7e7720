"""The answer as text for the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from defectscout.core.defect import UNPERTURBED
from defectscout.reporting.wording import (
    NO_NEW_BONDS,
    bonds_text,
    funnel_lines,
    labels_text,
    rank_text,
    symmetry_text,
)
from defectscout.workflow.compare import DefectComparison
from defectscout.workflow.plan import Plan
from defectscout.workflow.results import DefectResult, RankedMinimum, SearchResult
from defectscout.workflow.status import CampaignStatus, Standing

_LEVEL_STYLES = {"high": "green", "moderate": "yellow", "low": "red"}


def result_view(result: SearchResult) -> RenderableType:
    """The whole answer: the host, then each defect."""
    parts: list[RenderableType] = [_host_line(result)]
    for item in result.defects.values():
        parts += [Text(""), defect_view(item, result.reference)]
    return Group(*parts)


def _host_line(result: SearchResult) -> Text:
    host = result.host
    changes = ", ".join(f"{change:+.1%}" for change in host.length_changes)
    relaxed = f"lattice {changes} on relaxation" if changes else f"kept as read: {host.kept}"
    lattice = f" in its own lattice ({result.lattice_scale - 1:+.1%})" if result.lattice_scale != 1 else ""
    return Text(
        f"{host.formula} ({host.space_group}), {host.supercell_atoms}-atom supercell, "
        f"{host.image_distance:.1f} Å between images; {relaxed}; "
        f"surrogate {result.surrogate or 'none'}{lattice}, reference {result.reference}"
    )


def defect_view(item: DefectResult, reference: str) -> RenderableType:
    """The answer for one defect: minima, funnel, how sure it is."""
    parts: list[RenderableType] = [_defect_heading(item)]
    if item.minima:
        parts.append(_MinimaTable(item))
    if not item.minima or reference == "none":
        parts.append(_candidates_table(item))
    if item.set_aside:
        parts.append(_set_aside_table(item))
    parts += [Text(line) for line in funnel_lines(item)]
    parts.append(_confidence_text(item))
    return Group(*parts)


def _defect_heading(item: DefectResult) -> Text:
    defect = item.defect
    text = Text(f"{defect.label}", style="bold")
    text.append(
        f"  {defect.excess_charge_in_words}, site symmetry {defect.site_symmetry} "
        f"({item.symmetry_before} in the supercell)",
        style="not bold",
    )
    if item.state is not None and item.state.note:
        text.append(f"; {item.state.note}", style="not bold")
    return text


NARROW = 110
"""Columns; on a narrower terminal the columns of the table of minima stand one space apart."""


@dataclass(frozen=True)
class _MinimaTable:
    """The minima, as wide as the terminal: where it is narrow the lists wrap, and nothing is cut off."""

    item: DefectResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _minima_table(self.item, collapse_padding=options.max_width < NARROW)


def _minima_table(item: DefectResult, collapse_padding: bool) -> Table:
    table = Table(
        box=None, pad_edge=False, show_edge=False, header_style="underline", collapse_padding=collapse_padding
    )
    for name, justify, no_wrap in (
        ("", "left", True),
        ("ΔE\n/ eV", "right", True),
        ("lowering\n/ eV", "right", True),
        ("surrogate\n/ eV", "right", True),
        ("new bonds", "left", False),
        ("symmetry", "left", True),
        ("converged", "left", True),
        ("from", "left", False),
    ):
        table.add_column(name, justify=justify, no_wrap=no_wrap, overflow="fold")  # type: ignore[arg-type]
    table.columns[-1].min_width = len(UNPERTURBED) + 1  # with its comma
    for minimum in item.minima:
        table.add_row(*_minimum_row(minimum, item.symmetry_before))
    return table


def _minimum_row(item: RankedMinimum, before: str) -> tuple[str, ...]:
    return (
        rank_text(item.rank),
        f"{item.relative_energy:.3f}",
        "?" if item.lowering is None else f"{item.lowering:+.3f}",
        "–" if item.surrogate_energy is None else f"{item.surrogate_energy:.3f}",
        bonds_text(item),
        symmetry_text(item, before),
        "yes" if item.minimum.converged else "no",
        labels_text(item.sampled_by),
    )


def _candidates_table(item: DefectResult) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline")
    table.add_column("candidate")
    table.add_column("surrogate / eV", justify="right")
    table.add_column("stands for")
    energies = [c.surrogate_energy for c in item.candidates.candidates if c.surrogate_energy is not None]
    lowest = min(energies, default=0.0)
    for candidate in item.candidates.candidates:
        energy = candidate.surrogate_energy
        table.add_row(
            candidate.label, "–" if energy is None else f"{energy - lowest:.3f}", labels_text(candidate.members)
        )
    return table


def _set_aside_table(item: DefectResult) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline")
    table.add_column("set aside")
    table.add_column("reason")
    for label, reason in item.set_aside:
        table.add_row(label, reason)
    return table


def _confidence_text(item: DefectResult) -> RenderableType:
    confidence = item.confidence
    text = Text("How sure: ")
    text.append(confidence.level, style=f"bold {_LEVEL_STYLES[confidence.level]}")
    reasons = [Text(f"- {reason}") for reason in confidence.reasons]
    return Group(text, Padding(Group(*reasons), (0, 0, 0, 2)))


def plan_view(plan: Plan) -> RenderableType:
    """What a dry run found."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline")
    table.add_column("defect")
    for name in ("atoms", "holes", "sampling structures", *([] if plan.learns else ["candidates"])):
        table.add_column(name, justify="right")
    for item in plan.defects:
        cells = [item.label, str(item.atoms), str(item.excess_charge), str(item.sampling)]
        if item.candidates is not None:
            fewest, most = item.candidates
            cells.append(str(most) if fewest == most else f"{fewest} to {most}")
        table.add_row(*cells)
    lines = [f"{plan.formula}, {plan.supercell_atoms}-atom supercell. Nothing was written."]
    if plan.learns:
        lines.append("The surrogate is tuned on the reference's answers and scouts again, until nothing lower comes.")
    if plan.host_calls:
        lines.append(f"Host: about {plan.host_calls} reference force calls.")
    if plan.surrogate_calls and plan.surrogate_seconds is not None:
        rounds = f", in typically {plan.rounds} rounds" if plan.learns else ""
        lines.append(
            f"Scouting: about {plan.surrogate_calls} surrogate force calls of {plan.surrogate_seconds:.2f} s each"
            f"{rounds}."
        )
    if plan.reference_seconds is not None:
        typical, most_calls = plan.reference_calls
        lines.append(
            f"Reference: typically {typical}, at most about {most_calls} force calls of "
            f"{plan.reference_seconds:.1f} s each, {'up to ' if plan.learns else ''}{plan.workers} at once."
        )
    if plan.seconds is not None:
        short, long = plan.seconds
        tuning = ", plus tuning" if plan.learns else ""
        lines.append(f"Wall time: roughly {short / 60:.0f} min, at most about {long / 60:.0f} min{tuning}.")
    return Group(Text(lines[0]), table, *(Text(line) for line in lines[1:]))


def comparison_view(first: str, second: str, comparisons: tuple[DefectComparison, ...]) -> RenderableType:
    """Two searches side by side."""
    parts: list[RenderableType] = []
    for item in comparisons:
        table = Table(box=None, pad_edge=False, show_edge=False, header_style="underline")
        table.add_column(f"{item.label}: ΔE / eV", justify="right")
        table.add_column("new bonds")
        table.add_column(first, justify="right")
        table.add_column(second, justify="right")
        for minimum in item.minima:
            table.add_row(
                f"{minimum.energy:.3f}",
                ", ".join(minimum.bonds) or NO_NEW_BONDS,
                _found(minimum.in_first),
                _found(minimum.in_second),
            )
        table.add_row("", "reference force calls", str(item.first_calls), str(item.second_calls), style="dim")
        parts.append(table)
        for name, found in ((first, item.first_found), (second, item.second_found)):
            if not found:
                parts.append(Text(f"{name} missed the ground state of {item.label}.", style="red"))
    return Group(*parts)


def _found(energy: float | None) -> str:
    return "missed" if energy is None else f"{energy:.3f}"


def status_view(found: CampaignStatus) -> RenderableType:
    """How each candidate of a campaign stands, and how many stand so."""
    parts: list[RenderableType] = [Text(found.sentence)]
    if found.candidates:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("Candidate", "State"):
            table.add_column(name, no_wrap=True)
        for name in ("Ionic steps", "Force (eV/Å)", "Jobs"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("Remarks")
        for item in found.candidates:
            force = f"{item.fmax:.3f}" if item.fmax is not None else "–"
            row = (
                item.name,
                item.standing.value,
                str(item.steps or "–"),
                force,
                str(item.attempts or "–"),
                item.reason,
            )
            table.add_row(*row, style=_STANDING_STYLES.get(item.standing, ""))
        counts = ", ".join(f"{count} {one.value}" for one in Standing if (count := found.count(one)))
        parts += [table, Text(f"{len(found.candidates)} candidates: {counts}.")]
    return Group(*parts, *(Text(note, style="yellow") for note in found.notes))


_STANDING_STYLES = {Standing.FAILED: "red", Standing.PAUSED: "yellow", Standing.FINISHED: "green"}
