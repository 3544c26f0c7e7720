"""The dry run: what it promises is what the search does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import model
from defectscout.core.errors import DefectSelectionError, SettingsError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.plan import (
    CHECK_CALLS,
    CORRECTED_REFINEMENT_STEPS,
    CURVATURE_CALLS,
    LEARNING_CALLS,
    LEARNING_ROUNDS,
    LEARNING_SCOUTING_STEPS,
    TYPICAL_REFERENCE_STEPS,
    TYPICAL_REFINEMENT_STEPS,
    Plan,
    learning_calls,
    plan,
)
from defectscout.workflow.settings import SearchSettings, merge
from workflow.learning_crystal import FAMILY, learning_crystal


def planned(path: Path, **overrides: Any) -> Plan:
    quick = {
        "sampling": {"distortions": (-0.4, 0.4)},
        "surrogate": {"name": model("surrogate")},
        "reference": {"name": model("reference"), "workers": 2},
    }
    settings = merge(merge(SearchSettings(), quick, "test"), overrides, "test")
    return plan(str(path), path.parent / "out", settings, SilentProgress())


def test_a_scouted_search(model_host: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    found = planned(model_host)
    assert sorted(tmp_path.iterdir()) == before
    assert (found.strategy, found.rounds) == ("scout", 1)  # the surrogate is a calculator, and cannot be tuned
    (defect,) = found.defects
    assert (defect.label, defect.atoms, defect.excess_charge) == ("v_Mg_0", found.supercell_atoms - 1, 2)
    assert (defect.sampling, defect.candidates) == (3, (2, 3))
    assert found.surrogate_calls > 0
    assert found.host_calls > 0
    typical, most = found.reference_calls
    assert 0 < typical < most
    assert found.surrogate_seconds is not None
    assert found.surrogate_seconds > 0
    assert found.seconds is not None
    assert found.seconds[0] < found.seconds[1]


def test_candidates_that_relax_in_proposed_steps_ask_the_reference_less(model_host: Path) -> None:
    by_itself, proposed = (planned(model_host, refinement={"optimiser": name}) for name in ("fire", "corrected"))
    assert proposed.surrogate_calls == by_itself.surrogate_calls
    for few, many in zip(proposed.reference_calls, by_itself.reference_calls, strict=True):
        assert few == pytest.approx(many * CORRECTED_REFINEMENT_STEPS / TYPICAL_REFINEMENT_STEPS)


def test_a_reference_only_search_of_a_kept_host(model_host: Path) -> None:
    found = planned(model_host, strategy="reference-only", host={"keep": True})
    assert (found.host_calls, found.surrogate_calls, found.surrogate_seconds) == (0, 0, None)
    assert found.defects[0].candidates == (3, 3)
    assert found.reference_calls[0] == found.reference_calls[1]
    assert found.seconds is not None
    assert found.reference_seconds is not None
    assert found.seconds[0] == pytest.approx(found.reference_calls[0] * found.reference_seconds / 2)


def test_without_a_reference_no_time_is_promised(model_host: Path) -> None:
    found = planned(model_host, reference={"name": "none"})
    assert (found.host_calls, found.reference_calls, found.reference_seconds) == (0, (0, 0), None)
    assert found.seconds is None


def test_it_raises_what_the_search_would(model_host: Path) -> None:
    with pytest.raises(DefectSelectionError, match="v_Cd"):
        planned(model_host, defects={"select": ("v_Cd",)})


LEARN = LearnSettings(
    first_relaxations=0, first_points=8, points=4, relaxations=1, relaxation_calls=12, max_rounds=12, checks=2
)


@pytest.mark.parametrize("strategy", ["auto", "learn"])
def test_a_search_that_learns(model_host: Path, strategy: str) -> None:
    with learning_crystal():
        found = planned(model_host, surrogate={"name": FAMILY}, strategy=strategy, learn=LEARN.model_dump())
    assert (found.strategy, found.rounds) == ("learn", LEARNING_ROUNDS)
    (defect,) = found.defects
    assert (defect.sampling, defect.candidates) == (3, None)
    assert found.surrogate_calls == LEARNING_ROUNDS * 3 * LEARNING_SCOUTING_STEPS
    assert found.reference_calls == learning_calls(LEARN, [3])
    assert found.seconds is not None
    assert found.reference_seconds is not None
    assert found.surrogate_seconds is not None
    scouting = found.surrogate_calls * found.surrogate_seconds
    # relaxations go step by step: of two workers, one is idle half the time
    assert found.seconds[0] == pytest.approx(
        scouting + (found.host_calls + found.reference_calls[0] / 1.5) * found.reference_seconds
    )


@pytest.mark.parametrize(
    ("changed", "typical", "most"),
    [
        # the first round, then 12 of a relaxation and four points each, then two checks
        ({}, LEARNING_CALLS + 2 * CHECK_CALLS, 12 + 8 + 12 * (12 + 4) + 2 * TYPICAL_REFERENCE_STEPS),
        ({"first_relaxations": 1, "checks": 0}, LEARNING_CALLS, 12 + 24 + 8 + 12 * (12 + 4)),
        (
            {"checks": 0, "curvature_calls": 15},  # and off a saddle point, where it is probed once more
            LEARNING_CALLS + CURVATURE_CALLS,
            12 + 8 + 12 * (12 + 4) + 15 + 24 + 15,
        ),
        ({"checks": 0, "curvature_calls": 4}, LEARNING_CALLS + 4, 12 + 8 + 12 * (12 + 4) + 4 + 24 + 4),
        ({"max_force_calls": 40}, 40, 40),
        ({"max_force_calls": 250}, LEARNING_CALLS + 2 * CHECK_CALLS, 250),
        ({"max_rounds": 1, "checks": 0, "first_points": 0}, 12 + 12 + 4, 12 + 12 + 4),
        ({"ask": "corrected", "max_rounds": 4, "checks": 0, "first_points": 0}, LEARNING_CALLS, 12 + 4 * 12),
        ({"ask": "minima", "checks": 0, "first_points": 0}, LEARNING_CALLS, 12 + 15 * TYPICAL_REFINEMENT_STEPS),
    ],
)
def test_what_learning_may_spend(changed: dict[str, Any], typical: int, most: int) -> None:
    settings = LEARN.model_copy(update=changed)
    assert learning_calls(settings, [15]) == (typical, most)
    if settings.max_force_calls is None:
        assert learning_calls(settings, [15, 15]) == (2 * typical, 2 * most)
    else:  # the budget is for all defects
        assert learning_calls(settings, [15, 15])[1] == most


def test_few_sampling_structures_are_soon_asked() -> None:
    few = learning_calls(LEARN, [2])
    assert few[1] == 12 + 1 + 12 * (12 + 4) + TYPICAL_REFERENCE_STEPS
    assert learning_calls(LEARN, [1])[1] == 12 + 12 * (12 + 4)


def test_a_search_that_cannot_learn_is_refused(model_host: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be tuned"):
        planned(model_host, strategy="learn")
