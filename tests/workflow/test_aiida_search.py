"""Whole searches through AiiDA: scouting, candidates, relaxations, the answer, and the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiida", reason="AiiDA is not installed: pip install 'defectscout[aiida]'")

from aiida import engine, orm
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.workflow.aiida import follow, submission
from defectscout.workflow.aiida.data import folder_node, to_atoms, to_node, unpacked
from defectscout.workflow.aiida.graph import relaxations_of
from defectscout.workflow.aiida.record import read_submission
from defectscout.workflow.aiida.scouting import ScoutingCalculation
from defectscout.workflow.aiida.search import SearchWorkChain
from defectscout.workflow.aiida.snapshots import FILES, Method, is_scouted, open_tasks, surrogate_name
from defectscout.workflow.campaign import reopen_campaign
from defectscout.workflow.search import Until
from listening import Listening
from model_crystal import reference
from workflow.aiida_campaigns import SURROGATE, defectscout_here, make_campaign, stand_in

pytest_plugins = ["aiida.tools.pytest_fixtures"]

OPTIONS = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}
SETTINGS = {"engine": "cp2k", "preset": "quick", "max_concurrent": 2, "max_iterations": 3}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign whose three sampling structures go to the reference."""
    return make_campaign(tmp_path_factory.mktemp("template"))


