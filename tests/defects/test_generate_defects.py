"""Defects of small hosts: completeness, frame, symmetry, charge states, errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Defect, DefectKind, Host
from defectscout.core.errors import DefectSelectionError, SupercellError
from defectscout.defects.generate import _check_frame, generate_defects
from defectscout.defects.settings import DefectSettings
from defectscout.hosts.check import check_host
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.hosts.supercell import choose_supercell, repeat_host
from listening import Listening

SMALL = SupercellSettings(min_image_distance=6.0, min_atoms=1)


def host_of(structure: Structure, settings: SupercellSettings = SMALL) -> Host:
    return choose_supercell(check_host(structure, HostSettings(), "host"), settings, "host", 0.01)


@pytest.fixture(scope="module")
def cdte(cdte_cif: Path) -> Host:
    return host_of(read_structure(str(cdte_cif)), SupercellSettings())


@pytest.fixture(scope="module")
def everything(cdte: Host) -> dict[str, Defect]:
    defects = generate_defects(cdte, DefectSettings(select=("all",), charges=(0, -2), extrinsic=("As",)))
    return {defect.label: defect for defect in defects}


def point_group(atoms: Atoms) -> str:
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return str(spglib.get_symmetry_dataset(cell, symprec=1e-3).pointgroup)


def test_default_is_the_neutral_cation_vacancy(cdte: Host) -> None:
    (defect,) = generate_defects(cdte, DefectSettings())
    assert defect.label == "v_Cd_0"
    assert defect.kind is DefectKind.VACANCY
    assert (defect.site_symmetry, defect.multiplicity, defect.excess_charge) == ("Td", 1, 2)
    assert len(defect.atoms) == 53
    assert defect.entry is not None
    assert defect.entry.name == "v_Cd_0"


def test_doped_is_asked_once_and_each_caller_has_a_copy(cdte: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = generate_defects(cdte, DefectSettings())
    assert first.entry is not None
    first.entry.name = "spoilt"
    first.entry.defect.structure.remove_sites([0])
    monkeypatch.setattr("doped.generation.DefectsGenerator.__init__", None)  # not to be called again
    (second,) = generate_defects(cdte, DefectSettings())
    assert second.entry is not None
    assert second.entry.name == "v_Cd_0"
    assert len(second.entry.defect.structure) == len(first.entry.defect.structure) + 1
    with pytest.raises(TypeError):
        generate_defects(cdte, DefectSettings(select=("v_Cd", "As_Cd"), extrinsic=("As",)))


def test_every_kind_is_there(everything: dict[str, Defect]) -> None:
    kinds = {name: defect.kind for name, defect in everything.items() if name.endswith("_0")}
    assert {"v_Cd_0", "v_Te_0"} == {name for name, kind in kinds.items() if kind is DefectKind.VACANCY}
    substitutions = {name for name, kind in kinds.items() if kind is DefectKind.SUBSTITUTION}
    assert substitutions == {"Cd_Te_0", "Te_Cd_0", "As_Cd_0", "As_Te_0"}
    interstitials = {name.split("_")[0] for name, kind in kinds.items() if kind is DefectKind.INTERSTITIAL}
    assert interstitials == {"Cd", "Te", "As"}
    assert {name[:-1] + "-2" for name in kinds} == everything.keys() - kinds.keys()


def test_defects_are_made_in_the_hosts_own_supercell(cdte: Host, everything: dict[str, Defect]) -> None:
    bulk_positions = cdte.supercell.cart_coords
    symbols = [site.specie.symbol for site in cdte.supercell]
    for defect in everything.values():
        assert np.array_equal(defect.bulk.cell.array, cdte.supercell.lattice.matrix)
        assert defect.bulk.get_chemical_symbols() == symbols
        assert np.allclose(defect.bulk.positions, bulk_positions, atol=1e-12)
        assert np.array_equal(defect.atoms.cell.array, defect.bulk.cell.array)
        assert defect.atoms.pbc.all()
        assert set(defect.atoms.arrays) == {"numbers", "positions"}
        # Away from the site the atoms are the bulk's, in the bulk's order and to the last digit.
        place = defect.site @ defect.bulk.cell.array
        kept = [_key(s, p) for s, p in zip(symbols, bulk_positions, strict=True) if _far(p, place, defect)]
        left = [_key(a.symbol, a.position) for a in defect.atoms if _far(a.position, place, defect)]
        assert kept == left
        change = len(defect.atoms) - len(defect.bulk)
        assert change == {"vacancy": -1, "substitution": 0, "interstitial": 1}[defect.kind.value]


def _key(symbol: str, position: np.ndarray) -> tuple[str, tuple[float, ...]]:
    return symbol, tuple(position.round(9))


def _far(position: np.ndarray, place: np.ndarray, defect: Defect) -> bool:
    from ase.geometry import find_mic

    return float(find_mic(position - place, defect.bulk.cell)[1]) > 1e-3


def test_entry_and_atoms_agree(everything: dict[str, Defect]) -> None:
    for label, defect in everything.items():
        entry = defect.entry
        assert entry is not None
        assert entry.name == label
        assert entry.charge_state == defect.charge
        structure = entry.sc_entry.structure
        assert [site.specie.symbol for site in structure] == defect.atoms.get_chemical_symbols()
        assert np.allclose(structure.cart_coords, defect.atoms.positions, atol=1e-9)
        assert np.allclose(entry.sc_defect_frac_coords, defect.site)
        assert [s.specie.symbol for s in entry.bulk_supercell] == defect.bulk.get_chemical_symbols()


def test_atoms_stay_grouped_by_element(everything: dict[str, Defect]) -> None:
    for defect in everything.values():
        symbols = defect.atoms.get_chemical_symbols()
        assert sum(a != b for a, b in pairwise(symbols)) == len(set(symbols)) - 1


def test_supercell_has_the_site_symmetry_that_is_named(everything: dict[str, Defect]) -> None:
    names = {"Td": "-43m", "C3v": "3m"}
    for defect in everything.values():
        assert point_group(defect.atoms) == names[defect.site_symmetry], defect.label


def test_multiplicities_count_the_sites_of_the_primitive_cell(everything: dict[str, Defect]) -> None:
    assert everything["v_Te_0"].multiplicity == 1
    trigonal = [d for d in everything.values() if d.kind is DefectKind.INTERSTITIAL and d.site_symmetry == "C3v"]
    assert trigonal
    assert all(defect.multiplicity == 4 for defect in trigonal)  # order 24 of Td over order 6 of C3v


def test_given_charges_go_beyond_dopeds_guesses(cdte: Host) -> None:
    guessed = generate_defects(cdte, DefectSettings(select=("v_Cd",), charges=None))
    assert [defect.charge for defect in guessed] == [1, 0, -1, -2]
    asked = generate_defects(cdte, DefectSettings(select=("v_Cd",), charges=(-3, 5)))
    assert [(defect.label, defect.excess_charge) for defect in asked] == [("v_Cd_+5", 7), ("v_Cd_-3", -1)]


def test_charge_in_a_pattern_overrides_the_setting(cdte: Host) -> None:
    defects = generate_defects(cdte, DefectSettings(select=("v_Cd_-2", "v_Te"), charges=(0,)))
    assert [defect.label for defect in defects] == ["v_Cd_-2", "v_Te_0"]


def test_inequivalent_sites_are_a_family() -> None:
    # Rutile-like with two cation sites: trirutile MgTa2O6 has one Mg and one Ta site, two O sites.
    trirutile = Structure.from_spacegroup(
        "P4_2/mnm",
        Lattice.tetragonal(4.72, 9.21),
        ["Mg", "Ta", "O", "O"],
        [[0, 0, 0], [0, 0, 0.332], [0.307, 0.307, 0], [0.296, 0.296, 0.324]],
    )
    host = host_of(trirutile, SupercellSettings(min_image_distance=4.7, min_atoms=1))
    heard = Listening()
    defects = generate_defects(host, DefectSettings(select=("v_O", "cation-vacancies")), heard)
    assert heard.messages == ["oxidation states: Mg +2, Ta +5, O -2"]
    by_element = {name: [d for d in defects if d.name.startswith(f"v_{name}")] for name in ("Mg", "Ta", "O")}
    assert [len(found) for found in by_element.values()] == [1, 1, 2]
    assert all(defect.name.startswith("v_O_") for defect in by_element["O"])
    assert [d.excess_charge for d in (*by_element["Mg"], *by_element["Ta"])] == [2, 5]
    assert {d.multiplicity for d in by_element["O"]} == {4, 8}
    assert by_element["Mg"][0].multiplicity == 2


def test_relaxed_host_gets_the_same_defects(cdte: Host) -> None:
    relaxed = repeat_host(
        cdte, Structure(cdte.primitive.lattice.matrix * 1.017, cdte.primitive.species, cdte.primitive.frac_coords)
    )
    (before,), (after,) = (generate_defects(host, DefectSettings()) for host in (cdte, relaxed))
    assert after.label == before.label
    assert after.atoms.get_chemical_symbols() == before.atoms.get_chemical_symbols()
    assert np.allclose(after.site, before.site)
    assert np.allclose(after.atoms.positions, before.atoms.positions * 1.017)


def test_given_oxidation_states_decide_what_is_a_cation(cdte: Host) -> None:
    heard = Listening()
    settings = DefectSettings(oxidation_states={"Cd": -1, "Te": 1})
    (defect,) = generate_defects(cdte, settings, heard)
    assert (defect.label, defect.excess_charge) == ("v_Te_0", 1)
    (unbalanced,) = generate_defects(cdte, DefectSettings(oxidation_states={"Cd": 2, "Te": -1}), heard)
    assert unbalanced.excess_charge == 2
    assert "charge of +1 e" in heard.warnings[-1]


def test_given_oxidation_state_of_an_extrinsic_element(cdte: Host) -> None:
    settings = DefectSettings(select=("As_Te",), extrinsic=("As",))
    (guessed,) = generate_defects(cdte, settings)
    assert guessed.excess_charge == 1  # As -3 on Te -2: an acceptor with one hole
    states = {"Cd": 2, "Te": -2, "As": 5}
    (given,) = generate_defects(cdte, DefectSettings(select=("As_Te",), extrinsic=("As",), oxidation_states=states))
    assert given.excess_charge == -7


def test_nothing_selected_lists_what_exists(cdte: Host) -> None:
    with pytest.raises(DefectSelectionError, match=r"'V_Cd'.*Did you mean v_Cd\?.*v_Cd, v_Te, Cd_Te, Te_Cd"):
        generate_defects(cdte, DefectSettings(select=("V_Cd",)))


def test_extrinsic_elements_must_be_used_and_foreign(cdte: Host) -> None:
    with pytest.raises(DefectSelectionError, match=r"As.*no pattern.*substitutions"):
        generate_defects(cdte, DefectSettings(extrinsic=("As",)))
    with pytest.raises(DefectSelectionError, match="Te cannot be extrinsic"):
        generate_defects(cdte, DefectSettings(select=("all",), extrinsic=("Te",)))


def test_oxidation_states_must_fit_the_host(cdte: Host) -> None:
    with pytest.raises(DefectSelectionError, match="lacks Te"):
        generate_defects(cdte, DefectSettings(oxidation_states={"Cd": 2}))
    with pytest.raises(DefectSelectionError, match="names Se"):
        generate_defects(cdte, DefectSettings(oxidation_states={"Cd": 2, "Te": -2, "Se": -2}))


def test_another_frame_is_noticed(cdte: Host) -> None:
    _check_frame(cdte, cdte.supercell)
    moved = cdte.supercell.copy()
    moved.translate_sites(range(len(moved)), [0.01, 0, 0])
    with pytest.raises(SupercellError, match="another frame"):
        _check_frame(cdte, moved)


def test_nothing_is_printed(cdte: Host, capfd: pytest.CaptureFixture[str]) -> None:
    generate_defects(cdte, DefectSettings())
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_same_input_same_defects(cdte: Host) -> None:
    first, second = (generate_defects(replace(cdte), DefectSettings(select=("vacancies",))) for _ in range(2))
    assert [d.label for d in first] == [d.label for d in second]
    assert all(np.array_equal(a.atoms.positions, b.atoms.positions) for a, b in zip(first, second, strict=True))


def shared_host(folder: Path, name: str) -> Host:
    return host_of(read_structure(str(next((folder / "hosts").glob(f"{name}_*.cif")))), SupercellSettings())


@pytest.mark.parametrize(
    ("name", "excess"),
    [
        ("Sb2S3", {"v_Sb": 3}),
        ("Li4SnS4", {"v_Sn": 4, "v_Li": 1}),
        ("SbSCl9", {"v_Sb": 5}),
        ("GaCuS2", {"v_Ga": 3, "v_Cu": 1}),
    ],
)
def test_excess_charges_of_the_paper(shared_data: Path, name: str, excess: dict[str, int]) -> None:
    defects = generate_defects(shared_host(shared_data, name), DefectSettings(select=tuple(excess)))
    for element, holes in excess.items():
        found = [d for d in defects if d.name == element or d.name.startswith(f"{element}_")]
        assert found
        assert all(defect.excess_charge == holes for defect in found)


def test_mixed_valence_is_counted_site_by_site(shared_data: Path) -> None:
    defects = generate_defects(shared_host(shared_data, "CuSe"), DefectSettings())
    assert {defect.name: defect.excess_charge for defect in defects} == {"v_Cu_C3v": 1, "v_Cu_D3h": 2}


def test_polysulphide_warns_of_its_oxidation_states(shared_data: Path) -> None:
    heard = Listening()
    defects = generate_defects(shared_host(shared_data, "NaS2"), DefectSettings(), heard)
    assert {defect.name.split("_C2_")[0] for defect in defects} == {"v_Na"}
    assert len(defects) == 2
    assert all(defect.excess_charge == 1 for defect in defects)
    assert any("oxidation_states" in text for text in heard.warnings)
