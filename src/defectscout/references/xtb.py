"""GFN1-xTB and GFN2-xTB through tblite: semi-empirical tight binding, not DFT.

Electronic structure, and so charge states, bond making and bond breaking, at a few
seconds a step for cells of 50 to 100 atoms. Only the Γ point is sampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from defectscout.core.errors import CalculationError, MissingExtraError, UnknownMethodError, UnsupportedElementError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.references.base import ElectronicState, Evaluator, ReferenceInfo

LAST_ELEMENT: Final = 86
"""Radon."""

METHODS: Final = {
    "gfn1-xtb": ("GFN1-xTB", "10.1021/acs.jctc.7b00118"),
    "gfn2-xtb": ("GFN2-xTB", "10.1021/acs.jctc.8b01176"),
}
"""tblite's name and the DOI of each method."""

LANTHANIDES_WITH_F_CORE: Final = range(58, 72)
"""Ce to Lu: the parametrisations count three valence electrons, and keep the 4f electrons in the core."""


def load(name: str) -> XtbReference:
    """The reference `gfn1-xtb` or `gfn2-xtb`.

    Raises:
        MissingExtraError: if tblite is not installed.
        UnknownMethodError: if `name` is neither.
    """
    if name not in METHODS:
        raise UnknownMethodError(f"There is no xTB method called '{name}'. There are: {', '.join(METHODS)}.")
    try:
        import tblite.interface  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"The reference {name}", "tblite", "xtb") from error
    return XtbReference(name)


class XtbReference:
    """GFN1-xTB or GFN2-xTB."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._method, self._citation = METHODS[name]

    @property
    def info(self) -> ReferenceInfo:
        return ReferenceInfo(self._name, f"tblite {version('tblite')}", self._citation, gamma_only=True)

    def check_elements(self, symbols: Sequence[str]) -> None:
        missing = sorted({s for s in symbols if not 1 <= atomic_numbers.get(s, 0) <= LAST_ELEMENT})
        if missing:
            raise UnsupportedElementError(
                f"The reference {self._name} has no parameters for {', '.join(missing)}: it knows the elements "
                "from hydrogen to radon. Choose another reference, such as ase:module:callable."
            )

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        self.check_elements(atoms.get_chemical_symbols())
        counts = Counter(atoms.numbers.tolist())
        electrons = sum(n * _valence_electrons(self._method, z) for z, n in counts.items()) - charge
        odd = electrons % 2 == 1
        notes = ["odd number of electrons: one unpaired (doublet)"] if odd else []
        if any(z in LANTHANIDES_WITH_F_CORE for z in counts):
            notes.append("4f electrons are in the core: their spin is not described")
        return ElectronicState(charge, 2 if odd else 1, "; ".join(notes))

    def evaluator(self, state: ElectronicState) -> Evaluator:
        return XtbEvaluator(self._name, self._method, state)


class XtbEvaluator:
    """One tblite calculation: each self-consistent field starts from the density of the one before."""

    def __init__(self, name: str, method: str, state: ElectronicState) -> None:
        self._name = name
        self._method = method
        self._state = state
        self._numbers: FloatArray | None = None
        self._calculator: Any = None
        self._result: Any = None

    def evaluate(self, atoms: Atoms) -> Prediction:
        if self._numbers is None or not np.array_equal(self._numbers, atoms.numbers):
            self._forget()
            self._numbers = atoms.numbers.copy()
        try:
            return self._singlepoint(atoms)
        except RuntimeError:
            # A density from a configuration far away can lead astray. Same settings, fresh guess.
            self._forget()
        try:
            return self._singlepoint(atoms)
        except RuntimeError as error:
            self._forget()
            raise CalculationError(
                f"{self._name} gave no energy, from a fresh guess either: {str(error).strip()} "
                f"({atoms.get_chemical_formula()}, charge {self._state.charge:+d}, tblite's default settings)."
            ) from error

    def _forget(self) -> None:
        self._calculator = None
        self._result = None

    def _singlepoint(self, atoms: Atoms) -> Prediction:
        """One self-consistent field, gradient and virial.

        Raises:
            RuntimeError: if tblite stops (its errors derive from it), or returns no finite numbers.
        """
        if self._calculator is None:
            self._calculator = self._new_calculator(atoms)
        else:
            self._calculator.update(positions=atoms.positions / Bohr, lattice=atoms.cell.array / Bohr)
        self._result = self._calculator.singlepoint(self._result)
        energy = float(self._result["energy"]) * Hartree
        forces = -np.asarray(self._result["gradient"], dtype=float) * (Hartree / Bohr)
        stress: FloatArray | None = None
        if atoms.pbc.all():
            virial = np.asarray(self._result["virial"], dtype=float) * (Hartree / atoms.get_volume())
            stress = virial.ravel()[[0, 4, 8, 5, 2, 1]]
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise RuntimeError("energy or forces are not finite numbers.")
        return Prediction(energy, forces, stress)

    def _new_calculator(self, atoms: Atoms) -> Any:
        from tblite.interface import Calculator

        periodic = bool(atoms.pbc.any())
        multiplicity = self._state.multiplicity or 1
        calculator = Calculator(
            self._method,
            atoms.numbers,
            atoms.positions / Bohr,
            charge=float(self._state.charge),
            uhf=multiplicity - 1,
            lattice=atoms.cell.array / Bohr if periodic else None,
            periodic=np.asarray(atoms.pbc) if periodic else None,
        )
        calculator.set("verbosity", 0)
        return calculator


@cache
def _valence_electrons(method: str, number: int) -> int:
    """Valence electrons of an element in tblite's parametrisation.

    Asked from tblite (a free atom's occupations), because the count is not a plain
    function of the group: lanthanides keep their f electrons in the core, zinc its d electrons.
    """
    from tblite.interface import Calculator

    calculator = Calculator(method, np.array([number]), np.zeros((1, 3)))
    calculator.set("verbosity", 0)
    return round(float(np.sum(calculator.singlepoint()["orbital-occupations"])))
