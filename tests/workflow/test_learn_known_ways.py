"""Relaxations and checks that come onto the way of another relaxation."""

from __future__ import annotations

import numpy as np
import pytest

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.known_ways import (
    RATTLED,
    WAY_FRAMES,
    follow_merged,
    on_a_known_way,
    way_of_another,
    way_to_known,
)
from defectscout.workflow.learn.places import Place
from defectscout.workflow.learn.stopping import CALM, HIGH, AfterFrames
from minima.vacancy_cases import breathing, dimer
from workflow.learn_rounds import answered, frame

APART = MinimaSettings()
MERGED = Stop(RelaxationState.MERGED, "Twin")
BELOW = 0.1


def rule(defect: Defect, earlier: tuple[Frame, ...] = ()) -> AfterFrames:
    """The way of a relaxation from a long pair down to a shorter one."""
    ways = [Place("Twin", dimer(defect, length=length), energy) for length, energy in ((3.6, 1.5), (2.7, 1.0))]
    return on_a_known_way(defect, ways, 0.3, BELOW, APART, earlier)


def test_a_check_on_the_way_is_over_with_its_second_frame_there(defect: Defect) -> None:
    """By any of the pairs that the host makes equivalent, wherever on the way it lies."""
    on = rule(defect)
    assert on(frame(breathing(defect), 1.7, 0.3)) is None
    assert on(frame(dimer(defect, (2, 3), length=3.6), 1.7, 0.3)) is None
    assert on(frame(breathing(defect), 1.6, 0.3)) is None
    assert on(frame(dimer(defect, length=2.7), 1.2, 0.2)) == MERGED


@pytest.mark.parametrize(
    ("length", "energy", "force"),
    [(2.7, 1.31, 0.2), (2.7, 0.89, 0.2), (2.7, 1.0, 1.01 * CALM), (2.4, 1.0, 0.2)],
    ids=["too high", "too low", "on its way past", "another site"],
)
def test_what_differs_is_on_no_way(defect: Defect, length: float, energy: float, force: float) -> None:
    on = rule(defect)
    assert [on(frame(dimer(defect, length=length), energy, force)) for _ in range(2 * WAY_FRAMES)] == [None] * 4


def test_an_interrupted_check_goes_on_counting(defect: Defect) -> None:
    first, second = frame(dimer(defect, length=3.6), 1.6, 0.3), frame(dimer(defect, length=2.7), 1.2, 0.2)
    assert rule(defect, (first,))(second) == MERGED
    assert rule(defect)(second) is None


def on_the_way(defect: Defect, energy: float = 1.02) -> Frame:
    return frame(dimer(defect, length=2.7), energy, 0.2)


def test_a_check_gives_way_to_what_is_known(campaign: Campaign, defect: Defect) -> None:
    low, high, over = dimer(defect, length=2.4), dimer(defect, length=2.7), RelaxationState.UNCONVERGED
    answered(campaign, defect, "reference", "Low", low, 0.0)
    answered(campaign, defect, "reference", "High", high, 1.0)
    answered(campaign, defect, "reference", "Stopped", breathing(defect), 2.0, over, HIGH)
    minima = [Minimum("Low", ("Low",), low, 0.0), Minimum("Lead", ("Lead", "High"), high, 0.99)]
    check, leads = way_to_known(campaign, defect, minima, 0.5, ()), Stop(RelaxationState.MERGED, "Lead")
    # Its crystal need not be at rest, or may be more so than on that way.
    assert check(on_the_way(defect, 0.99 + RATTLED)) is None
    assert check(on_the_way(defect, 0.7)) == leads
    assert [check(frame(breathing(defect), 2.0, 0.2)) for _ in range(3)] == [None] * 3
    # Where minima matter it may not be lower than there was to be known.
    everything_matters = way_to_known(campaign, defect, minima, np.inf, ())
    lower = 0.99 - 1.01 * APART.energy_tolerance
    assert [everything_matters(on_the_way(defect, lower)) for _ in range(3)] == [None] * 3
    assert [everything_matters(on_the_way(defect, energy)) for energy in (0.99 + RATTLED, 0.98)] == [None, leads]


@pytest.mark.parametrize(
    ("state", "reason", "leads_to"),
    [
        (RelaxationState.CONVERGED, "", "Way"),
        (RelaxationState.RUNNING, "", "Way"),
        (RelaxationState.MERGED, "Low", "Low"),
        (RelaxationState.UNCONVERGED, HIGH, ""),
        (RelaxationState.UNCONVERGED, "", ""),
    ],
)
def test_a_relaxation_gives_way_to_one_that_was_begun_before(
    campaign: Campaign, defect: Defect, state: RelaxationState, reason: str, leads_to: str
) -> None:
    answered(campaign, defect, "reference", "Way", dimer(defect, length=2.7), 1.0, state, reason)
    answered(campaign, defect, "reference", "Own", breathing(defect), 1.5, RelaxationState.RUNNING)
    own = way_of_another(campaign, defect, "Own", ())
    end = Stop(RelaxationState.MERGED, leads_to) if leads_to else None
    assert [own(on_the_way(defect)) for _ in range(2)] == [None, end]
    off = way_of_another(campaign, defect, "Own", ())
    assert [off(on_the_way(defect, 1.0 + 1.01 * APART.energy_tolerance)) for _ in range(3)] == [None] * 3
    # The one before does not give way to it in its turn, nor does anything to itself.
    before = way_of_another(campaign, defect, "Way", ())
    assert [before(frame(breathing(defect), 1.5, 0.2)) for _ in range(3)] == [None] * 3
    assert [before(on_the_way(defect)) for _ in range(3)] == [None] * 3


def test_what_was_merged_into_a_merged_one_is_merged_into_its_end(campaign: Campaign, defect: Defect) -> None:
    merged = RelaxationState.MERGED
    for label, state, reason in (
        ("Low", None, ""),
        ("Way", merged, "Low"),
        ("First", merged, "Way"),
        ("Free", None, ""),
    ):
        state = state or RelaxationState.CONVERGED
        answered(campaign, defect, "reference", label, breathing(defect), 1.0, state, reason)
    answered(campaign, defect, "check", "Check", breathing(defect), 1.0, merged, "First")
    follow_merged(campaign, defect)
    tasks = [*campaign.record.tasks("reference"), *campaign.record.tasks("check")]
    told = {task.key.label: task.reason for task in tasks}
    assert told == {"Low": "", "Way": "Low", "First": "Low", "Free": "", "Check": "Low"}
    assert [task.evaluations for task in tasks] == [1] * 5
