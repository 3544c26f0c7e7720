"""Defects, charges and starts from the names that people use."""

from __future__ import annotations

import pytest
from ase import Atoms

from defectscout.learning.frames import DefectId
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.identity import host_without, identify
from defectscout.learning.readers.names import Said, change_of, read_name, read_path


@pytest.mark.parametrize(
    ("name", "host", "defect", "charge"),
    [
        ("v_Cd_0", None, "v_Cd", 0),
        ("v_Cd_-2", None, "v_Cd", -2),
        ("Cd_i_C3v_+2", None, "Cd_i_C3v", 2),
        ("Cd_i_Td_Te2.83_+1", None, "Cd_i_Td_Te2.83", 1),
        ("Te_Cd_0", None, "Te_Cd", 0),
        ("vac_1_Cd_0", None, "vac_1_Cd", 0),
        ("Int_Cd_1_2", None, "Int_Cd_1", 2),
        ("inter_26_Al_3", None, "inter_26_Al", 3),
        ("sub_1_Al_on_Zn_-1", None, "sub_1_Al_on_Zn", -1),
        ("as_1_Cd_on_Te_2", None, "as_1_Cd_on_Te", 2),
        ("CdTe_v_Cd_0", "CdTe", "v_Cd", 0),
        ("Se_O_Se_+1", "Se", "O_Se", 1),
        ("Si_P_i_0", "Si", "P_i", 0),
        ("v_N_GaN", "GaN", "v_N", None),
        ("GaN_C_N_HSE", "GaN", "C_N", None),
        ("CdTe_bulk", "CdTe", "bulk", 0),
        ("bulk_sc", None, "bulk", 0),
        ("vasp_std", None, None, None),
        ("Bond_Distortion_-60.0%", None, None, None),
        ("Unperturbed", None, None, None),
        ("dft_raw", None, None, None),
    ],
)
def test_names(name: str, host: str | None, defect: str | None, charge: int | None) -> None:
    assert read_name(name) == Said(host, defect, charge)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("v_Cd_0/Bond_Distortion_-60.0%", Said(None, "v_Cd", 0, None, "Bond_Distortion_-60.0%")),
        ("v_Cd_-1/-50.0%", Said(None, "v_Cd", -1, None, "Bond_Distortion_-50.0%")),
        ("v_Cd_0/Dimer/vasp_gam", Said(None, "v_Cd", 0, None, "Dimer")),
        ("Te_Cd_+1/vasp_std", Said(None, "Te_Cd", 1)),
        ("v_N_GaN/q=-1", Said("GaN", "v_N", -1)),
        ("v_N_GaN/bulk", Said(None, "bulk", 0)),
        ("CdTe_bulk/vasp_std", Said("CdTe", "bulk", 0)),
        ("some/where", Said(start="where")),
    ],
)
def test_paths(path: str, expected: Said) -> None:
    assert read_path(path.split("/")) == expected


@pytest.mark.parametrize(
    ("defect", "composition", "host"),
    [
        ("v_Cd", "Cd26Te27", "CdTe"),
        ("Te_Cd", "Cd26Te28", "CdTe"),
        ("Cd_i_C3v", "Cd28Te27", "CdTe"),
        ("inter_26_Al", "AlZn32S32", "ZnS"),
        ("sub_1_Al_on_Zn", "AlZn31S32", "ZnS"),
        ("v_O", "Sr27Ti27O80", "SrTiO3"),
        ("vv", "In31P31", None),
        ("Cd_i", "Te4", None),
    ],
)
def test_the_host_follows_from_composition_and_defect(defect: str, composition: str, host: str | None) -> None:
    assert host_without(defect, Atoms(composition)) == host


def test_capital_v_is_a_vacancy_unless_there_is_vanadium() -> None:
    vacancy, vanadium = change_of("V_O", {"Sr", "Ti", "O"}), change_of("V_O", {"V", "O"})
    assert vacancy is not None
    assert vanadium is not None
    assert (vacancy.kind, vacancy.added) == ("vacancy", None)
    assert (vanadium.kind, vanadium.added) == ("substitution", "V")


def test_what_the_source_says_wins_but_for_the_method() -> None:
    atoms = Atoms("Cd26Te27")
    said = Said(defect="v_Cd", charge=-2, method="PBE")
    defaults = SourceDefaults(host="Cd4Te4", defect="bulk", charge=0, method="HSE06")
    assert identify(said, atoms, defaults, lambda: None) == DefectId("CdTe", "v_Cd", -2, "HSE06")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (Said(defect="v_Cd", charge=0), "--method"),
        (Said(method="PBE"), "--defect"),
        (Said(defect="v_Cd", method="PBE"), "--charge"),
        (Said(defect="vv", charge=0, method="PBE"), "--host"),
    ],
)
def test_what_is_not_known_is_refused_with_a_remedy(said: Said, remedy: str) -> None:
    reason = identify(said, Atoms("Cd26Te27"), SourceDefaults(), lambda: None)
    assert isinstance(reason, str)
    assert remedy in reason
    assert identify(Said("X", "vv", 0, "PBE"), Atoms("Cd3"), SourceDefaults(), lambda: None) == DefectId(
        "X", "vv", 0, "PBE"
    )
    assert identify(Said(None, "vv", 0, "PBE"), Atoms("Cd3"), SourceDefaults(), lambda: "CdTe") == DefectId(
        "CdTe", "vv", 0, "PBE"
    )
