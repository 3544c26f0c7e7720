from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import CalculationError, SettingsError
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.references.base import ElectronicState
from defectscout.references.cp2k import load as load_reference
from defectscout.references.engines.base import Calculation, Engine, Purpose, RunState
from defectscout.references.engines.cp2k import Cp2kEngine, load
from defectscout.references.engines.cp2k_restart import remedy_for_scf, trim
from defectscout.references.engines.retries import read_retries
from references.cp2k_runs import data_files, hydrogen, needs_cp2k, run

START = "  **** **** ******  **  PROGRAM STARTED AT               2026-11-23 11:44:51.629\n"
END = "  **** **** ******  **  PROGRAM ENDED AT                 2026-11-23 11:45:02.938\n"
CONVERGED = "  *** SCF run converged in    10 steps ***\n ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:   -30.9\n"
UNCONVERGED = " *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***\n ENERGY| Total FORCE_EVAL energy   -30.1\n"
COMPLETED = " ***                    GEOMETRY OPTIMIZATION COMPLETED                      ***\n"
STEP_LIMIT = " *** MAXIMUM NUMBER OF OPTIMIZATION STEPS REACHED ***\n"
TIME_LIMIT = " *** SCF run terminated - exceeded requested execution time:       4.000 seconds.\n"
ABORT = """
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/           the basis set was not found in the basis set files         *
 *    |                                                                        *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                                 basis_set_types.F:1509 *
 *******************************************************************************
"""


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Cp2kEngine:
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path_factory.mktemp("data"))))
    return load("cp2k")


def written(engine: Cp2kEngine, folder: Path) -> Path:
    calculation = Calculation("v_Si_0 Unperturbed", hydrogen(), ElectronicState(0, 1))
    assert engine.write(folder, calculation, "quick") == ()
    return folder


def blocks(*steps: int) -> str:
    return "".join(f"       2\n i =   {step:6d}, E =     -1.1\n  H 0.0 0.0 0.1\n  H 0.0 0.0 0.9\n" for step in steps)


def test_the_engine_is_one(engine: Cp2kEngine) -> None:
    assert isinstance(engine, Engine)
    assert next(iter(engine.info.presets)) == "pbe"
    assert engine.info.order_kept


def test_input_is_written_with_cells_relaxed_for_hosts_alone(engine: Cp2kEngine, tmp_path: Path) -> None:
    text = (written(engine, tmp_path / "v_Si_0" / "Unperturbed") / "cp2k.inp").read_text()
    assert text.startswith("# v_Si_0 Unperturbed\n")
    assert "RUN_TYPE GEO_OPT" in text
    host = Calculation("bulk", hydrogen(), ElectronicState(0, 1), Purpose.HOST)
    engine.write(tmp_path / "bulk", host, "quick")
    assert "RUN_TYPE CELL_OPT" in (tmp_path / "bulk" / "cp2k.inp").read_text()


def test_a_run_is_told_when_to_end_unless_it_would_end_sooner(engine: Cp2kEngine, tmp_path: Path) -> None:
    path = written(engine, tmp_path) / "cp2k.inp"
    whole = path.read_text()
    for seconds, expected in ((7200.0, "7200"), (3420.4, "3420"), (5000.0, "3420")):
        engine.end_in_time(tmp_path, seconds)
        assert re.findall(r"^  WALLTIME (.*)$", path.read_text(), re.MULTILINE) == [expected]
    assert re.sub(r"^  WALLTIME .*\n", "", path.read_text(), flags=re.MULTILINE) == whole
    assert re.search(r"&GLOBAL\n(?:  .*\n)*  WALLTIME", path.read_text())


