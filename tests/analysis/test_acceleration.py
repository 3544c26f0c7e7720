"""What searches found for what they took: tables II and S12 by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.overviews import defect_overview, descent, overview
from defectscout.analysis.acceleration import ORDERS, TYPICAL_CALLS, acceleration, counterpart
from defectscout.core.defect import UNPERTURBED, SamplingStructure
from defectscout.core.frames import RelaxationState
from defectscout.minima.symmetry import SCHOENFLIES
from defectscout.workflow.overview import Cost, DefectOverview
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import FCC, breathing, dimer, vacancy

DEFECT = vacancy()
STARTS = (UNPERTURBED, "Bond_Distortion_-40.0%", "Bond_Distortion_30.0%", "Dimer")
SAMPLING = tuple(SamplingStructure(label, DEFECT.atoms) for label in STARTS)


def baseline(ground: float = -11.0, **options: Any) -> DefectOverview:
    """Four relaxations of 20, 50, 60 and 70 force calls at 2 s each."""
    return defect_overview(
        DEFECT,
        [(dimer(DEFECT), ground, STARTS[1:3]), (breathing(DEFECT), -10.0, [UNPERTURBED, "Dimer"])],
        [descent(start, [-10.0], calls=calls) for start, calls in zip(STARTS, (20, 50, 60, 70), strict=True)],
        **options,
    )


def loop(ground: float = -11.0, **options: Any) -> DefectOverview:
    """Two relaxations of 10 calls at 3 s, and 5 single points at 4 s."""
    return defect_overview(
        DEFECT,
        [(dimer(DEFECT), ground, STARTS[1:]), (breathing(DEFECT), -10.0, [UNPERTURBED])],
        [descent(UNPERTURBED, [-10.0], calls=10, seconds=30.0), descent(STARTS[1], [-11.0], calls=10, seconds=30.0)],
        strategy="learn",
        cost=options.pop("cost", Cost(25, 80.0, 900, 45.0, 75.0)),
        **options,
    )


def test_a_loop_beside_the_search_that_it_spares() -> None:
    search, alone = overview("CdTe", [loop(-10.99)], strategy="learn"), overview("CdTe", [baseline()])
    found = acceleration([search], {"CdTe": alone})
    (funnel,), (time,) = found.funnels, found.times
    assert (funnel.host, funnel.defect, funnel.sampling, funnel.candidates, funnel.minima) == (
        "CdTe",
        "v_Cd_0",
        4,
        2,
        2,
    )
    assert (funnel.reference_only_minima, funnel.symmetry_broken, funnel.found) == (2, True, True)
    assert funnel.difference == pytest.approx(0.01)
    assert (time.reference_only_calls, time.reference_only_seconds, time.estimated) == (200, 400.0, False)
    assert (time.atoms, time.calls, time.reference_seconds) == (63, 25, 80.0)
    assert (time.scouting_seconds, time.tuning_seconds) == (45.0, 75.0)
    assert time.calls_factor == pytest.approx(8.0)
    assert time.factor == pytest.approx(400 / (80 + 45 + 75))
    assert (found.share_found, found.calls_saved, found.notes) == (1.0, pytest.approx(0.875), ())


def test_means_are_over_finished_searches_with_something_to_compare() -> None:
    good = overview("CdTe", [loop()], strategy="learn")
    bad = overview("CdSe", [loop(-10.97, cost=Cost(300, 600.0, 0, 0.0, 0.0))], strategy="learn")
    open_ = overview("ZnTe", [loop(step="round 2 of the learning loop")], strategy="learn")
    lone = overview("CdS", [loop()], strategy="learn")
    alone = {host: overview(host, [baseline()]) for host in ("CdTe", "CdSe", "ZnTe")}
    found = acceleration([good, bad, open_, lone], alone)
    assert [row.found for row in found.funnels] == [True, False, True, None]
    assert found.share_found == 0.5
    assert found.calls_saved == pytest.approx((0.875 - 0.5) / 2)
    assert [row.calls_factor for row in found.times] == [8.0, pytest.approx(200 / 300), None, TYPICAL_CALLS * 4 / 25]


def test_a_lower_ground_state_is_found_and_one_that_may_still_come_is_not_missed() -> None:
    alone = {"CdTe": overview("CdTe", [baseline()])}
    (lower,) = acceleration([overview("CdTe", [loop(-12.0)], strategy="learn")], alone).funnels
    assert (lower.found, lower.difference) == (True, pytest.approx(-1.0))
    going = overview("CdTe", [loop(-10.5, step="round 2")], strategy="learn")
    (row,) = acceleration([going], alone).funnels
    assert (row.found, row.difference) == (None, pytest.approx(0.5))
    nothing = defect_overview(DEFECT, [], [descent("Dimer", [-9.0], state=RelaxationState.FAILED)], strategy="scout")
    (none,) = acceleration([overview("CdTe", [nothing], strategy="scout")], alone).funnels
    assert (none.found, none.difference, none.symmetry_broken) == (False, None, None)


def test_a_loop_estimates_from_what_is_typical() -> None:
    """Its own relaxations, corrected by a surrogate, take a fraction of the calls."""
    (time,) = acceleration([overview("CdTe", [loop(sampling=SAMPLING)], strategy="learn")], {}).times
    assert (time.estimated, time.reference_only_calls) == (True, 4 * TYPICAL_CALLS)
    assert time.reference_only_seconds == pytest.approx(4 * TYPICAL_CALLS * 3.0)  # single points do not count
    assert time.calls_factor == pytest.approx(4 * TYPICAL_CALLS / 25)


def test_a_search_without_learning_estimates_from_its_own_unperturbed_relaxation() -> None:
    """What else it relaxed began from what the surrogate had made of it."""
    scouts = [descent(start, [-3.0] * 30, "scout") for start in STARTS]
    answers = [descent(UNPERTURBED, [-10.0], calls=18), descent("Dimer", [-11.0], calls=30)]
    item = defect_overview(
        DEFECT,
        [(dimer(DEFECT), -11.0, ["Dimer", *STARTS[1:3]]), (breathing(DEFECT), -10.0, [UNPERTURBED])],
        [*scouts, *answers],
        strategy="scout",
        sampling=SAMPLING,
    )
    found = acceleration([overview("CdTe", [item], strategy="scout")], {})
    (funnel,), (time,) = found.funnels, found.times
    assert (funnel.surrogate_minima, funnel.candidates) == (2, 2)
    assert (time.estimated, time.reference_only_calls) == (True, 18 + 3 * TYPICAL_CALLS)
    assert (time.calls, time.scouting_seconds) == (48, pytest.approx(4 * 30 * 0.1))


def test_an_unfinished_reference_only_search_is_extrapolated() -> None:
    whole = baseline(step="2 reference relaxations")
    begun = (*whole.descents[:2], replace(whole.descents[2], state=RelaxationState.RUNNING, calls=7, seconds=14.0))
    part = replace(whole, descents=begun, cost=Cost(77, 154.0, 0, 0.0, 0.0))
    search = overview("CdTe", [loop(sampling=SAMPLING)], strategy="learn")
    found = acceleration([search], {"CdTe": overview("CdTe", [part])})
    (funnel,), (time,) = found.funnels, found.times
    assert (funnel.found, funnel.difference, funnel.reference_only_minima) == (None, None, None)
    assert (time.estimated, time.reference_only_calls) == (True, 20 + 50 + 2 * 50)
    assert time.reference_only_seconds == pytest.approx(170 * 2.0)
    assert (found.share_found, found.calls_saved) == (None, None)


def test_searches_that_cannot_be_compared_are_said_so() -> None:
    search = overview("CdTe", [loop(sampling=SAMPLING)], strategy="learn")
    elsewhere = overview("CdTe", [defect_overview(vacancy(FCC), [(dimer(vacancy(FCC)), -9.0, STARTS)])])
    gfn2 = merge(SearchSettings(), {"reference": {"name": "gfn2-xtb"}}, "test")
    otherwise = overview("CdTe", [baseline()], settings=gfn2)
    for other, reason in ((elsewhere, "Cd26Te27"), (otherwise, "gfn2-xtb")):
        found = acceleration([search], {"CdTe": other})
        (funnel,), (time,) = found.funnels, found.times
        assert (funnel.found, funnel.reference_only_minima, time.estimated) == (None, None, True)
        assert len(found.notes) == 1
        assert "CdTe v_Cd_0" in found.notes[0]
        assert reason in found.notes[0]
        assert counterpart(search, "v_Cd_0", {"CdTe": other})[0] is None
    assert counterpart(search, "v_Cd_0", {"CdSe": otherwise}) == (None, "")


def test_reference_only_campaigns_are_no_acceleration() -> None:
    alone = overview("CdTe", [baseline()])
    found = acceleration([alone], {"CdTe": alone})
    assert found.times == ()
    (funnel,) = found.funnels
    assert (funnel.surrogate_minima, funnel.candidates, funnel.found) == (0, 4, None)
    assert (found.share_found, found.calls_saved) == (None, None)


def test_before_the_reference_is_asked_there_are_no_times() -> None:
    scouts = [descent(start, [-3.0] * 30, "scout") for start in STARTS]
    item = defect_overview(DEFECT, [], scouts, strategy="scout", sampling=SAMPLING, step="scouting")
    found = acceleration([overview("CdTe", [item], strategy="scout")], {})
    assert found.times == ()
    assert found.notes == ("CdTe v_Cd_0: no times, since the reference has not been asked yet",)
    assert len(found.funnels) == 1


def test_orders_of_the_point_groups() -> None:
    from pymatgen.symmetry.groups import PointGroup

    orders = {schoenflies: len(PointGroup(symbol).symmetry_ops) for symbol, schoenflies in SCHOENFLIES.items()}
    assert orders == ORDERS
