"""The nouns of a search: host, defect, sampling structure, minimum."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ase import Atoms

from defectscout.core.frames import FloatArray

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import Structure


class DefectKind(StrEnum):
    """Kind of a point defect."""

    VACANCY = "vacancy"
    SUBSTITUTION = "substitution"  # antisites and extrinsic substitutions
    INTERSTITIAL = "interstitial"


def charge_text(charge: int) -> str:
    """A charge in units of e as doped and ShakeNBreak write it: `0`, `-2`, `+1`."""
    return f"{charge:+d}" if charge else "0"


def label_of(name: str, charge: int) -> str:
    """Name with the charge as doped and ShakeNBreak write it: `v_Cd_0`, `v_Cd_-2`, `v_Te_+1`."""
    return f"{name}_{charge_text(charge)}"


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """The pristine crystal.

    Attributes:
        primitive: symmetrised primitive cell.
        supercell: pristine supercell that the defects are made in.
        supercell_matrix: shape (3, 3), integers; rows are the supercell's lattice
            vectors in units of the primitive cell's.
        source: the file name or identifier that it was read from.
    """

    primitive: Structure
    supercell: Structure
    supercell_matrix: FloatArray
    source: str

    @property
    def formula(self) -> str:
        return str(self.primitive.composition.reduced_formula)


@dataclass(frozen=True, slots=True, eq=False)
class Defect:
    """One symmetry-inequivalent point defect in one charge state.

    Attributes:
        name: doped's name without the charge, such as `v_Cd`.
        charge: charge state in units of e.
        kind: vacancy, substitution or interstitial.
        atoms: unperturbed defect supercell.
        bulk: pristine supercell with the same cell and orientation.
        site: shape (3,), fractional coordinates of the defect in the supercell.
        multiplicity: number of equivalent sites in the primitive cell.
        site_symmetry: point group of the site in the host (Schoenflies).
        excess_charge: holes left in the bonds around the defect, after its charge
            state: 2 for v_Cd_0, 0 for v_Cd_-2 (paper, section II A). Negative
            for excess electrons.
        entry: doped's object, for ShakeNBreak and for doped's own analysis.
    """

    name: str
    charge: int
    kind: DefectKind
    atoms: Atoms
    bulk: Atoms
    site: FloatArray
    multiplicity: int
    site_symmetry: str
    excess_charge: int
    entry: DefectEntry | None = None

    @property
    def label(self) -> str:
        """Name with the charge, see `label_of`."""
        return label_of(self.name, self.charge)

    @property
    def excess_charge_in_words(self) -> str:
        """Such as `2 holes`, `1 excess electron` or `no excess charge`."""
        count = abs(self.excess_charge)
        if count == 0:
            return "no excess charge"
        carrier = "hole" if self.excess_charge > 0 else "excess electron"
        return f"{count} {carrier}" if count == 1 else f"{count} {carrier}s"


@dataclass(frozen=True, slots=True, eq=False)
class SamplingStructure:
    """A distorted starting structure of one defect.

    Attributes:
        label: ShakeNBreak's folder name: `Unperturbed`, `Bond_Distortion_-60.0%`, `Dimer`, ...
        atoms: the starting structure, atoms in the order of the defect supercell.
    """

    label: str
    atoms: Atoms


UNPERTURBED = "Unperturbed"
"""Label of the sampling structure that keeps the host's sites."""


@dataclass(frozen=True, slots=True)
class Bond:
    """A short bond that the unperturbed defect does not have."""

    species: tuple[str, str]
    length: float  # Å
    atoms: tuple[int, int]  # indices in the defect supercell

    def __str__(self) -> str:
        return f"{self.species[0]}–{self.species[1]} {self.length:.2f} Å"


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """A distinct relaxed structure of one defect on one surface.

    Attributes:
        representative: label of the member that stands for it (the lowest in energy of those that converged).
        members: labels of all sampling structures that relaxed into it.
        atoms: relaxed structure of the representative.
        energy: its energy, eV.
        new_bonds: short bonds near the defect that the unperturbed structure lacks.
        site_symmetry: point group of the relaxed supercell (Schoenflies).
        converged: whether the representative's relaxation converged.
    """

    representative: str
    members: tuple[str, ...]
    atoms: Atoms
    energy: float
    new_bonds: tuple[Bond, ...] = field(default=())
    site_symmetry: str = ""
    converged: bool = True
