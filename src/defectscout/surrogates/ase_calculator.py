"""Any ASE calculator as a surrogate: `ase:module:callable`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError, UnknownMethodError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import check_finite
from defectscout.surrogates.provenance import package, sha256
from defectscout.surrogates.settings import SurrogateSettings


def load(name: str, settings: SurrogateSettings) -> AseSurrogate:
    """The surrogate `ase:module:callable`.

    `module` is importable or the path of a Python file; `callable` is called once, without
    arguments, and returns an ASE calculator. The calculator itself chooses its device.

    Raises:
        UnknownMethodError: if the name has another form, module or callable do not
            exist, or the callable fails or returns something else.
    """
    module_name, _, attribute = name.partition(":")[2].rpartition(":")
    if not module_name or not attribute:
        raise UnknownMethodError(
            f"'{name}' does not name an ASE calculator. Write ase:module:callable, such as "
            "ase:mypackage.models:make_calculator or ase:./model.py:make_calculator, where the callable returns an "
            "ASE calculator."
        )
    is_file = module_name.endswith(".py")
    module = _file(Path(module_name).expanduser(), name) if is_file else _module(module_name, name)
    factory: Any = module
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: '{module_name}' has no callable '{attribute}'."
        )
    calculator = _made(factory, name)
    weights = sha256([Path(module_name).expanduser()]) if is_file else ""
    return AseSurrogate(SurrogateInfo(name, _distribution(calculator), weights, "", None), calculator)


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


def _module(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: importing '{module_name}' failed with "
            f"{type(error).__name__}: {error}. Check the name, and that it is installed in this environment; "
            "for a file of your own write its path, such as ase:./model.py:make_calculator."
        ) from error


def _file(path: Path, name: str) -> ModuleType:
    module_name = f"defectscout_user_surrogate_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise UnknownMethodError(f"The surrogate '{name}' cannot be used: there is no file '{path}'.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: running '{path}' failed with {type(error).__name__}: {error}."
        ) from error
    return module


def _distribution(calculator: Any) -> str:
    """Distribution and version that the calculator's class comes from; the class's module where there is none."""
    module = type(calculator).__module__
    distributions = packages_distributions().get(module.partition(".")[0], ())
    return package(distributions[0]) if distributions else module