@pytest.fixture
def campaign(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiida_profile_clean: object, aiida_code_installed: Any
) -> Any:
    return aiida_code_installed(label="cp2k", filepath_executable=str(stand_in(tmp_path, monkeypatch)))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted runs here and now, as the profile of the tests has no daemon."""
    monkeypatch.setattr(submission, "submit_process", lambda *args, **kwargs: engine.run_get_node(*args, **kwargs)[1])
    monkeypatch.setattr(submission, "check_daemon", lambda progress: None)


def inputs_of(campaign: Path, code: Any) -> dict[str, Any]:
    with reopen_campaign(campaign) as opened:
        prepared, _ = open_tasks(opened, Method("cp2k", "quick"))
    return {
        "campaign": folder_node(campaign, FILES),
        "host": to_node(prepared.defects[0].bulk),
        "code": code,
        "settings": orm.Dict(SETTINGS),
        "options": orm.Dict(OPTIONS),
    }


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    return said


def test_a_search_with_one_candidate_that_fails(campaign: Path, code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "walltime:Unperturbed,broken:Bond_Distortion_-50.0%")
    results, node = engine.run_get_node(SearchWorkChain, **inputs_of(campaign, code))
    assert node.is_finished_ok, node.exit_message
    content = results["results"].get_dict()
    states = {item["name"]: item["state"] for item in content["relaxations"]}
    assert states == {
        "v_Mg_0/Unperturbed": "finished",
        "v_Mg_0/Bond_Distortion_-60.0%": "finished",
        "v_Mg_0/Bond_Distortion_-50.0%": "failed",
    }
    (aside,) = content["defects"]["v_Mg_0"]["set_aside"]
    assert aside["label"] == "Bond_Distortion_-50.0%"
    # The dimer lies below the symmetric structure on the model crystal's surface.
    minima = content["defects"]["v_Mg_0"]["minima"]
    assert minima[0]["energy_lowering_eV"] < -0.5
    ground = results["ground_states"]["v_Mg_0"]
    atoms = to_atoms(ground)
    atoms.calc = reference()
    assert atoms.get_potential_energy() == pytest.approx(minima[0]["energy_eV"], abs=1e-4)
    # Two lanes for three candidates, and three, two and one jobs.
    lanes = [called for called in node.called if called.process_label == "RelaxationLane"]
    assert len(lanes) == 2
    assert [len(item.jobs) for item in relaxations_of(node)] == [2, 1, 2]
    # The record that comes out holds the answer by itself.
    with unpacked(results["campaign"]) as folder, reopen_campaign(folder) as opened:
        assert [task.title for task, _ in open_tasks(opened, Method("cp2k", "quick"))[1]] == [
            "v_Mg_0 Bond_Distortion_-50.0%"
        ]


def test_provenance_goes_from_the_host_to_the_ground_state(campaign: Path, code: Any) -> None:
    inputs = inputs_of(campaign, code)
    results, _ = engine.run_get_node(SearchWorkChain, **inputs)
    query = orm.QueryBuilder().append(orm.StructureData, filters={"uuid": inputs["host"].uuid}, tag="host")
    query.append(orm.CalcJobNode, with_ancestors="host", tag="job", project="uuid")
    query.append(orm.StructureData, with_ancestors="job", filters={"uuid": results["ground_states"]["v_Mg_0"].uuid})
    assert len(set(query.all(flat=True))) == 3


def test_another_host_is_refused(campaign: Path, code: Any) -> None:
    inputs = inputs_of(campaign, code)
    inputs["host"] = to_node(to_atoms(inputs["host"]) * (2, 1, 1))
    _, node = engine.run_get_node(SearchWorkChain, **inputs)
    assert node.exit_status == SearchWorkChain.exit_codes.ERROR_NO_CANDIDATES.status
    assert "not that of the campaign" in node.exit_message


def test_scouting_on_a_computer_that_gets_the_weights(
    tmp_path: Path, code: Any, aiida_code_installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(SURROGATE.split(":")[1], folder / "weights.py")
    name = f"ase:{folder / 'weights.py'}:surrogate"
    sampled = make_campaign(tmp_path / "s", Until.SAMPLING, strategy="scout", surrogate={"name": name})
    assert not is_scouted(sampled)
    scouting = aiida_code_installed(label="defectscout", filepath_executable=str(defectscout_here(tmp_path / "bin")))
    node = folder_node(folder, ["weights.py"])
    (folder / "weights.py").unlink()
    inputs = {"campaign": folder_node(sampled, FILES), "code": scouting, "metadata": {"options": OPTIONS}}
    results, job = engine.run_get_node(ScoutingCalculation, surrogate=node, **inputs)
    assert job.is_finished_ok, job.exit_message
    with unpacked(results["campaign"]) as there:
        assert is_scouted(there)
        assert surrogate_name(there) == name
    # The weights are in one node, not in the job's, too.
    assert "surrogate" not in job.base.repository.list_object_names()
    assert "surrogate" in job.outputs.remote_folder.listdir()
    _, lacking = engine.run_get_node(ScoutingCalculation, **inputs)
    assert lacking.exit_status == ScoutingCalculation.exit_codes.ERROR_FAILED.status
    assert "weights.py" in lacking.exit_message


def test_submit_status_collect_from_the_command_line(
    tmp_path: Path, code: Any, aiida_code_installed: Any, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A campaign that is scouted on the way."""
    monkeypatch.setenv("CP2K_STAND_IN", "scf:Unperturbed")
    out = make_campaign(tmp_path / "s", Until.SAMPLING, strategy="scout", surrogate={"name": SURROGATE})
    label = "defectscout"
    aiida_code_installed(label=label, filepath_executable=str(defectscout_here(tmp_path / "bin")))
    with pytest.raises(AssertionError, match="--scout-code"):
        run("submit", str(out), "--code", "cp2k", "--preset", "quick")
    said = run("submit", str(out), "--code", "cp2k", "--preset", "quick", "--scout-code", label, "-q")
    assert "Submitted its scouting, then its candidates" in said
    collected = run("collect", str(out))
    assert "Took over into the campaign what was scouted" in collected
    assert "v_Mg_0/Unperturbed: finished" in collected
    assert (out / "inputs" / "v_Mg_0" / "Unperturbed" / "cp2k.1.out").is_file()
    assert "Fetched 0 relaxations" in run("collect", str(out))
    said = run("status", str(out))
    assert "it has ended" in said
    found = json.loads(run("status", str(out), "--json"))
    attempts = {item["name"]: item["attempts"] for item in found["candidates"]}
    assert attempts["v_Mg_0/Unperturbed"] == 2
    assert set(attempts.values()) == {1, 2}
    answer = json.loads((out / "summary.json").read_text())
    assert answer["defects"]["v_Mg_0"]["minima"][0]["energy_lowering_eV"] < -0.5
    with pytest.raises(AssertionError, match="nothing is left to submit"):
        run("submit", str(out), "--code", "cp2k", "--preset", "quick")
    with pytest.raises(AssertionError, match="has ended already"):
        run("abort", str(out), "--yes")


