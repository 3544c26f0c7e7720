"""Judge a surrogate by the minima of finished reference searches (paper, table II).

The sampling structures of searches that the reference has finished are relaxed with the
surrogate, and its minima are matched to the reference's by their structure. No reference
calculation is run. What that cannot tell: in a search, a surrogate's minimum is relaxed further
with the reference, and may end in a minimum that it does not match here (a surrogate without the bond, but
with its atoms close enough that the reference makes it), or leave the one that it does
match. So a match says that the surrogate has a minimum of that structure, which is
more than a search needs, and what is missing here is a warning, not yet a loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import Progress, SilentProgress
from defectscout.evaluation.nearness import Deviation, deviation, site_operations
from defectscout.evaluation.reference_searches import ReferenceSearch
from defectscout.learning.frames import DefectId
from defectscout.minima.alignment import aligned_positions, site_distances
from defectscout.minima.bonds import NEAR_SITE, NONMETALS, bond_limit, new_nonmetal_bonds
from defectscout.minima.distinct import Flagged, distinct_minima
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge

MATCH_THRESHOLD: Final = 2e-3
"""Largest cosine distance between the fingerprints of a surrogate's minimum and the reference's minimum that
it stands for.

Larger than the threshold within one surface (`MinimaSettings.threshold`), since equilibrium bond lengths
differ. Measured with untouched CHGNet: matching minima lie 2e-5 to 6e-4 apart for the five of the indium interstitial
in InP, 5e-4 and 1.0e-3 for the symmetric v_Cd in CdTe and CdSe, 1.6e-3 for the phosphorus antisite in InP, whose four
P–P distances are 0.2 Å shorter (largest displacements 0.09 to 0.31 Å). Minima with other bonds lie 1.2e-3 to 8e-2
apart, so that no threshold alone tells them apart, but threshold and bonds together do. Minima with the
same bonds can lie as close as 1.3e-4 (InP divacancy, 0.04 eV apart): there the nearest counts, and it
may be the wrong one of the two."""

BOND_TOLERANCE: Final = 1.05
"""Pairs up to this much longer than the longest bond count as bonded or not, as the other structure has it."""

SCOUTING: Final = RelaxationSettings(force=0.01, max_steps=500)
"""How the surrogate relaxes: as far as a search's scouting does."""

_STAGE: Final = "surrogate minima"


@dataclass(frozen=True, slots=True, eq=False)
class MatchedMinimum:
    """A minimum of the reference and the surrogate's minimum that stands for it.

    Attributes:
        reference: the reference's minimum.
        relative_energy: its energy above the reference's ground state, eV.
        surrogate: the surrogate's minimum; None if no minimum of the surrogate matches.
        rank: place of that minimum among the surrogate's by energy, from 1; None if there is none.
        distance: cosine distance of the fingerprints to the nearest minimum of the
            surrogate, whether it matches or not; NaN if the surrogate has no minimum at all.
        deviation: how far the atoms near the site lie apart; None if none matches.
    """

    reference: Minimum
    relative_energy: float
    surrogate: Minimum | None
    rank: int | None
    distance: float
    deviation: Deviation | None


@dataclass(frozen=True, slots=True, eq=False)
class MinimaVerdict:
    """A surrogate judged on one defect.

    Numbers that the matches do not determine are NaN.

    Attributes:
        defect_id: which defect.
        label: the defect and its supercell in words.
        n_starts: sampling structures relaxed.
        matches: the reference's minima, lowest first, each with its match.
        surrogate_minima: the surrogate's distinct minima, lowest first: the candidates that go to the reference. (A
            search relaxes the unperturbed structure with the reference besides.)
        energy_mae: mean absolute error of the energies of matched minima, each relative to the
            lowest of the reference's that is matched, eV.
        spearman: rank correlation of their energies; of three or more.
        unperturbed_symmetry: point group of the unperturbed defect; empty where frames do not tell it.
        reference_symmetry: point group of the reference's ground state.
        surrogate_symmetry: point group of the minimum that matches it; empty if there is none.
        flagged: surrogate relaxations that failed or lost their host, and why.
        left_out: reference relaxations that are no minima (unconverged, host lost), and why.
        force_calls: of the surrogate.
        reference_calls: frames of the reference search.
    """

    defect_id: DefectId
    label: str
    n_starts: int
    matches: tuple[MatchedMinimum, ...]
    surrogate_minima: tuple[Minimum, ...]
    energy_mae: float
    spearman: float
    unperturbed_symmetry: str
    reference_symmetry: str
    surrogate_symmetry: str
    flagged: tuple[Flagged, ...]
    left_out: tuple[Flagged, ...]
    force_calls: int
    reference_calls: int

    @property
    def n_reference_minima(self) -> int:
        return len(self.matches)

    @property
    def n_found(self) -> int:
        """Minima of the reference that a minimum of the surrogate matches."""
        return sum(match.surrogate is not None for match in self.matches)

    @property
    def n_candidates(self) -> int:
        return len(self.surrogate_minima)

    @property
    def share_saved(self) -> float:
        """Fraction of the sampling structures that need no reference relaxation; NaN where there is no candidate."""
        return 1.0 - self.n_candidates / self.n_starts if self.n_candidates else float("nan")

    @property
    def ground_state_found(self) -> bool | None:
        """Whether the reference's ground state is among the candidates; None if the reference has no minimum."""
        return self.matches[0].surrogate is not None if self.matches else None

    @property
    def ground_state_rank(self) -> int | None:
        """Its rank by surrogate energy, from 1; None if it is not among the candidates."""
        return self.matches[0].rank if self.matches else None

    @property
    def symmetry_broken(self) -> bool | None:
        """Whether the reference's ground state has lost symmetry; None where the frames do not tell."""
        if not self.unperturbed_symmetry or not self.reference_symmetry:
            return None
        return POINT_GROUP_ORDERS[self.reference_symmetry] < POINT_GROUP_ORDERS[self.unperturbed_symmetry]


