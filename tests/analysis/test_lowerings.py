"""Table S1, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.overviews import defect_overview, overview
from defectscout.analysis.lowerings import LoweringShare, is_rattled, lowerings
from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.workflow.overview import DefectOverview
from minima.vacancy_cases import breathing, dimer, vacancy

DEFECT = vacancy()
FOUND = "Bond_Distortion_-40.0%"


def searched(name: str, lowering: float | None, rattled: float | None, start: str = "Rattled") -> DefectOverview:
    """A defect whose ground state lies `lowering` below the relaxed unperturbed structure, and what rattling found."""
    defect: Defect = replace(DEFECT, name=name)
    symmetric, dimerised = breathing(defect), dimer(defect)
    ends: dict[float, list[str]] = {}
    for energy, label in ((lowering or 0.0, FOUND), (rattled, start), (None if lowering is None else 0.0, UNPERTURBED)):
        if energy is not None:
            ends.setdefault(energy, []).append(label)
    return defect_overview(
        defect, [(symmetric if energy == 0 else dimerised, energy, labels) for energy, labels in ends.items()]
    )


def test_table_s1_of_six_defects() -> None:
    cdte = [
        searched("v_A", -2.5, -2.5),  # rattling alone finds it
        searched("v_B", -0.8, 0.0),  # it does not
        searched("v_C", -0.07, None),  # it was not tried
        searched("v_D", 0.0, 0.0),
    ]
    other = [searched("v_E", None, None), searched("v_F", -0.8, -0.785, "Bond_Distortion_0.0%")]
    found = lowerings([overview("CdTe", cdte), overview("CdSe", other)])
    assert [(row.host, row.defect, row.lowering) for row in found.rows] == [
        ("CdTe", "v_A_0", -2.5),
        ("CdSe", "v_F_0", -0.8),
        ("CdTe", "v_B_0", -0.8),
        ("CdTe", "v_C_0", -0.07),
        ("CdTe", "v_D_0", 0.0),
        ("CdSe", "v_E_0", None),
    ]
    assert [row.rattled for row in found.rows] == [-2.5, -0.785, 0.0, None, 0.0, None]
    assert {row.holes for row in found.rows} == {2}
    assert found.shares == (
        LoweringShare(threshold=0.05, defects=5, significant=4, judged=3, by_rattling=2),
        LoweringShare(threshold=0.1, defects=5, significant=3, judged=3, by_rattling=2),
        LoweringShare(threshold=0.5, defects=5, significant=3, judged=3, by_rattling=2),
        LoweringShare(threshold=1.0, defects=5, significant=1, judged=1, by_rattling=1),
        LoweringShare(threshold=2.0, defects=5, significant=1, judged=1, by_rattling=1),
    )


def test_a_threshold_has_to_be_passed() -> None:
    (share,) = lowerings([overview("CdTe", [searched("v_A", -0.5, None)])], [0.5]).shares
    assert share.significant == 0


def test_the_minimum_of_the_unperturbed_structure_is_lowered_by_nothing() -> None:
    """Its members end some meV apart, as convergence leaves them."""
    item = searched("v_A", 0.0, 0.0)
    (minimum,) = item.result.minima
    scattered = replace(item, result=replace(item.result, minima=(replace(minimum, lowering=-0.003),)))
    (row,) = lowerings([overview("CdTe", [scattered])]).rows
    assert (row.lowering, row.rattled) == (0.0, 0.0)


def test_an_unperturbed_relaxation_that_stopped_early_is_no_raising() -> None:
    """Another minimum may be its lowest converged one, and still stand above where it stopped."""
    item = searched("v_A", -1.0, None)
    ground, other = item.result.minima
    minima = (replace(ground, lowering=0.01), other)
    (row,) = lowerings([overview("CdTe", [replace(item, result=replace(item.result, minima=minima))])]).rows
    assert row.lowering == 0.0


def test_rattling_may_end_above_the_unperturbed_structure() -> None:
    item = defect_overview(
        DEFECT, [(dimer(DEFECT), -1.0, ["Dimer", UNPERTURBED]), (breathing(DEFECT), -0.4, ["Rattled"])]
    )
    (row,) = lowerings([overview("CdTe", [item])]).rows
    assert row.lowering == 0.0
    assert row.rattled == pytest.approx(0.6)


def test_before_any_answer_nothing_is_known() -> None:
    found = lowerings([overview("CdTe", [defect_overview(DEFECT, step="2 reference relaxations")])])
    (row,) = found.rows
    assert (row.lowering, row.rattled, row.finished) == (None, None, False)
    assert all((share.defects, share.significant, share.judged) == (0, 0, 0) for share in found.shares)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Rattled", True),
        ("Bond_Distortion_0.0%", True),
        ("Bond_Distortion_-0.0%", True),
        ("Bond_Distortion_10.0%", False),
        ("Bond_Distortion_0.0%_from_my-structure", False),
        ("Rattled_from_-1", False),
        (UNPERTURBED, False),
        ("Dimer", False),
    ],
)
def test_what_is_a_rattle_alone(label: str, expected: bool) -> None:
    assert is_rattled(label) is expected
