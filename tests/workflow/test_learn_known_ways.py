"""Checks that come onto the way of a relaxation whose end is known."""

from __future__ import annotations

import numpy as np
import pytest

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.known_ways import RATTLED, WAY_FRAMES, OnAKnownWay, on_a_known_way, ways_to
from defectscout.workflow.learn.places import Place
from defectscout.workflow.learn.stopping import CALM
from defectscout.workflow.record import TaskKey
from minima.vacancy_cases import breathing, dimer
from workflow.learn_rounds import answered, frame

APART = MinimaSettings()
MERGED = Stop(RelaxationState.MERGED, "Twin")


def rule(defect: Defect, earlier: tuple[Frame, ...] = ()) -> OnAKnownWay:
    """The way of a relaxation from a long pair down to a shorter one."""
    ways = [Place("Twin", dimer(defect, length=length), energy) for length, energy in ((3.6, 1.5), (2.7, 1.0))]
    return OnAKnownWay(defect, ways, APART, earlier)


def test_a_check_on_the_way_is_over_with_its_second_frame_there(defect: Defect) -> None:
    """By any of the pairs that the host makes equivalent, wherever on the way it lies."""
    on = rule(defect)
    assert on(frame(breathing(defect), 1.7, 0.3)) is None
    assert on(frame(dimer(defect, (2, 3), length=3.6), 1.7, 0.3)) is None
    assert on(frame(breathing(defect), 1.6, 0.3)) is None
    assert on(frame(dimer(defect, length=2.7), 1.2, 0.2)) == MERGED


@pytest.mark.parametrize(
    ("length", "energy", "force"),
    [(2.7, 1.0 + 1.01 * RATTLED, 0.2), (2.7, 1.0, 1.01 * CALM), (2.4, 1.0, 0.2)],
    ids=["too high", "on its way past", "another site"],
)
def test_what_differs_is_on_no_way(defect: Defect, length: float, energy: float, force: float) -> None:
    on = rule(defect)
    assert [on(frame(dimer(defect, length=length), energy, force)) for _ in range(2 * WAY_FRAMES)] == [None] * 4


def test_below_the_way_it_may_be(defect: Defect) -> None:
    """A crystal that is more at rest than it was there."""
    on = rule(defect)
    assert [on(frame(dimer(defect, length=3.6), 0.9, 0.2)) for _ in range(2)] == [None, MERGED]


def test_an_interrupted_check_goes_on_counting(defect: Defect) -> None:
    first, second = frame(dimer(defect, length=3.6), 1.6, 0.3), frame(dimer(defect, length=2.7), 1.2, 0.2)
    assert rule(defect, (first,))(second) == MERGED
    assert rule(defect)(second) is None


def test_only_ways_that_ended_too_high_are_known(campaign: Campaign, defect: Defect) -> None:
    low, high, over = dimer(defect, length=2.4), dimer(defect, length=2.7), RelaxationState.UNCONVERGED
    answered(campaign, defect, "reference", "Low", low, 0.0)
    answered(campaign, defect, "reference", "High", high, 1.0)
    answered(campaign, defect, "reference", "Stopped", breathing(defect), 2.0, over, "nearly at rest")
    answered(campaign, defect, "check", "Checked", dimer(defect, length=2.9), 1.0)
    key = TaskKey("reference", defect.label, "High")
    (task,) = [task for task in campaign.record.tasks("reference") if task.key == key]
    assert task.checkpoint is not None
    further = Checkpoint(frame(high, 0.99, step=1), task.checkpoint.optimiser, 1.0)
    campaign.record.write_steps([(key, further)], seconds=0.0)
    minima = [Minimum("Low", ("Low",), low, 0.0), Minimum("High", ("High", "Checked"), high, 0.99)]
    assert [(way.label, way.energy) for way in ways_to(campaign, defect, minima[1:])] == [("High", 1.0), ("High", 0.99)]
    on_high = on_a_known_way(campaign, defect, minima, 0.5, ())
    assert [on_high(frame(high, 1.1, 0.2)) for _ in range(2)] == [None, Stop(RelaxationState.MERGED, "High")]
    assert [on_high(frame(low, 0.1, 0.2)) for _ in range(3)] == [None] * 3
    everything_matters = on_a_known_way(campaign, defect, minima, np.inf, ())
    assert [everything_matters(frame(high, 1.1, 0.2)) for _ in range(3)] == [None] * 3
