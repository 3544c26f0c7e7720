"""What counts as known among the minima that a surrogate predicts, and what is told of scouting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.defect import Bond, Minimum
from defectscout.core.frames import Frame, Prediction
from defectscout.workflow.campaign import Campaign, Source
from defectscout.workflow.learn import say
from defectscout.workflow.learn.learner import Learner
from defectscout.workflow.learn.questions import CONFIRMED
from defectscout.workflow.learn.scouting import Scouted
from defectscout.workflow.learn.view import Answers, is_carried_over, round_view
from defectscout.workflow.settings import SearchSettings
from listening import Listening
from minima.vacancy_cases import CUBIC, dimer, vacancy

DEFECT = vacancy(CUBIC)
BOND = Bond(("Te", "Te"), 2.72, (0, 1))


def view_of(predicted: Minimum, found: Minimum) -> Any:
    campaign = Campaign(Path(), SearchSettings(), Source("", ""), record=None)  # type: ignore[arg-type]
    scouted = Scouted({}, (predicted,), (), 0)
    answers = Answers(frames=(), found=(found,), unfinished={}, ended={}, refused=(), calls=0)
    return round_view(campaign, DEFECT, 1, scouted, answers, no_spread, None)


def no_spread(structures: Sequence[Atoms]) -> np.ndarray:
    return np.zeros(len(structures))


def test_where_the_surrogate_takes_a_known_minimum_is_known_too() -> None:
    """It errs about the bond's length, so that the fingerprints differ."""
    found = Minimum("Dimer", ("Dimer",), dimer(DEFECT, length=2.7), -1.0, (BOND,))
    predicted = Minimum("Dimer", ("Dimer", "Bond_Distortion_-40.0%"), dimer(DEFECT, length=3.0), -1.2, (BOND,))
    (one,) = view_of(predicted, found).predicted
    assert one.known_as == "Dimer"


def test_but_not_if_it_makes_or_breaks_bonds_on_the_way() -> None:
    """A relaxation that came to rest on a flat shoulder of the reference's surface looks like that."""
    found = Minimum("Dimer", ("Dimer",), dimer(DEFECT, length=2.7), -1.0, (BOND,))
    more = Minimum("Dimer", ("Dimer", "Rattled"), dimer(DEFECT, length=2.3), -1.9, (BOND, BOND))
    (one,) = view_of(more, found).predicted
    assert one.known_as == ""


def test_what_looks_like_a_known_minimum_is_known() -> None:
    found = Minimum("Dimer", ("Dimer",), dimer(DEFECT), -1.0, (BOND,))
    predicted = Minimum("Bond_Distortion_-40.0%", ("Bond_Distortion_-40.0%",), dimer(DEFECT), -1.0, (BOND,))
    (one,) = view_of(predicted, found).predicted
    assert one.known_as == "Dimer"


def test_what_was_carried_over_from_a_related_host_may_be_the_lowest() -> None:
    """Whether its relaxation has ended or still goes on."""
    related = ("v_Cd_0_of_CdSe", "v_Cd_0_of_CdS")
    own = Minimum("Dimer", ("Dimer", "Rattled"), dimer(DEFECT), -1.0)
    carried = Minimum("Rattled", ("Rattled", "v_Cd_0_of_CdSe"), dimer(DEFECT), -2.0)

    def answers(*found: Minimum, **unfinished: float) -> Answers:
        frames = {
            label: Frame(DEFECT.atoms, Prediction(energy, np.zeros((len(DEFECT.atoms), 3))), 0)
            for label, energy in unfinished.items()
        }
        return Answers(frames=(), found=found, unfinished=frames, ended={}, refused=(), calls=0)

    assert is_carried_over(answers(carried, own), related)
    assert is_carried_over(answers(own, v_Cd_0_of_CdSe=-2.0), related)
    confirmed = Minimum("c", (f"v_Cd_0_of_CdSe{CONFIRMED}{CONFIRMED}",), dimer(DEFECT), -2.01)
    assert is_carried_over(answers(confirmed, carried), related)  # it came from there
    assert not is_carried_over(answers(own, v_Cd_0_of_CdSe=0.0), related)  # something else lies lower
    assert not is_carried_over(answers(carried, Dimer=-3.0), related)
    assert not is_carried_over(answers(carried), ())
    assert not is_carried_over(answers(), related)


def test_scouting_relaxations_that_led_nowhere_are_told() -> None:
    progress = Listening()
    campaign = Campaign(Path(), SearchSettings(), Source("", ""), record=None)  # type: ignore[arg-type]
    learner = Learner(campaign, DEFECT, (), "CdTe", (), (), "toy", (), progress)
    say.not_relaxed(learner, ())
    assert progress.messages == []
    say.not_relaxed(learner, [("Dimer", "the host fell apart")])
    say.not_relaxed(learner, [("Dimer", "the host fell apart"), ("Rattled", "it failed")])
    label = DEFECT.label
    assert progress.messages == [
        f"{label}: a relaxation with the surrogate led to no minimum (Dimer: the host fell apart)",
        f"{label}: 2 relaxations with the surrogate led to no minimum (Dimer: the host fell apart; Rattled: it failed)",
    ]
