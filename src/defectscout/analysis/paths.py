"""Where each start fell: relaxations step by step, and which of them came together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from defectscout.core.frames import RelaxationState
from defectscout.workflow.overview import DefectOverview, Descent
from defectscout.workflow.record import SCOUT

ON_REFERENCE: Final = "reference"
ON_SURROGATE: Final = "surrogate"
"""Surfaces."""


@dataclass(frozen=True, slots=True)
class RelaxationPath:
    """One relaxation.

    Attributes:
        label: what it began from.
        stage: `scout`, `reference` or `check`.
        surface: `surrogate` or `reference`.
        state: how it ended.
        reason: why it failed or stopped short; empty for a merged one, see `merged_into`.
        merged_into: label of the relaxation whose minimum it fell into and which it stopped for; empty if none.
        rank: minimum on the reference's surface that it led to, of a merged one that of `merged_into`; None if none.
        steps: ionic steps that were kept.
        energies: of those, above the zero of its surface (`Paths.zeros`), eV.
        calls: force calls.
        seconds: wall time.
    """

    label: str
    stage: str
    surface: str
    state: RelaxationState
    reason: str
    merged_into: str
    rank: int | None
    steps: tuple[int, ...]
    energies: tuple[float, ...]
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Paths:
    """All relaxations of one defect.

    Attributes:
        host: formula.
        defect: label.
        paths: those on the reference's surface first, each surface in the order in which they were begun.
        zeros: energy that `energies` are relative to, by surface, eV: the lowest last frame of any relaxation on it
            that neither failed nor lost its host (of any at all if all did); without surfaces on which nothing was
            evaluated. What lost its host may lie below zero.
    """

    host: str
    defect: str
    paths: tuple[RelaxationPath, ...]
    zeros: tuple[tuple[str, float], ...]


def paths(host: str, item: DefectOverview) -> Paths:
    """Every relaxation of a defect, with what became of it; those that have not begun have no energies."""
    zeros = {surface: zero for surface in (ON_REFERENCE, ON_SURROGATE) if (zero := _zero(item, surface)) is not None}
    found = [_path(descent, zeros.get(_surface(descent), 0.0)) for descent in item.descents]
    return Paths(
        host=host,
        defect=item.defect.label,
        paths=tuple(sorted(found, key=lambda path: path.surface != ON_REFERENCE)),
        zeros=tuple(zeros.items()),
    )


def _surface(descent: Descent) -> str:
    return ON_SURROGATE if descent.stage == SCOUT else ON_REFERENCE


def _zero(item: DefectOverview, surface: str) -> float | None:
    """The lowest end on a surface; None before anything was evaluated there."""
    known = item.result.candidates.flagged
    flagged = known if surface == ON_SURROGATE else item.result.set_aside[len(known) :]
    away = {label for label, _ in flagged}
    begun = [descent for descent in item.descents if _surface(descent) == surface and len(descent.energies)]
    kept = [one for one in begun if one.state is not RelaxationState.FAILED and one.label not in away]
    return min((float(descent.energies[-1]) for descent in kept or begun), default=None)


def _path(descent: Descent, zero: float) -> RelaxationPath:
    merged = descent.state is RelaxationState.MERGED
    return RelaxationPath(
        label=descent.label,
        stage=descent.stage,
        surface=_surface(descent),
        state=descent.state,
        reason="" if merged else descent.reason,
        merged_into=descent.reason if merged else "",
        rank=descent.rank,
        steps=descent.steps,
        energies=tuple(float(energy) - zero for energy in descent.energies),
        calls=descent.calls,
        seconds=descent.seconds,
    )
