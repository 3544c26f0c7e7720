"""A host relaxed through AiiDA, and the search that follows from it, with a program that stands in for CP2K."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiida", reason="AiiDA is not installed: pip install 'defectscout[aiida]'")

from aiida import engine, orm
from ase.io import read, write
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.workflow.aiida import follow, hosts, submission
from defectscout.workflow.aiida.data import to_atoms
from defectscout.workflow.aiida.submission import Choices
from listening import Listening
from model_crystal import reference
from workflow.aiida_campaigns import make_campaign, stand_in

pytest_plugins = ["aiida.tools.pytest_fixtures"]


@pytest.fixture
def code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiida_profile_clean: object, aiida_code_installed: Any
) -> Any:
    """CP2K's stand-in; what is submitted runs here and now, as the profile of the tests has no daemon."""
    for module in (hosts, submission):
        monkeypatch.setattr(module, "submit_process", lambda *args, **kwargs: engine.run_get_node(*args, **kwargs)[1])
        monkeypatch.setattr(module, "check_daemon", lambda progress: None)
    return aiida_code_installed(label="cp2k", filepath_executable=str(stand_in(tmp_path, monkeypatch)))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    return said


@pytest.fixture
def host(code: Any, model_host: Path, tmp_path: Path) -> Path:
    """The folder of a host's relaxation, waiting to be submitted."""
    run("relax-host", str(model_host), "--engine", "cp2k", "--preset", "quick", "-o", str(tmp_path / "host"), "-q")
    return tmp_path / "host"


def ancestors(node: orm.Node) -> set[str]:
    """All nodes that a node came from."""
    query = orm.QueryBuilder().append(orm.Node, filters={"uuid": node.uuid}, tag="node")
    query.append(orm.Node, with_descendants="node", project="uuid")
    return set(query.all(flat=True))


def test_from_the_host_to_a_ground_state(host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relaxation needs two jobs; the search takes its supercell from what came of it."""
    monkeypatch.setenv("CP2K_STAND_IN", "walltime:bulk")
    assert "By hand in" in run("status", str(host))
    options = tmp_path / "options.toml"
    options.write_text("max_wallclock_seconds = 3600\n")
    said = run("submit", str(host), "--code", "cp2k", "--options", str(options))
    assert "Submitted the relaxation of the host to cp2k@localhost (cp2k, quick) as RelaxationWorkChain" in said
    (item,) = json.loads(run("status", str(host), "--json"))["candidates"]
    assert (item["name"], item["standing"], item["attempts"]) == ("bulk", "finished", 2)
    collected = run("collect", str(host))
    assert "bulk: finished" in collected
    assert (host / "bulk" / "cp2k.1.out").is_file()
    _, chain = follow.search_node(host)
    # CP2K is told to end before the queue would end it.
    job = max((one for one in chain.called if isinstance(one, orm.CalcJobNode)), key=lambda one: one.pk)
    assert "WALLTIME 3420\n" in job.base.repository.get_object_content("cp2k.inp")
    relaxed = read(host / "relaxed.vasp", format="vasp")
    start = read(host / "start.vasp", format="vasp")
    assert abs(relaxed.get_volume() / start.get_volume() - 1) > 1e-4  # the cell has relaxed
    relaxed.calc = reference()
    assert np.abs(relaxed.get_stress()).max() < 2e-3

    write(tmp_path / "relaxed-by-another.vasp", relaxed, format="vasp", direct=True)
    campaign = make_campaign(tmp_path / "search", crystal=host / "relaxed.vasp")
    run("submit", str(campaign), "--code", "cp2k", "--preset", "quick")
    _, search = follow.search_node(campaign)
    assert search.inputs.host.creator.inputs.relaxed.uuid == chain.outputs.relaxed.uuid
    ground_state = search.outputs.ground_states.v_Mg_0
    assert chain.inputs.structure.uuid in ancestors(ground_state)
    bulk = to_atoms(search.inputs.host)
    assert len(bulk) == len(to_atoms(ground_state)) + 1
    assert bulk.get_volume() / len(bulk) == pytest.approx(relaxed.get_volume() / len(relaxed), rel=1e-4)

    elsewhere = make_campaign(tmp_path / "elsewhere", crystal=tmp_path / "relaxed-by-another.vasp")
    run("submit", str(elsewhere), "--code", "cp2k", "--preset", "quick")
    _, search = follow.search_node(elsewhere)
    assert search.inputs.host.creator is None


def test_what_of_a_host_cannot_be_submitted(host: Path, aiida_code_installed: Any) -> None:
    progress = Listening()
    aiida_code_installed(label="vasp", filepath_executable="/bin/true")
    for choices, words in (
        (Choices("vasp"), "The program is vasp, and the input in .* was written for cp2k"),
        (Choices("cp2k", preset="pbe"), "The preset is pbe, and the input in .* was written for quick"),
        (Choices("cp2k", rounds=2), "--rounds are for a search"),
        (Choices("cp2k@cluster"), "no computer 'cluster'"),
    ):
        with pytest.raises(SettingsError, match=words):
            hosts.submit_host(host, choices, progress)
    (host / "bulk" / "cp2k.out").write_text(
        "  **** **** ******  **  PROGRAM STARTED AT               2026-11-23 11:44:51.629\n"
    )
    with pytest.raises(CampaignError, match="run by hand"):
        hosts.submit_host(host, Choices("cp2k"), progress)
    with pytest.raises(AssertionError, match="has not been submitted"):
        run("abort", str(host), "--yes")


def test_a_file_of_settings_may_be_named_from_anywhere(
    code: Any, model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text('preset = "quick"\n')
    (tmp_path / "other.toml").write_text('preset = "quick"\n')
    folder = tmp_path / "host"
    run("relax-host", str(model_host), "--engine", "cp2k", "--preset", str(tmp_path / "mine.toml"), "-o", str(folder))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match=r"The preset is .*other\.toml"):
        run("submit", str(folder), "--code", "cp2k", "--preset", "other.toml")
    assert "the relaxation of the host" in run("submit", str(folder), "--code", "cp2k", "--preset", "mine.toml")


def test_a_relaxation_that_fails_is_said(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_STAND_IN", "broken")
    run("submit", str(host), "--code", "cp2k")
    (item,) = json.loads(run("status", str(host), "--json"))["candidates"]
    assert item["standing"] == "failed"
    assert "did not converge" in item["reason"]
    assert "failed" in run("collect", str(host))
    assert not (host / "relaxed.vasp").exists()
    # It can be submitted again.
    monkeypatch.delenv("CP2K_STAND_IN")
    run("submit", str(host), "--code", "cp2k")
    assert "bulk: finished" in run("collect", str(host))
