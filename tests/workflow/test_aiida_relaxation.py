"""Relaxations as AiiDA's jobs, with a program that stands in for CP2K and ends in every way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiida", reason="AiiDA is not installed: pip install 'defectscout[aiida]'")

from aiida import engine, orm
from aiida.plugins import CalculationFactory, ParserFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk

from defectscout.references.engines.base import RunState
from defectscout.references.engines.registry import load_engine
from defectscout.references.engines.retries import read_retries
from defectscout.workflow.aiida.data import to_atoms, to_node, unpack
from defectscout.workflow.aiida.functions import write_inputs
from defectscout.workflow.aiida.parsers import RelaxationParser
from defectscout.workflow.aiida.relaxation import RelaxationCalculation
from defectscout.workflow.aiida.restarts import RelaxationWorkChain
from defectscout.workflow.aiida.scouting import ScoutingCalculation
from defectscout.workflow.aiida.search import SearchWorkChain
from defectscout.workflow.aiida.tasks import RelaxationTask, task_to_dict
from model_crystal import reference
from references.cp2k_runs import hydrogen, needs_cp2k
from workflow.aiida_campaigns import stand_in

pytest_plugins = ["aiida.tools.pytest_fixtures"]

OPTIONS = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}


@pytest.fixture
def code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiida_profile_clean: object, aiida_code_installed: Any
) -> Any:
    """CP2K's stand-in on this machine."""
    return aiida_code_installed(label="cp2k", filepath_executable=str(stand_in(tmp_path, monkeypatch)))


def crystal() -> Atoms:
    """Rocksalt MgS with one atom out of its place."""
    atoms = bulk("MgS", "rocksalt", a=5.8, cubic=True) * 2
    atoms.positions[0] += (0.2, 0.1, 0.0)
    return atoms


def task(title: str = "v_Mg_0 Unperturbed", name: str = "cp2k") -> orm.Dict:
    return orm.Dict(task_to_dict(RelaxationTask(name, "quick", title, 0, 1)))


def relax(code: orm.AbstractCode, max_iterations: int = 5) -> tuple[dict[str, Any], orm.WorkChainNode]:
    results, node = engine.run_get_node(
        RelaxationWorkChain,
        structure=to_node(crystal(), "crystal"),
        task=task(),
        code=code,
        options=orm.Dict(OPTIONS),
        max_iterations=orm.Int(max_iterations),
    )
    return results, node


def jobs_of(node: orm.WorkChainNode) -> list[orm.CalcJobNode]:
    jobs = [called for called in node.called if isinstance(called, orm.CalcJobNode)]
    return sorted(jobs, key=lambda job: job.pk)


def test_aiida_finds_what_the_entry_points_name() -> None:
    assert CalculationFactory("defectscout.relaxation") is RelaxationCalculation
    assert CalculationFactory("defectscout.scouting") is ScoutingCalculation
    assert ParserFactory("defectscout.relaxation") is RelaxationParser
    assert WorkflowFactory("defectscout.relaxation") is RelaxationWorkChain
    assert WorkflowFactory("defectscout.search") is SearchWorkChain


def test_structures_come_back_as_they_went(aiida_profile_clean: object) -> None:
    atoms = hydrogen()
    atoms.positions += np.random.default_rng(1).normal(size=(2, 3))
    node = to_node(atoms).store()
    again = to_atoms(orm.load_node(node.pk))
    # AiiDA keeps 14 digits.
    assert np.allclose(again.positions, atoms.positions, rtol=1e-13, atol=0)
    assert np.allclose(again.cell.array, atoms.cell.array, rtol=1e-13, atol=0)
    assert list(again.numbers) == list(atoms.numbers)


def test_a_relaxation_that_ends_well(code: Any) -> None:
    results, node = relax(code)
    assert node.is_finished_ok, node.exit_message
    assert len(jobs_of(node)) == 1
    summary = results["summary"].get_dict()
    assert summary["state"] == "finished"
    trajectory = results["trajectory"]
    assert summary["steps"] == len(trajectory.get_array("energies"))
    relaxed = to_atoms(results["relaxed"])
    relaxed.calc = reference()
    # What the model itself says of the last structure: units and order of atoms are right.
    assert relaxed.get_potential_energy() == pytest.approx(summary["energy"], abs=1e-6)
    assert np.abs(relaxed.get_forces() - trajectory.get_array("forces")[-1]).max() < 1e-5
    assert trajectory.get_array("energies")[-1] == pytest.approx(summary["energy"])
    first = Atoms(
        numbers=crystal().numbers, positions=trajectory.get_array("positions")[0], cell=crystal().cell, pbc=True
    )
    assert np.abs(first.positions - crystal().positions).max() < 1e-6
    # From the structure to the result through inputs and job.
    job = jobs_of(node)[0]
    assert job.inputs.files.creator.inputs.structure.uuid == node.inputs.structure.uuid
    assert results["relaxed"].creator.uuid == job.uuid


