"""Energy against distortion: where each start led, and why some led nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from analysis.overviews import defect_overview, descent
from defectscout.analysis.distortions import (
    LEARNED,
    NOT_BEGUN,
    NOT_YET,
    NOWHERE,
    REFERENCE_ONLY,
    SCOUTED,
    DistortionPoint,
    DistortionSeries,
    energy_against_distortion,
)
from defectscout.core.defect import UNPERTURBED, SamplingStructure
from defectscout.core.errors import CampaignError
from defectscout.core.frames import RelaxationState
from defectscout.sampling.labels import distortion_of
from defectscout.workflow.overview import DefectOverview, Descent
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin
from minima.vacancy_cases import FCC, breathing, dimer, vacancy

DEFECT = vacancy()
DOWN, UP = "Bond_Distortion_-40.0%", "Bond_Distortion_30.0%"
FAILED, MERGED = RelaxationState.FAILED, RelaxationState.MERGED
PENDING, RUNNING, UNCONVERGED = RelaxationState.PENDING, RelaxationState.RUNNING, RelaxationState.UNCONVERGED


def starts(*labels: str) -> tuple[SamplingStructure, ...]:
    return tuple(SamplingStructure(label, DEFECT.atoms) for label in labels)


def points(series: DistortionSeries) -> dict[str, DistortionPoint]:
    return {point.start: point for point in series.points}


def test_two_searches_are_drawn_from_one_zero() -> None:
    scouted = defect_overview(
        DEFECT,
        [(dimer(DEFECT), -11.0, [DOWN, "Dimer"]), (breathing(DEFECT), -10.0, [UNPERTURBED, UP])],
        strategy="scout",
    )
    alone = defect_overview(
        DEFECT, [(dimer(DEFECT), -10.99, [DOWN]), (breathing(DEFECT), -10.002, [UNPERTURBED, UP, "Dimer"])]
    )
    plot = energy_against_distortion("CdTe", scouted, alone)
    assert (plot.host, plot.defect, plot.zero) == ("CdTe", "v_Cd_0", "relaxed Unperturbed")
    assert [series.name for series in plot.series] == [SCOUTED, REFERENCE_ONLY]
    own, other = map(points, plot.series)
    assert {start: point.energy for start, point in own.items()} == pytest.approx(
        {DOWN: -1.0, "Dimer": -1.0, UNPERTURBED: 0.0, UP: 0.0}
    )
    assert {start: point.energy for start, point in other.items()} == pytest.approx(
        {DOWN: -0.99, UNPERTURBED: -0.002, UP: -0.002, "Dimer": -0.002}
    )
    assert [own[start].rank for start in (DOWN, UNPERTURBED)] == [0, 1]
    # The reference relaxed what the surrogate had made of the distorted one, though it bears its name.
    assert {start: point.direct for start, point in own.items()} == {
        DOWN: False, "Dimer": False, UNPERTURBED: True, UP: False
    }  # fmt: skip
    assert all(point.direct for point in other.values())
    assert not any(point.note for point in (*own.values(), *other.values()))


def test_points_stand_in_the_order_of_the_distortions() -> None:
    labels = ["Dimer", UP, "Rattled", UNPERTURBED, "Bond_Distortion_-60.0%_from_Te29-Te31", DOWN, "my structure"]
    item = defect_overview(DEFECT, [(breathing(DEFECT), 0.0, labels)], sampling=starts(*labels))
    (series,) = energy_against_distortion("CdTe", item).series
    assert [(point.start, point.distortion) for point in series.points] == [
        ("Bond_Distortion_-60.0%_from_Te29-Te31", -0.6),
        (DOWN, -0.4),
        (UP, 0.3),
        (UNPERTURBED, None),
        ("Rattled", None),
        ("Dimer", None),
        ("my structure", None),
    ]


def test_the_zero_is_the_best_that_is_known() -> None:
    without = defect_overview(DEFECT, [(dimer(DEFECT), -11.0, [DOWN]), (breathing(DEFECT), -10.0, [UP])])
    plot = energy_against_distortion("CdTe", without)
    assert plot.zero == "ground state"
    (series,) = plot.series
    assert {start: point.energy for start, point in points(series).items() if point.rank is not None} == pytest.approx(
        {DOWN: 0.0, UP: 1.0}
    )
    alone = defect_overview(DEFECT, [(breathing(DEFECT), -10.5, [UNPERTURBED])])
    plot = energy_against_distortion("CdTe", without, alone)
    assert plot.zero == "relaxed Unperturbed"
    assert points(plot.series[0])[DOWN].energy == pytest.approx(-0.5)
    lower = defect_overview(DEFECT, [(breathing(DEFECT), -12.0, [UP])])
    plot = energy_against_distortion("CdTe", without, lower)
    assert points(plot.series[0])[DOWN].energy == pytest.approx(1.0)
    assert points(plot.series[1])[UP].energy == pytest.approx(0.0)


def test_of_several_minima_that_a_start_led_to_the_lowest_counts() -> None:
    """The reference took it to one, and the surrogate of the last round to a lower one."""
    item = defect_overview(
        DEFECT,
        [(dimer(DEFECT), -12.0, [DOWN]), (breathing(DEFECT), -10.0, [UNPERTURBED, DOWN])],
        [
            descent(UNPERTURBED, [-10.0], rank=1),
            descent(DOWN, [-10.0], rank=1),
            descent(f"{DOWN}_from_r2", [-12.0], rank=0),
        ],
        strategy="learn",
    )
    (series,) = energy_against_distortion("CdTe", item).series
    point = points(series)[DOWN]
    assert (series.name, point.rank, point.direct) == (LEARNED, 0, False)


def test_a_check_that_fell_into_a_known_minimum_led_there_directly() -> None:
    item = defect_overview(
        DEFECT,
        [(dimer(DEFECT), -11.0, ["Dimer"]), (breathing(DEFECT), -10.0, [UNPERTURBED])],
        [
            descent(UNPERTURBED, [-10.0], rank=1),
            descent("Dimer", [-11.0], rank=0),
            descent(UP, [-9.0, -10.9], "check", MERGED, reason="Dimer", rank=0),
        ],
        strategy="learn",
        sampling=starts(UNPERTURBED, "Dimer", UP),
    )
    (series,) = energy_against_distortion("CdTe", item).series
    point = points(series)[UP]
    assert (point.rank, point.direct, point.note) == (0, True, "")
    assert point.energy == pytest.approx(-1.0)


def unfinished(descents: Sequence[Descent], step: str, set_aside: Sequence[tuple[str, str]] = ()) -> DefectOverview:
    labels = [UNPERTURBED, "a", "b", "c", "d", "e", "f"]
    item = defect_overview(DEFECT, [(breathing(DEFECT), -10.0, [UNPERTURBED])], descents,
                           sampling=starts(*labels), step=step, set_aside=set_aside)  # fmt: skip
    candidates = tuple(Candidate(label, (label,), Origin.SAMPLED, None) for label in labels)
    return replace(item, result=replace(item.result, candidates=DefectCandidates(candidates)))


def test_what_led_nowhere_says_why() -> None:
    item = unfinished(
        [
            descent(UNPERTURBED, [-10.0], rank=0),
            descent("a", [-9.0], state=FAILED, reason="no convergence"),
            descent("b", [-14.0]),
            descent("c", [-9.0], state=RUNNING),
            descent("d", [], state=PENDING),
            descent("e", [-9.0], state=UNCONVERGED, reason="left where it was"),
        ],
        "3 reference relaxations",
        [("a", "no convergence"), ("b", "30 % of the far atoms left their sites")],
    )
    (series,) = energy_against_distortion("CdTe", item).series
    assert {start: point.note for start, point in points(series).items()} == {
        UNPERTURBED: "",
        "a": "failed: no convergence",
        "b": "30 % of the far atoms left their sites",
        "c": "still relaxing",
        "d": NOT_YET,
        "e": "left where it was",
        "f": NOT_YET,
    }
    assert all((point.energy, point.rank, point.direct) == (None, None, False) for point in series.points if point.note)


def test_why_scouting_led_nowhere() -> None:
    labels = [UNPERTURBED, "a", "b", "c", "d", "e"]
    candidates = DefectCandidates(
        (
            Candidate(UNPERTURBED, (UNPERTURBED,), Origin.SAMPLED, None),
            Candidate("a", ("a", "b"), Origin.SCOUTED, -3.0),
        ),
        flagged=(("c", "the host fell apart"),),
        n_minima=1,
    )
    scouts = [descent(label, [-3.0], "scout", reason="") for label in labels[:4]]
    scouts.append(descent("d", [], "scout", FAILED, reason="atoms too close"))
    item = defect_overview(
        DEFECT,
        [(breathing(DEFECT), -10.0, [UNPERTURBED])],
        [*scouts, descent(UNPERTURBED, [-10.0], rank=0), descent("a", [-9.0], state=FAILED, reason="no convergence")],
        sampling=starts(*labels),
        set_aside=[("c", "the host fell apart"), ("a", "no convergence")],
    )
    item = replace(item, result=replace(item.result, candidates=candidates))
    (series,) = energy_against_distortion("CdTe", item).series
    assert series.name == SCOUTED
    assert {start: point.note for start, point in points(series).items()} == {
        UNPERTURBED: "",
        "a": "failed: no convergence",
        "b": "a, which stands for it: failed: no convergence",
        "c": "scouting: the host fell apart",
        "d": "scouting: failed: atoms too close",
        "e": NOWHERE,
    }
    assert not any(point.direct for point in series.points if point.start != UNPERTURBED)


def test_a_search_that_has_not_begun() -> None:
    item = defect_overview(DEFECT, [], [], sampling=starts(UNPERTURBED, UP), step="scouting")
    plot = energy_against_distortion("CdTe", item)
    (series,) = plot.series
    assert (plot.zero, series.name) == ("ground state", NOT_BEGUN)
    assert [(point.energy, point.note) for point in series.points] == [(None, NOT_YET)] * 2


def test_searches_that_cannot_be_compared_are_not() -> None:
    item = defect_overview(DEFECT, [(breathing(DEFECT), -10.0, [UNPERTURBED])])
    with pytest.raises(CampaignError, match=r"another supercell \(Cd31Te32.*Cd26Te27"):
        energy_against_distortion("CdTe", item, defect_overview(vacancy(FCC)))
    with pytest.raises(CampaignError, match="of the same defect"):
        energy_against_distortion("CdTe", item, defect_overview(replace(DEFECT, charge=-1)))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (DOWN, -0.4),
        ("Bond_Distortion_0.0%", 0.0),
        ("Bond_Distortion_-60.0%_from_Te29-Te31", -0.6),
        ("Bond_Distortion_-37.5%_from_-1", -0.375),
        (UNPERTURBED, None),
        ("Rattled", None),
        ("Dimer_from_0", None),
        ("Bond_Distortion_wide", None),
    ],
)
def test_how_far_bonds_were_distorted(label: str, expected: float | None) -> None:
    assert distortion_of(label) == expected
