"""Any ASE calculator as a reference: `ase:module:callable`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError, UnknownMethodError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.references.base import ElectronicState, Evaluator, ReferenceInfo

_FILE_PREFIX: Final = "defectscout_user_reference_"
"""Name under which a user's Python file is imported."""


def load(name: str) -> AseReference:
    """The reference `ase:module:callable`.

    `module` is importable or the path of a Python file; `callable` returns an ASE
    calculator. It is called without arguments, except that `charge` and
    `multiplicity` are given to it if it names them as parameters.

    Raises:
        UnknownMethodError: if the name has another form, or module or callable do not exist.
    """
    _, _, rest = name.partition(":")
    module_name, _, attribute = rest.rpartition(":")
    if not module_name or not attribute:
        raise UnknownMethodError(
            f"'{name}' does not name an ASE calculator. Write ase:module:callable, such as "
            "ase:mypackage.engine:make_calculator or ase:./engine.py:make_calculator, "
            "where the callable returns an ASE calculator."
        )
    path = Path(module_name).expanduser()
    module = _import_file(path, name) if path.suffix == ".py" else _import(module_name, name)
    factory: Any = module
    for part in attribute.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise UnknownMethodError(
            f"'{name}' does not name an ASE calculator: '{module_name}' has no callable '{attribute}'."
        )
    return AseReference(name, factory, module)


class AseReference:
    """An ASE calculator, made anew for each relaxation."""

    def __init__(self, name: str, factory: Callable[..., Any], module: ModuleType) -> None:
        self._name = name
        self._factory = factory
        self._module = module
        self._accepted = _named_parameters(factory)

    @property
    def info(self) -> ReferenceInfo:
        return ReferenceInfo(self._name, _provenance(self._module), "", gamma_only=False)

    def check_elements(self, symbols: Sequence[str]) -> None:
        """Nothing is known about the calculator's elements: it speaks up itself when evaluated."""

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        notes = []
        if charge != 0 and "charge" not in self._accepted:
            notes.append(
                f"the charge {charge:+d} is ignored: {self._name} takes no parameter 'charge', "
                "so that the neutral cell is calculated"
            )
            charge = 0
        multiplicity: int | None = None
        if "multiplicity" in self._accepted:
            odd = (int(atoms.numbers.sum()) - charge) % 2 == 1
            multiplicity = 2 if odd else 1
            if odd:
                notes.append("odd number of electrons: one unpaired (doublet)")
        return ElectronicState(charge, multiplicity, "; ".join(notes))

    def evaluator(self, state: ElectronicState) -> Evaluator:
        values = {"charge": state.charge, "multiplicity": state.multiplicity}
        arguments = {key: value for key, value in values.items() if key in self._accepted}
        try:
            calculator = self._factory(**arguments)
        except Exception as error:
            raise CalculationError(f"{self._name} could not be made: {type(error).__name__}: {error}") from error
        return AseEvaluator(self._name, calculator)


class AseEvaluator:
    """One ASE calculator, kept from step to step."""

    def __init__(self, name: str, calculator: Any) -> None:
        self._name = name
        self._calculator = calculator

    def evaluate(self, atoms: Atoms) -> Prediction:
        structure = atoms.copy()
        structure.calc = self._calculator
        try:
            energy = float(structure.get_potential_energy())
            forces = np.array(structure.get_forces(apply_constraint=False), dtype=float)
            stress: FloatArray | None = None
            if structure.pbc.all() and "stress" in self._calculator.implemented_properties:
                stress = np.array(structure.get_stress(apply_constraint=False), dtype=float)
        except Exception as error:
            # Calculators raise what they like; whatever it is, this configuration has no energy.
            raise CalculationError(f"{self._name} failed: {type(error).__name__}: {error}") from error
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise CalculationError(f"{self._name} returned energy or forces that are not finite numbers.")
        return Prediction(energy, forces, stress)


def _named_parameters(factory: Callable[..., Any]) -> frozenset[str]:
    """Parameters that `factory` names; those that only fit into `**kwargs` do not count.

    ASE calculators swallow unknown keywords, so that a charge given to `**kwargs` could be ignored in silence.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(p.name for p in parameters if p.kind in by_name)


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise UnknownMethodError(
            f"The reference '{name}' cannot be used: importing '{module_name}' failed with "
            f"{type(error).__name__}: {error}. Check the name, and that it is installed in this environment; "
            "for a file of your own write its path, such as ase:./engine.py:make_calculator."
        ) from error


def _import_file(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise UnknownMethodError(f"The reference '{name}' cannot be used: there is no file '{path}'.")
    module_name = f"{_FILE_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UnknownMethodError(f"The reference '{name}' cannot be used: '{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UnknownMethodError(
            f"The reference '{name}' cannot be used: running '{path}' failed with {type(error).__name__}: {error}."
        ) from error
    return module


def _provenance(module: ModuleType) -> str:
    """What a module comes from: distribution and version, or a file's name and SHA-256."""
    if module.__name__.startswith(_FILE_PREFIX) and module.__file__ is not None:
        path = Path(module.__file__)
        return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    top = module.__name__.partition(".")[0]
    distributions = packages_distributions().get(top, ())
    return f"{distributions[0]} {version(distributions[0])}" if distributions else top
