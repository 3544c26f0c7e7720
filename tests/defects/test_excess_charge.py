"""Holes by oxidation state, on hosts made by hand."""

from __future__ import annotations

import pytest
from doped.core import DefectEntry, Interstitial, Substitution, Vacancy
from pymatgen.core import Lattice, PeriodicSite, Species, Structure

from defectscout.core.errors import DefectSelectionError
from defectscout.defects.excess_charge import excess_charge
from defectscout.defects.oxidation import element_oxidation_states


def rocksalt(cation: str, anion: str, states: dict[str, float] | None) -> Structure:
    """Any two elements on the sites of rock salt: only their oxidation states matter here."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.0), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    if states is not None:
        structure.add_oxidation_state_by_element(states)
    return structure


def entry(defect: Vacancy | Substitution | Interstitial) -> DefectEntry:
    return DefectEntry(defect=defect, charge_state=0, sc_entry=None, name="some_defect_0")


def vacancy(host: Structure, symbol: str) -> DefectEntry:
    site = next(s for s in host if s.specie.symbol == symbol)
    return entry(Vacancy(host, PeriodicSite(symbol, site.frac_coords, host.lattice), oxi_state=0, multiplicity=1))


def substitution(host: Structure, symbol: object, replaced: str) -> DefectEntry:
    site = next(s for s in host if s.specie.symbol == replaced)
    return entry(Substitution(host, PeriodicSite(symbol, site.frac_coords, host.lattice), oxi_state=0, multiplicity=1))


def interstitial(host: Structure, symbol: object) -> DefectEntry:
    return entry(Interstitial(host, PeriodicSite(symbol, [0.25] * 3, host.lattice), oxi_state=0, multiplicity=1))


@pytest.fixture(scope="module")
def cdte() -> Structure:
    return rocksalt("Cd", "Te", {"Cd": 2, "Te": -2})


@pytest.mark.parametrize(
    ("cation", "state", "holes"),
    [("Sb", 3, 3), ("Sn", 4, 4), ("Li", 1, 1), ("Cd", 2, 2)],  # paper, fig. 3 and section II A
)
def test_neutral_cation_vacancies(cation: str, state: int, holes: int) -> None:
    assert excess_charge(vacancy(rocksalt(cation, "S", {cation: state, "S": -2}), cation), 0) == holes


@pytest.mark.parametrize(("charge", "holes"), [(1, 3), (0, 2), (-1, 1), (-2, 0), (-3, -1)])
def test_charge_adds_holes(cdte: Structure, charge: int, holes: int) -> None:
    assert excess_charge(vacancy(cdte, "Cd"), charge) == holes


def test_anion_vacancy_leaves_electrons(cdte: Structure) -> None:
    assert excess_charge(vacancy(cdte, "Te"), 0) == -2
    assert excess_charge(vacancy(cdte, "Te"), 2) == 0


def test_antisites_and_native_interstitials_have_the_hosts_states(cdte: Structure) -> None:
    assert excess_charge(substitution(cdte, "Te", "Cd"), 0) == 4
    assert excess_charge(substitution(cdte, "Cd", "Te"), 0) == -4
    assert excess_charge(interstitial(cdte, "Te"), 0) == 2
    assert excess_charge(interstitial(cdte, "Cd"), 0) == -2


def test_removing_and_inserting_an_atom_cancel(cdte: Structure) -> None:
    # A Frenkel pair and an exchanged pair conserve the electrons.
    for symbol in ("Cd", "Te"):
        assert excess_charge(vacancy(cdte, symbol), 0) + excess_charge(interstitial(cdte, symbol), 0) == 0
    assert excess_charge(substitution(cdte, "Te", "Cd"), 0) + excess_charge(substitution(cdte, "Cd", "Te"), 0) == 0


def test_extrinsic_atoms(cdte: Structure) -> None:
    assert excess_charge(substitution(cdte, "As", "Te"), 0) == 1  # acceptor
    assert excess_charge(substitution(cdte, "In", "Cd"), 0) == -1  # donor
    assert excess_charge(substitution(cdte, "Zn", "Cd"), 0) == 0  # isovalent
    assert excess_charge(substitution(cdte, Species("As", 5), "Te"), 0) == -7  # as told
    assert excess_charge(interstitial(cdte, "Li"), 0) == -1


def test_mixed_valence_counts_the_site_itself() -> None:
    host = rocksalt("Cu", "S", {"Cu": 1, "S": -2})
    first = next(k for k, site in enumerate(host) if site.specie.symbol == "Cu")
    host.replace(first, Species("Cu", 2))
    sites = [PeriodicSite("Cu", site.frac_coords, host.lattice) for site in host if site.specie.symbol == "Cu"]
    found = {excess_charge(entry(Vacancy(host, site, oxi_state=0, multiplicity=1)), 0) for site in sites}
    assert found == {1, 2}
    assert element_oxidation_states(vacancy(host, "Cu")) == pytest.approx({"Cu": 1.25, "S": -2})


def test_unknown_states_are_an_error() -> None:
    bare = rocksalt("Cd", "Te", None)
    with pytest.raises(DefectSelectionError, match="oxidation_states"):
        excess_charge(vacancy(bare, "Cd"), 0)


def test_noble_gas_has_no_state(cdte: Structure) -> None:
    with pytest.raises(DefectSelectionError, match="He"):
        excess_charge(interstitial(cdte, "He"), 0)
