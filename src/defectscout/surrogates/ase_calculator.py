"""Any ASE calculator as a surrogate: `ase:module:callable`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError, UnknownMethodError
from defectscout.core.factories import distribution_of, load_factory
from defectscout.core.frames import FloatArray, Prediction
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import check_finite
from defectscout.surrogates.provenance import sha256
from defectscout.surrogates.settings import SurrogateSettings


def load(name: str, settings: SurrogateSettings) -> AseSurrogate:
    """The surrogate `ase:module:callable`.

    `module` is importable or the path of a Python file; `callable` is called once, without
    arguments, and returns an ASE calculator. The calculator itself chooses its device.

    Raises:
        UnknownMethodError: if the name has another form, module or callable do not
            exist, or the callable fails or returns something else.
    """
    factory = load_factory(name, "surrogate")
    calculator = _made(factory.make, name)
    weights = sha256([factory.file]) if factory.file is not None else ""
    return AseSurrogate(
        SurrogateInfo(name, distribution_of(type(calculator).__module__), weights, "", None), calculator
    )


class AseSurrogate:
    """An ASE calculator, asked for one structure after the other."""

    def __init__(self, info: SurrogateInfo, calculator: Any) -> None:
        self._info = info
        self._calculator = calculator

    @property
    def info(self) -> SurrogateInfo:
        return self._info

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Energies (eV), forces (eV/Å) and, where the calculator has them, stresses (eV/Å³).

        Raises:
            CalculationError: naming, by its index, the first structure that the calculator
                fails on, or all whose numbers are not finite.
        """
        predictions = [self._predict(atoms, index) for index, atoms in enumerate(structures)]
        check_finite(predictions, self._info.name)
        return predictions

    def _predict(self, atoms: Atoms, index: int) -> Prediction:
        structure = atoms.copy()
        structure.calc = self._calculator
        try:
            energy = float(structure.get_potential_energy())
            forces = np.array(structure.get_forces(apply_constraint=False), dtype=float)
            stress: FloatArray | None = None
            if structure.pbc.all() and "stress" in self._calculator.implemented_properties:
                stress = np.array(structure.get_stress(apply_constraint=False), dtype=float)
        except Exception as error:
            # Calculators raise what they like; whatever it is, this structure has no energy.
            raise CalculationError(
                f"{self._info.name} failed on structure {index}: {type(error).__name__}: {error}"
            ) from error
        return Prediction(energy, forces, stress)


def _made(factory: Callable[[], Any], name: str) -> Any:
    try:
        calculator = factory()
    except Exception as error:
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: calling it failed with {type(error).__name__}: {error}. It must "
            "return an ASE calculator when it is called without arguments."
        ) from error
    if not (hasattr(calculator, "get_property") and hasattr(calculator, "implemented_properties")):
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: it returned a {type(calculator).__name__}, which is no ASE "
            "calculator."
        )
    return calculator
