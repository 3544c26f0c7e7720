from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from defectscout.core.errors import CalculationError, UnknownMethodError
from defectscout.references.base import ElectronicState
from defectscout.references.registry import load_reference

ENGINE = '''
import numpy as np
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

class Echo(Calculator):
    """Energy tells what it was made with."""
    implemented_properties = ["energy", "forces"]

    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms, ["energy"], [])
        self.results = {"energy": self.energy, "forces": np.zeros((len(atoms), 3))}

def plain():
    return EMT()

def charged(charge):
    return Echo(float(charge))

def both(charge, multiplicity=1):
    return Echo(100.0 * charge + multiplicity)

def swallowing(**kwargs):
    return Echo(float("charge" in kwargs))

def nan():
    return Echo(float("nan"))

def broken():
    raise OSError("no licence")

class Box:
    @staticmethod
    def make():
        return EMT()

number = 5
'''


@pytest.fixture
def engine(tmp_path: Path) -> str:
    path = tmp_path / "my_engine.py"
    path.write_text(ENGINE)
    return f"ase:{path}"


def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("callable_", ["plain", "Box.make"])
def test_a_file(engine: str, callable_: str) -> None:
    reference = load_reference(f"{engine}:{callable_}")
    state = reference.electronic_state(copper(), 0)
    assert state == ElectronicState(0, None, "")
    prediction = reference.evaluator(state).evaluate(copper())
    atoms = copper()
    atoms.calc = EMT()
    assert prediction.energy == atoms.get_potential_energy()
    np.testing.assert_array_equal(prediction.forces, atoms.get_forces())
    np.testing.assert_array_equal(prediction.stress, atoms.get_stress())


def test_a_relative_path(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_reference("ase:./my_engine.py:plain").info.package.startswith("my_engine.py sha256:")


def test_a_module_and_what_is_recorded_of_it() -> None:
    info = load_reference("ase:ase.calculators.emt:EMT").info
    assert info.package.startswith("ase 3.")
    assert not info.gamma_only


def test_another_content_of_the_file_is_recorded_as_another_reference(engine: str, tmp_path: Path) -> None:
    before = load_reference(f"{engine}:plain").info
    (tmp_path / "my_engine.py").write_text(ENGINE + "# changed\n")
    assert load_reference(f"{engine}:plain").info.package != before.package


def test_charge_and_multiplicity_are_given_to_who_names_them(engine: str) -> None:
    for name, energy in (("charged", 2.0), ("both", 201.0)):
        reference = load_reference(f"{engine}:{name}")
        state = reference.electronic_state(copper(), 2)
        assert state.note == ""
        assert reference.evaluator(state).evaluate(copper()).energy == energy
    odd = load_reference(f"{engine}:both").electronic_state(copper(), -1)
    assert odd.multiplicity == 2
    assert "doublet" in odd.note


@pytest.mark.parametrize("callable_", ["plain", "swallowing"])
def test_a_charge_that_cannot_be_given_is_said_to_be_ignored(engine: str, callable_: str) -> None:
    reference = load_reference(f"{engine}:{callable_}")
    assert reference.electronic_state(copper(), 0).note == ""
    state = reference.electronic_state(copper(), -2)
    assert "charge -2 is ignored" in state.note
    assert state.charge == 0
    reference.evaluator(state).evaluate(copper())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ase", "Write ase:module:callable"),
        ("ase:module_alone", "Write ase:module:callable"),
        ("ase:no.such.module:f", "importing 'no.such.module' failed with ModuleNotFoundError"),
        ("ase:missing.py:f", "no file 'missing.py'"),
        ("ase:ase.calculators.emt:NoSuch", "has no callable 'NoSuch'"),
    ],
)
def test_names_that_lead_nowhere(name: str, what: str) -> None:
    with pytest.raises(UnknownMethodError, match=what):
        load_reference(name)


def test_something_that_cannot_be_called(engine: str) -> None:
    with pytest.raises(UnknownMethodError, match="no callable 'number'"):
        load_reference(f"{engine}:number")


def test_a_file_with_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("1 / 0\n")
    with pytest.raises(UnknownMethodError, match="ZeroDivisionError"):
        load_reference(f"ase:{path}:f")


def test_failures_are_calculation_errors_with_the_reason(engine: str) -> None:
    state = ElectronicState(0, None)
    with pytest.raises(CalculationError, match="could not be made: OSError: no licence"):
        load_reference(f"{engine}:broken").evaluator(state)
    with pytest.raises(CalculationError, match="not finite"):
        load_reference(f"{engine}:nan").evaluator(state).evaluate(copper())
    with pytest.raises(CalculationError, match="NotImplementedError"):
        load_reference(f"{engine}:plain").evaluator(state).evaluate(bulk("Si"))
