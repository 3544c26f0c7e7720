"""What submitting needs, as far as it can be had without AiiDA."""

from __future__ import annotations

import io
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import read
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.core.errors import CalculationError, InputFileError, SettingsError, UnknownMethodError
from defectscout.references.engines import vasp_inputs
from defectscout.references.engines.base import Purpose, RunnableEngine
from defectscout.references.engines.registry import load_engine
from defectscout.sampling.poscar import poscar_text
from defectscout.workflow.aiida.links import candidate_key, defect_keys
from defectscout.workflow.aiida.options import default_options, options_from, read_options
from defectscout.workflow.aiida.record import Submission, read_submission, write_submission
from defectscout.workflow.aiida.snapshots import adopt, is_scouted, rename_surrogate, surrogate_name
from defectscout.workflow.aiida.tasks import (
    LEFT_OUT,
    RelaxationTask,
    in_given_order,
    leave_out,
    put_back,
    read_preset,
    runnable_engine,
    task_from_dict,
    task_to_dict,
    usable_preset,
    write_task,
)
from defectscout.workflow.aiida.weights import name_there, weights_of
from defectscout.workflow.campaign import reopen_campaign
from defectscout.workflow.search import Until, search
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.status import Standing, status
from workflow.aiida_campaigns import SURROGATE, make_campaign
from workflow.cp2k_stand_in import data_files

TASK = RelaxationTask("vasp", "pbe", "v_Mg_0 Unperturbed", 0, 1, "v_Mg_0", "Unperturbed")


def cell() -> Atoms:
    """Atoms in another order than VASP's files have them."""
    places = [[0.0, 0.0, 0.0], [2.9, 0.0, 0.0], [0.0, 2.9, 0.0], [0.0, 0.0, 2.9]]
    return Atoms("SMgSMg", places, cell=[5.8, 5.8, 5.8], pbc=True)


# how engines are run


@pytest.mark.parametrize("name", ["vasp", "cp2k", "espresso"])
def test_engines_say_how_they_are_run(name: str) -> None:
    engine = load_engine(name)
    if name == "espresso" and not isinstance(engine, RunnableEngine):
        pytest.skip("the engine cannot be run through a queue")
    execution = runnable_engine(name).execution
    assert execution.stdout in execution.retrieve
    assert execution.stderr in execution.retrieve
    assert not set(execution.secret) & set(execution.retrieve)


@pytest.mark.parametrize("name", ["castep", "fhi-aims"])
def test_engines_whose_output_is_not_read_are_refused(name: str) -> None:
    with pytest.raises(UnknownMethodError, match=r"by hand.*cp2k"):
        runnable_engine(name)


def test_what_a_run_leaves_is_history_after_going_on() -> None:
    """The patterns match the names that going on gives, and nothing that the next run needs."""
    vasp = runnable_engine("vasp").execution.history
    assert all(any(fnmatch(name, pattern) for pattern in vasp) for name in ("OUTCAR.1", "vasp.out.2", "POSCAR.1"))
    cp2k = runnable_engine("cp2k").execution
    assert all(any(fnmatch(name, one) for one in cp2k.history) for name in ("cp2k.1.out", "cp2k.12.inp"))
    for execution in (runnable_engine("vasp").execution, cp2k):
        for name in (*execution.retrieve, "POSCAR", "INCAR", "KPOINTS", "cp2k.inp", "cp2k-1.restart"):
            assert not any(fnmatch(name, pattern) for pattern in execution.history)


# tasks


def test_tasks_survive_as_plain_data() -> None:
    host = RelaxationTask("cp2k", "mine.toml", "bulk", 0, None, purpose=Purpose.HOST, preset_text="cutoff = 300\n")
    for task in (TASK, host):
        assert task_from_dict(task_to_dict(task)) == task


def test_a_preset_in_a_file_travels_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("cutoff = 300\n")
    text = read_preset(str(path))
    path.unlink()
    with usable_preset(str(path), text) as there:
        assert Path(there).read_text() == "cutoff = 300\n"
    with usable_preset("pbe", read_preset("pbe")) as name:
        assert name == "pbe"
    with pytest.raises(InputFileError, match=r"mine\.toml"):
        read_preset(str(path))


