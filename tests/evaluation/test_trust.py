"""What an answer of the learning loop says about itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from defectscout.evaluation.trust import Ending, Probed, Surprise, Trust, sentences, surrogates_say, trust


def told(**changes: Any) -> Trust:
    plain: dict[str, Any] = {
        "ending": Ending.QUIET,
        "rounds": 6,
        "quiet_rounds": 2,
        "patience": 2,
        "minima": 3,
        "unfinished": 0,
        "energies": [(-1.0, -1.2), (0.0, 0.1), (0.4, 0.5), (2.0, 1.0)],
        "spreads": [(0.1, 0.2), (0.2, 0.4), (0.05, 0.1)],
        "checks": 2,
        "foreseen": 0,
        "surprises": (),
        "window": 0.5,
    }
    return trust(**plain | changes)


def test_a_quiet_loop_is_converged() -> None:
    found = told()
    assert found.converged
    assert sentences(found) == (
        "Converged after 6 rounds of learning: the last 2 brought nothing new and lower.",
        "Energies that the surrogate predicted before the reference was asked, over 4 structures of this defect and "
        "all rounds: rank correlation 1.00, mean absolute error of relative energies 0.38 eV.",
        "Errors of the surrogate's forces were 2.0 times their spread.",
        "2 sampling structures relaxed by the reference alone led to nothing within 0.5 eV of the ground state that "
        "was not known.",
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ending": Ending.MAX_FORCE_CALLS, "quiet_rounds": 0}, "max_force_calls"),
        ({"ending": Ending.MAX_HOURS, "quiet_rounds": 1}, "max_hours"),
        ({"ending": Ending.MAX_ROUNDS, "quiet_rounds": 1}, "max_rounds"),
        ({"ending": Ending.NOTHING_LEFT, "quiet_rounds": 0}, "nothing left to ask"),
        ({"ending": Ending.NOTHING_LEFT, "minima": 0}, "no minimum was relaxed"),
        ({"unfinished": 2}, "2 relaxations within the window are unfinished"),
        ({"unfinished": 1}, "1 relaxation within the window is unfinished"),
        ({"ending": Ending.MAX_FORCE_CALLS, "rounds": 0, "quiet_rounds": 0, "minima": 0}, "0 rounds"),
    ],
)
def test_not_converged_is_said_in_words(changes: dict[str, Any], why: str) -> None:
    found = told(**changes)
    assert not found.converged
    verdict = sentences(found)[0]
    assert verdict.startswith("Not converged after ")
    assert why in verdict


def test_how_quiet_it_was_is_said() -> None:
    loud = sentences(told(ending=Ending.MAX_ROUNDS, quiet_rounds=0))[0]
    assert "the last one brought something new or lower (asked for: 2 quiet rounds in a row)" in loud
    quiet = sentences(told(ending=Ending.MAX_ROUNDS, quiet_rounds=1))[0]
    assert "the last one brought nothing new and lower" in quiet


def test_nothing_left_after_a_quiet_round_is_the_end() -> None:
    found = told(ending=Ending.NOTHING_LEFT, quiet_rounds=1)
    assert found.converged
    assert sentences(found)[0].endswith("the last one brought nothing new and lower and left nothing to ask.")


def test_a_budget_that_ends_with_the_last_quiet_round_does_no_harm() -> None:
    assert told(ending=Ending.MAX_FORCE_CALLS, quiet_rounds=2).converged


@given(
    ending=st.sampled_from(list(Ending)),
    quiet=st.integers(0, 5),
    patience=st.integers(1, 5),
    minima=st.integers(0, 3),
    unfinished=st.integers(0, 2),
)
def test_the_verdict_in_words_is_that_in_data(
    ending: Ending, quiet: int, patience: int, minima: int, unfinished: int
) -> None:
    found = told(ending=ending, quiet_rounds=quiet, patience=patience, minima=minima, unfinished=unfinished, rounds=9)
    verdict = sentences(found)[0]
    assert verdict.startswith("Converged") is found.converged
    assert ": ." not in verdict
    if quiet == 0 or unfinished or not minima:
        assert not found.converged


def test_ranking_does_not_see_the_zero_of_energy() -> None:
    pairs = [(-1.0, -1.2), (0.0, 0.1), (0.4, 0.5), (2.0, 1.0)]
    moved = told(energies=[(guess + 50.0, truth) for guess, truth in pairs])
    assert moved.energy_mae == pytest.approx(told(energies=pairs).energy_mae)
    assert moved.spearman == told(energies=pairs).spearman


def test_reversed_ranking() -> None:
    assert told(energies=[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]).spearman == pytest.approx(-1.0)


def test_what_is_not_known_is_none_and_said() -> None:
    found = told(energies=[(1.0, 1.0), (np.nan, 2.0)], spreads=[], checks=0)
    assert (found.n_pairs, found.spearman, found.energy_mae, found.spread_scale) == (1, None, None, None)
    _, ranking, spread, checks = sentences(found)
    assert "not known" in ranking
    assert "Too few" in spread
    assert "not ruled out" in checks
    two = told(energies=[(1.0, 1.0), (1.5, 2.0)])
    assert two.spearman is None
    assert two.energy_mae == pytest.approx(0.25)
    assert "rank" not in sentences(two)[1]


def test_what_was_missed_is_what_lies_within_the_window() -> None:
    found = told(surprises=[Surprise("high", 0.51), Surprise("edge", 0.5), Surprise("ground", 0.0)])
    assert [surprise.label for surprise in found.surprises] == ["ground", "edge", "high"]
    assert [surprise.label for surprise in found.missed] == ["ground", "edge"]


def test_surprises_are_told_with_their_energies() -> None:
    found = told(surprises=[Surprise("Bond_Distortion_40.0%", 0.31), Surprise("Dimer", 0.0)], checks=3)
    assert [surprise.label for surprise in found.surprises] == ["Dimer", "Bond_Distortion_40.0%"]
    assert sentences(found)[-1] == (
        "3 sampling structures relaxed by the reference alone led to 2 minima that the loop had not found: the ground "
        "state (Dimer), one 0.31 eV above the ground state (Bond_Distortion_40.0%)."
    )


@pytest.mark.parametrize(
    ("checks", "foreseen", "which"),
    [(1, 1, ""), (2, 2, "all of them "), (3, 2, "2 of them ")],
)
def test_a_check_that_was_ended_on_the_surrogates_word_is_told_as_that(checks: int, foreseen: int, which: str) -> None:
    said = sentences(told(checks=checks, foreseen=foreseen))[-1]
    assert (
        f"relaxed by the reference alone ({which}until the surrogate, right about how far it fell, foresaw an end more "
        "than 0.5 eV above the ground state) led to nothing within 0.5 eV"
    ) in said
    assert surrogates_say(told(checks=1, foreseen=1), told(checks=2, foreseen=0)).startswith(" (1 of them until")


def test_a_check_that_the_surrogate_led_on_is_told_as_that() -> None:
    rest = "down to where it came to rest, and on from there in steps that the surrogate proposed"
    assert f"relaxed by the reference alone ({rest}) led to nothing" in sentences(told(checks=1, led=1))[-1]
    both = sentences(told(checks=3, led=1, foreseen=2))[-1]
    assert f"(1 of them {rest}; 2 of them until the surrogate, right" in both
    assert surrogates_say(told(checks=2)) == ""


def test_the_curvature_is_told_where_it_was_asked_for() -> None:
    assert "curvature" not in " ".join(sentences(told()))
    minimum = told(probed=Probed(0.134, 9, settled=True, saddle=False))
    assert minimum.converged
    assert sentences(minimum)[-1] == (
        "The ground state is a minimum: the reference's lowest curvature there is 0.13 eV/Å² (9 force calls)."
    )
    open_ = told(probed=Probed(0.31, 1, settled=False, saddle=False))
    assert open_.converged
    assert "was not settled within 1 force call (learn.curvature_calls)" in sentences(open_)[-1]
    assert sentences(open_)[-1].endswith("found there is 0.31 eV/Å².")


def test_a_saddle_point_is_no_answer() -> None:
    saddle = told(probed=Probed(-0.12, 8, settled=False, saddle=True))
    assert not saddle.converged
    assert sentences(saddle)[0] == "Not converged after 6 rounds of learning: the lowest structure is a saddle point."
    assert "-0.12 eV/Å² along one direction (8 force calls), and nothing lower was found" in sentences(saddle)[-1]


def test_it_is_json_and_comes_back() -> None:
    found = told(surprises=[Surprise("Dimer", 0.2)], energies=[], probed=Probed(0.1, 9, settled=True, saddle=False))
    adapter = TypeAdapter(Trust)
    text = adapter.dump_json(found)
    assert json.loads(text)["ending"] == "quiet"
    assert adapter.validate_json(text) == found
