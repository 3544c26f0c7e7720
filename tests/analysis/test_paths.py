"""Relaxations step by step, and which came together."""

from __future__ import annotations

import pytest

from analysis.overviews import defect_overview, descent
from defectscout.analysis.paths import ON_REFERENCE, ON_SURROGATE, paths
from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import RelaxationState
from minima.vacancy_cases import breathing, dimer, vacancy

DEFECT = vacancy()
MINIMA = [(dimer(DEFECT), -11.0, ["Dimer"]), (breathing(DEFECT), -10.0, [UNPERTURBED])]
FAILED, MERGED, PENDING = RelaxationState.FAILED, RelaxationState.MERGED, RelaxationState.PENDING


def test_each_surface_has_its_own_zero() -> None:
    item = defect_overview(
        DEFECT,
        MINIMA,
        [
            descent(UNPERTURBED, [-3.0, -3.5], "scout"),
            descent("Dimer", [-2.0, -3.0, -4.0], "scout", calls=5, seconds=0.5),
            descent(UNPERTURBED, [-9.0, -10.0], rank=1),
            descent("Dimer", [-10.5, -11.0], rank=0),
        ],
    )
    found = paths("CdTe", item)
    assert (found.host, found.defect) == ("CdTe", "v_Cd_0")
    assert dict(found.zeros) == {ON_REFERENCE: -11.0, ON_SURROGATE: -4.0}
    assert [(path.surface, path.label, path.rank) for path in found.paths] == [
        (ON_REFERENCE, UNPERTURBED, 1),
        (ON_REFERENCE, "Dimer", 0),
        (ON_SURROGATE, UNPERTURBED, None),
        (ON_SURROGATE, "Dimer", None),
    ]
    assert [path.energies for path in found.paths] == [(2.0, 1.0), (0.5, 0.0), (1.0, 0.5), (2.0, 1.0, 0.0)]
    last = found.paths[-1]
    assert (last.stage, last.steps, last.calls, last.seconds) == ("scout", (0, 1, 2), 5, 0.5)


def test_what_fell_into_a_known_minimum_names_it() -> None:
    item = defect_overview(
        DEFECT,
        MINIMA,
        [
            descent("Dimer", [-11.0], rank=0),
            descent("Rattled", [-9.0, -10.98], "check", MERGED, reason="Dimer", rank=0),
        ],
        strategy="learn",
    )
    _, check = paths("CdTe", item).paths
    assert (check.merged_into, check.reason, check.rank, check.stage) == ("Dimer", "", 0, "check")
    assert check.energies == pytest.approx((2.0, 0.02))


def test_what_failed_or_lost_its_host_is_no_zero() -> None:
    item = defect_overview(
        DEFECT,
        MINIMA,
        [
            descent("Dimer", [-10.0, -11.0], rank=0),
            descent("a", [-10.0, -20.0], state=FAILED, reason="no convergence"),
            descent("b", [-10.0, -15.0]),
            descent("c", [], state=PENDING),
        ],
        set_aside=[("a", "no convergence"), ("b", "30 % of the far atoms left their sites")],
    )
    found = paths("CdTe", item)
    assert found.zeros == ((ON_REFERENCE, -11.0),)
    assert [path.energies for path in found.paths] == [(1.0, 0.0), (1.0, -9.0), (1.0, -4.0), ()]
    assert [path.reason for path in found.paths] == ["", "no convergence", "", ""]


def test_where_everything_failed_the_lowest_is_the_zero_all_the_same() -> None:
    item = defect_overview(DEFECT, [], [descent("a", [-8.0, -9.0], state=FAILED, reason="x")], set_aside=[("a", "x")])
    assert paths("CdTe", item).zeros == ((ON_REFERENCE, -9.0),)


def test_before_anything_has_begun() -> None:
    found = paths("CdTe", defect_overview(DEFECT, [], [descent("a", [], state=PENDING)], step="scouting"))
    assert found.zeros == ()
    assert [path.energies for path in found.paths] == [()]