def test_an_unknown_preset_is_refused(engine: Cp2kEngine, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no preset 'paper'"):
        engine.write(tmp_path, Calculation("t", hydrogen(), ElectronicState(0, 1)), "paper")
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_calculation_left_is_set_aside(engine: Cp2kEngine, tmp_path: Path) -> None:
    """CP2K would append to its trajectory, and what it said is not of this one."""
    written(engine, tmp_path)
    (tmp_path / "cp2k-pos-1.xyz").write_text(blocks(1))
    (tmp_path / "slurm-7.out").write_text(START + CONVERGED + COMPLETED + END)
    (tmp_path / "job.sh").write_text("#!/bin/sh\n")
    assert engine.diagnose(tmp_path).state is RunState.FINISHED
    written(engine, tmp_path)
    assert engine.diagnose(tmp_path).state is RunState.NOT_RUN
    assert {path.name for path in tmp_path.iterdir()} == {"cp2k.inp", "job.sh", ".before.1"}
    assert {path.name for path in (tmp_path / ".before.1").iterdir()} == {"cp2k.inp", "cp2k-pos-1.xyz", "slurm-7.out"}


@pytest.mark.parametrize(
    ("output", "state", "reason", "remedy"),
    [
        (START + CONVERGED + COMPLETED + END, RunState.FINISHED, "", ""),
        (START + CONVERGED + STEP_LIMIT + END, RunState.UNFINISHED, "limit of steps after 2", "more steps"),
        (START + CONVERGED + TIME_LIMIT + UNCONVERGED + END, RunState.UNFINISHED, "time limit after 2", ""),
        (START + CONVERGED, RunState.RUNNING, "no end after 2 ionic steps: it runs, or was killed", ""),
        (START + CONVERGED + END, RunState.UNFINISHED, "without reaching its criterion", ""),
        (START + UNCONVERGED + COMPLETED + END, RunState.FAILED, "did not converge", "MINIMIZER CG"),
        (START + UNCONVERGED + CONVERGED + COMPLETED + END, RunState.FINISHED, "", ""),
        (START + ABORT, RunState.FAILED, "the basis set was not found in the basis set files", ""),
        (START + UNCONVERGED + END + START + CONVERGED + COMPLETED + END, RunState.FINISHED, "", ""),
        ("", RunState.NOT_RUN, "no output of CP2K", ""),
        ("slurmstepd: error: out of memory\n", RunState.NOT_RUN, "no output of CP2K", ""),
    ],
)
def test_how_a_calculation_stands(
    engine: Cp2kEngine, tmp_path: Path, output: str, state: RunState, reason: str, remedy: str
) -> None:
    written(engine, tmp_path)
    (tmp_path / "cp2k-pos-1.xyz").write_text(blocks(1, 2))
    (tmp_path / "cp2k.out").write_text(output)
    (tmp_path / "cp2k.1.out").write_text(START + UNCONVERGED + END)  # of the run before
    found = engine.diagnose(tmp_path)
    assert found.state is state
    assert reason in found.reason
    assert bool(found.reason) is (state is not RunState.FINISHED)
    assert remedy in found.remedy


def test_a_folder_that_is_not_there_has_not_run(engine: Cp2kEngine, tmp_path: Path) -> None:
    assert engine.diagnose(tmp_path / "nowhere").state is RunState.NOT_RUN
    with pytest.raises(CalculationError, match="nothing to go on from"):
        engine.go_on(tmp_path / "nowhere", "quick")


def test_a_finished_or_broken_calculation_does_not_go_on(engine: Cp2kEngine, tmp_path: Path) -> None:
    written(engine, tmp_path)
    before = (tmp_path / "cp2k.inp").read_text()
    (tmp_path / "cp2k.out").write_text(START + CONVERGED + COMPLETED + END)
    with pytest.raises(CalculationError, match="is finished"):
        engine.go_on(tmp_path, "quick")
    (tmp_path / "cp2k.out").write_text(START + ABORT)
    with pytest.raises(CalculationError, match="would end the same way: CP2K stopped after 0 ionic steps: the basis"):
        engine.go_on(tmp_path, "quick")
    assert (tmp_path / "cp2k.inp").read_text() == before
    assert (tmp_path / "cp2k.out").is_file()


def test_a_field_that_failed_is_mended_and_the_mending_recorded(engine: Cp2kEngine, tmp_path: Path) -> None:
    written(engine, tmp_path)
    (tmp_path / "slurm-1.out").write_text(START + UNCONVERGED + END)
    changed = engine.go_on(tmp_path, "quick")
    assert changed.startswith("begins again from its first structure")
    assert "MINIMIZER CG" in changed
    assert "MINIMIZER CG" in (tmp_path / "cp2k.inp").read_text()
    assert "MINIMIZER DIIS" in (tmp_path / "cp2k.1.inp").read_text()
    assert (tmp_path / "cp2k.1.out").read_text() == START + UNCONVERGED + END
    assert [(retry.run, retry.state, retry.failure) for retry in read_retries(tmp_path)] == [(1, "failed", "scf")]
    (tmp_path / "cp2k.out").write_text(START + UNCONVERGED + END)
    assert engine.diagnose(tmp_path).remedy == ""
    with pytest.raises(CalculationError, match="would end the same way"):
        engine.go_on(tmp_path, "quick")


def test_mixing_is_made_smaller_until_it_is_too_small() -> None:
    text, shares = "    &MIXING\n      ALPHA 0.4\n    &END MIXING\n", []
    while (mended := remedy_for_scf(text)) is not None:
        text = mended.text
        shares += re.findall(r"ALPHA (\S+)", text)
    assert shares == ["0.1", "0.025"]


def test_what_comes_again_is_cut(tmp_path: Path) -> None:
    (tmp_path / "cp2k-pos-1.xyz").write_text(blocks(1, 2, 3))
    (tmp_path / "cp2k-frc-1.xyz").write_text(blocks(1, 2) + "       2\n i =        3, E =     -1.1\n  H 0.0")
    (tmp_path / "cp2k-1.cell").write_text("# Step\n 1 0.0 4.0\n 2 0.0 4.0\n 3 0.0 4.0\n")
    (tmp_path / "cp2k-1.stress").write_text("# Step\n 1 0.0 4.0\n 2 0.0 4.0\n")
    cut = trim(tmp_path, "cp2k", 2)
    assert len(cut) == 3
    assert (tmp_path / "cp2k-pos-1.xyz").read_text() == (tmp_path / "cp2k-frc-1.xyz").read_text() == blocks(1, 2)
    assert (tmp_path / "cp2k-1.cell").read_text() == "# Step\n 1 0.0 4.0\n 2 0.0 4.0\n"
    assert trim(tmp_path, "cp2k", 2) == ()


def frames(folder: Path) -> list[LabelledFrame]:
    read = list(read_source(folder, SourceDefaults(host="H2")))
    assert all(isinstance(frame, LabelledFrame) for frame in read), read
    return [frame for frame in read if isinstance(frame, LabelledFrame)]


@needs_cp2k
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_run_in_two_pieces_is_read_back_as_the_reference_has_it(purpose: Purpose, tmp_path: Path) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text(
        'preset = "quick"\ncutoff = 200\neps_scf = 1e-7\nmax_steps = 2\nforce = 0.05\nhost_force = 0.3\n'
    )
    folder = tmp_path / ("bulk" if purpose is Purpose.HOST else "v_He_-1") / "Unperturbed"
    engine, atoms = load("cp2k"), hydrogen()
    state = ElectronicState(0, 1) if purpose is Purpose.HOST else engine.electronic_state(atoms, -1)
    engine.write(folder, Calculation("test", atoms, state, purpose), str(settings))
    run(folder)
    assert engine.diagnose(folder).state is RunState.UNFINISHED
    # As if it had been killed after the positions of another step, with forces cut in the middle.
    for name, rest in (("cp2k-pos-1.xyz", blocks(3)), ("cp2k-frc-1.xyz", blocks(3)[:40])):
        with (folder / name).open("a") as file:
            file.write(rest)
    changed = engine.go_on(folder, str(settings))
    assert changed.startswith("goes on from ionic step 2; cut what cp2k-pos-1.xyz had")
    run(folder)
    read = frames(folder)
    assert len(read) == 5
    assert [frame.origin.step for frame in read] == [0, 1, 2, 3, 4]
    assert all(frame.scf_converged for frame in read)
    assert [frame.origin.charge for frame in read] == [state.charge] * 5
    np.testing.assert_allclose(read[0].atoms.positions, atoms.positions, atol=1e-10)
    evaluator = load_reference(f"cp2k:{settings}").evaluator(state)
    for frame in read:
        prediction = evaluator.evaluate(frame.atoms)
        assert frame.prediction.energy == pytest.approx(prediction.energy, abs=1e-6)
        np.testing.assert_allclose(frame.prediction.forces, prediction.forces, atol=1e-4)
        assert prediction.stress is not None
        assert frame.prediction.stress is not None
        np.testing.assert_allclose(frame.prediction.stress, prediction.stress, atol=1e-5)


@needs_cp2k
def test_a_relaxation_that_reaches_its_criterion_is_finished(tmp_path: Path) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text('preset = "quick"\ncutoff = 200\nforce = 0.05\n')
    folder, engine, atoms = tmp_path / "bulk", load("cp2k"), hydrogen()
    engine.write(folder, Calculation("test", atoms, ElectronicState(0, 1)), str(settings))
    run(folder)
    assert engine.diagnose(folder).state is RunState.FINISHED
    read = frames(folder)
    assert np.abs(read[-1].prediction.forces).max() < 0.05
    assert len({round(frame.prediction.energy, 9) for frame in read}) == len(read)


@needs_cp2k
def test_a_run_whose_field_fails_is_failed_and_goes_on_mended(tmp_path: Path) -> None:
    folder, engine = tmp_path / "bulk", load("cp2k")
    settings = tmp_path / "mine.toml"
    settings.write_text('preset = "quick"\nmax_scf = 1\nmax_outer_scf = 1\nmax_steps = 1\n')
    engine.write(folder, Calculation("test", hydrogen(), ElectronicState(0, 1)), str(settings))
    run(folder)
    found = engine.diagnose(folder)
    assert found.state is RunState.FAILED
    assert "did not converge" in found.reason
    assert "MINIMIZER CG" in engine.go_on(folder, str(settings))
