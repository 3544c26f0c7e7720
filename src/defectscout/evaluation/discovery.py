"""What a search found of what a reference-only search found, and after how many force calls.

Two searches of one defect on the same reference's surface are compared, one of which relaxed every
sampling structure with the reference. What it found is the yardstick, and no more than that: a relaxation that
stopped at a small force may have stopped on a saddle or a flat shoulder, and then one of its "minima" cannot be
recovered by a search that goes down from there. Such a one counts as missed here, like any other; the other
search may still have gone lower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from defectscout.core.defect import UNPERTURBED, Defect, Minimum
from defectscout.core.errors import DatasetError, NothingFoundError
from defectscout.core.frames import FloatArray, RelaxationState
from defectscout.core.settings import Settings
from defectscout.evaluation.reference_searches import ReferenceSearch
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.fingerprint import cosine_distances, site_fingerprints
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site

Found = Literal["beaten", "yes", "no"]

CELL_TOLERANCE: Final = 0.02
"""Å (and degrees of cell angles) within which two supercells are the same: a strain of 0.2 %, worth some meV."""

SHORTEST: Final = 7
"""Pairs of opposite lattice vectors that supercells are compared by: those to the faces of the Wigner-Seitz cell."""


class DiscoverySettings(Settings):
    """When a minimum of a reference-only search counts as found by another search."""

    energy_tolerance: float = Field(
        0.02, ge=0, description="largest difference in energy between a minimum and the one that it is taken for, eV"
    )
    threshold: float = Field(
        MinimaSettings().threshold,
        gt=0,
        lt=2,
        description="largest cosine distance between their fingerprints; by default as within one search",
    )
    window: float = Field(
        0.5, gt=0, description="minima less than this above the reference-only ground state are low-lying, eV"
    )


@dataclass(frozen=True, slots=True, eq=False)
class DiscoveryCurve:
    """How a search went down.

    Attributes:
        calls: reference force calls spent, shape (n,), ascending.
        energies: lowest energy of any structure evaluated by then, relative to the zero, eV, shape (n,); NaN
            as long as no call has given an energy.
    """

    calls: NDArray[np.int64]
    energies: FloatArray

    @property
    def lowest(self) -> float:
        """The last of the energies; NaN if there is none."""
        return float(self.energies[-1]) if len(self.energies) else float("nan")

    def calls_to(self, energy: float) -> int | None:
        """Force calls after which a structure at `energy` (eV, relative to the zero) or lower was known, if ever."""
        reached = np.flatnonzero(self.energies <= energy)
        return int(self.calls[reached[0]]) if len(reached) else None

    def steps(self) -> DiscoveryCurve:
        """Only the calls that brought a lower energy, and the last one: all that a step line or a table needs."""
        energies = np.where(np.isfinite(self.energies), self.energies, np.inf)
        lower = np.flatnonzero(energies < np.concatenate([[np.inf], energies[:-1]]))
        kept = np.union1d(lower, np.arange(len(energies))[-1:])
        return DiscoveryCurve(self.calls[kept], self.energies[kept])


def discovery_curve(energies: Sequence[float], zero: float) -> DiscoveryCurve:
    """The lowest energy after each force call.

    Args:
        energies: of each reference force call, in the order in which they were made, eV; NaN for a call that
            gave no energy, which counts as a call all the same.
        zero: energy that the curve is relative to, eV.
    """
    values = np.asarray(energies, dtype=float)
    lowest = np.fmin.accumulate(values) if len(values) else values
    return DiscoveryCurve(np.arange(1, len(values) + 1), lowest - zero)


@dataclass(frozen=True, slots=True, eq=False)
class SearchOutcome:
    """What a search of one defect found, and what it cost.

    Attributes:
        defect: its defect supercell; the order of atoms and the orientation may differ between searches.
        minima: distinct minima on the reference's surface, lowest first, atoms in the order of the defect.
        unperturbed: energy of the relaxed `Unperturbed` structure, eV; None if it was not relaxed, or failed.
        calls: reference force calls for the defect, failed ones included, without those of the host.
        check_calls: further calls that only checked the answer.
    """

    defect: Defect
    minima: tuple[Minimum, ...]
    unperturbed: float | None
    calls: int
    check_calls: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """A minimum of the reference-only search, and what became of it in the other.

    Attributes:
        reference: the minimum.
        relative_energy: its energy above the reference-only ground state, eV.
        found: the minimum of the other search that it is; None if it was missed.
        distance: smallest cosine distance of its fingerprint to any minimum of the other search, whatever
            that one's energy; NaN if there is none.
    """

    reference: Minimum
    relative_energy: float
    found: Minimum | None
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Discovery:
    """A search judged by a reference-only search of the same defect.

    Attributes:
        found: `yes` if the reference-only ground state is among the search's minima, `beaten` if the search's
            ground state is lower by more than the tolerance, else `no`.
        ground_state: energy of the search's ground state relative to the reference-only one, eV; NaN without one.
        minima: the minima of the reference-only search, lowest first.
        window: energy above its ground state up to which they are low-lying, eV.
        offset: what was taken off the search's energies so that they can be compared, eV; see `energy_offset`.
        calls: reference force calls of the search.
        check_calls: further calls that only checked its answer.
        reference_only_calls: those of the reference-only search.
    """

    found: Found
    ground_state: float
    minima: tuple[Recovery, ...]
    window: float
    offset: float
    calls: int
    check_calls: int
    reference_only_calls: int

    @property
    def low_lying(self) -> tuple[Recovery, ...]:
        """The low-lying minima of the reference-only search, its ground state among them."""
        return tuple(item for item in self.minima if item.relative_energy < self.window)

    @property
    def recovered(self) -> int:
        """Low-lying minima that the search has, too."""
        return sum(item.found is not None for item in self.low_lying)

    @property
    def missed(self) -> int:
        """Low-lying minima that it has not."""
        return len(self.low_lying) - self.recovered

    @property
    def share_of_calls(self) -> float:
        """Force calls of the search, checks included, as a fraction of the reference-only search's."""
        return (self.calls + self.check_calls) / self.reference_only_calls if self.reference_only_calls else np.nan


