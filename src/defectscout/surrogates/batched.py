"""The part that all graph networks share: check, cut into batches, evaluate, check."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.device import reproducible
from defectscout.surrogates.elements import check_elements
from defectscout.surrogates.neighbourhood import Neighbourhood, neighbourhoods

Evaluate = Callable[[Sequence[Neighbourhood]], list[Prediction]]
"""Predictions of structures that are evaluated as one graph."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchedSurrogate:
    """A surrogate made of a function that evaluates one batch of graphs.

    Attributes:
        info: what is recorded of it.
        cutoff: radius within which atoms see each other, Å.
        structures_at_once: most structures in one graph.
        device: where the model is, in torch's words.
        evaluate: the model; its `model` attribute is the torch module.
    """

    info: SurrogateInfo
    cutoff: float
    structures_at_once: int
    device: str
    evaluate: Evaluate

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Energies (eV), forces (eV/Å) and stresses (eV/Å³), in the order of `structures`.

        Raises:
            CalculationError: naming, by their index, the structures that cannot be evaluated.
            UnsupportedElementError: for an element that the model was not trained on.
        """
        symbols = sorted({symbol for atoms in structures for symbol in set(atoms.get_chemical_symbols())})
        check_elements(self.info, symbols)
        graphs = neighbourhoods(structures, self.cutoff, self.info.name)
        predictions: list[Prediction] = []
        for start in range(0, len(graphs), self.structures_at_once):
            batch = graphs[start : start + self.structures_at_once]
            predictions.extend(self._evaluate(batch, start))
        check_finite(predictions, self.info.name)
        return predictions

    def _evaluate(self, batch: Sequence[Neighbourhood], start: int) -> list[Prediction]:
        try:
            with reproducible(self.device), warnings.catch_warnings():  # deprecations inside the models' packages
                warnings.simplefilter("ignore")
                return self.evaluate(batch)
        except RuntimeError as error:  # what torch raises, memory that ran out included
            which = f"structure {start}" if len(batch) == 1 else f"structures {start} to {start + len(batch) - 1}"
            hint = " Lower surrogate.batch_size." if "out of memory" in str(error) else ""
            raise CalculationError(f"{self.info.name} failed on {which}: {error}.{hint}") from error


def unbatched(
    batch: Sequence[Neighbourhood], energies: FloatArray, forces: FloatArray, stresses: FloatArray
) -> list[Prediction]:
    """Predictions of the structures of `batch`, cut out of what a model returns for all of them.

    Args:
        batch: the structures.
        energies: eV, one for each structure, any shape.
        forces: eV/Å, shape (atoms of all structures, 3).
        stresses: eV/Å³, ASE's sign and Voigt order, shape (n_structures, 6).
    """
    ends = np.cumsum([item.n_atoms for item in batch])
    return [
        Prediction(float(energy), forces[end - item.n_atoms : end].copy(), stress.copy())
        for item, end, energy, stress in zip(batch, ends, energies.reshape(-1), stresses, strict=True)
    ]


def check_finite(predictions: Sequence[Prediction], evaluator: str) -> None:
    """Raise CalculationError naming the structures whose predictions are not finite numbers."""
    problems = [
        f"structure {index}: the {quantity} is not finite"
        for index, prediction in enumerate(predictions)
        for quantity, value in (
            ("energy", prediction.energy),
            ("force", prediction.forces),
            ("stress", prediction.stress if prediction.stress is not None else 0.0),
        )
        if not np.isfinite(value).all()
    ]
    if problems:
        raise CalculationError(
            f"{evaluator} returned no usable numbers ({'; '.join(problems)}). The structure lies far outside of what "
            "the model was trained on."
        )
