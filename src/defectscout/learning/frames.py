"""What a dataset is made of: frames that know where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ase import Atoms

from defectscout.core.defect import label_of
from defectscout.core.frames import Prediction

BULK: Final = "bulk"
"""Name of the defect in frames of the pristine host."""


@dataclass(frozen=True, slots=True)
class DefectId:
    """Which defect, over all hosts and methods.

    Attributes:
        host: reduced formula of the host, such as `CdTe`.
        defect: name without charge, such as `v_Cd`, or `bulk`.
        charge: charge state, units of e.
        method: what energies are on one scale, such as `gfn1-xtb` or `HSE06`.
    """

    host: str
    defect: str
    charge: int
    method: str

    @property
    def is_bulk(self) -> bool:
        return self.defect == BULK

    def __str__(self) -> str:
        return f"{self.host} {self.defect if self.is_bulk else label_of(self.defect, self.charge)}"


@dataclass(frozen=True, slots=True)
class FrameOrigin:
    """Where a frame comes from.

    Attributes:
        host: reduced formula of the host, such as `CdTe`.
        defect: name without charge, such as `v_Cd`, or `bulk` for the pristine host.
        charge: charge state, units of e.
        start: sampling structure that the relaxation started from, such as `Bond_Distortion_-60.0%`.
        step: ionic step, from 0; counted through over restarts.
        method: what gave energies and forces, such as `gfn1-xtb` or `HSE06`. Energies of two
            methods are on different scales.
        source: file or campaign that it was read from.
    """

    host: str
    defect: str
    charge: int
    start: str
    step: int
    method: str
    source: str

    @property
    def is_bulk(self) -> bool:
        return self.defect == BULK

    @property
    def defect_id(self) -> DefectId:
        return DefectId(self.host, self.defect, self.charge, self.method)

    @property
    def relaxation(self) -> RelaxationId:
        return RelaxationId(self.defect_id, self.start, self.source)


@dataclass(frozen=True, slots=True)
class RelaxationId:
    """Which relaxation: its defect, sampling structure and source."""

    defect_id: DefectId
    start: str
    source: str

    def __str__(self) -> str:
        return f"{self.defect_id} {self.start}"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A configuration with its energy (eV), forces (eV/Å) and stress (eV/Å³), and where it comes from.

    Attributes:
        atoms: the configuration, without calculator, periodic.
        prediction: energy, forces, stress; the stress is None where the source has none.
        origin: where it comes from.
        scf_converged: whether the electronic structure converged; None where the source does not say.
    """

    atoms: Atoms
    prediction: Prediction
    origin: FrameOrigin
    scf_converged: bool | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file, or a part of one, that gave no frame, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What a dataset knows of one frame without reading its configuration.

    Attributes:
        row: number of the frame in the dataset.
        origin: where it comes from.
        energy: eV.
        fmax: largest force on an atom, eV/Å.
        composition: (symbol, count) of each element, sorted by symbol.
        scf_converged: whether the electronic structure converged; None where the source does not say.
        dropped: the cleaning rule that took it out; empty if none did.
        selected: whether frame sampling picked it for training and evaluation.
    """

    row: int
    origin: FrameOrigin
    energy: float
    fmax: float
    composition: tuple[tuple[str, int], ...]
    scf_converged: bool | None
    dropped: str
    selected: bool

    @property
    def n_atoms(self) -> int:
        return sum(count for _, count in self.composition)


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """Where the site of a defect lies in its frames, for fingerprints.

    Attributes:
        defect_id: which defect.
        kind: `vacancy`, `substitution` or `interstitial`.
        fractional: fractional coordinates in the supercell of the frames.
    """

    defect_id: DefectId
    kind: str
    fractional: tuple[float, float, float]