def judge_discovery(
    reference: SearchOutcome,
    search: SearchOutcome,
    settings: DiscoverySettings | None = None,
    minima: MinimaSettings | None = None,
) -> Discovery:
    """Judge a search by a reference-only search of the same defect.

    Args:
        reference: what the reference-only search found.
        search: what the other search found, with the same reference.
        settings: when a minimum counts as found.
        minima: the fingerprint.

    Raises:
        NothingFoundError: the reference-only search has no minimum.
        DatasetError: the two are of different defects, or of supercells that differ and without relaxed
            `Unperturbed` structures to compare energies by.
    """
    settings, minima = settings or DiscoverySettings(), minima or MinimaSettings()
    if not reference.minima:
        raise NothingFoundError(
            f"The reference-only search of {reference.defect.label} has no minimum to judge another search by."
        )
    offset = energy_offset(reference, search)
    zero = reference.minima[0].energy
    others = [item.energy - offset for item in search.minima]
    matches, distances = _match(reference, search, others, settings, minima)
    ground_state = min(others, default=float("nan")) - zero
    return Discovery(
        found=_found(ground_state, matches[0] is not None, settings.energy_tolerance),
        ground_state=ground_state,
        minima=tuple(
            Recovery(item, item.energy - zero, None if match is None else search.minima[match], distance)
            for item, match, distance in zip(reference.minima, matches, distances, strict=True)
        ),
        window=settings.window,
        offset=offset,
        calls=search.calls,
        check_calls=search.check_calls,
        reference_only_calls=reference.calls,
    )


def _found(ground_state: float, is_among_minima: bool, tolerance: float) -> Found:
    if ground_state < -tolerance:
        return "beaten"
    return "yes" if is_among_minima else "no"


