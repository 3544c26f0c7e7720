"""What every reference offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ase import Atoms

from defectscout.core.frames import Prediction


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """What is recorded of a reference, so that a search can be repeated.

    Attributes:
        name: the name it was asked for by.
        package: package and version that evaluate it, such as `tblite 0.8.0`.
        citation: DOI of the method.
        gamma_only: True if only the Γ point is sampled, so that a host must be
            relaxed as a supercell.
    """

    name: str
    package: str
    citation: str
    gamma_only: bool


@dataclass(frozen=True, slots=True)
class ElectronicState:
    """Charge and spin that a reference uses for a defect.

    Attributes:
        charge: total charge, e.
        multiplicity: spin multiplicity 2S+1; None if the reference has no spin.
        note: what a reader should know, such as that an odd number of electrons
            leaves one unpaired, or that the reference ignores the charge.
    """

    charge: int
    multiplicity: int | None
    note: str = ""


def lowest_spin(charge: int, electrons: int) -> ElectronicState:
    """The state with as many electrons paired as can be: singlet or doublet.

    Args:
        charge: total charge, e.
        electrons: in that charge state.
    """
    if electrons % 2:
        return ElectronicState(charge, 2, "odd number of electrons: one unpaired (doublet)")
    return ElectronicState(charge, 1)


class Evaluator(Protocol):
    """One running calculation: keeps its wavefunction from one ionic step to the next."""

    def evaluate(self, atoms: Atoms) -> Prediction:
        """Energy (eV), forces (eV/Å) and stress (eV/Å³) of `atoms`.

        Raises:
            CalculationError: if the self-consistent field does not converge, or
                anything else leaves no finite energy and forces.
        """


@runtime_checkable
class Reference(Protocol):
    """The method whose answer counts.

    A reference is rebuilt in each worker process from its name, so that it holds
    no state of a calculation itself.
    """

    @property
    def info(self) -> ReferenceInfo:
        """What is recorded of it."""

    def check_elements(self, symbols: Sequence[str]) -> None:
        """Raise UnsupportedElementError for an element that it has no parameters for."""

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        """Charge and spin that it uses for `atoms` in charge state `charge`."""

    def evaluator(self, state: ElectronicState) -> Evaluator:
        """A fresh calculation with this charge and spin."""