def test_potentials_are_left_out_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vasp_inputs, "_potcar", lambda inputs: ("a licensed potential\n", ""))
    write_task(tmp_path, cell(), TASK)
    assert (tmp_path / "POTCAR").is_file()
    leave_out(tmp_path, TASK)
    assert not (tmp_path / "POTCAR").exists()
    assert "licensed" not in (tmp_path / LEFT_OUT).read_text()
    assert put_back(tmp_path, cell(), TASK) == ("POTCAR",)
    assert (tmp_path / "POTCAR").read_text() == "a licensed potential\n"
    monkeypatch.setattr(vasp_inputs, "_potcar", lambda inputs: ("another potential\n", ""))
    with pytest.raises(CalculationError, match="another on this machine"):
        put_back(tmp_path, cell(), TASK)
    monkeypatch.setattr(vasp_inputs, "_potcar", lambda inputs: (None, "PMG_VASP_PSP_DIR of pymatgen is not set"))
    with pytest.raises(CalculationError, match="PMG_VASP_PSP_DIR"):
        put_back(tmp_path, cell(), TASK)


def test_atoms_come_back_in_the_order_that_was_given() -> None:
    start = cell()
    sorted_atoms = read(io.StringIO(poscar_text(start, "t")), format="vasp")
    assert sorted_atoms.get_chemical_symbols() != start.get_chemical_symbols()
    again = sorted_atoms[in_given_order(start, sorted_atoms, TASK)]
    assert again.get_chemical_symbols() == start.get_chemical_symbols()
    assert abs(again.positions - start.positions).max() < 1e-9
    with pytest.raises(CalculationError, match="other atoms"):
        in_given_order(start, start[:2], TASK)


# options of a job


def test_options_in_the_form_that_aiida_takes(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text(
        'num_machines = 2\nnum_mpiprocs_per_machine = 64\nmax_wallclock_seconds = 86400\nqueue_name = "standard"\n'
        'prepend_text = """\nmodule load cp2k\n"""\nwithmpi = true\n[environment_variables]\nOMP_NUM_THREADS = "1"\n'
    )
    options = read_options(path)
    assert options["resources"] == {"num_machines": 2, "num_mpiprocs_per_machine": 64}
    assert options["environment_variables"] == {"OMP_NUM_THREADS": "1"}
    assert options["max_wallclock_seconds"] == 86400
    assert options["withmpi"] is True


def test_resources_in_a_table_of_their_own_and_none_at_all() -> None:
    assert options_from({"resources": {"tot_num_mpiprocs": 8}}, "t") == {"resources": {"tot_num_mpiprocs": 8}}
    assert options_from({}, "t") == default_options()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_wallclock_second": 3}, "Did you mean 'max_wallclock_seconds'"),
        ({"queue": "short"}, "Did you mean 'queue_name'"),
        ({"resources": {"num_machine": 1}}, "Did you mean 'num_machines'"),
        ({"resources": 3}, "no table"),
        ({"num_machines": 0}, "positive integer"),
        ({"num_machines": True}, "positive integer"),
        ({"withmpi": "yes"}, "true or false"),
        ({"max_wallclock_seconds": "24:00:00"}, "positive integer"),
        ({"environment_variables": "A=1"}, "a table"),
    ],
)
def test_bad_options_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        options_from(values, "options.toml")


# names


def test_names_of_links() -> None:
    assert candidate_key(3, 12) == "d003_c012"
    keys = defect_keys(("v_Cd_-1", "v_Cd_+1", "v_Cd_0", "Te_i_C3v_Cd2.71_-2", "v_Cd_m1"))
    assert keys["v_Cd_-1"] == "v_Cd_m1"
    assert keys["v_Cd_m1"] == "v_Cd_m1_2"
    assert len(set(keys.values())) == 5
    assert all("__" not in key and key.isidentifier() for key in keys.values())


