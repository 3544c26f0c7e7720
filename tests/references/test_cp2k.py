"""CP2K as a reference, calculated: a hydrogen molecule in a small cell, a second or two for each fresh start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.errors import CalculationError, MissingProgramError, UnsupportedElementError
from defectscout.references.base import ElectronicState, Reference
from defectscout.references.cp2k import Cp2kEvaluator, Cp2kReference, load, scf_result
from defectscout.references.cp2k_settings import Cp2kSettings
from defectscout.references.cp2k_shell import abort_message
from references.cp2k_runs import data_files, hydrogen, needs_cp2k, reference

FORCE = 1e-3
"""eV/Å. The self-consistent field is converged to 1e-7, and differences are extrapolated to no distance."""

STRESS = {"PBE": 1e-5, "HSE06": 1e-4}
"""eV/Å³ (1.6 and 16 MPa): exchange integrals are screened."""


def fresh(atoms: Atoms, charge: int = 0, **changes: object) -> Cp2kEvaluator:
    made = reference(**changes)
    evaluator = made.evaluator(made.electronic_state(atoms, charge))
    assert isinstance(evaluator, Cp2kEvaluator)
    return evaluator


def scratch() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("defectscout-cp2k-*")}


@needs_cp2k
@pytest.mark.parametrize(
    ("charge", "changes"),
    [
        pytest.param(0, {}, id="PBE"),
        pytest.param(-1, {}, id="anion"),
        pytest.param(1, {"solver": "diagonalisation"}, id="cation"),
        pytest.param(-1, {"functional": "HSE06"}, id="HSE06", marks=pytest.mark.slow),
    ],
)
def test_forces_and_stress_are_derivatives_of_the_energy(charge: int, changes: dict[str, object]) -> None:
    atoms = hydrogen()
    evaluator = fresh(atoms, charge, **changes)
    prediction = evaluator.evaluate(atoms)

    def moved(distance: float) -> float:
        other = atoms.copy()
        other.positions[1, 2] += distance
        return evaluator.evaluate(other).energy

    def strained(i: int, j: int, size: float) -> float:
        strain = np.eye(3)
        strain[i, j] += size
        strain[j, i] = strain[i, j]
        other = atoms.copy()
        other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        return evaluator.evaluate(other).energy

    assert prediction.forces[1, 2] == pytest.approx(-derivative(moved, 0.01), abs=FORCE)
    assert prediction.stress is not None
    for voigt, i, j in ((2, 2, 2), (3, 1, 2)):
        # Off the diagonal both strain[i, j] and strain[j, i] are changed.
        slope = derivative(partial(strained, i, j), 0.002) / atoms.get_volume() / (1 if i == j else 2)
        assert prediction.stress[voigt] == pytest.approx(slope, abs=STRESS[str(changes.get("functional", "PBE"))])
    evaluator.close()


@needs_cp2k
def test_each_charge_has_its_electrons() -> None:
    atoms = hydrogen()
    energies = []
    for charge, counts in ((0, {"2"}), (-1, {"2", "1"})):
        evaluator = fresh(atoms, charge)
        energies.append(evaluator.evaluate(atoms).energy)
        assert evaluator._shell is not None
        lines = evaluator._shell.output.read_text().splitlines()
        assert {line.split()[-1] for line in lines if line.startswith(" Number of electrons:")} == counts
        evaluator.close()
    assert abs(energies[0] - energies[1]) > 1


@needs_cp2k
def test_the_wavefunction_is_used_again() -> None:
    atoms = hydrogen()
    evaluator = fresh(atoms)
    first = evaluator.evaluate(atoms).energy
    steps = evaluator.scf_steps
    atoms.positions[1, 2] += 0.003
    moved = evaluator.evaluate(atoms).energy
    assert 0 < evaluator.scf_steps < steps
    evaluator.close()
    assert moved != first
    assert fresh(atoms).evaluate(atoms).energy == pytest.approx(moved, abs=1e-6)


@needs_cp2k
def test_other_atoms_begin_a_new_calculation() -> None:
    atoms = hydrogen()
    evaluator = fresh(atoms)
    evaluator.evaluate(atoms)
    helium = atoms.copy()
    helium.symbols[:] = ["He", "He"]
    assert evaluator.evaluate(helium).energy == pytest.approx(fresh(helium).evaluate(helium).energy, abs=1e-6)


@needs_cp2k
@pytest.mark.parametrize("solver", ["ot", "diagonalisation"])
def test_a_field_that_does_not_converge_is_an_error(solver: str) -> None:
    """CP2K 2023.1 goes on, with a warning in its output."""
    atoms = hydrogen()
    evaluator = fresh(atoms, 1, solver=solver, max_scf=1, max_outer_scf=1)
    with pytest.raises(CalculationError, match=r"did not converge in \d+ steps.*charge \+1, multiplicity 2"):
        evaluator.evaluate(atoms)
    assert evaluator._shell is None


@needs_cp2k
def test_what_cp2k_says_when_it_stops_is_passed_on() -> None:
    made = reference(preconditioner="FULL_NONSENSE")
    with pytest.raises(CalculationError, match="FULL_NONSENSE"):
        made.evaluator(ElectronicState(0, 1)).evaluate(hydrogen())


@needs_cp2k
def test_a_killed_process_is_an_error_and_the_next_evaluation_begins_anew() -> None:
    atoms = hydrogen()
    evaluator = fresh(atoms)
    energy = evaluator.evaluate(atoms).energy
    assert evaluator._shell is not None
    evaluator._shell._process.kill()
    with pytest.raises(CalculationError, match="CP2K ended in the middle of a calculation"):
        evaluator.evaluate(atoms)
    assert evaluator.evaluate(atoms).energy == pytest.approx(energy, abs=1e-6)
    evaluator.close()


@needs_cp2k
def test_an_evaluator_that_is_dropped_takes_process_and_scratch_files_along() -> None:
    evaluator = fresh(hydrogen())
    evaluator.evaluate(hydrogen())
    assert evaluator._shell is not None
    process, folder = evaluator._shell._process, evaluator._shell.output.parent
    assert folder.is_dir()
    assert process.poll() is None
    del evaluator
    assert process.poll() is not None
    assert not folder.exists()


@needs_cp2k
def test_scratch_files_go_when_a_worker_is_killed(tmp_path: Path) -> None:
    """As the pool ends workers: the process group, at once."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; from references.cp2k_runs import hydrogen, reference; "
        "r = reference(); e = r.evaluator(r.electronic_state(hydrogen(), 0)); e.evaluate(hydrogen()); "
        "print(e._shell._process.pid, flush=True); sys.stdin.read()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        text=True,
    )
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    assert list(tmp_path.glob("defectscout-cp2k-*"))
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    until = time.monotonic() + 10
    while time.monotonic() < until and (is_running(pid) or list(tmp_path.iterdir())):
        time.sleep(0.05)
    assert not is_running(pid)
    assert not list(tmp_path.iterdir())


