"""Searches of one defect beside each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.overviews import defect_overview, overview
from defectscout.analysis.acceleration import one_for_each_host
from defectscout.analysis.elsewhere import beside_each_other
from defectscout.analysis.trend import trend
from defectscout.core.errors import SettingsError
from defectscout.reporting.report.build import build_report
from defectscout.workflow.overview import Overview
from minima.vacancy_cases import CUBIC, FCC, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)
STATES = {"Cd": 2.0, "Te": -2.0}


def symmetric(name: str = "scouted", energy: float = -10.0) -> Overview:
    """A search that has found nothing but the symmetric structure."""
    item = defect_overview(DEFECT, [(breathing(DEFECT), energy, ("Unperturbed", "Dimer"))])
    return replace(overview("CdTe", [item], oxidation_states=STATES), folder=Path(name))


def dimerised(name: str = "baseline", energy: float = -10.57) -> Overview:
    """One that has a lower one, too."""
    minima = [(breathing(DEFECT), -10.0, ("Unperturbed",)), (dimer(DEFECT), energy, ("Dimer",))]
    return replace(overview("CdTe", [defect_overview(DEFECT, minima)], oxidation_states=STATES), folder=Path(name))


def test_a_lower_minimum_elsewhere_takes_the_ground_state_away() -> None:
    beaten, lowest = beside_each_other([symmetric(), dimerised()])
    item = beaten.defects["v_Cd_0"]
    assert item.lower is not None
    assert (item.lower.folder, item.lower.by) == ("baseline", pytest.approx(0.57))
    assert item.result.confidence.level == "low"
    assert item.result.confidence.reasons[0] == (
        "This is not the ground state: the search in baseline has a minimum 0.57 eV lower."
    )
    assert lowest.defects["v_Cd_0"].lower is None
    assert lowest.defects["v_Cd_0"].result.confidence.level == "high"


def test_the_lowest_of_several_counts() -> None:
    told, *_ = beside_each_other([symmetric()], [dimerised("one"), dimerised("two", -11.0)])
    assert told.defects["v_Cd_0"].lower is not None
    assert told.defects["v_Cd_0"].lower.folder == "two"


def other_reference() -> Overview:
    found = dimerised()
    settings = found.settings.model_copy(
        update={"reference": found.settings.reference.model_copy(update={"name": "gfn2-xtb"})}
    )
    return replace(found, settings=settings)


def other_cell() -> Overview:
    defect = vacancy(FCC)
    return replace(overview("CdTe", [defect_overview(defect, [(dimer(defect), -99.0, ("Dimer",))])]), folder=Path("x"))


def other_host() -> Overview:
    found = dimerised()
    return replace(found, host=replace(found.host, formula="CdSe"))


@pytest.mark.parametrize(
    "other",
    [symmetric("again"), symmetric("nearly", -10.015), other_reference(), other_cell(), other_host()],
    ids=["same", "within tolerance", "other reference", "other cell", "other host"],
)
def test_what_does_not_compare_or_is_no_lower_changes_nothing(other: Overview) -> None:
    before = symmetric()
    (told,) = beside_each_other([before], [other])
    assert told.defects["v_Cd_0"] is before.defects["v_Cd_0"]


def test_itself_is_no_other_search() -> None:
    before = symmetric()
    (told,) = beside_each_other([before], [before])
    assert told.defects["v_Cd_0"].lower is None


def test_without_a_minimum_there_is_nothing_to_take_away() -> None:
    empty = replace(overview("CdTe", [defect_overview(DEFECT, [], step="scouting")]), folder=Path("new"))
    told, lowest = beside_each_other([empty, symmetric()])
    assert told.defects["v_Cd_0"].lower is None
    assert lowest.defects["v_Cd_0"].lower is None


def test_the_report_does_not_call_it_the_ground_state() -> None:
    baseline = replace(dimerised(), settings=dimerised().settings.model_copy(update={"strategy": "reference-only"}))
    report = build_report([symmetric()], [baseline])
    (answer,) = report.answers
    assert answer.sentence.startswith(
        "This is not the ground state: the search in baseline has a minimum 0.57 eV lower. The lowest minimum here: "
    )
    assert answer.level == "low"
    assert answer.saved is None
    (section,) = report.sections
    assert section.minima.rows[0][0] == "lowest here"
    assert not any(model.title.startswith("Ground state") for model in section.models)


def test_an_exception_to_the_trend_may_be_a_miss() -> None:
    found = trend(beside_each_other([symmetric(), dimerised()])[:1])
    assert any("0.57 eV lower" in reason for reason in found.rows[0].reasons)


def test_of_two_baselines_of_one_host_none_is_dropped() -> None:
    with pytest.raises(SettingsError, match=r"both one and two are of CdTe. Give one for each host"):
        one_for_each_host([dimerised("one"), dimerised("two")])
    assert list(one_for_each_host([dimerised("one"), other_host()])) == ["CdTe", "CdSe"]
