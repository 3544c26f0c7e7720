"""The answer of a search, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms

from defectscout.core.defect import Defect, Minimum
from defectscout.core.errors import NothingFoundError
from defectscout.evaluation.agreement import Agreement
from defectscout.evaluation.confidence import Confidence
from defectscout.evaluation.funnel import Funnel
from defectscout.evaluation.trust import Trust
from defectscout.references.base import ElectronicState
from defectscout.surrogates.model_folder import TrainedOn
from defectscout.workflow.stages.candidates import DefectCandidates
from defectscout.workflow.stages.host import HostReport

if TYPE_CHECKING:
    from doped.core import DefectEntry


@dataclass(frozen=True, slots=True, eq=False)
class RankedMinimum:
    """A minimum on the reference's surface, with its place among the others.

    Attributes:
        rank: 0 for the ground state.
        minimum: structure, energy (eV), new bonds, site symmetry.
        candidates: labels of the reference relaxations that ended in it.
        sampled_by: all sampling structures that led to it, through the surrogate or directly.
        relative_energy: energy above the ground state, eV.
        lowering: energy less that of the relaxed `Unperturbed` structure, eV; None
            if that relaxation failed or lost its host.
        surrogate_energy: energy of the candidate's surrogate minimum above the lowest
            surrogate minimum, eV; None if it was not scouted.
    """

    rank: int
    minimum: Minimum
    candidates: tuple[str, ...]
    sampled_by: tuple[str, ...]
    relative_energy: float
    lowering: float | None
    surrogate_energy: float | None


@dataclass(frozen=True, slots=True)
class Sibling:
    """A defect of the same atoms and charge that was made at another site, such as an interstitial.

    Attributes:
        label: of that defect.
        above: energy of its ground state above that of this defect, eV; negative if it is lower.
        is_same: whether the two ground states are one structure, at places that the host's symmetry makes equivalent.
    """

    label: str
    above: float
    is_same: bool


@dataclass(frozen=True, slots=True, eq=False)
class DefectResult:
    """The answer for one defect.

    Attributes:
        defect: which one.
        symmetry_before: point group of the unperturbed defect supercell.
        minima: distinct minima on the reference's surface, lowest first; empty if
            the reference has not answered (yet).
        candidates: what the surrogate proposed.
        set_aside: label and reason of every relaxation that failed or lost its host.
        funnel: how many structures and force calls each stage took.
        agreement: how well the surrogate agrees with the reference; None if there
            is nothing to compare.
        confidence: how sure the ground state is, and why.
        state: charge and spin of the reference calculation; None without a reference.
        trust: how far the learning loop has come, and how right its surrogate was; None if there was none.
        siblings: the other defects of the search with the same atoms and charge that have a ground state, the lowest
            first; their sites differ, but an atom that moves may make one of the other.
    """

    defect: Defect
    symmetry_before: str
    minima: tuple[RankedMinimum, ...]
    candidates: DefectCandidates
    set_aside: tuple[tuple[str, str], ...]
    funnel: Funnel
    agreement: Agreement | None
    confidence: Confidence
    state: ElectronicState | None
    trust: Trust | None = None
    siblings: tuple[Sibling, ...] = ()

    @property
    def ground_state(self) -> RankedMinimum:
        """The lowest minimum.

        Raises:
            NothingFoundError: if no reference relaxation has given one.
        """
        if not self.minima:
            raise NothingFoundError(
                f"{self.defect.label} has no ground state: no reference relaxation of it has ended well. "
                "See `set_aside` for the reasons."
            )
        return self.minima[0]


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """The answer of a search.

    Attributes:
        folder: the campaign folder.
        host: what was found out about the host.
        bulk: pristine supercell that the defects were made in.
        surrogate: name of the surrogate; empty if none was used.
        reference: name of the reference; `none` if there was none.
        defects: the result of each defect, by its label.
        trained_on: what a surrogate that defectscout trained has seen; None for others.
        lattice_scale: factor of all lengths of what the surrogate was shown; see `surrogates.own_lattice`.
    """

    folder: Path
    host: HostReport
    bulk: Atoms
    surrogate: str
    reference: str
    defects: Mapping[str, DefectResult]
    trained_on: TrainedOn | None = None
    lattice_scale: float = 1.0

    def __getitem__(self, label: str) -> DefectResult:
        return self.defects[label]

    def _only(self, what: str) -> DefectResult:
        if len(self.defects) != 1:
            raise NothingFoundError(
                f"This search has {len(self.defects)} defects ({', '.join(self.defects)}): "
                f"ask for one of them, as in result['{next(iter(self.defects))}'].{what}."
            )
        return next(iter(self.defects.values()))

    @property
    def ground_state(self) -> RankedMinimum:
        """The ground state of a search for one defect."""
        return self._only("ground_state").ground_state

    @property
    def minima(self) -> tuple[RankedMinimum, ...]:
        """The minima of a search for one defect, lowest first."""
        return self._only("minima").minima

    @property
    def funnel(self) -> Funnel:
        """The funnel of a search for one defect."""
        return self._only("funnel").funnel

    def to_defect_entries(self) -> dict[str, DefectEntry]:
        """doped's entries with the ground-state structures and energies in them, by label.

        The energies are the reference's, in eV for the supercell; no finite-size
        correction is made.

        Raises:
            NothingFoundError: if a defect has no ground state.
        """
        from defectscout.workflow.entries import ground_state_entry

        return {label: ground_state_entry(result, self.host.energy) for label, result in self.defects.items()}