@needs_cp2k
def test_cells_that_are_not_periodic_are_refused() -> None:
    atoms = hydrogen()
    atoms.pbc = (True, True, False)
    with pytest.raises(CalculationError, match="periodic in all directions"):
        fresh(atoms).evaluate(atoms)


@needs_cp2k
def test_the_reference_by_name() -> None:
    made = load("cp2k:quick")
    assert isinstance(made, Reference)
    assert made.info.name == "cp2k:quick"
    assert made.info.package.startswith("CP2K 2")
    assert made.info.gamma_only
    made.check_elements(["Si", "Te"])
    with pytest.raises(UnsupportedElementError, match="Pu"):
        made.check_elements(["Si", "Pu"])


def test_a_missing_program_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path)))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEFECTSCOUT_CP2K", raising=False)
    with pytest.raises(MissingProgramError, match=r"apt install cp2k.*conda-forge cp2k.*DEFECTSCOUT_CP2K"):
        load("cp2k")
    monkeypatch.setenv("DEFECTSCOUT_CP2K", "mpirun cp2k.of.mine")
    with pytest.raises(MissingProgramError, match="no program 'mpirun'"):
        load("cp2k")


def test_another_program_is_not_taken_for_cp2k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "cp2k.mine"
    script.write_text("#!/bin/sh\necho some other program\n")
    script.chmod(0o755)
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path)))
    monkeypatch.setenv("DEFECTSCOUT_CP2K", str(script))
    with pytest.raises(MissingProgramError, match="does not answer as CP2K does, but with 'some other program'"):
        _ = load("cp2k").info
    atoms = hydrogen()
    broken = Cp2kReference("cp2k", Cp2kSettings(basis="SZV-MOLOPT-SR-GTH"), (str(script),))
    before = scratch()
    with pytest.raises(CalculationError, match="CP2K ended"):
        broken.evaluator(ElectronicState(0, 1)).evaluate(atoms)
    assert scratch() <= before


CONVERGED = """
     1 OT DIIS     0.15E+00    0.4     0.03623985       -30.7182964421 -5.25E-02
     2 OT DIIS     0.15E+00    0.2     0.00000007       -30.8147688923 -9.65E-02

  *** SCF run converged in     2 steps ***
"""
NOT_CONVERGED = """
     1 P_Mix/Diag. 0.40E+00    0.1     1.15358718       -31.1516488755 -3.12E+01
     2 DIIS/Diag.  0.40E+00    0.1     0.21E+00         -31.0475501238  1.04E-01
  Leaving inner SCF loop after reaching     2 steps.

 *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***
"""


def test_whether_the_field_converged_is_read_from_the_output() -> None:
    assert scf_result(CONVERGED) == (2, "")
    assert scf_result(NOT_CONVERGED)[1].endswith("did not converge in 2 steps (convergence 0.21E+00 at the end)")
    assert scf_result(NOT_CONVERGED + CONVERGED) == (4, "")
    assert "did not converge in 0 steps" in scf_result("")[1]


def test_the_words_in_the_box_of_an_abort() -> None:
    box = """
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/    SCF run NOT converged. To continue the calculation regardless,    *
 *    |      please set the keyword IGNORE_CONVERGENCE_FAILURE.                *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                                            qs_scf.F:600 *
 *******************************************************************************
"""
    said = abort_message(box)
    assert said.startswith("SCF run NOT converged. To continue the calculation regardless, please set the keyword")
    assert abort_message("nothing of the kind") == ""


def derivative(energy: Callable[[float], float], step: float) -> float:
    """At zero, by central differences over two distances, extrapolated to none."""
    coarse, fine = ((energy(h) - energy(-h)) / (2 * h) for h in (step, step / 2))
    return (4 * fine - coarse) / 3


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