def energy_offset(reference: SearchOutcome, search: SearchOutcome) -> float:
    """What to take off the energies of `search` so that they can be compared with those of `reference`, eV.

    Nothing if the supercells are the same up to the order of atoms and the orientation. Lattices that were relaxed
    apart differ a little more, which shifts all energies: then it is the difference of the relaxed `Unperturbed`
    structures.

    Raises:
        DatasetError: different atoms, or other supercells and no relaxed `Unperturbed` structure in one of them.
    """
    one, other = reference.defect.atoms, search.defect.atoms
    if Counter(one.symbols) != Counter(other.symbols):
        raise DatasetError(
            f"{reference.defect.label} as {one.get_chemical_formula()} and {search.defect.label} as "
            f"{other.get_chemical_formula()} cannot be compared. Search the same defect in the same supercell."
        )
    if np.allclose(_shortest_vectors(one.cell), _shortest_vectors(other.cell), rtol=0, atol=CELL_TOLERANCE):
        return 0.0
    if reference.unperturbed is None or search.unperturbed is None:
        raise DatasetError(
            f"The supercells of {reference.defect.label} differ ({one.get_volume():.1f} and {other.get_volume():.1f} "
            f"Å³), and not both searches relaxed {UNPERTURBED}, so that their energies cannot be compared."
        )
    return search.unperturbed - reference.unperturbed


def _shortest_vectors(cell: FloatArray) -> FloatArray:
    """Lengths of the shortest vectors of a lattice, Å, ascending: they are the same however its cell is written."""
    from ase.cell import Cell

    reduced, _ = Cell(np.asarray(cell)).minkowski_reduce()
    steps = np.array(list(np.ndindex(5, 5, 5))) - 2
    return np.sort(np.linalg.norm(steps @ reduced.array, axis=1))[: 2 * SHORTEST + 1]


def _match(
    reference: SearchOutcome,
    search: SearchOutcome,
    energies: Sequence[float],
    settings: DiscoverySettings,
    minima: MinimaSettings,
) -> tuple[list[int | None], list[float]]:
    """For each minimum the index of its counterpart, no counterpart taken twice, and the distance of the nearest.

    As many as possible are matched, and of the ways to do so that with the smallest distances.
    """
    known = reference.minima
    if not search.minima:
        return [None] * len(known), [float("nan")] * len(known)
    structures = [*(item.atoms for item in known), *(item.atoms for item in search.minima)]
    centres = [track_site(reference.defect, item.atoms) for item in known]
    centres += [track_site(search.defect, item.atoms) for item in search.minima]
    distances = cosine_distances(site_fingerprints(structures, centres, minima))[: len(known), len(known) :]
    apart = np.abs(np.array([item.energy for item in known])[:, None] - np.array(energies)[None, :])
    allowed = (distances <= settings.threshold) & (apart <= settings.energy_tolerance)
    # One more pair that is not allowed costs more than all that are allowed together.
    costs = np.where(allowed, distances, 2.0 * (len(known) + 1))
    matches: list[int | None] = [None] * len(known)
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if allowed[row, column]:
            matches[row] = int(column)
    return matches, [float(value) for value in distances.min(axis=1)]


def outcome_of_reference_search(search: ReferenceSearch, settings: MinimaSettings | None = None) -> SearchOutcome:
    """What a finished reference search out of a dataset found, each of its frames counting as a force call."""
    ends = [end for end in search.relaxed if end.state is RelaxationState.CONVERGED]
    unperturbed = next((end.final for end in ends if end.label == UNPERTURBED), None)
    return SearchOutcome(
        defect=search.defect,
        minima=distinct_minima(search.defect, ends, settings or MinimaSettings()).minima,
        unperturbed=unperturbed.prediction.energy if unperturbed is not None else None,
        calls=sum(end.n_evaluations for end in search.relaxed),
    )