def judge_minima(
    surrogate: Surrogate,
    searches: Sequence[ReferenceSearch],
    relaxation: RelaxationSettings = SCOUTING,
    minima: MinimaSettings | None = None,
    progress: Progress | None = None,
    match_threshold: float = MATCH_THRESHOLD,
) -> tuple[MinimaVerdict, ...]:
    """Relax the starts of finished searches with a surrogate and compare the minima.

    Args:
        surrogate: the force field.
        searches: see `reference_searches`.
        relaxation: criterion and step limit of the surrogate's relaxations.
        minima: how minima are told apart, on either surface.
        progress: told of each defect.
        match_threshold: see `match_minima`.

    Returns:
        One verdict for each search, in their order.

    Raises:
        UnsupportedElementError: an element that the surrogate was not made for.
    """
    settings = MinimaSettings() if minima is None else minima
    listener = SilentProgress() if progress is None else progress
    listener.stage(_STAGE, sum(len(search.starts) for search in searches))
    verdicts = []
    done = 0
    for search in searches:
        listener.advance(_STAGE, done, search.label)
        verdicts.append(_judge(surrogate, search, relaxation, settings, match_threshold))
        done += len(search.starts)
    listener.finish(_STAGE)
    return tuple(verdicts)


def match_minima(
    defect: Defect,
    reference: Sequence[Minimum],
    surrogate: Sequence[Minimum],
    settings: MinimaSettings,
    threshold: float = MATCH_THRESHOLD,
) -> tuple[tuple[int | None, ...], tuple[float, ...]]:
    """Which minimum of a surrogate stands for each minimum of the reference.

    Energies of two surfaces cannot be compared, so the structure alone decides. A minimum of
    the surrogate stands for that minimum of the reference whose fingerprint is nearest among those that have
    the same new bonds between non-metals (`same_bonds`), if it lies within `threshold`.
    Where several stand for one, the nearest counts.

    Args:
        defect: the defect.
        reference: its minima on the reference's surface.
        surrogate: its minima on the surrogate's surface.
        settings: the fingerprint.
        threshold: largest cosine distance of a match.

    Returns:
        For each of `reference` the index into `surrogate`, None without a match; and the cosine distance to the
        nearest of `surrogate` with or without a match, NaN if there is none.
    """
    if not reference or not surrogate:
        return (None,) * len(reference), (float("nan"),) * len(reference)
    structures = [minimum.atoms for minimum in (*reference, *surrogate)]
    distances = fingerprint_distances(defect, structures, settings)[: len(reference), len(reference) :]
    bonds = [_bonds(defect, atoms) for atoms in structures]
    same = np.array([[_agree(r, s) for s in bonds[len(reference) :]] for r in bonds[: len(reference)]])
    allowed = np.where(same & (distances <= threshold), distances, np.inf)
    found: list[int | None] = [None] * len(reference)
    for column in range(len(surrogate)):
        row = int(allowed[:, column].argmin())
        previous = found[row]
        if np.isfinite(allowed[row, column]) and (previous is None or allowed[row, column] < allowed[row, previous]):
            found[row] = column
    return tuple(found), tuple(float(value) for value in distances.min(axis=1))


@dataclass(frozen=True, slots=True)
class _Bonds:
    """Pairs of non-metals near the site, by kind."""

    new: Counter[tuple[str, str]]  # bonds that the unperturbed defect lacks
    close: Counter[tuple[str, str]]  # as close as a bond, or nearly


