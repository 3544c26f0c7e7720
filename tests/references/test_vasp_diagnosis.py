"""How VASP runs stand, on folders made by hand and on real output."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.references.engines.base import Engine, RunState
from defectscout.references.engines.vasp import load
from defectscout.references.engines.vasp_failures import FAILURES, find_failure
from learning.vasp_files import VaspSettings, vasprun
from references.vasp_runs import folder_with, ionic_steps, outcar_text, pair

VASP = load("vasp")
CONVERGED = ionic_steps([0.5, 0.1, 0.008])
HALF_WAY = ionic_steps([0.5, 0.3, 0.2])


def test_it_is_an_engine() -> None:
    assert isinstance(VASP, Engine)
    assert next(iter(VASP.info.presets)) == "shakenbreak"


def test_nothing_there(tmp_path: Path) -> None:
    assert VASP.diagnose(tmp_path / "nowhere").state is RunState.NOT_RUN
    assert VASP.diagnose(folder_with(tmp_path / "a")).state is RunState.NOT_RUN


def test_finished(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a", outcar_text(CONVERGED, reached=True))
    found = VASP.diagnose(folder)
    assert (found.state, found.reason, found.remedy) == (RunState.FINISHED, "", "")


def test_finished_and_packed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a")
    (folder / "OUTCAR.gz").write_bytes(gzip.compress(outcar_text(CONVERGED, reached=True).encode()))
    assert VASP.diagnose(folder).state is RunState.FINISHED


def test_finished_by_the_forces_of_vasprun(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a")
    settings = '<incar><i name="EDIFFG"> -0.01</i><i type="int" name="NSW"> 300</i></incar>'
    text = vasprun(CONVERGED, VaspSettings()).replace("<modeling>", f"<modeling>{settings}", 1)
    (folder / "vasprun.xml").write_text(text)
    assert VASP.diagnose(folder).state is RunState.FINISHED
    # A run that a STOPCAR ended has fewer steps than NSW and a complete file, too; its forces tell.
    stopped = vasprun(HALF_WAY, VaspSettings()).replace("<modeling>", f"<modeling>{settings}", 1)
    (folder / "vasprun.xml").write_text(stopped)
    found = VASP.diagnose(folder)
    assert found.state is RunState.UNFINISHED
    assert "after 3 ionic steps" in found.reason
    assert "0.200 eV/Å" in found.reason


def test_finished_by_what_was_printed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a", screen="   1 F= -.5\n reached required accuracy - stopping\n")
    (folder / "OSZICAR").write_text(
        "       N       E\nDAV:   1  -0.1\nDAV:   2  -0.2\n   1 F= -.50E+01 E0= -.50E+01  d E =-.5E+01\n"
    )
    assert VASP.diagnose(folder).state is RunState.FINISHED


def test_step_limit_and_stopcar(tmp_path: Path) -> None:
    limit = VASP.diagnose(folder_with(tmp_path / "a", outcar_text(HALF_WAY, nsw=3)))
    assert limit.state is RunState.UNFINISHED
    assert "step limit, NSW = 3" in limit.reason
    end = " General timing"
    text = outcar_text(HALF_WAY).replace(end, f" soft stop encountered!  aborting job ...\n{end}")
    stopped = VASP.diagnose(folder_with(tmp_path / "b", text))
    assert stopped.state is RunState.UNFINISHED
    assert "STOPCAR" in stopped.reason


def test_walltime(tmp_path: Path) -> None:
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    message = "slurmstepd: error: *** JOB 45 ON n1 CANCELLED AT 2024-01-01T00:00:00 DUE TO TIME LIMIT ***\n"
    found = VASP.diagnose(folder_with(tmp_path / "a", cut, message))
    assert found.state is RunState.UNFINISHED
    assert "walltime" in found.reason
    # Before the first step there is nothing to go on from, and the same time would not do.
    early = VASP.diagnose(folder_with(tmp_path / "b", cut.partition("POSITION")[0], message))
    assert early.state is RunState.FAILED
    assert "more time" in early.reason
    assert early.remedy == ""


def test_running(tmp_path: Path) -> None:
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    found = VASP.diagnose(folder_with(tmp_path / "a", cut))
    assert found.state is RunState.RUNNING
    assert "3 ionic steps" in found.reason


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 1.0))
def test_cut_anywhere_it_has_not_finished(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    whole = outcar_text(HALF_WAY)
    text = whole[: int(share * len(whole.partition(" General timing")[0]))]
    folder = folder_with(tmp_path_factory.mktemp("cut"), text)
    assert VASP.diagnose(folder).state in (RunState.NOT_RUN, RunState.RUNNING)
    packed = gzip.compress(whole.encode())
    (folder / "OUTCAR").unlink()
    (folder / "OUTCAR.gz").write_bytes(packed[: int(share * (len(packed) - 60))])
    assert VASP.diagnose(folder).state in (RunState.NOT_RUN, RunState.RUNNING)


def test_no_electronic_convergence(tmp_path: Path) -> None:
    """VASP may take the forces of such a step for small ones."""
    steps = ionic_steps([0.5, 0.005], electronic=60)
    for number, scf in enumerate((False, None)):  # said in VASP 6, to be counted before
        found = VASP.diagnose(folder_with(tmp_path / str(number), outcar_text(steps, reached=True, scf=scf)))
        assert found.state is RunState.FAILED
        assert "did not converge in all 2 ionic steps" in found.reason
        assert found.remedy.startswith("ALGO Normal → All")  # Fast is not for hybrids


def test_only_the_first_step_did_not_converge(tmp_path: Path) -> None:
    steps = [*ionic_steps([0.5], electronic=60), *ionic_steps([0.2, 0.008])]
    assert VASP.diagnose(folder_with(tmp_path, outcar_text(steps, reached=True, scf=None))).state is RunState.FINISHED


def test_exploding_geometry(tmp_path: Path) -> None:
    found = VASP.diagnose(folder_with(tmp_path / "a", outcar_text(ionic_steps([5.0, 2500.0]))))
    assert found.state is RunState.FAILED
    assert "2500 eV/Å" in found.reason
    assert found.remedy == "POTIM 0.5 → 0.25, from the starting structure"
    close = VASP.diagnose(folder_with(tmp_path / "b", outcar_text(HALF_WAY), contcar=pair(1.2)))
    assert close.state is RunState.FAILED
    assert "two atoms have come" in close.reason


def test_an_explosion_that_may_still_go_on(tmp_path: Path) -> None:
    """No file of a calculation must be touched while it runs."""
    cut = outcar_text(ionic_steps([5.0, 2500.0])).partition(" General timing")[0]
    found = VASP.diagnose(folder_with(tmp_path / "a", cut))
    assert found.state is RunState.RUNNING
    assert "stop it" in found.reason
    assert found.remedy.startswith("POTIM")
    assert VASP.diagnose(folder_with(tmp_path / "b", cut, "Killed\n")).state is RunState.FAILED


def test_custodian_names_what_is_not_known_here(tmp_path: Path) -> None:
    pytest.importorskip("custodian.vasp.handlers")
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    message = " internal error in SET_CORE_WF\nMPI_ABORT was invoked\n"
    assert "(custodian: set_core_wf)" in VASP.diagnose(folder_with(tmp_path, cut, message)).reason


def test_forces_that_do_not_fit_their_columns(tmp_path: Path) -> None:
    text = outcar_text(HALF_WAY).replace("      0.200000", "**************")
    assert "explodes" in VASP.diagnose(folder_with(tmp_path, text)).reason


def test_positive_energy(tmp_path: Path) -> None:
    found = VASP.diagnose(folder_with(tmp_path, outcar_text(ionic_steps([0.5, 0.4], energy=40.0))))
    assert found.state is RunState.FAILED
    assert "positive" in found.reason


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (" ZBRENT: fatal error in bracketing\n", "EDIFF 1e-05 → 1e-06, NELMIN = 8, from the last structure"),
        (" Error EDDDAV: Call to ZHEGV failed. Returncode =  7\n", "ALGO Normal → All"),
        (" inverse of rotation matrix was not found (increase SYMPREC)\n", "SYMPREC = 1e-4"),
        (" BRIONS problems: POTIM should be increased\n", "POTIM 0.5 → 0.6"),
        (" REAL_OPTLAY: internal error (1)\n", "LREAL Auto → .FALSE."),
        (" LAPACK: Routine ZPOTRF failed!\n", "POTIM 0.5 → 0.25, from the starting structure"),
        ("forrtl: severe (174): SIGSEGV, segmentation fault occurred\n", "from the last structure"),
    ],
)
def test_errors_that_stop_it(tmp_path: Path, message: str, remedy: str) -> None:
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    found = VASP.diagnose(folder_with(tmp_path, cut, message))
    assert found.state is RunState.FAILED
    assert found.remedy.startswith(remedy)


def test_a_warning_alone_does_not_stop_it(tmp_path: Path) -> None:
    """VASP writes BRMIX in charged cells that are well, too."""
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    message = " BRMIX: very serious problems\n"
    assert VASP.diagnose(folder_with(tmp_path / "a", cut, message)).state is RunState.RUNNING
    whole = outcar_text(CONVERGED, reached=True)
    assert VASP.diagnose(folder_with(tmp_path / "b", whole, message)).state is RunState.FINISHED
    crashed = VASP.diagnose(folder_with(tmp_path / "c", cut, message + "MPI_ABORT was invoked\n"))
    assert crashed.state is RunState.FAILED
    assert "BRMIX" in crashed.reason


def test_out_of_memory_has_no_remedy(tmp_path: Path) -> None:
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    found = VASP.diagnose(folder_with(tmp_path, cut, "slurmstepd: error: Detected 1 oom-kill event(s)\n"))
    assert (found.state, found.remedy) == (RunState.FAILED, "")
    assert "memory" in found.reason


def test_before_any_output(tmp_path: Path) -> None:
    found = VASP.diagnose(folder_with(tmp_path, screen=" Error reading item 'ENCUT' from file INCAR.\n"))
    assert found.state is RunState.FAILED
    assert "cannot read its input" in found.reason


def test_only_the_newest_job_speaks(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, outcar_text(HALF_WAY).partition(" General timing")[0])
    (folder / "slurm-99.out").write_text(" ZBRENT: fatal error in bracketing\n")
    (folder / "slurm-100.out").write_text(" running on 40 nodes\n")
    assert VASP.diagnose(folder).state is RunState.RUNNING
    (folder / "slurm-101.out").write_text(" ZBRENT: fatal error in bracketing\n")
    assert VASP.diagnose(folder).state is RunState.FAILED


def test_the_last_of_numbered_folders(tmp_path: Path) -> None:
    folder_with(tmp_path / "run1", outcar_text(HALF_WAY, nsw=3))
    folder_with(tmp_path / "run2", outcar_text(CONVERGED, reached=True))
    assert VASP.diagnose(tmp_path).state is RunState.FINISHED


def test_messages_are_those_of_custodian() -> None:
    handlers = pytest.importorskip("custodian.vasp.handlers")
    known = {message for messages in handlers.VaspErrorHandler.error_msgs.values() for message in messages}
    shared = [message for failure in FAILURES for message in failure.messages if message in known]
    assert len(shared) >= 25
    for name in ("zbrent", "brions", "edddav", "inv_rot_mat", "brmix", "eddrmm", "too_few_bands", "coef"):
        for message in handlers.VaspErrorHandler.error_msgs[name]:
            found = find_failure(f"... {message} ...", stopping=False)
            assert found is not None
            assert found.name == name


def test_real_runs_have_finished(shared_data: Path) -> None:
    folders = sorted({path.parent for path in (shared_data / "dft_raw" / "CdTe_HSE").rglob("OUTCAR.gz")})
    assert len(folders) == 3
    for folder in folders:
        assert VASP.diagnose(folder).state is RunState.FINISHED


def test_a_real_run_cut_short(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "dft_raw" / "CdTe_HSE" / "v_Cd_-2" / "Rattled" / "OUTCAR.gz", "rt") as file:
        lines = file.readlines()
    for share in np.linspace(0.05, 0.95, 4):
        (tmp_path / "OUTCAR").write_text("".join(lines[: int(share * len(lines))]))
        assert VASP.diagnose(tmp_path).state is RunState.RUNNING
