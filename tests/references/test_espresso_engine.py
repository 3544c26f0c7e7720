from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.units import Rydberg

from defectscout.core.errors import CalculationError
from defectscout.references.base import ElectronicState
from defectscout.references.engines.base import Calculation, Engine, Purpose, RunState
from defectscout.references.engines.espresso import EspressoEngine, load
from defectscout.references.engines.espresso_failures import SCF
from defectscout.references.engines.espresso_restart import starting_from_files, value_in, with_structure
from defectscout.references.engines.retries import read_retries
from defectscout.references.espresso import load as load_reference
from defectscout.references.espresso_output import FINAL
from defectscout.workflow.outputs import read_output
from references.espresso_runs import hydrogen, needs_espresso, run, soft_hydrogen

TOP = """     Program PWSCF v.6.7MaX starts on  1Jan2000 at  0: 0: 0
     number of atoms/cell      =            2
     celldm(1)=   7.558904  celldm(2)=   0.000000  celldm(3)=   0.000000
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.050000   1.025000   0.000000 )
               a(3) = (   0.000000   0.025000   1.050000 )
         1           H   tau(   1) = (   0.0250000   0.0000000   0.0000000  )
         2           H   tau(   2) = (   0.0250000   0.0500000   0.2125000  )
"""
START = "\n" + TOP
FIELD = "     convergence has been achieved in  13 iterations\n"
FORCES = """     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.00000500   -0.04000000   -0.17000000
     atom    2 type  1   force =    -0.00000500    0.04000000    0.17000000
"""
STEP = "!    total energy              =      -1.80000000 Ry\n" + FIELD + FORCES
NEXT = "ATOMIC_POSITIONS (angstrom)\nH  0.1 0.0 0.0\nH  0.1 0.1 {}\n"
DONE = "   JOB DONE.\n"
CONVERGED = "     bfgs converged in   5 scf cycles and   3 bfgs steps\n"
STEP_LIMIT = "     The maximum number of steps has been reached.\n"
TIME_LIMIT = "     Maximum CPU time exceeded\n"
NOT_CONVERGED = "     convergence NOT achieved after 100 iterations: stopping\n"
STUCK = "     bfgs failed after   5 scf cycles and   3 bfgs steps, convergence not achieved\n"


def box(routine: str, words: str) -> str:
    percent = " " + "%" * 80 + "\n"
    return f"{percent}     Error in routine {routine} (1):\n     {words}\n{percent}"


ERROR = box("readpp", "file H.UPF not found")
OVERLAP = box("check_atoms", "atoms #   1 and #   2 overlap!")
NOT_POSITIVE = box(" rdiaghg", "S matrix not positive definite")
UNREADABLE = box("read_rhog", "error reading file")


@pytest.fixture
def settings(tmp_path: Path) -> str:
    folder = tmp_path / "pseudos"
    folder.mkdir()
    soft_hydrogen(folder / "H.UPF")
    path = tmp_path / "mine.toml"
    path.write_text(
        f'preset = "quick"\npseudopotentials = "{folder}"\nconv_thr = 1e-10\nmax_steps = 2\nhost_kpoint_spacing = 3.0\n'
    )
    return str(path)


@pytest.fixture
def engine() -> EspressoEngine:
    return load("espresso")


