"""A campaign as somebody sees it who only looks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.defect import UNPERTURBED
from defectscout.core.errors import CampaignError
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.workflow.answer import answer
from defectscout.workflow.campaign import Source, open_campaign, reopen_campaign
from defectscout.workflow.overview import read_overview, spaced_frames
from defectscout.workflow.record import ASK, CHECK, REFERENCE
from defectscout.workflow.search import prepare
from defectscout.workflow.settings import SearchSettings
from listening import InterruptError
from workflow.learning_crystal import begun, gone_on, small, tasks

LABEL = "v_Mg_0"


class StopsAt(SilentProgress):
    """Stands for a kill when a thing is said."""

    def __init__(self, words: str) -> None:
        self.words = words

    def message(self, text: str) -> None:
        if self.words in text:
            raise InterruptError


@pytest.fixture(scope="module")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begun(template, tmp_path_factory.mktemp("overview") / "finished", small())
    gone_on(folder)
    return folder


@pytest.fixture(scope="module")
def halfway(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begun(template, tmp_path_factory.mktemp("overview") / "halfway", small())
    with pytest.raises(InterruptError):
        gone_on(folder, StopsAt("round 2"))
    return folder


def test_a_finished_campaign_has_its_answer(finished: Path) -> None:
    overview = read_overview(finished)
    (item,) = overview.defects.values()
    with reopen_campaign(finished) as campaign:
        prepared = prepare(campaign, SilentProgress())
        told = answer(campaign, prepared.host, prepared.report, prepared.defects, {}, SilentProgress())[LABEL]
    assert (overview.finished, item.finished, item.step) == (True, True, "")
    assert [one.minimum.energy for one in item.result.minima] == [one.minimum.energy for one in told.minima]
    assert item.result.confidence == told.confidence
    assert item.ground_state is not None
    assert overview.formula == "MgS"
    assert overview.oxidation_states == {"Mg": 2.0, "S": -2.0}
    assert overview.reference is not None
    assert len(overview.bulk) == overview.host.supercell_atoms


def test_its_relaxations_come_step_by_step(finished: Path) -> None:
    (item,) = read_overview(finished).defects.values()
    recorded = tasks(finished)
    assert item.cost.reference_calls == sum(task.evaluations for task in recorded)
    relaxations = [task for task in recorded if task.key.stage in (REFERENCE, CHECK)]
    assert [(one.stage, one.label) for one in item.descents] == [(t.key.stage, t.key.label) for t in relaxations]
    for descent, task in zip(item.descents, relaxations, strict=True):
        assert len(descent.steps) == len(descent.energies) == task.evaluations
        assert np.isfinite(descent.energies).all()
    ends = {one.label: one for one in item.descents}
    for minimum in item.result.minima:
        for label in minimum.candidates:
            assert ends[label].rank == minimum.rank
            assert ends[label].energies[-1] == pytest.approx(minimum.minimum.energy, abs=0.05)


def test_what_fell_into_a_known_minimum_has_its_rank(finished: Path) -> None:
    (item,) = read_overview(finished).defects.values()
    merged = [one for one in item.descents if one.state is RelaxationState.MERGED]
    assert merged
    ranks = {label: minimum.rank for minimum in item.result.minima for label in minimum.candidates}
    assert all(one.rank == ranks[one.reason] for one in merged)


def test_half_a_loop_shows_what_it_has_and_is_not_sure(halfway: Path) -> None:
    overview = read_overview(halfway)
    (item,) = overview.defects.values()
    assert not overview.finished
    assert item.step == "round 2 of the learning loop"
    assert item.result.minima
    assert item.result.minima[0].candidates
    assert item.result.confidence.level == "low"
    assert "The search has not finished: it waits for round 2" in item.result.confidence.reasons[0]


def test_before_anything_is_sampled_there_is_no_minimum(template: Path, tmp_path: Path) -> None:
    (item,) = read_overview(begun(template, tmp_path / "begun", small())).defects.values()
    assert item.result.minima == ()
    assert item.ground_state is None
    assert item.step == "its sampling structures"


def test_looking_changes_nothing_and_does_not_wait_for_the_search(halfway: Path) -> None:
    def digest() -> str:
        return hashlib.sha256((halfway / "campaign.db").read_bytes()).hexdigest()

    before = digest()
    with reopen_campaign(halfway):  # holds the lock, as a search that runs
        read_overview(halfway)
    assert digest() == before


def test_frames_are_evenly_spaced(finished: Path) -> None:
    (item,) = read_overview(finished).defects.values()
    frames = list(spaced_frames(finished, LABEL, REFERENCE, 3))
    for descent in (one for one in item.descents if one.stage == REFERENCE):
        steps = [frame.step for label, frame in frames if label == descent.label]
        assert len(steps) == min(3, len(descent.steps))
        assert {steps[0], steps[-1]} <= {descent.steps[0], descent.steps[-1]}
    assert not list(spaced_frames(finished, "v_S_0", REFERENCE, 3))
    assert list(spaced_frames(finished, LABEL, ASK, 3))


def test_there_must_be_a_campaign_with_defects(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="holds no campaign"):
        read_overview(tmp_path)
    with open_campaign(tmp_path / "begun", SearchSettings(), Source("mp-406", "")):
        pass
    with pytest.raises(CampaignError, match=r"has not come to its defects yet.*defectscout resume"):
        read_overview(tmp_path / "begun")


def test_what_another_version_wrote_is_refused_with_a_reason(template: Path, tmp_path: Path) -> None:
    folder = begun(template, tmp_path / "old", small())
    with reopen_campaign(folder) as campaign:
        campaign.record.write_document("candidates", json.dumps({LABEL: {"candidates": [{"label": "Dimer"}]}}))
    with pytest.raises(CampaignError, match=r"old was written by a version of defectscout that recorded other things"):
        read_overview(folder)


def test_unperturbed_is_what_lowerings_are_measured_from(finished: Path) -> None:
    (item,) = read_overview(finished).defects.values()
    start = next(one for one in item.result.minima if UNPERTURBED in one.candidates)
    assert start.lowering == 0.0
