"""The supercells of a study and the sites in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from defectscout.core.errors import AlloyError, DefectSelectionError
from defectscout.defects.environments import SiteChoice
from defectscout.defects.settings import DefectSettings, DefectSite
from defectscout.workflow.alloys.members import Member, atom_of, make_members
from defectscout.workflow.alloys.settings import AlloySettings
from listening import Listening
from workflow.alloy_parents import parent


def members(
    alloy: dict[str, Any] | None = None, progress: Listening | None = None, repeat: int = 2, **defects: Any
) -> tuple[Member, ...]:
    chosen = AlloySettings.model_validate({"substitute": ("S:Se",), "x": (0.25,), **(alloy or {})})
    wanted = DefectSettings.model_validate({"select": ("v_Mg",), **defects})
    return make_members(parent(repeat=repeat), chosen, wanted, progress or Listening())


def arrangement(member: Member) -> dict[tuple[float, ...], str]:
    structure = member.alloy.structure
    return {tuple(site.frac_coords.round(6) % 1.0): site.specie.symbol for site in structure}


def test_a_member_and_its_defects() -> None:
    (member,) = members()
    assert member.name == "Mg8Se2S6-1"
    assert {item.name: len(item.sites) for item in member.environments} == {"S4Se2": 4, "S5Se": 4}
    assert [defect.label for defect in member.defects] == [f"v_Mg_{item.name}_0" for item in member.environments]
    for defect, site, environment in zip(member.defects, member.sites, member.environments, strict=True):
        assert atom_of(defect) == site.atom == environment.sites[0]
        assert site.name == environment.name
        assert defect.multiplicity == site.count == len(environment.sites)
        assert defect.excess_charge == 2
    assert member.settings.sites == member.sites


def test_all_sites_are_one_of_each_orbit() -> None:
    (member,) = members({"sites": "all"})
    assert sum(site.count for site in member.sites) == 8
    expected = sum(len(item.orbits) for item in member.environments)
    assert len(member.sites) == len({site.name for site in member.sites}) == len(member.defects) == expected
    for environment in member.environments:
        own = [site for site in member.sites if site.atom in environment.sites]
        assert sum(site.count for site in own) == len(environment.sites)
        assert all(site.name == f"{environment.name}_s{site.atom}" for site in own)


def test_more_compositions_and_realisations_leave_the_others_alone() -> None:
    few = members(repeat=3)
    many = members({"x": (0.5, 0.25, 0.75), "realisations": 2}, repeat=3)
    assert len(many) == 6
    assert len({member.name for member in many}) == 6
    again = next(member for member in many if member.name == few[0].name)
    assert arrangement(again) == arrangement(few[0])
    assert again.sites == few[0].sites
    other = next(member for member in many if member.name == few[0].name.replace("-1", "-2"))
    assert arrangement(other) != arrangement(few[0])


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_a_pure_crystal_has_one_arrangement(x: float) -> None:
    progress = Listening()
    (member,) = members({"x": (x,), "realisations": 3}, progress)
    symbol = "Se" if x else "S"
    assert [(item.name, item.orbits[0][1]) for item in member.environments] == [(f"{symbol}6", 8)]
    assert [warning.split(" of ")[0] for warning in progress.warnings] == ["Realisation 2", "Realisation 3"]
    assert all("is the same supercell as realisation 1" in warning for warning in progress.warnings)


def test_compositions_that_the_supercell_cannot_tell_apart() -> None:
    progress = Listening()
    found = members({"x": (0.25, 0.26)}, progress)
    assert [member.name for member in found] == ["Mg8Se2S6-1"]
    assert any("Se 0.26 gives the same supercells as Se 0.25, with 16 atoms" in text for text in progress.warnings)
    assert any("S 6, Se 2 of 8 sites" in text for text in progress.warnings)
    with pytest.raises(AlloyError, match=r"cannot hold the composition exactly\. The nearest is: S 6, Se 2 of 8"):
        members({"x": (0.26,), "exact": True})
    assert members({"x": (0.25,), "exact": True})


def test_two_mixed_sublattices() -> None:
    (member,) = members({"substitute": ("S:Se=0.25,Te=0.25", "Mg:Ca"), "x": (0.5,)}, select=("cation-vacancies",))
    assert member.name == "Ca4Mg4Te2Se2S4-1"
    assert {defect.name.split("_")[1] for defect in member.defects} == {"Mg", "Ca"}
    for element in ("Mg", "Ca"):
        assert sum(item.share for item in member.environments if item.element == element) == pytest.approx(1.0)
    assert {site.alike for site in member.sites} == {("Ca",), ("Mg",)}


def test_an_exchange_within_a_sublattice_is_no_antisite() -> None:
    (member,) = members(select=("antisites",))
    names = {tuple(defect.name.split("_")[:2]) for defect in member.defects}
    assert names == {("Mg", "S"), ("Mg", "Se"), ("S", "Mg"), ("Se", "Mg")}
    with pytest.raises(AlloyError, match="the two share their sites in this alloy: that is another arrangement"):
        members(select=("Se_S",))
    with pytest.raises(AlloyError, match="'S_Se_Mg6'"):
        members(select=("v_Mg", "S_Se_Mg6"))


def test_a_supercell_without_the_defect_is_left_out() -> None:
    progress = Listening()
    found = members({"x": (0.0, 0.25)}, progress, select=("v_Se",))
    assert [member.name for member in found] == ["Mg8Se2S6-1"]
    assert progress.warnings == ["Mg8S8-1 has no defect that v_Se selects: it is left out."]


def test_each_supercell_takes_the_patterns_that_it_has() -> None:
    pure, mixed = members({"x": (0.0, 0.25)}, select=("v_Se", "v_Mg"))
    assert pure.patterns == ("v_Mg",)
    assert mixed.patterns == mixed.settings.select == ("v_Se", "v_Mg")


def test_oxidation_states_may_name_elements_that_a_composition_lacks() -> None:
    states = {"Mg": 2, "S": -2, "Se": -2}
    pure, mixed = members({"x": (0.0, 0.25)}, oxidation_states=states)
    assert pure.settings.oxidation_states == {"Mg": 2, "S": -2}
    assert mixed.settings.oxidation_states == states


@pytest.mark.parametrize(
    ("defects", "error", "message"),
    [
        ({"select": ("v_Te",)}, DefectSelectionError, "The pattern 'v_Te' selects no defect.*There are: v_Mg_S6"),
        ({"select": ("v_Mg", "v_Te")}, DefectSelectionError, "'v_Te' selects no defect"),
        ({"select": ("interstitials",)}, DefectSelectionError, "interstitials, which are not made"),
        ({"extrinsic": ("As",)}, DefectSelectionError, "no pattern of v_Mg selects a defect with them"),
        ({"extrinsic": ("Se",)}, DefectSelectionError, "Se cannot be extrinsic"),
        ({"oxidation_states": {"Mg": 2, "S": -2}}, DefectSelectionError, "oxidation_states lacks Se"),
        ({"oxidation_states": {"Mg": 2, "S": -2, "Se": -2, "Te": -2}}, DefectSelectionError, "names Te"),
        ({"sites": (DefectSite(atom=0, name="a"),)}, AlloyError, "defects.sites names atoms of one supercell"),
    ],
)
def test_what_is_wrong_is_told_for_the_whole_study(
    defects: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        members({"x": (0.0, 0.25)}, **defects)


def test_extrinsic_elements() -> None:
    (member,) = members(select=("substitutions",), extrinsic=("As",))
    assert {defect.name.rpartition("_")[0] for defect in member.defects} == {"As_Mg", "As_S", "As_Se"}


def test_two_shells_tell_more_environments_apart() -> None:
    (one,), (two,) = (members({"shells": number}, repeat=3) for number in (1, 2))
    assert len(two.environments) > len(one.environments)
    merged: dict[str, int] = {}
    for item in two.environments:
        first = item.name.partition("-")[0]
        merged[first] = merged.get(first, 0) + len(item.sites)
    assert merged == {item.name: len(item.sites) for item in one.environments}


def test_defects_keep_to_the_atoms_of_the_supercell() -> None:
    (member,) = members({"sites": SiteChoice.ALL})
    positions = member.alloy.structure.cart_coords
    for defect, site in zip(member.defects, member.sites, strict=True):
        kept = np.delete(positions, site.atom, axis=0)
        np.testing.assert_allclose(defect.atoms.positions, kept, atol=1e-9)
