"""Rounds of learning through AiiDA: relax, tune, scout again, relax what is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiida", reason="AiiDA is not installed: pip install 'defectscout[aiida]'")
pytest.importorskip("lightning", reason="nothing that trains is installed: pip install 'defectscout[train]'")

from aiida import engine, orm
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.aiida import follow, submission
from defectscout.workflow.aiida.graph import relaxations_of, searches_of
from defectscout.workflow.aiida.snapshots import n_rounds, newest_candidates
from defectscout.workflow.search import Until
from workflow.aiida_campaigns import defectscout_here, make_campaign, stand_in

pytest_plugins = ["aiida.tools.pytest_fixtures"]

QUICK: dict[str, Any] = {
    "strategy": "scout",
    "surrogate": {"name": "chgnet"},
    "supercell": {"min_image_distance": 8.0, "min_atoms": 30},
    "scouting": {"max_steps": 40, "force": 0.1},
    "sampling": {"distortions": (-0.6, -0.5, -0.4, 0.3)},
    "learn": {"tuning": {"frames_seen": 30}, "window": 20.0},
}


@pytest.fixture
def codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiida_profile_clean: object, aiida_code_installed: Any
) -> None:
    aiida_code_installed(label="cp2k", filepath_executable=str(stand_in(tmp_path, monkeypatch)))
    aiida_code_installed(label="defectscout", filepath_executable=str(defectscout_here(tmp_path / "bin")))
    # What is submitted runs here and now, as the profile of the tests has no daemon.
    monkeypatch.setattr(submission, "submit_process", lambda *args, **kwargs: engine.run_get_node(*args, **kwargs)[1])
    monkeypatch.setattr(submission, "check_daemon", lambda progress: None)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    return said


@pytest.mark.slow
def test_what_a_round_adds_is_relaxed_too(tmp_path: Path, codes: None) -> None:
    out = make_campaign(tmp_path / "s", Until.CANDIDATES, **QUICK)
    with pytest.raises(AssertionError, match="--rounds needs a code"):
        run("submit", str(out), "--code", "cp2k", "--preset", "quick", "--rounds", "1")
    words = ("--code", "cp2k", "--preset", "quick", "--scout-code", "defectscout", "--rounds", "1")
    assert "LearningWorkChain" in run("submit", str(out), *words)
    _, node = follow.search_node(out)
    assert node.is_finished_ok, node.exit_message
    jobs = [called for called in node.called if called.process_label == "LearningCalculation"]
    assert [(job.exit_status, job.exit_message) for job in jobs] == [(0, None)]
    first, second = searches_of(node)
    assert n_rounds(out) == 0

    said = run("collect", str(out))
    assert n_rounds(out) == 1
    new = newest_candidates(out)["v_Mg_0"]
    assert len(new) == len(relaxations_of(second)) > 0
    assert f"{len(relaxations_of(first)) + len(new)} candidates" in said
    assert [is_model_folder(path) for path in out.glob("learn/by-hand-+0/round-01-*")] == [True]
    # The answer that came out of the work chain is that of the campaign, with the candidates of both searches.
    results = node.outputs.results.get_dict()
    (label,) = results["defects"]
    mine = json.loads((out / "summary.json").read_text())["defects"][label]["minima"]
    there = [one["energy_eV"] for one in results["defects"][label]["minima"]]
    assert there == pytest.approx([one["energy_eV"] for one in mine], abs=1e-9)
    assert {item["state"] for item in results["relaxations"]} == {"finished"}
    query = orm.QueryBuilder().append(orm.FolderData, filters={"uuid": first.outputs.campaign.uuid}, tag="before")
    query.append(orm.StructureData, with_ancestors="before", filters={"uuid": node.outputs.ground_states[label].uuid})
    assert query.count()  # the graph goes on through the round
    assert "finished" in run("status", str(out))


def test_campaigns_without_a_surrogate_have_nothing_that_learns(tmp_path: Path, codes: None) -> None:
    out = make_campaign(tmp_path / "s")
    with pytest.raises(AssertionError, match="cannot learn: there is no surrogate"):
        run("submit", str(out), "--code", "cp2k", "--preset", "quick", "--scout-code", "defectscout", "--rounds", "1")
