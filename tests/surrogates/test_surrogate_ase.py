"""ASE calculators as surrogates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from defectscout.core.errors import CalculationError, UnknownMethodError
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings


def _load(name: str) -> Surrogate:
    return load_surrogate(SurrogateSettings(name=name))


@pytest.fixture
def copper() -> list[Atoms]:
    structures = [bulk("Cu", "fcc", a=3.6), bulk("Cu", "fcc", a=3.7, cubic=True) * (2, 1, 1)]
    structures[1].rattle(0.1, seed=4)
    return structures


def test_parity(copper: list[Atoms]) -> None:
    surrogate = _load("ase:ase.calculators.emt:EMT")
    for atoms, prediction in zip(copper, surrogate.predict(copper), strict=True):
        reference = atoms.copy()
        reference.calc = EMT()
        assert prediction.energy == pytest.approx(reference.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(prediction.forces, reference.get_forces(), atol=1e-12)
        np.testing.assert_allclose(prediction.stress, reference.get_stress(), atol=1e-12)
        assert atoms.calc is None


def test_constraints_do_not_hide_forces(copper: list[Atoms]) -> None:
    from ase.constraints import FixAtoms

    surrogate = _load("ase:ase.calculators.emt:EMT")
    free = surrogate.predict([copper[1]])[0]
    copper[1].set_constraint(FixAtoms([0, 1]))
    np.testing.assert_array_equal(surrogate.predict([copper[1]])[0].forces, free.forces)


def test_info() -> None:
    info = _load("ase:ase.calculators.emt:EMT").info
    assert info.name == "ase:ase.calculators.emt:EMT"
    assert info.package.startswith("ase 3.")
    assert info.elements is None
    assert not info.tuned


def test_python_file(tmp_path: Path, copper: list[Atoms]) -> None:
    file = tmp_path / "own_model.py"
    file.write_text(
        "from ase.calculators.lj import LennardJones\n\n\n"
        "def make():\n    return LennardJones(sigma=2.3, epsilon=0.4, rc=6.0)\n"
    )
    surrogate = _load(f"ase:{file}:make")
    assert surrogate.predict(copper)[0].energy < 0
    assert surrogate.info.weights.startswith("sha256:")


def test_without_stress(tmp_path: Path, copper: list[Atoms]) -> None:
    file = tmp_path / "spring.py"
    file.write_text(
        "import numpy as np\nfrom ase.calculators.calculator import Calculator, all_changes\n\n\n"
        "class Spring(Calculator):\n    implemented_properties = ['energy', 'forces']\n\n"
        "    def calculate(self, atoms=None, properties=('energy',), system_changes=all_changes):\n"
        "        super().calculate(atoms, properties, system_changes)\n"
        "        self.results = {'energy': (atoms.positions**2).sum() / 2, 'forces': -atoms.positions}\n"
    )
    prediction = _load(f"ase:{file}:Spring").predict(copper)[1]
    assert prediction.stress is None
    np.testing.assert_array_equal(prediction.forces, -copper[1].positions)


def test_failing_calculator_names_the_structure(copper: list[Atoms]) -> None:
    with pytest.raises(CalculationError, match=r"failed on structure 1: NotImplementedError: No EMT-potential for Cd"):
        _load("ase:ase.calculators.emt:EMT").predict([copper[0], bulk("CdTe", "zincblende", a=6.5)])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ase", "does not name an ASE calculator"),
        ("ase:ase.calculators.emt", "does not name an ASE calculator"),
        ("ase:no_such_module_anywhere:make", "importing 'no_such_module_anywhere' failed"),
        ("ase:ase.calculators.emt:NoSuch", "has no callable 'NoSuch'"),
        ("ase:./no_such_file.py:make", "there is no file"),
        ("ase:ase.build:bulk", "calling it failed with TypeError"),
        ("ase:builtins:dict", "returned a dict, which is no ASE calculator"),
    ],
)
def test_wrong_names(name: str, reason: str) -> None:
    with pytest.raises(UnknownMethodError, match=reason):
        _load(name)


def test_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "broken_model.py"
    file.write_text("1 / 0\n")
    with pytest.raises(UnknownMethodError, match="failed with ZeroDivisionError"):
        _load(f"ase:{file}:make")
