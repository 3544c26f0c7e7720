"""What every surrogate offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ase import Atoms

from defectscout.core.frames import Prediction
from defectscout.surrogates.model_folder import TrainedOn


@dataclass(frozen=True, slots=True)
class SurrogateInfo:
    """What is recorded of a surrogate, so that a search can be repeated.

    Attributes:
        name: the name it was asked for by.
        package: package and version that evaluate it, such as `chgnet 0.4.2`.
        weights: version or SHA-256 of the weights.
        citation: DOI of the method.
        elements: symbols that it was trained on; None where that is not known.
        tuned: whether it was fine-tuned on defects (an untouched universal model
            was trained on bulk crystals only).
        trained_on: what a model that defectscout tuned has seen; None for others.
        lattice_scale: factor of all lengths of what it is shown; see `own_lattice`.
    """

    name: str
    package: str
    weights: str
    citation: str
    elements: frozenset[str] | None
    tuned: bool = False
    trained_on: TrainedOn | None = None
    lattice_scale: float = 1.0


@runtime_checkable
class Surrogate(Protocol):
    """A machine-learned force field."""

    @property
    def info(self) -> SurrogateInfo:
        """What is recorded of it."""

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Energies (eV), forces (eV/Å) and stresses (eV/Å³) of `structures`, as one batch.

        Raises:
            CalculationError: if any of them cannot be evaluated.
        """