def test_a_run_is_told_when_to_end_unless_it_would_end_sooner(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    path = written(engine, tmp_path / "a", settings) / "espresso.pwi"
    whole = path.read_text()
    for seconds, expected in ((7200.0, "7200"), (3420.4, "3420"), (5000.0, "3420")):
        engine.end_in_time(path.parent, seconds)
        assert re.findall(r"^ *max_seconds = (.*)$", path.read_text(), re.MULTILINE) == [expected]
    assert re.sub(r"^ *max_seconds.*\n", "", path.read_text(), flags=re.MULTILINE) == whole


def written(
    engine: EspressoEngine, folder: Path, settings: str, purpose: Purpose = Purpose.DEFECT, charge: int = 0
) -> Path:
    state = engine.electronic_state(hydrogen(), charge)
    calculation = Calculation("v_Si_0 Unperturbed", hydrogen(), state, purpose)
    notes = engine.write(folder, calculation, settings)
    assert len(notes) == 1
    assert "put H.UPF there" in notes[0]
    return folder


def test_input_is_written_with_cells_relaxed_for_hosts_alone(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    assert isinstance(engine, Engine)
    text = (written(engine, tmp_path / "a", settings) / "espresso.pwi").read_text()
    assert text.startswith("! v_Si_0 Unperturbed\n")
    assert "calculation = 'relax'" in text
    assert f"pseudo_dir = '{tmp_path / 'pseudos'}'" in text
    assert "vc-relax" in (written(engine, tmp_path / "b", settings, Purpose.HOST) / "espresso.pwi").read_text()


def test_the_folder_of_potentials_elsewhere(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    with Path(settings).open("a") as file:
        file.write('pseudo_dir = "/there/pseudo"\n')
    calculation = Calculation("t", hydrogen(), ElectronicState(0, 1))
    assert engine.write(tmp_path / "a", calculation, settings) == ()
    assert "pseudo_dir = '/there/pseudo'" in (tmp_path / "a" / "espresso.pwi").read_text()


@pytest.mark.parametrize(
    ("output", "state", "reason", "remedy"),
    [
        (START + STEP + CONVERGED + DONE, RunState.FINISHED, "", ""),
        (START + STEP + CONVERGED, RunState.RUNNING, "no end after 1 ionic step: it runs, or was killed", ""),
        (START + STEP + CONVERGED + FINAL + NOT_CONVERGED, RunState.FINISHED, "", ""),
        (START + STEP + STEP_LIMIT + DONE, RunState.UNFINISHED, "limit of steps after 1", "more steps"),
        (START + STEP + TIME_LIMIT + DONE, RunState.UNFINISHED, "time limit after 1", ""),
        (START + STEP, RunState.RUNNING, "no end after 1 ionic step: it runs, or was killed", ""),
        (START + STEP + DONE, RunState.UNFINISHED, "without reaching its criterion", ""),
        (START + NOT_CONVERGED + DONE, RunState.FAILED, "did not converge in 100 steps", "mixing_beta = 0.1"),
        (START + STEP + STUCK + DONE, RunState.FAILED, "the optimiser is stuck (after 1", "conv_thr = 1e-12"),
        (START + STEP + NOT_POSITIVE, RunState.FAILED, "could not be diagonalised: Error in routine rdiaghg", "cg"),
        (START + STEP + OVERLAP, RunState.FAILED, "overlap! (after 1 ionic step)", "trust_radius_max = 0.2"),
        (START + OVERLAP, RunState.FAILED, "the starting structure itself is bad", ""),
        (START + STEP + NEXT.format(0.2) + STEP, RunState.FAILED, "0.36 of the sum of their radii", "trust_radius_max"),
        (START + STEP.replace("0.17", "90.17"), RunState.FAILED, "forces of 2318 eV/Å", "trust_radius_max"),
        (START + STEP + "Program received signal SIGSEGV\n", RunState.FAILED, "pw.x crashed", "once more"),
        (START + ERROR, RunState.FAILED, "Error in routine readpp (1): file H.UPF not found", ""),
        (START + NEXT.replace("angstrom", "somewhere").format(0.2), RunState.FAILED, "units of somewhere", ""),
        ("", RunState.NOT_RUN, "no output of pw.x", ""),
    ],
)
def test_how_a_calculation_stands(
    engine: EspressoEngine, tmp_path: Path, settings: str, output: str, state: RunState, reason: str, remedy: str
) -> None:
    folder = written(engine, tmp_path / "a", settings)
    (folder / "slurm-12.out").write_text(output)
    (folder / "espresso.1.out").write_text(START + NOT_CONVERGED + DONE)  # of the run before
    found = engine.diagnose(folder)
    assert found.state is state, found
    assert reason in found.reason
    assert bool(found.reason) is (state is not RunState.FINISHED)
    assert remedy in found.remedy
    assert bool(found.remedy) is bool(remedy)


@pytest.mark.parametrize("words", ["A final scf calculation", "Final scf calculation"])
def test_the_last_calculation_of_a_cell_is_in_another_basis(
    engine: EspressoEngine, tmp_path: Path, settings: str, words: str
) -> None:
    folder = written(engine, tmp_path / "a", settings, Purpose.HOST)
    final = NEXT.format(0.9) + f"     {words} at the relaxed structure.\n" + STEP.replace("-1.8", "-1.9")
    (folder / "espresso.out").write_text(START + STEP + NEXT.format(0.88) + STEP + CONVERGED + final + DONE)
    assert engine.diagnose(folder).state is RunState.FINISHED
    output = read_output(folder)
    assert output is not None
    assert [step.energy for _, step in output.steps] == pytest.approx([-1.8 * Rydberg] * 2)
    assert "another basis" in output.notes[-1]


def test_a_finished_or_broken_calculation_does_not_go_on(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    assert engine.diagnose(tmp_path / "nowhere").state is RunState.NOT_RUN
    with pytest.raises(CalculationError, match="nothing to go on from"):
        engine.go_on(tmp_path / "nowhere", settings)
    folder = written(engine, tmp_path / "a", settings)
    for output, said in ((START + STEP + CONVERGED + DONE, "is finished"), (START + ERROR, "would end the same way")):
        (folder / "espresso.out").write_text(output)
        with pytest.raises(CalculationError, match=said):
            engine.go_on(folder, settings)
        assert (folder / "espresso.out").read_text() == output


def test_a_field_that_failed_is_mended_until_nothing_is_left(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    folder = written(engine, tmp_path / "a", settings)
    for number, values in ((1, ("0.1", "'plain'")), (2, ("0.1", "'local-TF'")), (3, ("0.025", "'local-TF'"))):
        (folder / "espresso.out").write_text(START + NOT_CONVERGED + DONE)
        changed = engine.go_on(folder, settings)
        assert changed.startswith("begins again from its first structure, as no ionic step was finished; ")
        text = (folder / "espresso.pwi").read_text()
        assert (value_in(text, "mixing_beta"), value_in(text, "mixing_mode")) == values
        assert (folder / f"espresso.{number}.out").is_file()
    assert [(retry.run, retry.failure) for retry in read_retries(folder)] == [(1, "scf"), (2, "scf"), (3, "scf")]
    (folder / "espresso.out").write_text(START + NOT_CONVERGED + DONE)
    with pytest.raises(CalculationError, match="3 remedies have been tried"):
        engine.go_on(folder, settings)
    # Written anew, it begins with an empty slate, and nothing of before is read.
    written(engine, folder, settings)
    assert engine.diagnose(folder).state is RunState.NOT_RUN
    assert read_output(folder) is None
    assert not read_retries(folder)


def test_an_exploded_geometry_begins_again_with_shorter_steps(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    folder = written(engine, tmp_path / "a", settings)
    first = (folder / "espresso.pwi").read_text()
    (folder / "espresso.out").write_text(START + STEP + NEXT.format(0.9) + STEP + STEP_LIMIT + DONE)
    assert engine.go_on(folder, settings) == "goes on from its last structure"
    moved = (folder / "espresso.pwi").read_text()
    assert "  H 0.100000000000 0.100000000000 0.900000000000\n" in moved
    for largest in ("0.2", "0.05"):
        (folder / "espresso.out").write_text(START + STEP + OVERLAP)
        assert "first structure; shorter steps" in engine.go_on(folder, settings)
        text = (folder / "espresso.pwi").read_text()
        assert value_in(text, "trust_radius_max") == largest
        assert text.partition("ATOMIC_POSITIONS")[2] == first.partition("ATOMIC_POSITIONS")[2]


def test_files_that_cannot_be_read_are_done_without(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    folder = written(engine, tmp_path / "a", settings)
    path = folder / "espresso.pwi"
    path.write_text(starting_from_files(path.read_text(), True))
    (folder / "espresso.out").write_text(START + UNREADABLE)
    assert "from densities of atoms" in engine.go_on(folder, settings)
    assert not value_in(path.read_text(), "startingpot")
    (folder / "espresso.out").write_text(START + UNREADABLE)  # it was something else
    assert engine.diagnose(folder).remedy == ""


def test_an_input_changes_only_where_it_must(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    text = (written(engine, tmp_path / "a", settings) / "espresso.pwi").read_text()
    assert with_structure(text, hydrogen()) == text
    started = starting_from_files(text, True)
    assert started != text
    assert starting_from_files(starting_from_files(started, True), False) == text
    cell = hydrogen()
    cell.set_cell(cell.cell.array * 1.1)
    assert with_structure(text, cell) == text  # the cell of a defect is as it was given
    host = text.replace("'relax'", "'vc-relax'")
    assert "  4.400000000000 0.000000000000 0.000000000000\n" in with_structure(host, cell)
    with pytest.raises(CalculationError, match="not those of the atoms in its output"):
        with_structure(text, Atoms("HHe", positions=hydrogen().positions, cell=[4, 4, 4]))


def test_an_input_changed_by_hand(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    text = (written(engine, tmp_path / "a", settings) / "espresso.pwi").read_text()
    text = re.sub(r"  mixing_beta = .*\n", "  MIXING_BETA=0.3, diago_full_acc = .true. ! mine\n", text)
    text = text.replace("0.850000000000\n", "0.850000000000 0 0 1\nOCCUPATIONS\n 2.0\n")
    assert value_in(text, "mixing_beta") == "0.3"
    mended = SCF.remedy(text, 0)
    assert mended is not None
    assert value_in(mended.text, "mixing_beta") == "0.075"
    assert "diago_full_acc = .true. ! mine" in mended.text
    assert "0.850000000000 0 0 1\nOCCUPATIONS\n 2.0\n" in with_structure(text, hydrogen())


def test_potentials_with_an_odd_core_change_the_multiplicity(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    """As those of lanthanides with some of their 4f electrons in the core."""
    potential = tmp_path / "pseudos" / "H.UPF"
    (tmp_path / "pseudos" / "Nd.UPF").write_text(
        potential.read_text().replace('element="H"', 'element="Nd"').replace('z_valence="1.0"', 'z_valence="11.0"')
    )
    atoms = Atoms("Nd", cell=[4, 4, 4], pbc=True)
    calculation = Calculation("t", atoms, engine.electronic_state(atoms, 0))
    notes = engine.write(tmp_path / "a", calculation, settings)
    assert "a multiplicity of 2 in place of 1" in notes[0]
    assert value_in((tmp_path / "a" / "espresso.pwi").read_text(), "tot_magnetization") == "1"


@needs_espresso
@pytest.mark.parametrize(("purpose", "charge"), [(Purpose.DEFECT, -1), (Purpose.HOST, 0)])
def test_a_run_in_two_pieces_is_read_back_as_the_reference_has_it(
    engine: EspressoEngine, tmp_path: Path, settings: str, purpose: Purpose, charge: int
) -> None:
    folder = written(engine, tmp_path / "v_He_0" / "Unperturbed", settings, purpose, charge)
    run(folder)
    assert engine.diagnose(folder).state is RunState.UNFINISHED
    assert engine.go_on(folder, settings) == "goes on from its last structure"
    assert ("startingpot" in (folder / "espresso.pwi").read_text()) is (purpose is Purpose.DEFECT)
    run(folder)
    output = read_output(folder)
    assert output is not None
    assert len(output.steps) == 3  # two of each run, one of them twice
    assert output.charge == charge
    assert output.method == "PBE"
    atoms = output.steps[0][1].atoms
    np.testing.assert_allclose(atoms.positions, hydrogen().positions, atol=1e-6)
    reference = load_reference(f"espresso:{settings}")
    evaluator = reference.evaluator(reference.electronic_state(atoms, charge))
    # In another cell the plane waves are others than those that a relaxation of the cell keeps.
    for _, step in output.steps if purpose is Purpose.DEFECT else output.steps[:1]:
        prediction = evaluator.evaluate(step.atoms)
        assert step.energy == pytest.approx(prediction.energy, abs=2e-5)  # positions have ten digits in its output
        np.testing.assert_allclose(step.forces, prediction.forces, atol=5e-4)
        assert prediction.stress is not None
        assert step.stress is not None
        np.testing.assert_allclose(step.stress, prediction.stress, atol=1e-5)


@needs_espresso
def test_a_hybrid_is_read_back_with_its_exact_exchange(engine: EspressoEngine, tmp_path: Path, settings: str) -> None:
    """pw.x prints the energy of PBE first, 0.2 eV higher, in the same form."""
    with Path(settings).open("a") as file:
        file.write('functional = "HSE06"\n')
    folder = written(engine, tmp_path / "a", settings)
    run(folder)
    output = read_output(folder)
    assert output is not None
    assert output.method == "HSE06"
    (_, first), (_, second) = output.steps
    # The work of the forces, by the trapezoidal rule, with units and signs of both.
    moved = second.atoms.positions - first.atoms.positions
    evaluator = load_reference(f"espresso:{settings}").evaluator(ElectronicState(0, 1))
    assert evaluator.evaluate(first.atoms).energy == pytest.approx(first.energy, abs=2e-5)
    middle = first.atoms.copy()
    middle.positions += moved / 2
    forces = (first.forces + 4 * evaluator.evaluate(middle).forces + second.forces) / 6
    assert first.energy - second.energy == pytest.approx(float((forces * moved).sum()), rel=0.01)


@needs_espresso
def test_a_relaxation_that_reaches_its_criterion_is_finished(
    engine: EspressoEngine, tmp_path: Path, settings: str
) -> None:
    with Path(settings).open("a") as file:
        file.write("force = 0.1\nwalltime = 0.5\n")
    Path(settings).write_text(Path(settings).read_text().replace("max_steps = 2", "max_steps = 40"))
    folder = written(engine, tmp_path / "a", settings)
    run(folder)
    assert engine.diagnose(folder).state is RunState.FINISHED
    output = read_output(folder)
    assert output is not None
    assert np.abs(output.steps[-1][1].forces).max() < 0.1
    (folder / ".keep").mkdir()
    (folder / "espresso.out").rename(folder / ".keep" / "espresso.out")
    engine.end_in_time(folder, 1.0)
    run(folder)
    assert "time limit" in engine.diagnose(folder).reason
