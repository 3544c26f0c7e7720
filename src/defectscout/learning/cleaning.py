"""What is taken out of a dataset before frames are sampled, and what each rule took.

The paper takes out configurations with positive energies and those far above the ground
state of their defect, because they made its models worse (sections IV, S4). Nothing is
deleted: a frame that a rule takes out stays in the dataset, marked with the rule.

Energies are compared only within one defect, method and composition: the same defect in two
supercells has two scales of energy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.learning.frames import DefectId, IndexRow, LabelledFrame
from defectscout.learning.settings import CleaningSettings

UNCONVERGED: Final = "unconverged SCF"
POSITIVE: Final = "positive energy"
FORCE: Final = "large force"
HIGH: Final = "far above ground state"
DUPLICATE: Final = "near-duplicate"

RULES: Final = (UNCONVERGED, POSITIVE, FORCE, HIGH, DUPLICATE)
"""In the order in which they are applied; a frame is counted by the first that takes it out."""

Group = tuple[DefectId, tuple[tuple[str, int], ...]]
Reader = Callable[[Sequence[int]], Iterator[LabelledFrame]]
"""Gives configurations by their row numbers, in the order asked: `Dataset.frames`."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How many frames of a defect one rule took out.

    Attributes:
        rule: one of `RULES`.
        defect_id: which defect.
        frames: how many it took out.
        of: how many frames of the defect there were before any rule.
    """

    rule: str
    defect_id: DefectId
    frames: int
    of: int


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning found.

    Attributes:
        rules: the rule that took out each frame that is out, by row number.
        removals: counts by rule, then defect; defects that a rule took nothing from are left out.
    """

    rules: Mapping[int, str]
    removals: tuple[Removal, ...]

    def rows(self, rule: str) -> tuple[int, ...]:
        """Row numbers of the frames that a rule took out, sorted."""
        return tuple(sorted(row for row, of in self.rules.items() if of == rule))

    def emptied(self) -> tuple[DefectId, ...]:
        """Defects of which nothing is left."""
        left: Counter[DefectId] = Counter()
        for removal in self.removals:
            left.setdefault(removal.defect_id, removal.of)
            left[removal.defect_id] -= removal.frames
        return tuple(defect_id for defect_id, frames in left.items() if frames == 0)


def clean(index: Sequence[IndexRow], settings: CleaningSettings, read: Reader) -> CleaningReport:
    """Which frames are taken out, by which rule.

    Rules that look at a frame alone come first, so that the ground state of a defect is never a
    frame whose electronic structure did not converge.

    Args:
        index: all frames; marks of an earlier cleaning are ignored.
        settings: rules and limits.
        read: reads the configurations of possible duplicates, which are streamed by energy.
    """
    rules = {row.row: rule for row in index if (rule := _alone(row, settings))}
    left = [row for row in index if row.row not in rules]
    if settings.max_energy_above_ground_state is not None:
        high = _above_ground_state(left, settings.max_energy_above_ground_state)
        rules |= dict.fromkeys(high, HIGH)
        left = [row for row in left if row.row not in high]
    rules |= dict.fromkeys(
        duplicates(left, settings.duplicate_energy, settings.duplicate_displacement, read), DUPLICATE
    )
    return CleaningReport(rules, removals(index, rules))


def removals(index: Iterable[IndexRow], rules: Mapping[int, str]) -> tuple[Removal, ...]:
    """Frames taken out by each rule from each defect, in the order of `RULES` and of the defects in the index."""
    totals: Counter[DefectId] = Counter()
    counts: Counter[tuple[str, DefectId]] = Counter()
    for row in index:
        defect_id = row.origin.defect_id
        totals[defect_id] += 1
        if row.row in rules:
            counts[rules[row.row], defect_id] += 1
    return tuple(
        Removal(rule, defect_id, counts[rule, defect_id], totals[defect_id])
        for rule in RULES
        for defect_id in totals
        if counts[rule, defect_id]
    )


def energy_scale(row: IndexRow) -> Group:
    """What a frame shares with those whose energies may be compared with its own."""
    return row.origin.defect_id, row.composition


def _alone(row: IndexRow, settings: CleaningSettings) -> str:
    if settings.unconverged_scf and row.scf_converged is False:
        return UNCONVERGED
    if settings.positive_energies and row.energy > 0:
        return POSITIVE
    if settings.max_force is not None and row.fmax > settings.max_force:
        return FORCE
    return ""


def _above_ground_state(index: Sequence[IndexRow], most: float) -> set[int]:
    lowest: dict[Group, float] = {}
    for row in index:
        scale = energy_scale(row)
        lowest[scale] = min(row.energy, lowest.get(scale, row.energy))
    return {row.row for row in index if row.energy - lowest[energy_scale(row)] > most}


def duplicates(index: Sequence[IndexRow], energy: float, displacement: float, read: Reader) -> set[int]:
    """Rows of frames that another frame of the same defect stands for already.

    Two frames are one if their energies agree within `energy` (eV) and no atom and no lattice
    vector differs by more than `displacement` (Å) under the minimum image convention. Atoms are
    compared in the order in which they are listed. Frames are read in the order of their
    energies and compared with those kept within `energy` below alone, so that the work grows
    with the number of frames, and only a window of them is in memory.
    """
    groups: dict[Group, list[IndexRow]] = {}
    for row in index:
        groups.setdefault(energy_scale(row), []).append(row)
    found: set[int] = set()
    for members in groups.values():
        ordered = sorted(members, key=lambda row: (row.energy, row.row))
        near = _with_a_neighbour(ordered, energy)
        found |= _sweep(near, energy, displacement, read)
    return found


def _with_a_neighbour(ordered: Sequence[IndexRow], energy: float) -> list[IndexRow]:
    energies = np.array([row.energy for row in ordered])
    close = np.diff(energies) <= energy
    either = np.append(close, False) | np.insert(close, 0, False)
    return [row for row, is_near in zip(ordered, either, strict=True) if is_near]


def _sweep(ordered: Sequence[IndexRow], energy: float, displacement: float, read: Reader) -> set[int]:
    found: set[int] = set()
    kept: list[LabelledFrame] = []
    for row, frame in zip(ordered, read([row.row for row in ordered]), strict=True):
        kept = [other for other in kept if row.energy - other.prediction.energy <= energy]
        if any(_same(frame, other, displacement) for other in kept):
            found.add(row.row)
        else:
            kept.append(frame)
    return found


def _same(one: LabelledFrame, other: LabelledFrame, displacement: float) -> bool:
    a, b = one.atoms, other.atoms
    if not np.array_equal(a.numbers, b.numbers):
        return False
    cell = a.cell.array
    if np.linalg.norm(cell - b.cell.array, axis=1).max() > displacement:
        return False
    # Fractional coordinates take the shared strain of the cells out; only small differences matter here, for
    # which rounding them to the nearest cell is the minimum image in cells of any shape.
    difference = a.cell.scaled_positions(a.positions) - b.cell.scaled_positions(b.positions)
    difference -= np.round(difference)
    return bool(np.linalg.norm(difference @ cell, axis=1).max() <= displacement)
