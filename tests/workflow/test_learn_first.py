"""What the first round asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.defect import UNPERTURBED, SamplingStructure
from defectscout.workflow.learn.first import by_bonds, first_questions, middle
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.settings import LearnSettings
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)
LENGTHS = {"near": 2.8, "short": 2.5, "shorter": 2.2}
"""Å, of a Te–Te bond; a single one has 2.76."""
STARTS = [
    SamplingStructure(UNPERTURBED, DEFECT.atoms),
    SamplingStructure("out", breathing(DEFECT, 0.3)),
    *(SamplingStructure(label, dimer(DEFECT, length=length)) for label, length in reversed(LENGTHS.items())),
    SamplingStructure("in", breathing(DEFECT, -0.1)),
]


RELATED = [SamplingStructure("v_Cd_0_of_CdSe", dimer(DEFECT)), SamplingStructure("v_Cd_0_of_CdSe-2", breathing(DEFECT))]


def kinds(settings: LearnSettings, *, familiar: bool = False, related: bool = False) -> dict[str, Kind]:
    more = RELATED if related else []
    labels = [start.label for start in more]
    questions = first_questions(DEFECT, [*STARTS, *more], labels, settings, familiar=familiar)
    assert len({question.label for question in questions}) == len(questions)
    return {question.label: question.kind for question in questions}


def test_starts_with_bonds_come_by_their_strain() -> None:
    assert [start.label for start in by_bonds(DEFECT, STARTS)] == list(LENGTHS)


def test_a_surrogate_that_knows_such_hosts_is_spared_all_but_one() -> None:
    assert kinds(LearnSettings(), familiar=True) == {UNPERTURBED: Kind.CORRECTED}


def test_the_ground_state_of_a_related_host_is_relaxed_and_its_other_minima_are_scouted_alone() -> None:
    assert kinds(LearnSettings(), familiar=True, related=True) == {
        UNPERTURBED: Kind.CORRECTED,
        "v_Cd_0_of_CdSe": Kind.CORRECTED,
    }
    other = {label: kind for label, kind in kinds(LearnSettings(), related=True).items() if label != "v_Cd_0_of_CdSe"}
    assert other == kinds(LearnSettings())


@pytest.mark.parametrize(("wanted", "relaxed"), [(0, []), (1, ["short"]), (3, ["short", "near", "shorter"])])
def test_bonds_of_middling_strain_are_relaxed(wanted: int, relaxed: list[str]) -> None:
    asked = kinds(LearnSettings(first_relaxations=wanted, first_points=9))
    assert [label for label, kind in asked.items() if kind is Kind.CORRECTED] == [UNPERTURBED, *relaxed]
    points = {label for label, kind in asked.items() if kind is Kind.POINT}
    assert points == {start.label for start in STARTS} - {UNPERTURBED, *relaxed}


def test_atoms_drawn_into_each_other_are_not_asked_about() -> None:
    """The reference may say nothing of them, and what it says teaches nothing."""
    crowded = [SamplingStructure(f"crowded {length}", dimer(DEFECT, length=length)) for length in (1.2, 1.5, 1.7)]
    settings = LearnSettings(first_relaxations=9, first_points=9)
    questions = first_questions(DEFECT, [*STARTS, *crowded], [], settings, familiar=False)
    assert {question.label for question in questions} == {start.label for start in STARTS}
    only = first_questions(DEFECT, crowded, [], settings, familiar=False)
    assert {question.label for question in only} == {start.label for start in crowded}


@given(st.integers(0, 4), st.integers(0, 6))
def test_no_more_than_asked_for(relaxations: int, points: int) -> None:
    asked = list(kinds(LearnSettings(first_relaxations=relaxations, first_points=points)).values())
    chosen = min(relaxations, len(LENGTHS))
    assert asked.count(Kind.CORRECTED) == 1 + chosen
    assert asked.count(Kind.POINT) == min(points, len(STARTS) - 1 - chosen)


@given(st.integers(0, 20), st.integers(0, 20))
def test_the_middle(available: int, wanted: int) -> None:
    chosen = middle(available, wanted)
    assert len(set(chosen)) == len(chosen) == min(available, wanted)
    if chosen:
        assert max(chosen) - min(chosen) == len(chosen) - 1
        assert chosen[0] == available // 2
