from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.errors import CalculationError, UnknownMethodError, UnsupportedElementError
from defectscout.core.frames import Prediction
from defectscout.references.base import ElectronicState
from defectscout.references.registry import load_reference
from defectscout.references.xtb import XtbEvaluator, load

pytest.importorskip("tblite")

METHODS = ("gfn1-xtb", "gfn2-xtb")

FORCE = 1e-4
"""eV/Å. The self-consistent field is converged to 1e-6 Hartree, and differences are taken over 0.004 Å."""

STRESS = 2e-5
"""eV/Å³ (3 MPa), for the same reason."""


def crystal(seed: int = 1) -> Atoms:
    atoms = bulk("ZnS", "zincblende", a=5.5, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def evaluate(atoms: Atoms, method: str = "gfn1-xtb", charge: int = 0) -> Prediction:
    reference = load_reference(method)
    return reference.evaluator(reference.electronic_state(atoms, charge)).evaluate(atoms)


@pytest.mark.parametrize(("method", "charge"), [("gfn1-xtb", 0), ("gfn1-xtb", 1), ("gfn2-xtb", 0)])
def test_forces_are_the_gradient_of_the_energy(method: str, charge: int) -> None:
    atoms = crystal()
    reference = load_reference(method)
    evaluator = reference.evaluator(reference.electronic_state(atoms, charge))
    forces = evaluator.evaluate(atoms).forces
    for atom, axis in ((0, 0), (5, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * 0.002
            energies.append(evaluator.evaluate(moved).energy)
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / 0.004, abs=FORCE)


@pytest.mark.parametrize("method", METHODS)
def test_stress_is_the_derivative_with_respect_to_strain(method: str) -> None:
    """In ASE's sign: positive when the cell wants to contract."""
    atoms = crystal()
    reference = load_reference(method)
    evaluator = reference.evaluator(reference.electronic_state(atoms, 0))
    stress = evaluator.evaluate(atoms).stress
    assert stress is not None
    for voigt, i, j in ((0, 0, 0), (2, 2, 2), (3, 1, 2), (5, 0, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * 0.0005
            strain[j, i] = strain[i, j]
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(evaluator.evaluate(strained).energy)
        # Off the diagonal both strain[i, j] and strain[j, i] were changed.
        slope = (energies[0] - energies[1]) / 0.001 / atoms.get_volume() / (1 if i == j else 2)
        assert stress[voigt] == pytest.approx(slope, abs=STRESS)


def test_a_stretched_crystal_wants_to_contract() -> None:
    atoms = bulk("ZnS", "zincblende", a=6.3, cubic=True)
    stress = evaluate(atoms).stress
    assert stress is not None
    assert stress[:3].min() > 0


@pytest.mark.parametrize("method", METHODS)
def test_it_is_tblites_own_ase_calculator(method: str) -> None:
    tblite = pytest.importorskip("tblite.ase")
    atoms = crystal()
    ours = evaluate(atoms, method, charge=1)
    theirs_name = {"gfn1-xtb": "GFN1-xTB", "gfn2-xtb": "GFN2-xTB"}[method]
    atoms.calc = tblite.TBLite(method=theirs_name, charge=1, multiplicity=2, verbosity=0)
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(ours.stress, atoms.get_stress(), atol=1e-8)


def test_a_warm_start_changes_nothing_but_the_time() -> None:
    reference = load_reference("gfn1-xtb")
    evaluator = reference.evaluator(reference.electronic_state(crystal(), 0))
    for seed in (1, 2):
        warm, fresh = evaluator.evaluate(crystal(seed)), evaluate(crystal(seed))
        assert warm.energy == pytest.approx(fresh.energy, abs=1e-5)
        np.testing.assert_allclose(warm.forces, fresh.forces, atol=FORCE)


def test_an_evaluator_takes_another_structure() -> None:
    reference = load_reference("gfn1-xtb")
    evaluator = reference.evaluator(reference.electronic_state(crystal(), 0))
    evaluator.evaluate(crystal())
    smaller = bulk("Si")
    assert evaluator.evaluate(smaller).energy == pytest.approx(evaluate(smaller).energy, abs=1e-6)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    evaluate(crystal())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_molecule_has_no_stress() -> None:
    assert evaluate(Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])).stress is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("formula", "charge", "multiplicity"),
    [
        ("Cd26Te27", 0, 1),  # cadmium two, tellurium six valence electrons
        ("Cd26Te27", -1, 2),
        ("Cd26Te27", -2, 1),
        ("Cu", 0, 2),
        ("Cu", 1, 1),
        ("Ga7Cu8S16", 0, 2),
        ("CeO2", 0, 2),  # one 4f electron is in the core: three valence electrons of cerium, not four
        ("La2O3", 0, 1),
        ("Gd2O3", 0, 1),
    ],
)
def test_multiplicity_follows_the_parity_of_the_valence_electrons(
    method: str, formula: str, charge: int, multiplicity: int
) -> None:
    state = load_reference(method).electronic_state(Atoms(formula), charge)
    assert (state.charge, state.multiplicity) == (charge, multiplicity)
    assert ("odd number of electrons: one unpaired (doublet)" in state.note) == (multiplicity == 2)


def test_electrons_are_counted_as_the_calculation_counts_them() -> None:
    from tblite.interface import Calculator

    for formula in ("CeO2", "Cu2O", "YbS", "HfO2", "TlBr"):
        molecule = Atoms(formula)
        molecule.positions[:, 0] = 2.2 * np.arange(len(molecule))
        calculator = Calculator("GFN1-xTB", molecule.numbers, molecule.positions / 0.529177)
        calculator.set("verbosity", 0)
        electrons = round(float(np.sum(calculator.singlepoint()["orbital-occupations"])))
        expected = 2 if electrons % 2 else 1
        assert load_reference("gfn1-xtb").electronic_state(molecule, 0).multiplicity == expected


def test_f_electrons_in_the_core_are_said_to_be() -> None:
    reference = load_reference("gfn1-xtb")
    assert "4f electrons" in reference.electronic_state(Atoms("GdN"), 0).note
    assert reference.electronic_state(Atoms("LaN"), 0).note == ""


def test_elements_without_parameters_are_named() -> None:
    reference = load_reference("gfn2-xtb")
    reference.check_elements(["H", "Rn", "Te"])
    with pytest.raises(UnsupportedElementError, match="no parameters for Th, U:"):
        reference.check_elements(["U", "O", "Th"])
    with pytest.raises(UnsupportedElementError):
        reference.electronic_state(Atoms("UO2"), 0)


def test_what_is_recorded() -> None:
    info = load_reference("gfn1-xtb").info
    assert info.gamma_only
    assert info.package.startswith("tblite ")
    assert info.citation == "10.1021/acs.jctc.7b00118"


def test_no_energy_is_an_error_with_the_reason() -> None:
    atoms = Atoms("CdTe", [[0, 0, 0], [0, 0, 0]], cell=[7, 7, 7], pbc=True)
    with pytest.raises(CalculationError, match=r"gfn1-xtb gave no energy.*CdTe, charge \+0"):
        evaluate(atoms)


def test_after_a_failure_it_goes_on_from_a_fresh_guess() -> None:
    state = ElectronicState(0, 1)
    evaluator = XtbEvaluator("gfn1-xtb", "GFN1-xTB", state)
    with pytest.raises(CalculationError):
        evaluator.evaluate(Atoms("Zn4S4", positions=np.zeros((8, 3)), cell=crystal().cell, pbc=True))
    assert evaluator.evaluate(crystal()).energy == pytest.approx(evaluate(crystal()).energy, abs=1e-7)


def test_a_misleading_wavefunction_costs_one_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    from tblite.interface import Calculator

    expected = evaluate(crystal(2)).energy
    evaluator = XtbEvaluator("gfn1-xtb", "GFN1-xTB", ElectronicState(0, 1))
    evaluator.evaluate(crystal(1))
    original = Calculator.singlepoint
    guesses: list[bool] = []

    def stumbling(self, res=None, copy=False):  # type: ignore[no-untyped-def]
        guesses.append(res is None)
        if res is not None:
            raise RuntimeError("SCF not converged")
        return original(self, res, copy)

    monkeypatch.setattr(Calculator, "singlepoint", stumbling)
    assert evaluator.evaluate(crystal(2)).energy == pytest.approx(expected, abs=1e-7)
    assert guesses == [False, True]


def test_other_names_are_refused() -> None:
    with pytest.raises(UnknownMethodError, match="gfn1-xtb, gfn2-xtb"):
        load("gfn0-xtb")
