"""Any ASE calculator as a reference: `ase:module:callable`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.factories import CalculatorFactory, load_factory
from defectscout.core.frames import FloatArray, Prediction
from defectscout.references.base import ElectronicState, Evaluator, ReferenceInfo


def load(name: str) -> AseReference:
    """The reference `ase:module:callable`.

    `module` is importable or the path of a Python file; `callable` returns an ASE
    calculator. It is called without arguments, except that `charge` and
    `multiplicity` are given to it if it names them as parameters.

    Raises:
        UnknownMethodError: if the name has another form, or module or callable do not exist.
    """
    return AseReference(name, load_factory(name, "reference"))


class AseReference:
    """An ASE calculator, made anew for each relaxation."""

    def __init__(self, name: str, factory: CalculatorFactory) -> None:
        self._name = name
        self._factory = factory
        self._accepted = _named_parameters(factory.make)

    @property
    def info(self) -> ReferenceInfo:
        return ReferenceInfo(self._name, self._factory.provenance, "", gamma_only=False)

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
            calculator = self._factory.make(**arguments)
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
