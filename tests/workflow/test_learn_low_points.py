"""Relaxations from single points that lie below everything that was relaxed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defectscout.core.defect import SamplingStructure
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.low_points import with_low_point
from defectscout.workflow.learn.questions import Kind, Question
from defectscout.workflow.learn.rounds import Asked, LearnRecord, Round
from defectscout.workflow.learn.view import LowPoint
from workflow.test_learn_strategies import EMPTY, STRUCTURES

APART = MinimaSettings()
ASKED = Asked("ask", "r01/Dimer_step_4", "Dimer_step_4", ("Dimer",), Kind.POINT, "", -0.1, 0.0, 0, 1)
RECORD = LearnRecord((Round(1, "m", 0, (), (ASKED,)),))


POINT = LowPoint("r01/Dimer_step_4", STRUCTURES["Dimer"], -0.1)
SAMPLING = (SamplingStructure("Dimer", STRUCTURES["Dimer"]),)


def elsewhere(label: str, kind: Kind) -> Question:
    return Question(label, STRUCTURES["Bond_Distortion_20.0%"], kind, 12, "")


def test_nothing_changes_without_one() -> None:
    asked = (elsewhere("a", Kind.POINT),)
    assert with_low_point(EMPTY, asked, None, RECORD, SAMPLING, APART) == asked


def test_it_is_relaxed_first_and_in_place_of_others() -> None:
    asked = (elsewhere("a", Kind.CORRECTED), elsewhere("b", Kind.POINT))
    questions = with_low_point(EMPTY, asked, POINT, RECORD, SAMPLING, APART)
    assert [(one.label, one.kind) for one in questions] == [("Dimer", Kind.CORRECTED), ("b", Kind.POINT)]
    assert questions[0].atoms is POINT.atoms
    assert questions[0].max_calls == EMPTY.settings.relaxation_calls


def test_a_relaxation_from_there_will_do() -> None:
    asked = (Question("a", POINT.atoms.copy(), Kind.CORRECTED, 2, ""),)
    assert with_low_point(EMPTY, asked, POINT, RECORD, SAMPLING, APART) == asked


@pytest.mark.parametrize("calls", [0, 5])
def test_budget(calls: int) -> None:
    view = replace(EMPTY, calls_left=calls)
    questions = with_low_point(view, (elsewhere("b", Kind.POINT),), POINT, RECORD, SAMPLING, APART)
    assert sum(one.max_calls for one in questions) == calls
