"""Patterns and groups, without any crystal."""

from __future__ import annotations

import pytest

from defectscout.core.defect import DefectKind, label_of
from defectscout.core.errors import DefectSelectionError
from defectscout.defects.selection import Candidate, DefectGroup, interstitial_elements, select

VACANCY, SUBSTITUTION, INTERSTITIAL = DefectKind.VACANCY, DefectKind.SUBSTITUTION, DefectKind.INTERSTITIAL


def candidate(name: str, kind: DefectKind, state: float, extrinsic: bool = False) -> Candidate:
    return Candidate(name, kind, state, extrinsic, (0, -1))


EXISTING = [
    candidate("v_Cu_C1_S2.30", VACANCY, 1),
    candidate("v_Cu_Cs_S2.3", VACANCY, 1),
    candidate("v_C", VACANCY, 4),
    candidate("v_S", VACANCY, -2),
    candidate("Cu_S", SUBSTITUTION, -2),
    candidate("Zn_Cu_C1_S2.30", SUBSTITUTION, 1, extrinsic=True),
    candidate("S_i_Td", INTERSTITIAL, 0),
]


def names(*patterns: str) -> list[str]:
    return list(dict.fromkeys(name for name, _ in select(EXISTING, patterns)))


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("cation-vacancies", ["v_Cu_C1_S2.30", "v_Cu_Cs_S2.3", "v_C"]),
        ("anion-vacancies", ["v_S"]),
        ("vacancies", ["v_Cu_C1_S2.30", "v_Cu_Cs_S2.3", "v_C", "v_S"]),
        ("antisites", ["Cu_S"]),
        ("substitutions", ["Zn_Cu_C1_S2.30"]),
        ("interstitials", ["S_i_Td"]),
        ("Cation-Vacancies", ["v_Cu_C1_S2.30", "v_Cu_Cs_S2.3", "v_C"]),
        ("all", [c.name for c in EXISTING]),
    ],
)
def test_groups(group: str, expected: list[str]) -> None:
    assert names(group) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("v_S", ["v_S"]),
        ("v_C", ["v_C"]),  # not v_Cu_...
        ("v_Cu", ["v_Cu_C1_S2.30", "v_Cu_Cs_S2.3"]),
        ("v_Cu_C1", ["v_Cu_C1_S2.30"]),
        ("v_*", ["v_Cu_C1_S2.30", "v_Cu_Cs_S2.3", "v_C", "v_S"]),
        ("*_S", ["v_S", "Cu_S"]),
        ("v_?", ["v_C", "v_S"]),
        ("[vC]*_S", ["v_S", "Cu_S"]),
    ],
)
def test_names_families_and_wildcards(pattern: str, expected: list[str]) -> None:
    assert names(pattern) == expected


def test_charges_in_patterns() -> None:
    assert select(EXISTING, ["v_S_-2"]) == [("v_S", -2)]  # beyond the candidate's own charges
    assert select(EXISTING, ["v_S_+1", "v_S_-1"]) == [("v_S", 1), ("v_S", -1)]
    assert select(EXISTING, ["v_Cu_0"]) == [("v_Cu_C1_S2.30", 0), ("v_Cu_Cs_S2.3", 0)]
    assert select(EXISTING, ["v_S_*"]) == [("v_S", 0), ("v_S", -1)]
    assert select(EXISTING, ["v_?_+2"]) == [("v_C", 2), ("v_S", 2)]


def test_overlapping_patterns_select_once_in_the_given_order() -> None:
    assert select(EXISTING, ["v_S", "vacancies", "v_S_0"]) == select(EXISTING, ["vacancies"])
    assert names("v_S", "v_C") == ["v_C", "v_S"]


@pytest.mark.parametrize(
    ("pattern", "hint"), [("V_S", "v_S"), ("vacancy", "vacancies"), ("cation-vacancy", "cation-vacancies")]
)
def test_error_lists_and_suggests(pattern: str, hint: str) -> None:
    with pytest.raises(DefectSelectionError, match=rf"Did you mean {hint}\?.*v_Cu_Cs_S2\.3"):
        select(EXISTING, [pattern])


def test_a_group_without_members_is_not_suggested_to_itself() -> None:
    element = [candidate("v_Si", VACANCY, 0)]
    with pytest.raises(DefectSelectionError, match=r"none of that group; name a defect .* There are: v_Si"):
        select(element, ["cation-vacancies"])


def test_a_defect_without_the_charge_states_asked_for_is_said_to_be_there() -> None:
    with pytest.raises(DefectSelectionError, match="none of the charge states asked for"):
        select([Candidate("v_Mg", VACANCY, 2, False, ())], ["v_Mg"])


def test_each_pattern_must_select_something() -> None:
    with pytest.raises(DefectSelectionError, match="'v_Xe'"):
        select(EXISTING, ["v_S", "v_Xe"])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("v_*", []),
        ("v_Cd", []),
        ("*_Te", []),
        ("Te_Cd", []),
        ("cation-vacancies", []),
        ("interstitials", ["Cd", "Te"]),
        ("all", ["Cd", "Te"]),
        ("*", ["Cd", "Te"]),
        ("Te_i", ["Te"]),
        ("Te_i_C3v", ["Te"]),
        ("Te_*", ["Te"]),
        ("*_i_Td*", ["Cd", "Te"]),
        ("Te_i_Td_+2", ["Te"]),
    ],
)
def test_interstitials_are_made_only_if_asked_for(pattern: str, expected: list[str]) -> None:
    assert interstitial_elements([pattern], ["Cd", "Te"]) == expected


def test_labels_are_dopeds() -> None:
    assert [label_of("v_Cd", q) for q in (-2, 0, 1)] == ["v_Cd_-2", "v_Cd_0", "v_Cd_+1"]
    assert set(DefectGroup) >= {"vacancies", "all"}
