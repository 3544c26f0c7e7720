"""Searches that learn, killed at any point of the loop and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defectscout.workflow.learn.rounds import LearnRecord
from defectscout.workflow.results import SearchResult
from workflow.learning_crystal import gone_on, records, tasks


class Killed(BaseException):
    """Stands for a kill at one point; nothing catches it."""


def killing(function: Callable[..., Any], number: int, *, after: bool) -> Callable[..., Any]:
    """`function`, but its call of that number is the last, before it has done anything or after."""
    count = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and not after:
            raise Killed
        result = function(*arguments, **options)
        if count == number:
            raise Killed
        return result

    return call


def is_killed(folder: Path) -> bool:
    try:
        gone_on(folder)
    except Killed:
        return True
    return False


def without_times(record: LearnRecord) -> LearnRecord:
    rounds = (replace(item, tuning_seconds=0.0, scouting_seconds=0.0, asking_seconds=0.0) for item in record.rounds)
    return replace(record, rounds=tuple(rounds), kept_as="")


def check_same(folder: Path, result: SearchResult, expected: SearchResult) -> None:
    theirs = tasks(expected.folder)
    assert [(task.key, task.state, task.reason, task.evaluations) for task in tasks(folder)] == [
        (task.key, task.state, task.reason, task.evaluations) for task in theirs
    ]
    for one, other in zip(tasks(folder), theirs, strict=True):
        if other.initial_energy is not None:
            ends = [task.as_relaxation().final for task in (one, other)]
            assert ends[0].prediction.energy == pytest.approx(ends[1].prediction.energy, abs=1e-9)
    told, before = records(folder), records(expected.folder)
    assert {label: without_times(one) for label, one in told.items()} == {
        label: without_times(one) for label, one in before.items()
    }
    assert (result.funnel, result["v_Mg_0"].trust) == (expected.funnel, expected["v_Mg_0"].trust)
    assert [item.sampled_by for item in result.minima] == [item.sampled_by for item in expected.minima]


Kill = tuple[str, Any, str, int, bool]
"""Where the search is then; what is called there, as a name in a place; the last call's number; whether it is made."""


def interrupt(folder: Path, kills: Sequence[Kill], monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with a search as often as there are kills, each time up to the next."""
    for where, place, name, number, after in kills:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, killing(getattr(place, name), number, after=after))
            assert is_killed(folder), f"the search was never {where}"
