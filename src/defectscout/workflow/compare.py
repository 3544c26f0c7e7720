"""Two searches of the same defects side by side: which minima each found, at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from defectscout.core.defect import Defect, Minimum
from defectscout.core.errors import CampaignError
from defectscout.core.frames import FloatArray
from defectscout.evaluation.discovery import CELL_TOLERANCE
from defectscout.minima.distinct import distinct_minima, group_structures
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from defectscout.workflow.answer import relaxed_tasks
from defectscout.workflow.campaign import RECORD_NAME, Campaign, read_campaign
from defectscout.workflow.learn.rounds import calls_of, tasks_of
from defectscout.workflow.record import Record
from defectscout.workflow.serial import defects_from_json
from defectscout.workflow.stages.candidates import DefectCandidates, read_candidates

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
        first_calls: reference force calls of the first search, single points and checks of a learning loop included.
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
        CampaignError: if a folder holds no campaign or one whose learning loop has not ended, if their
            references or their supercells differ, or if they have no defect in common.
    """
    campaigns = _read(first), _read(second)
    settings, other = campaigns[0].settings, campaigns[1].settings
    if settings.reference.name != other.reference.name:
        raise CampaignError(
            f"{first} has the reference {settings.reference.name} and {second} {other.reference.name}: energies of "
            "different methods cannot be compared."
        )
    defects = tuple({defect.label: defect for defect in _defects(campaign)} for campaign in campaigns)
    common = [label for label in defects[0] if label in defects[1]]
    if not common:
        raise CampaignError(f"The campaigns {first} and {second} have no defect in common.")
    for label in common:
        _check_same_supercell(defects[0][label], defects[1][label], first, second)
    return tuple(
        _compare_defect(
            (
                _Side(defects[0][label], campaigns[0], settings.minima),
                _Side(defects[1][label], campaigns[1], settings.minima),
            ),
            settings.minima,
        )
        for label in common
    )


def _read(folder: Path) -> Campaign:
    """The campaign in a folder, without its lock: nothing is written."""
    settings, source = read_campaign(folder)
    campaign = Campaign(folder, settings, source, Record(folder / RECORD_NAME))
    if settings.strategy == "learn" and not read_candidates(campaign):
        raise CampaignError(
            f"The campaign in {folder} has not ended its learning loop, so that its minima are not known yet. Go on "
            f"with it first: defectscout resume {folder}"
        )
    return campaign


def _defects(campaign: Campaign) -> tuple[Defect, ...]:
    stored = campaign.record.read_document("defects")
    return defects_from_json(stored) if stored is not None else ()


def same_supercell(one: Defect, other: Defect) -> bool:
    """Whether energies of two searches of a defect can be compared as they stand.

    Order of atoms and orientation may differ: neither energies nor fingerprints depend on them. The elements must stand
    on the same sites about the defect: realisations of an alloy of one composition are different supercells.
    """
    return (
        Counter(one.atoms.symbols) == Counter(other.atoms.symbols)
        and np.allclose(one.atoms.cell.cellpar(), other.atoms.cell.cellpar(), rtol=0, atol=CELL_TOLERANCE)
        and arranged_alike(one, other)
    )


def arranged_alike(one: Defect, other: Defect) -> bool:
    """Whether the same elements stand at the same places about the defect, in two supercells of one shape and formula.

    Places are compared in every orientation that leaves the lattice as it is, and count as the same if each atom of one
    supercell has an atom of its element nearest to it in the other one.
    """
    cell = one.atoms.cell.array
    here, there = (_about_site(defect) for defect in (one, other))
    numbers = other.atoms.numbers
    for rotation in _lattice_symmetry(cell):
        apart = (here @ rotation)[:, None] - there[None, :]
        nearest = (((apart - apart.round()) @ cell) ** 2).sum(axis=2).argmin(axis=1)
        if (numbers[nearest] == one.atoms.numbers).all() and len(set(nearest.tolist())) == len(numbers):
            return True
    return False


def _about_site(defect: Defect) -> FloatArray:
    """Fractional coordinates of all atoms of the unperturbed supercell, the defect at the origin."""
    return np.asarray(defect.atoms.get_scaled_positions(wrap=False) - np.asarray(defect.site))


def _lattice_symmetry(cell: FloatArray) -> Iterator[FloatArray]:
    """Rotations and reflections that map a lattice onto itself, to be applied to rows of fractional coordinates.

    Those that a reduced cell can have; the identity comes first.
    """
    yield np.eye(3)
    entries = (np.array(list(np.ndindex((3,) * 9))) - 1).reshape(-1, 3, 3)
    metric = cell @ cell.T
    same = np.abs(entries @ metric @ entries.transpose(0, 2, 1) - metric).max(axis=(1, 2))
    yield from entries[same < 2 * CELL_TOLERANCE * np.sqrt(np.diag(metric).max())].astype(float)


def _check_same_supercell(one: Defect, other: Defect, first: Path, second: Path) -> None:
    if not same_supercell(one, other):
        raise CampaignError(
            f"{one.label} was searched in different supercells in {first} ({_cell(one)}) and {second} "
            f"({_cell(other)}): their energies cannot be compared. Run both searches from the same host with the same "
            "supercell settings."
        )


def _cell(defect: Defect) -> str:
    lengths = " × ".join(f"{length:.2f}" for length in defect.atoms.cell.lengths())
    angles = "/".join(f"{angle:.1f}" for angle in defect.atoms.cell.angles())
    return f"{defect.atoms.get_chemical_formula()}, {lengths} Å, {angles}°"


class _Side:
    """What one search found of a defect."""

    def __init__(self, defect: Defect, campaign: Campaign, settings: MinimaSettings) -> None:
        candidates = read_candidates(campaign).get(defect.label, DefectCandidates())
        tasks = relaxed_tasks(campaign, defect, candidates)
        ended = [task.as_relaxation() for task in tasks if task.state.is_finished]
        self.label = defect.label
        self.minima = distinct_minima(defect, ended, settings).minima
        self.sites = [track_site(defect, minimum.atoms) for minimum in self.minima]
        self.calls = calls_of(tasks_of(campaign, defect.label))
        self.lowest = min((minimum.energy for minimum in self.minima), default=float("inf"))


def _compare_defect(sides: tuple[_Side, _Side], settings: MinimaSettings) -> DefectComparison:
    first, second = sides
    minima = [*first.minima, *second.minima]
    groups = group_structures(
        [minimum.atoms for minimum in minima],
        [*first.sites, *second.sites],
        [minimum.energy for minimum in minima],
        settings,
    )
    zero = min(first.lowest, second.lowest)
    boundary = len(first.minima)
    shared = [
        _shared(
            [minima[index] for index in group if index < boundary],
            [minima[index] for index in group if index >= boundary],
            zero,
        )
        for group in groups
    ]
    return DefectComparison(
        label=first.label,
        minima=tuple(sorted(shared, key=lambda item: item.energy)),
        first_calls=first.calls,
        second_calls=second.calls,
        first_found=first.lowest < second.lowest + GROUND_STATE_TOLERANCE,
        second_found=second.lowest < first.lowest + GROUND_STATE_TOLERANCE,
    )


def _shared(first: list[Minimum], second: list[Minimum], zero: float) -> SharedMinimum:
    lowest = min([*first, *second], key=lambda minimum: minimum.energy)
    energies = [min((minimum.energy - zero for minimum in side), default=None) for side in (first, second)]
    return SharedMinimum(
        energy=lowest.energy - zero,
        bonds=tuple(str(bond) for bond in lowest.new_bonds),
        in_first=energies[0],
        in_second=energies[1],
    )