def test_weights_go_along_where_they_are_files_of_this_machine(tmp_path: Path) -> None:
    model, engine = tmp_path / "model", tmp_path / "engine.py"
    model.mkdir()
    engine.touch()
    assert weights_of(str(model)) == model
    assert name_there(str(model)) == "./surrogate/model"
    assert weights_of(f"mace:{model}") == model
    assert name_there(f"mace:{model}") == "mace:surrogate/model"
    assert weights_of(f"ase:{engine}:make") == engine
    assert name_there(f"ase:{engine}:make") == "ase:surrogate/engine.py:make"
    for name in ("chgnet", "7net-0", "m3gnet:M3GNet-MP-2021.2.8-PES", "ase:package.module:make"):
        assert weights_of(name) is None


# campaigns


@pytest.fixture(scope="module")
def scouted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("scouted")
    return make_campaign(base, strategy="scout", surrogate={"name": SURROGATE})


def test_a_surrogate_is_renamed_and_back(scouted: Path, tmp_path: Path) -> None:
    shutil.copytree(scouted, tmp_path / "out")
    rename_surrogate(tmp_path / "out", "ase:surrogate/model_crystal.py:surrogate")
    assert surrogate_name(tmp_path / "out") == "ase:surrogate/model_crystal.py:surrogate"
    rename_surrogate(tmp_path / "out", SURROGATE)
    assert surrogate_name(tmp_path / "out") == SURROGATE
    with reopen_campaign(tmp_path / "out") as campaign:
        assert campaign.settings.surrogate.name == SURROGATE


def test_what_was_scouted_elsewhere_is_adopted(scouted: Path, tmp_path: Path) -> None:
    sampled = make_campaign(tmp_path, Until.SAMPLING, strategy="scout", surrogate={"name": SURROGATE})
    submission = Submission("presto", "uuid", "cp2k", "quick", "cp2k@localhost")
    with reopen_campaign(sampled) as campaign:
        write_submission(campaign, submission)
    assert not is_scouted(sampled)
    adopt(sampled, scouted, ("aiida", "inputs"))
    assert is_scouted(sampled)
    assert read_submission(sampled) == submission


def test_status_of_runs_by_hand(scouted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path / "data")))
    out = tmp_path / "out"
    shutil.copytree(scouted, out)
    result = CliRunner().invoke(app, ["inputs", str(out), "--engine", "cp2k", "--preset", "quick", "-q"])
    assert result.exit_code == 0, result.output
    found = status(out)
    assert found.candidates
    assert {item.standing for item in found.candidates} == {Standing.WAITING}
    text = "  **** **** ******  **  PROGRAM STARTED AT               2026-11-23 11:44:51.629\n"
    (out / "inputs" / "v_Mg_0" / "Unperturbed" / "cp2k.out").write_text(text)
    first = status(out).candidates[0]
    assert (first.name, first.standing, first.attempts) == ("v_Mg_0/Unperturbed", Standing.RUNNING, 1)
    result = CliRunner().invoke(app, ["status", str(out)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "By hand in" in result.output
    assert "1 running" in result.output


def test_status_of_a_search_here(tmp_path: Path, model_host: Path) -> None:
    overrides = {
        "defects": {"select": ("v_Mg",)},
        "sampling": {"none": True},
        "host": {"keep": True},
        "reference": {"name": SURROGATE},
        "strategy": "reference-only",
    }
    search(model_host, tmp_path / "out", merge(SearchSettings(), overrides, "t"))
    (item,) = status(tmp_path / "out").candidates
    assert item.standing is Standing.FINISHED
    assert item.steps > 0


def test_submitting_without_aiida_names_the_extra(scouted: Path) -> None:
    try:
        import aiida  # noqa: F401
    except ImportError:
        result = CliRunner().invoke(app, ["submit", str(scouted), "--code", "cp2k@localhost"])
        assert result.exit_code == 2
        assert "defectscout[aiida]" in " ".join(result.output.split())
    else:
        pytest.skip("AiiDA is installed")
