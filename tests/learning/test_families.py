"""Families in Roman numerals, distances of compositions, and what a model has seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core.periodic_table import Element

from defectscout.core.errors import DatasetError
from defectscout.learning.families import composition_distance, familiarity, family_of, group_of


def test_groups_agree_with_pymatgen() -> None:
    for number in range(1, 119):
        element = Element.from_Z(number)
        assert group_of(element.symbol) == element.group, element


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (["CdTe", "CdSe", "ZnTe", "TeCd", "Cd32Te32", "Cd13Zn14Te27"], "II-VI"),
        (["InP", "GaN", "AlAs"], "III-V"),
        (["Li4SnS4", "Li4GeS4", "Li4TiS4", "Na4SnSe4"], "I4-IV-VI4"),
        (["BiSI", "SbSeBr", "BiSeI"], "V-VI-VII"),
        (["GaAgS2", "GaCuS2", "InAgS2"], "I-III-VI2"),
        (["Cu2SiSe3"], "I2-IV-VI3"),
        (["SbSCl9"], "V-VI-VII9"),
        (["RhSe2"], "group9-VI2"),
        (["Se"], "VI"),
    ],
)
def test_families_of_the_field(hosts: list[str], name: str) -> None:
    assert {str(family_of(host)) for host in hosts} == {name}


def test_a_cation_and_an_anion_of_the_same_old_group_are_kept_apart() -> None:
    assert family_of("CrS") != family_of("SeS")
    assert family_of("KMnO4") != family_of("KClO4")


def test_composition_and_formula_agree() -> None:
    assert family_of({"Cd": 27, "Te": 27}) == family_of("CdTe")


@pytest.mark.parametrize("wrong", ["", "cdte", "Qq2", "Cd(Te"])
def test_what_is_no_formula(wrong: str) -> None:
    with pytest.raises(DatasetError, match="formula"):
        family_of(wrong)


def test_distance_of_neighbours() -> None:
    assert composition_distance("CdTe", "ZnTe") == pytest.approx(0.5)
    assert composition_distance("CdTe", "Te4Cd4") == 0.0
    assert (
        composition_distance("CdTe", "CdSe") < composition_distance("CdTe", "InP") < composition_distance("CdTe", "LiF")
    )


formulas = st.dictionaries(
    st.sampled_from(["Cd", "Te", "Zn", "Li", "S", "F", "In"]), st.integers(1, 5), min_size=1, max_size=4
).map(lambda counts: "".join(f"{symbol}{count}" for symbol, count in counts.items()))


@settings(max_examples=50, deadline=None)
@given(formulas, formulas, formulas)
def test_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert composition_distance(a, a) == 0
    assert composition_distance(a, b) == pytest.approx(composition_distance(b, a))
    assert composition_distance(a, c) <= composition_distance(a, b) + composition_distance(b, c) + 1e-9


def test_a_host_that_was_trained_on() -> None:
    said = familiarity("CdTe", ["Cd", "Te"], ["CdTe", "InP"])
    assert said.is_familiar
    assert said.nearest_host == "CdTe"
    assert said.sentence == "The model was trained on frames of CdTe."


def test_a_known_family_with_a_new_element() -> None:
    said = familiarity("CdSe", [], ["CdTe", "ZnTe", "InP"])
    assert (said.new_elements, said.family_known, said.nearest_host) == (("Se",), True, "CdTe")
    assert "not seen Se" in said.sentence
    assert "II-VI" in said.sentence


def test_known_elements_in_a_new_family() -> None:
    said = familiarity("In2Te3", ["In"], ["CdTe", "InP"])
    assert (said.new_elements, said.family_known) == ((), False)
    assert "no host of the family of In2Te3 (III2-VI3)" in said.sentence


def test_dopants_of_search_and_training_count() -> None:
    assert familiarity("CdTe", ["Cl"], ["CdTe"], extrinsic=["Cl"]).is_familiar
    said = familiarity("CdTe", [], ["CdTe"], extrinsic=["Cl"])
    assert said.new_elements == ("Cl",)
    assert "not seen Cl" in said.sentence


def test_a_model_without_hosts() -> None:
    said = familiarity("CdTe", [], [])
    assert said.nearest_host is None
    assert not said.is_familiar
    assert "no host" in said.sentence