def test_what_is_left_can_be_submitted_again(
    campaign: Path, code: Any, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "broken:Unperturbed")
    run("submit", str(campaign), "--code", "cp2k", "--preset", "quick")
    first = read_submission(campaign)
    run("collect", str(campaign), "-q")
    monkeypatch.delenv("CP2K_STAND_IN")
    assert "Submitted 1 candidates" in run("submit", str(campaign), "--code", "cp2k")
    assert first is not None
    assert read_submission(campaign) != first
    assert "3 finished" in run("status", str(campaign))
    assert "3 finished" in run("collect", str(campaign))


def test_a_half_finished_search_is_collected(campaign: Path, code: Any, at_once: None) -> None:
    """As if it had been interrupted after its first relaxations: what AiiDA has is what is collected."""
    run("submit", str(campaign), "--code", "cp2k", "--preset", "quick")
    _, node = follow.search_node(campaign)
    first, *_, last = relaxations_of(node)
    progress = Listening()
    folder = follow.fetch(campaign, progress)
    assert sorted(path.name for path in (folder / "v_Mg_0").iterdir())[-1] == "Unperturbed"
    # A later fetch leaves what has not changed.
    kept = folder / "v_Mg_0" / "Unperturbed" / "note-of-mine"
    kept.touch()
    follow.fetch(campaign, progress)
    assert kept.exists()
    assert first.key < last.key


def test_what_cannot_be_submitted(
    campaign: Path, code: Any, at_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiida_code_installed: Any
) -> None:
    progress = Listening()

    def submitting(folder: Path = campaign, **choices: Any) -> None:
        submission.submit(folder, submission.Choices(**{"code": "cp2k", **choices}), progress)

    with pytest.raises(SettingsError, match=r"no code 'vasp'.*There are: cp2k"):
        submitting(code="vasp")
    with pytest.raises(SettingsError, match=r"no computer 'cluster'.*There are: localhost"):
        submitting(computer="cluster")
    with pytest.raises(SettingsError, match="two computers"):
        submitting(code="cp2k@localhost", computer="cluster")
    with pytest.raises(SettingsError, match="no preset 'paper'"):
        submitting(preset="paper")
    with pytest.raises(SettingsError, match="profile 'other'"):
        submitting(profile="other")
    aiida_code_installed(label="mine", filepath_executable="/bin/true")
    with pytest.raises(SettingsError, match="Which program the code"):
        submitting(code="mine")
    own = make_campaign(tmp_path / "own", Until.SAMPLING, reference={"name": SURROGATE}, host={"keep": True})
    with pytest.raises(CampaignError, match="runs by itself"):
        submitting(own)
    assert read_submission(campaign) is None
    monkeypatch.undo()
    with pytest.raises(SettingsError, match="no message broker"):
        submission.check_daemon(progress)


def test_results_by_hand_are_not_overwritten(campaign: Path, code: Any, at_once: None) -> None:
    run("inputs", str(campaign), "--engine", "cp2k", "--preset", "quick")
    place = campaign / "inputs" / "v_Mg_0" / "Unperturbed"
    (place / "cp2k.out").write_text(
        "  **** **** ******  **  PROGRAM STARTED AT               2026-11-23 11:44:51.629\n"
    )
    with pytest.raises(AssertionError, match="run by hand"):
        run("submit", str(campaign), "--code", "cp2k", "--preset", "quick")


def test_inputs_are_those_by_hand(campaign: Path, code: Any, at_once: None) -> None:
    run("inputs", str(campaign), "--engine", "cp2k", "--preset", "quick")
    by_hand = {path.parent.name: path.read_text() for path in campaign.glob("inputs/v_Mg_0/*/cp2k.inp")}
    shutil.rmtree(campaign / "inputs")
    run("submit", str(campaign), "--code", "cp2k", "--preset", "quick")
    run("collect", str(campaign), "-q")
    by_queue = {path.parent.name: path.read_text() for path in campaign.glob("inputs/v_Mg_0/*/cp2k.inp")}
    assert by_queue.keys() == by_hand.keys()
    for name, text in by_hand.items():
        assert [line.split()[0] for line in text.splitlines()] == [
            line.split()[0] for line in by_queue[name].splitlines()
        ]
        numbers = [np.array([_number(word) for word in other.split()]) for other in (text, by_queue[name])]
        assert np.allclose(*numbers, atol=2e-12, equal_nan=True)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
