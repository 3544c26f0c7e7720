"""Further rounds of a search whose reference is run by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import model
from defectscout.cli.main import app
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.core.progress import SilentProgress
from defectscout.learning.frames import LabelledFrame
from defectscout.sampling.labels import folder_name
from defectscout.workflow.campaign_frames import read_campaign
from defectscout.workflow.inputs import InputChoices
from defectscout.workflow.learn import by_hand
from defectscout.workflow.learn.by_hand import HandRound
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import collect_results, inputs, inputs_of_round, learn_by_hand, search
from defectscout.workflow.settings import merge
from workflow.learning_crystal import DEPTH, Tuner, learning_crystal, settings, write_host
from workflow.vasp_stand_in import StandIn

SILENT = SilentProgress()
SAMPLING = {"distortions": (-0.5, -0.4, 0.3)}
BY_HAND = settings(reference={"name": "none"}, strategy="scout", sampling=SAMPLING, learn={"first_relaxations": 1})


@dataclass
class Searched:
    """A campaign with an untouched surrogate, rounds until one brought nothing new, and the answers around them."""

    folder: Path
    rounds: list[HandRound]
    answers: list[SearchResult]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    base = tmp_path_factory.mktemp("rounds")
    with learning_crystal(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_hand, "tune", Tuner())
        folder = base / "out"
        search(write_host(base), folder, BY_HAND)
        inputs(folder, None, SILENT, InputChoices(preset="pbe"))
        rounds: list[HandRound] = []
        answers = [run_all(folder)]
        while not rounds or rounds[-1].new:
            assert len(rounds) < 6
            rounds.append(learn_by_hand(folder, SILENT))
            inputs_of_round(folder, rounds[-1], SILENT)
            answers.append(run_all(folder))
        yield Searched(folder, rounds, answers)


def run_all(folder: Path, *names: str) -> SearchResult:
    """Run what has not run yet, or those of these names, and collect."""
    for path in sorted((folder / "inputs" / "v_Mg_0").iterdir()):
        if not (path / "OUTCAR").exists() and (not names or path.name in names):
            StandIn(bond=DEPTH).run(path)
    return collect_results(folder, None, SILENT)


def test_what_it_has_learned_leads_it_lower(searched: Searched) -> None:
    first, last = searched.answers[0].ground_state, searched.answers[-1].ground_state
    assert last.minimum.energy < first.minimum.energy - 0.5  # the funnel alone would have published this one
    assert "Round_1_Bond_Distortion_-40.0%" in last.candidates
    assert len(last.minimum.new_bonds) > len(first.minimum.new_bonds)


def test_it_ends_when_the_surrogate_knows_of_nothing_else(searched: Searched) -> None:
    last = searched.rounds[-1].defects[0]
    assert searched.rounds[-1].new == 0
    assert last.predicted == last.known + last.high
    assert [item.number for item in searched.rounds] == list(range(1, len(searched.rounds) + 1))
    labels = [label for item in searched.rounds for label in item.defects[0].new]
    assert len(set(labels)) == len(labels)
    assert {path.name for path in (searched.folder / "inputs" / "v_Mg_0").iterdir()} >= set(map(folder_name, labels))


def test_the_rounds_find_what_the_reference_alone_finds(searched: Searched, tmp_path: Path) -> None:
    only = search(write_host(tmp_path), tmp_path / "only", settings(strategy="reference-only", sampling=SAMPLING))
    assert searched.answers[-1].ground_state.minimum.energy <= only.ground_state.minimum.energy + 0.02


def test_what_was_collected_is_training_data(searched: Searched) -> None:
    frames = [item for item in read_campaign(searched.folder) if isinstance(item, LabelledFrame)]
    assert {(frame.origin.defect, frame.origin.charge, frame.origin.method) for frame in frames} == {("v_Mg", 0, "PBE")}
    assert len(frames) > searched.rounds[0].frames > 10


def test_before_anything_has_run_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with learning_crystal():
        folder = tmp_path / "out"
        search(write_host(tmp_path), folder, BY_HAND)
        with pytest.raises(CampaignError, match="nothing to learn from"):
            learn_by_hand(folder, SILENT)


@pytest.mark.parametrize("max_force", [1.0, 1e-9])
def test_what_is_not_learned_from_is_said(max_force: float, tmp_path: Path) -> None:
    with learning_crystal(), pytest.MonkeyPatch.context() as patch:
        tuner = Tuner()
        patch.setattr(by_hand, "tune", tuner)
        folder = tmp_path / "out"
        search(write_host(tmp_path), folder, merge(BY_HAND, {"learn": {"tuning": {"max_force": max_force}}}, "a test"))
        run_all(folder)
        shown = CliRunner().invoke(app, ["learn", str(folder)])
    assert shown.exit_code == 0, shown.output
    output = " ".join(shown.output.split())
    (left_out, of) = map(int, re.findall(r"Charge state \+0: (\d+) of (\d+) frames are not learned from", output)[0])
    assert f"{max_force:g} eV/Å" in output
    assert left_out > 0
    assert (left_out == of) == (not tuner.calls) == ("Nothing that can be learned from" in output)


def test_a_surrogate_that_undoes_bonds_is_given_one_to_learn_from(tmp_path: Path) -> None:
    with learning_crystal(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_hand, "tune", Tuner())
        folder = tmp_path / "out"
        search(write_host(tmp_path), folder, BY_HAND)
        run_all(folder, "Unperturbed", "Bond_Distortion_30.0%")
        shown = CliRunner().invoke(app, ["learn", str(folder)])
        assert shown.exit_code == 0, shown.output
        (path,) = [Path(line) for line in shown.stdout.splitlines() if "_from_Sampled-" in line]
        assert (path / "POSCAR").is_file()
        assert run_all(folder, path.name).ground_state.minimum.new_bonds
        again = CliRunner().invoke(app, ["learn", str(folder)])
        assert "Sampled" not in again.stdout


def test_campaigns_that_cannot_learn_by_hand(tmp_path: Path) -> None:
    host, few = write_host(tmp_path), {"distortions": (-0.4,)}
    with learning_crystal():
        search(host, tmp_path / "by_itself", settings(strategy="reference-only", sampling=few))
        with pytest.raises(CampaignError, match="asks it by itself"):
            learn_by_hand(tmp_path / "by_itself", SILENT)
        none = {"name": "none"}
        search(host, tmp_path / "alone", settings(strategy="reference-only", reference=none, sampling=few))
        with pytest.raises(CampaignError, match="no surrogate that could learn"):
            learn_by_hand(tmp_path / "alone", SILENT)
        fixed = settings(strategy="scout", reference=none, surrogate={"name": model("surrogate")}, sampling=few)
        search(host, tmp_path / "fixed", fixed)
        with pytest.raises(SettingsError, match="cannot be tuned"):
            learn_by_hand(tmp_path / "fixed", SILENT)