def same_bonds(defect: Defect, one: Atoms, other: Atoms) -> bool:
    """Whether two structures have the same new bonds between non-metals, in kind and number.

    A bond that is a little too long to count as one (up to `BOND_TOLERANCE`) counts as either, since
    methods differ by some hundredths of an Å and a limit has to be somewhere.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    return _agree(_bonds(defect, one), _bonds(defect, other))


def _bonds(defect: Defect, atoms: Atoms) -> _Bonds:
    new = Counter(bond.species for bond in new_nonmetal_bonds(defect, atoms))
    near = site_distances(defect, aligned_positions(defect, atoms)) <= NEAR_SITE
    close: Counter[tuple[str, str]] = Counter()
    indices = [i for i, symbol in enumerate(atoms.symbols) if symbol in NONMETALS]
    for first, i in enumerate(indices):
        others = [j for j in indices[first + 1 :] if near[i] or near[j]]
        if not others:
            continue
        for j, length in zip(others, atoms.get_distances(i, others, mic=True), strict=True):
            if length <= BOND_TOLERANCE * bond_limit(atoms.numbers[i], atoms.numbers[j]):
                one, two = sorted((str(atoms.symbols[i]), str(atoms.symbols[j])))
                close[one, two] += 1
    return _Bonds(new, close)


def _agree(one: _Bonds, other: _Bonds) -> bool:
    return one.new <= other.close and other.new <= one.close


def _judge(
    surrogate: Surrogate,
    search: ReferenceSearch,
    relaxation: RelaxationSettings,
    settings: MinimaSettings,
    threshold: float,
) -> MinimaVerdict:
    defect = search.defect
    converged = [end for end in search.relaxed if end.state is RelaxationState.CONVERGED]
    reference = distinct_minima(defect, converged, settings)
    ends = relax_batch(
        surrogate,
        [Start(start.label, with_charge(start.atoms, search.defect.charge)) for start in search.starts],
        relaxation,
    )
    found = distinct_minima(defect, ends, settings)
    indices, distances = match_minima(defect, reference.minima, found.minima, settings, threshold)
    operations = site_operations(defect)
    zero = min((minimum.energy for minimum in reference.minima), default=0.0)
    matches = tuple(
        MatchedMinimum(
            reference=minimum,
            relative_energy=minimum.energy - zero,
            surrogate=None if index is None else found.minima[index],
            rank=None if index is None else index + 1,
            distance=distance,
            deviation=None
            if index is None
            else deviation(defect, operations, minimum.atoms, found.minima[index].atoms),
        )
        for minimum, index, distance in zip(reference.minima, indices, distances, strict=True)
    )
    mae, ranks = _energies(matches)
    ground = matches[0] if matches else None
    return MinimaVerdict(
        defect_id=search.defect_id,
        label=search.label,
        n_starts=len(search.starts),
        matches=matches,
        surrogate_minima=found.minima,
        energy_mae=mae,
        spearman=ranks,
        unperturbed_symmetry=defect.site_symmetry,
        reference_symmetry=ground.reference.site_symmetry if ground else "",
        surrogate_symmetry=ground.surrogate.site_symmetry if ground and ground.surrogate else "",
        flagged=found.flagged,
        left_out=(
            *search.left_out,
            *(Flagged(end.label, end.reason) for end in search.relaxed if end not in converged),
            *reference.flagged,
        ),
        force_calls=sum(end.n_evaluations for end in ends),
        reference_calls=sum(end.n_evaluations for end in search.relaxed),
    )


def _energies(matches: Sequence[MatchedMinimum]) -> tuple[float, float]:
    """Mean absolute error relative to the lowest matched minimum, eV, and rank correlation."""
    pairs = [(match.reference.energy, match.surrogate.energy) for match in matches if match.surrogate is not None]
    if len(pairs) < 2:
        return float("nan"), float("nan")
    energies = np.array(pairs)
    relative = energies - energies[energies[:, 0].argmin()]
    others = np.delete(relative, energies[:, 0].argmin(), axis=0)
    mae = float(np.abs(others[:, 1] - others[:, 0]).mean())
    if len(pairs) < 3 or np.ptp(energies[:, 1]) == 0:
        return mae, float("nan")
    return mae, float(spearmanr(energies[:, 0], energies[:, 1]).statistic)


POINT_GROUP_ORDERS: Final[dict[str, int]] = {
    "C1": 1, "Ci": 2, "C2": 2, "Cs": 2, "C2h": 4, "D2": 4, "C2v": 4, "D2h": 8, "C4": 4, "S4": 4, "C4h": 8,
    "D4": 8, "C4v": 8, "D2d": 8, "D4h": 16, "C3": 3, "C3i": 6, "D3": 6, "C3v": 6, "D3d": 12, "C6": 6, "C3h": 6,
    "C6h": 12, "D6": 12, "C6v": 12, "D3h": 12, "D6h": 24, "T": 12, "Th": 24, "O": 24, "Td": 24, "Oh": 48,
}  # fmt: skip
"""Number of operations of each crystallographic point group."""