@pytest.mark.parametrize(
    ("mode", "status"),
    [("walltime", "ERROR_UNFINISHED"), ("killed", "ERROR_INTERRUPTED"), ("scf", "ERROR_FAILED_WITH_REMEDY")],
)
def test_a_relaxation_that_needs_a_second_job(
    code: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, status: str
) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", mode)
    results, node = relax(code)
    assert node.is_finished_ok, node.exit_message
    first, second = jobs_of(node)
    assert first.exit_status == RelaxationCalculation.exit_codes[status].status
    assert second.inputs.parent_folder.uuid == first.outputs.remote_folder.uuid
    # The steps of both runs, each once.
    steps = results["trajectory"].get_array("steps")
    assert list(steps) == list(range(len(steps)))
    energies = results["trajectory"].get_array("energies")
    assert energies[-1] < energies[0]
    unpack([second.inputs.files, second.outputs.retrieved], tmp_path / "all")
    assert (tmp_path / "all" / "cp2k.1.out").is_file()
    assert [retry.run for retry in read_retries(tmp_path / "all")] == [1]
    assert load_engine("cp2k").diagnose(tmp_path / "all").state is RunState.FINISHED
    # What earlier runs have left is kept, but not sent to the computer again.
    sent = second.base.repository.list_object_names()
    assert "cp2k.inp" in sent
    assert "cp2k.1.out" not in sent


def test_a_job_that_was_lost_runs_again_as_it_was(code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "lost")
    _, node = relax(code)
    assert node.is_finished_ok, node.exit_message
    first, second = jobs_of(node)
    assert first.exit_status == RelaxationCalculation.exit_codes.ERROR_NO_OUTPUT.status
    assert first.inputs.files.uuid == second.inputs.files.uuid


def test_a_failure_without_a_remedy_left_is_final(code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "broken")
    results, node = relax(code)
    assert node.exit_status == RelaxationWorkChain.exit_codes.ERROR_FAILED.status
    assert "self-consistent field" in node.exit_message
    # With conjugate gradients, and then no more.
    assert [job.exit_status for job in jobs_of(node)] == [420, 430]
    assert results["summary"]["state"] == "failed"


def test_one_that_never_ends_stops_after_so_many_jobs(code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "endless")
    results, node = relax(code, max_iterations=2)
    assert node.exit_status == RelaxationWorkChain.exit_codes.ERROR_MAXIMUM_ITERATIONS_EXCEEDED.status
    assert len(jobs_of(node)) == 2
    assert results["summary"]["state"] == "unfinished"
    assert results["summary"]["steps"] == 3


def test_bad_output_is_no_exception(code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "garbage")
    _, node = relax(code, max_iterations=2)
    assert [job.exit_status for job in jobs_of(node)] == [310, 310]
    assert node.is_finished


def test_an_element_without_a_basis_set_is_said(code: Any) -> None:
    structure = to_node(Atoms("U", cell=[4, 4, 4], pbc=True))
    _, node = engine.run_get_node(RelaxationWorkChain, structure=structure, task=task(), code=code)
    assert node.exit_status == RelaxationWorkChain.exit_codes.ERROR_NO_INPUT.status
    assert "U" in node.exit_message
    assert not jobs_of(node)


def test_an_engine_that_is_only_written_is_refused(code: Any) -> None:
    with pytest.raises(ValueError, match="by hand"):
        engine.run(
            RelaxationCalculation,
            structure=to_node(crystal()),
            files=orm.FolderData(),
            task=task(name="castep"),
            code=code,
        )


def test_potentials_are_stored_nowhere(
    aiida_profile_clean: object, aiida_code_installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """POTCAR goes to the computer and into no node."""
    from defectscout.references.engines import vasp_inputs

    monkeypatch.setattr(vasp_inputs, "_potcar", lambda inputs: ("a licensed potential\n", ""))
    script = tmp_path / "vasp"
    script.write_text("#!/bin/sh\ncp POTCAR seen; cat POTCAR > /dev/null && echo ok\n")
    script.chmod(0o755)
    code = aiida_code_installed(label="vasp", filepath_executable=str(script))
    asked = orm.Dict(task_to_dict(RelaxationTask("vasp", "pbe", "v_Mg_0 Unperturbed", 0, 1)))
    structure = to_node(crystal())
    files = write_inputs(structure=structure, task=asked)
    assert "POTCAR" not in files.base.repository.list_object_names()
    assert "INCAR" in files.base.repository.list_object_names()
    _, job = engine.run_get_node(RelaxationCalculation, structure=structure, files=files, task=asked, code=code)
    assert "POTCAR" not in job.base.repository.list_object_names()
    assert "POTCAR" not in job.outputs.retrieved.base.repository.list_object_names()
    assert "seen" in job.outputs.remote_folder.listdir()
    assert job.exit_status == RelaxationCalculation.exit_codes.ERROR_NO_OUTPUT.status


@needs_cp2k
@pytest.mark.slow
def test_cp2k_itself(aiida_profile_clean: object, aiida_code_installed: Any, tmp_path: Path) -> None:
    import shutil

    from defectscout.references.cp2k import PROGRAMS

    program = next(path for name in PROGRAMS if (path := shutil.which(name)))
    code = aiida_code_installed(label="cp2k", filepath_executable=program)
    text = 'preset = "quick"\nforce = 0.5\n'
    asked = RelaxationTask("cp2k", "mine.toml", "H2", 0, 1, preset_text=text)
    options = {**OPTIONS, "environment_variables": {"OMP_NUM_THREADS": "1"}}
    results, node = engine.run_get_node(
        RelaxationWorkChain,
        structure=to_node(hydrogen()),
        task=orm.Dict(task_to_dict(asked)),
        code=code,
        options=orm.Dict(options),
    )
    assert node.is_finished_ok, node.exit_message
    assert results["summary"]["method"] == "PBE"
    assert results["trajectory"].get_array("energies")[-1] < results["trajectory"].get_array("energies")[0]
