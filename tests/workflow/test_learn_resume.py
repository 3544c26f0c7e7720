"""A learning search that is interrupted anywhere ends as it would have without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from defectscout.core.errors import CampaignError
from defectscout.learning.frames import LabelledFrame
from defectscout.workflow import search as searching
from defectscout.workflow.campaign import fork_campaign, read_campaign
from defectscout.workflow.learn import asking, learner, loop, say
from defectscout.workflow.learn import campaign as learning
from defectscout.workflow.record import Record
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import search
from defectscout.workflow.settings import SearchSettings, changed, merge
from defectscout.workflow.store import stored_models
from workflow.interrupting import Kill, check_same, interrupt
from workflow.killing import run_and_kill
from workflow.learning_crystal import (
    ThreadWorker,
    Tuner,
    begun,
    gone_on,
    learning_crystal,
    records,
    settings,
    small,
    tasks,
)


@pytest.fixture(scope="module")
def calls() -> list[int]:
    """Answers of the reference's workers in the uninterrupted search."""
    return []


@pytest.fixture(scope="module")
def whole(template: Path, calls: list[int], tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    before = ThreadWorker.answers
    result = gone_on(begun(template, tmp_path_factory.mktemp("whole") / "mgs", small()))
    calls.append(ThreadWorker.answers - before)
    return result


KILLS: tuple[Kill, ...] = (
    ("before the first round is in the record", loop, "write_record", 1, False),
    ("before its first question", loop, "answer_round", 1, False),
    ("among its answers", Record, "write_steps", 2, True),
    ("between a last frame and its end", Record, "finish", 1, False),
    ("between a point and its end", Record, "finish", 2, False),
    ("before its news are in the record", loop, "write_record", 1, False),
    ("in tuning", learner, "tune", 1, False),
    ("after tuning", learner, "tune", 1, True),
    ("in scouting", loop, "scout_round", 1, False),
    ("between the tasks and their round", loop, "write_record", 1, False),
    ("after the round is stored", loop, "_store", 1, True),
    ("after all answers", loop, "answer_round", 1, True),
    ("in the second round's relaxation", Record, "write_steps", 2, True),
    ("between two of its frames", Record, "write_steps", 1, True),
    ("at the beginning of the check", loop, "_begin_check", 1, True),
    ("in the check", Record, "write_steps", 2, True),
    ("before the end of the check", Record, "finish", 1, False),
    ("in the last tuning", loop, "write_frames", 1, False),
    ("before the end is in the record", loop, "write_record", 1, False),
    ("after it", say, "loop_ended", 1, True),
    ("before the candidates", learning, "record_candidates", 1, False),
    ("before the store", learning, "keep", 1, False),
    ("before the exports", searching, "export_result", 1, False),
)
"""In the order in which a search comes by, so that each run ends a little later."""


def test_interrupted_everywhere(
    template: Path, tmp_path: Path, whole: SearchResult, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No force call is spent twice, no question is asked twice, and the answer is the same."""
    folder = begun(template, tmp_path / "mgs", small())
    before = ThreadWorker.answers
    interrupt(folder, KILLS, monkeypatch)
    result = gone_on(folder)
    assert ThreadWorker.answers - before == calls[0]
    check_same(folder, result, whole)
    assert len(stored_models()) == 1


def check_interrupted(
    template: Path, tmp_path: Path, chosen: SearchSettings, kills: Sequence[Kill], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Interrupted there, a search spends no more force calls and ends as one that was not; where it is."""
    before = ThreadWorker.answers
    expected = gone_on(begun(template, tmp_path / "whole", chosen))
    needed = ThreadWorker.answers - before
    folder = begun(template, tmp_path / "killed", chosen)
    before = ThreadWorker.answers
    interrupt(folder, kills, monkeypatch)
    result = gone_on(folder)
    assert ThreadWorker.answers - before == needed
    check_same(folder, result, expected)
    return folder


PAUSED_CHECK: tuple[Kill, ...] = (
    ("before the round of the pause is in the record", loop, "unforeseen", 1, False),
    ("after the pause", loop, "_begin_check", 1, False),
    ("in tuning on the check", learner, "tune", 1, False),
    ("after tuning on the check", learner, "tune", 1, True),
    ("before the check goes on", loop, "_begin_check", 1, True),
    ("in the check that goes on", Record, "write_steps", 1, True),
    ("before its end", Record, "finish", 1, False),
)


def test_interrupted_where_a_check_pauses(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The surrogate takes no notice of bonds until the check has come upon one."""

    def learns_from(frame: LabelledFrame) -> bool:
        return frame.origin.start.startswith("check/")

    with learning_crystal(Tuner(learns_from)):
        folder = check_interrupted(template, tmp_path, small(learn={"first_points": 0}), PAUSED_CHECK, monkeypatch)
    assert any(item.of_check and item.cut for record in records(folder).values() for item in record.rounds)


CONFIRMATION: tuple[Kill, ...] = (
    ("about to ask for the confirmation", asking, "led_by", 1, True),
    ("between the confirmation's task and its round", loop, "add_tasks", 1, True),
    ("before its first frame", loop, "answer_round", 1, False),
    ("after it", Record, "write_steps", 1, True),
    ("before its end", Record, "finish", 1, False),
    ("before the round is in the record", loop, "unforeseen", 1, False),
)


def test_interrupted_where_the_ground_state_is_confirmed(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = small(refinement={"corrected": {"promise_learned": 1e-6}})
    folder = check_interrupted(template, tmp_path, eager, CONFIRMATION, monkeypatch)
    assert any(item.confirming for record in records(folder).values() for item in record.rounds)


def test_other_budgets_are_no_other_search(whole: SearchResult, template: Path) -> None:
    host = template.with_name("MgS.cif")
    tuner = Tuner()
    with learning_crystal(tuner):
        again = search(host, whole.folder, small(learn={"max_rounds": 30, "max_force_calls": 900, "max_hours": 5.0}))
    assert (again.funnel, tuner.calls) == (whole.funnel, [])
    with pytest.raises(CampaignError, match=r"learn\.points was 2, now 3"):
        search(host, whole.folder, small(learn={"points": 3}))
    assert not changed(settings(strategy="scout"), settings(strategy="scout", learn={"points": 3}))


@pytest.mark.parametrize("learn", [{"points": 1}, {"tuning": {"epochs": 3}}])
def test_a_fork_with_other_settings_learns_anew(whole: SearchResult, learn: dict[str, Any]) -> None:
    """Host, defect and sampling structures stay; everything that the loop asked goes."""
    old, source = read_campaign(whole.folder)
    fork = fork_campaign(whole.folder, merge(old, {"learn": learn}, "test"), source)
    theirs, ours = Record(fork / "campaign.db"), Record(whole.folder / "campaign.db")
    assert tasks(fork) == []
    assert records(fork) == {}
    for document in ("candidates", "reference"):
        assert theirs.read_document(document) is None
    for document in ("host", "defects", "sampling"):
        assert theirs.read_document(document) == ours.read_document(document)
    starts = [[task.key for task in record.tasks("sampling")] for record in (theirs, ours)]
    assert starts[0] == starts[1]


def test_scouting_once_and_learning_are_forks_of_each_other(whole: SearchResult) -> None:
    old, source = read_campaign(whole.folder)
    fork = fork_campaign(whole.folder, merge(old, {"strategy": "scout"}, "test"), source)
    assert tasks(fork) == []
    assert Record(fork / "campaign.db").read_document("sampling") is not None


@pytest.mark.slow
def test_kill_and_resume(template: Path, tmp_path: Path, whole: SearchResult) -> None:
    """kill -9 of the whole process while the reference works in processes of its own."""
    folder = begun(template, tmp_path / "killed", small())
    code = f"""
from pathlib import Path
from defectscout.relaxation import pool
from defectscout.relaxation.pool import Worker
from workflow.learning_crystal import gone_on, learning_crystal
with learning_crystal():
    pool.Worker = Worker
    gone_on(Path({str(folder)!r}))
"""
    run_and_kill(code, folder, "stage IN ('ask', 'reference', 'check')", 4, delay=0.05)
    assert 4 <= sum(task.evaluations for task in tasks(folder)) < whole.funnel.reference_calls
    check_same(folder, gone_on(folder), whole)
