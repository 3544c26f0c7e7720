"""Two searches of the same defects side by side: which minima each found, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Defect, Minimum
from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.campaign import read_campaign
from defectscout.workflow.record import Record
from defectscout.workflow.serial import defects_from_json

GROUND_STATE_TOLERANCE = 0.02
"""eV within which two searches have found the same ground-state energy."""


@dataclass(frozen=True, slots=True)
class SharedMinimum:
    """A minimum that one search or both have found.

    Attributes:
        energy: energy above the lowest of either search, eV.
        bonds: its new bonds.
        in_first: energy in the first search, eV above the lowest of either; None if it missed it.
        in_second: likewise for the second.
    """

    energy: float
    bonds: tuple[str, ...]
    in_first: float | None
    in_second: float | None


@dataclass(frozen=True, slots=True)
class DefectComparison:
    """Two searches of one defect.

    Attributes:
        label: the defect.
        minima: what either found, lowest first.
        first_calls: reference force calls of the first search.
        second_calls: those of the second.
        first_found: whether the first found a ground state as low as the second's.
        second_found: the reverse.
    """

    label: str
    minima: tuple[SharedMinimum, ...]
    first_calls: int
    second_calls: int
    first_found: bool
    second_found: bool


def compare(first: Path, second: Path) -> tuple[DefectComparison, ...]:
    """Match the minima of two finished searches by energy and fingerprint.

    Raises:
        CampaignError: if a folder holds no campaign, if their references differ, or
            if they have no defect in common.
    """
    settings, _ = read_campaign(first)
    other, _ = read_campaign(second)
    if settings.reference.name != other.reference.name:
        raise CampaignError(
            f"{first} has the reference {settings.reference.name} and {second} {other.reference.name}: energies of "
            "different methods cannot be compared."
        )
    records = Record(first / "campaign.db"), Record(second / "campaign.db")
    defects = tuple({defect.label: defect for defect in _defects(record)} for record in records)
    common = [label for label in defects[0] if label in defects[1]]
    if not common:
        raise CampaignError(f"The campaigns {first} and {second} have no defect in common.")
    return tuple(_compare_defect(defects[0][label], records, settings.minima) for label in common)


def _defects(record: Record) -> tuple[Defect, ...]:
    stored = record.read_document("defects")
    return defects_from_json(stored) if stored is not None else ()


def _compare_defect(defect: Defect, records: tuple[Record, Record], settings: MinimaSettings) -> DefectComparison:
    found = [_minima(defect, record, settings) for record in records]
    ends = [
        _as_end(minimum, f"{side}/{number}")
        for side, minima in enumerate(found)
        for number, minimum in enumerate(minima)
    ]
    lowest = min((minimum.energy for minima in found for minimum in minima), default=0.0)
    merged = distinct_minima(defect, ends, settings).minima
    shared = tuple(
        SharedMinimum(
            energy=minimum.energy - lowest,
            bonds=tuple(str(bond) for bond in minimum.new_bonds),
            in_first=_lowest(minimum, ends, "0/", lowest),
            in_second=_lowest(minimum, ends, "1/", lowest),
        )
        for minimum in merged
    )
    calls = [sum(task.evaluations for task in record.tasks("reference", defect.label)) for record in records]
    ground = [min((minimum.energy for minimum in minima), default=float("inf")) for minima in found]
    return DefectComparison(
        label=defect.label,
        minima=shared,
        first_calls=calls[0],
        second_calls=calls[1],
        first_found=ground[0] <= ground[1] + GROUND_STATE_TOLERANCE,
        second_found=ground[1] <= ground[0] + GROUND_STATE_TOLERANCE,
    )


def _minima(defect: Defect, record: Record, settings: MinimaSettings) -> tuple[Minimum, ...]:
    ended = [task.as_relaxation() for task in record.tasks("reference", defect.label) if task.state.is_finished]
    return distinct_minima(defect, ended, settings).minima


def _as_end(minimum: Minimum, label: str) -> Relaxation:
    """A minimum in the form in which `distinct_minima` takes structures."""
    import numpy as np

    prediction = Prediction(minimum.energy, np.zeros((len(minimum.atoms), 3)))
    return Relaxation(
        label=label,
        final=Frame(minimum.atoms, prediction, 0),
        initial_energy=minimum.energy,
        state=RelaxationState.CONVERGED,
        reason="",
        n_evaluations=0,
    )


def _lowest(minimum: Minimum, ends: list[Relaxation], side: str, zero: float) -> float | None:
    energies = [
        end.initial_energy - zero
        for end in ends
        if end.label in minimum.members and end.label.startswith(side) and end.initial_energy is not None
    ]
    return min(energies, default=None)
