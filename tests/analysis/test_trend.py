"""Holes against bonds: the paper's counts and its exceptions, on defects made as a search makes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Element
from scipy.stats import spearmanr

from analysis.overviews import brought_together, defect_overview, made, overview
from defectscout.analysis import ions
from defectscout.analysis.ions import existing_bonds, oxidations, states_with_impurity
from defectscout.analysis.trend import BondKind, ChargeAndBonds, Trend, bond_kind, trend
from defectscout.core.defect import Defect, DefectKind
from defectscout.minima.alignment import site_distances
from defectscout.sampling.geometry import nearest_neighbours
from defectscout.workflow.overview import Overview
from minima.vacancy_cases import breathing, dimer, vacancy

CDTE = {"Cd": 2.0, "Te": -2.0}


def judged(host: str, defect: Defect, atoms: Atoms, **known: object) -> ChargeAndBonds:
    """The row of a defect whose ground state is `atoms`."""
    item = defect_overview(defect, [(atoms, -1.0, ("Dimer",)), (defect.atoms, 0.0, ("Unperturbed",))])
    (row,) = trend([overview(host, [item], **known)]).rows
    return row


def pair(defect: Defect, length: float) -> Atoms:
    """Two neighbours of the defect brought together."""
    first, second = nearest_neighbours(defect)[:2]
    return brought_together(defect, [(first, second)], length)


@pytest.mark.parametrize(
    ("host", "pattern", "distance", "holes"),
    [
        ("CdTe", "v_Cd", 9.0, 2),
        ("Sb2S3", "v_Sb*", 7.0, 3),
        ("Li4SnS4", "v_Sn", 6.0, 4),
        ("Li4SnS4", "v_Li*", 6.0, 1),
        ("GaAgS2", "v_Ga", 7.0, 3),
        ("RhSe2", "v_Rh", 6.0, 4),
    ],
)
def test_holes_of_the_papers_vacancies_and_of_their_other_charges(
    host: str, pattern: str, distance: float, holes: int
) -> None:
    defects = made(host, pattern, charges=(-1, 0, 1), distance=distance)
    rows = trend([overview(host, [defect_overview(defect) for defect in defects])]).rows
    assert {row.defect for row in rows} == {defect.label for defect in defects}
    assert len(rows) >= 3
    shifts = {"-1": -1, "0": 0, "+1": 1}
    assert all(row.holes == holes + shifts[row.defect.rpartition("_")[2]] for row in rows)
    assert all((row.host, row.anion_anion, row.lowering, row.follows) == (host, None, None, None) for row in rows)


def test_two_holes_make_a_bond_and_fewer_make_none() -> None:
    one_more, neutral, one_less = made("CdTe", "v_Cd", charges=(-1, 0, 1))
    assert [defect.excess_charge for defect in (one_more, neutral, one_less)] == [3, 2, 1]
    for defect, bonded in ((one_more, True), (neutral, True), (one_less, False)):
        row = judged("CdTe", defect, pair(defect, 2.75) if bonded else defect.atoms)
        assert (row.anion_anion, row.cation_cation, row.mixed) == (int(bonded), 0, 0)
        assert row.follows is True
        assert row.reasons == ()
        assert row.lowering == pytest.approx(-1.0)
        row = judged("CdTe", defect, defect.atoms if bonded else pair(defect, 2.75))
        assert row.follows is False
        # Cd does not oxidise, and CdTe has no Te–Te bonds: nothing known explains it.
        assert row.reasons == ()


def test_a_cation_that_can_oxidise_takes_up_the_holes_and_silver_does_not() -> None:
    (copper,), (silver,) = (made(host, "v_Ga", distance=7.0) for host in ("GaCuS2", "GaAgS2"))
    symmetric = judged("GaCuS2", copper, copper.atoms)
    assert (symmetric.holes, symmetric.anion_anion, symmetric.follows) == (3, 0, False)
    (reason,) = symmetric.reasons
    assert "Cu +1 can oxidise to +2" in reason
    assert "20.3 eV" in reason
    dimerised = judged("GaAgS2", silver, pair(silver, 2.1))
    assert (dimerised.holes, dimerised.anion_anion, dimerised.follows) == (3, 1, True)
    assert judged("GaAgS2", silver, silver.atoms).reasons == ()
    # One of them that does dimerise is no exception for the copper beside it.
    assert judged("GaCuS2", copper, pair(copper, 2.1)).follows is True


@pytest.mark.parametrize(
    ("symbol", "state", "to"),
    [
        ("Cu", 1, 2), ("Ag", 1, None), ("Au", 1, 3), ("Hg", 1, 2), ("Cu", 2, None), ("Zn", 2, None), ("Cd", 2, None),
        ("Fe", 2, 3), ("Co", 2, 3), ("Mn", 2, 4), ("Fe", 3, None), ("Ti", 4, None), ("Ce", 3, 4), ("La", 3, None),
        ("Cu", 1.25, 2), ("Cu", 0.5, 2), ("Tl", 1, None), ("Sn", 2, None), ("Sb", 3, None), ("Te", -2, None),
    ],
)  # fmt: skip
def test_which_cations_can_oxidise(symbol: str, state: float, to: int | None) -> None:
    found = oxidations({symbol: state})
    assert [oxidation.next_state for oxidation in found] == ([] if to is None else [to])


def test_the_limit_of_the_second_ionisation_energy_parts_copper_from_silver(monkeypatch: pytest.MonkeyPatch) -> None:
    second = {symbol: Element(symbol).ionization_energies[1] for symbol in ("Cu", "Ag")}
    assert second["Cu"] < ions.MAX_SECOND_IONISATION < second["Ag"]
    monkeypatch.setattr(ions, "MAX_SECOND_IONISATION", second["Cu"] - 0.1)
    assert oxidations({"Cu": 1.0}) == ()
    assert len(oxidations({"Cu": 1.5, "Fe": 2.0})) == 2  # not +1: the limit says nothing of them


def test_bonds_that_are_there_take_up_the_holes() -> None:
    (defect,) = made("RhSe2", "v_Rh", distance=9.0)
    found = existing_bonds(defect, {"Se"})
    assert len(found) == 6  # each of the six neighbours is one of a pair
    assert [bond.species for bond in found] == [("Se", "Se")] * 6
    shell = nearest_neighbours(defect)
    selenium = np.flatnonzero(defect.atoms.symbols == "Se")
    for bond, i in zip(found, shell, strict=True):
        expected = sorted(defect.atoms.get_distances(i, selenium, mic=True))[1]
        assert bond.length == pytest.approx(expected)
        assert bond.distance == pytest.approx(2.51, abs=0.01)
    row = judged("RhSe2", defect, defect.atoms)
    assert (row.holes, row.anion_anion, row.follows) == (4, 0, False)
    (reason,) = row.reasons
    assert "six Se–Se bonds" in reason
    assert "2.58 Å" in reason
    assert "2.5 Å from the site" in reason
    assert existing_bonds(defect, {"Rh"}) == ()


def test_a_bond_without_holes_beside_bonds_that_are_there() -> None:
    (full,) = made("RhSe2", "v_Rh", charges=(-4,), distance=9.0)
    assert full.excess_charge == 0
    first, second = nearest_neighbours(full)[:2]
    row = judged("RhSe2", full, brought_together(full, [(first, second)], 2.45))
    assert row.anion_anion is not None
    assert row.anion_anion >= 1
    assert row.follows is False
    assert any("six Se–Se bonds" in reason and "without holes" in reason for reason in row.reasons)


def test_an_unfinished_or_doubtful_search_is_said() -> None:
    defect = vacancy()
    minima = [(breathing(defect), -1.0, ("Unperturbed",))]
    for item, said in (
        (defect_overview(defect, minima, step="3 reference relaxations"), "waits for 3 reference relaxations"),
        (defect_overview(defect, minima, confidence="low"), "confidence in the ground state is low: low."),
    ):
        (row,) = trend([overview("CdTe", [item], oxidation_states=CDTE)]).rows
        assert row.follows is False
        assert said in row.reasons[-1]
    following = defect_overview(defect, [(dimer(defect), -1.0, ("Dimer",))], step="3 reference relaxations")
    assert trend([overview("CdTe", [following], oxidation_states=CDTE)]).rows[0].reasons == ()


def test_what_the_trend_says_nothing_of() -> None:
    electrons = replace(vacancy(), charge=-3, excess_charge=-1)
    row = judged("CdTe", electrons, electrons.atoms, oxidation_states=CDTE)
    assert row.follows is None
    assert "electrons" in row.reasons[0]
    assert row.anion_anion == 0
    row = judged("CdTe", vacancy(), vacancy().atoms, oxidation_states={})
    assert (row.follows, row.anion_anion, row.mixed) == (None, None, None)
    assert "not known" in row.reasons[0]


def impurity(symbol: str, replaced: str, holes: int, charge: int = 0) -> Defect:
    """An extrinsic atom in CdTe, in a defect that no entry of doped's belongs to."""
    bare = vacancy()
    atoms = bare.bulk.copy()
    index = int(np.flatnonzero(atoms.symbols == replaced)[0])
    site = atoms.get_scaled_positions()[index]
    atoms.symbols[index] = symbol
    return Defect(f"{symbol}_{replaced}", charge, DefectKind.SUBSTITUTION, atoms, bare.bulk, site, 1, "Td", holes)


@pytest.mark.parametrize(
    ("symbol", "replaced", "holes", "charge", "state"),
    [
        ("As", "Te", 1, 0, -3),
        ("As", "Te", 0, -1, -3),
        ("In", "Cd", -1, 0, 3),
        ("Zn", "Cd", 0, 0, 2),
        ("O", "Cd", 4, 0, -2),
    ],
)
def test_an_impurity_has_the_state_that_its_holes_were_counted_with(
    symbol: str, replaced: str, holes: int, charge: int, state: float
) -> None:
    defect = impurity(symbol, replaced, holes, charge)
    seen = overview("CdTe", [defect_overview(defect)], oxidation_states=CDTE)
    assert states_with_impurity(seen, defect) == CDTE | {symbol: state}


def test_doped_s_impurities_and_interstitials_agree_with_their_own_count() -> None:
    defects = made("CdTe", "As_Te", "O_Cd", charges=(0, 1), distance=6.0, extrinsic=("As", "O"))
    assert len(defects) == 4
    seen = overview("CdTe", [defect_overview(defect) for defect in defects])
    for defect in defects:
        symbol, expected = {"As_Te": ("As", -3.0), "O_Cd": ("O", -2.0)}[defect.name]
        assert states_with_impurity(seen, defect)[symbol] == expected


def test_kinds_of_bonds() -> None:
    assert bond_kind(CDTE, ("Te", "Te")) is BondKind.ANION_ANION
    assert bond_kind(CDTE, ("Cd", "Cd")) is BondKind.CATION_CATION
    assert bond_kind(CDTE, ("Cd", "Te")) is BondKind.MIXED
    assert bond_kind(CDTE | {"As": -3}, ("As", "Te")) is BondKind.ANION_ANION
    # Sb is a non-metal to a chemist's eye and a cation in Sb2S3.
    assert bond_kind({"Sb": 3, "S": -2}, ("Sb", "Sb")) is BondKind.CATION_CATION


def test_every_kind_is_counted() -> None:
    defect = vacancy()
    cadmium = [
        int(i) for i in np.argsort(site_distances(defect, defect.atoms.positions)) if defect.atoms.symbols[i] == "Cd"
    ]
    near = cadmium[0]
    partner = min(cadmium[1:], key=lambda i: defect.atoms.get_distance(near, i, mic=True))
    row = judged("CdTe", defect, brought_together(defect, [(near, partner)], 2.9, dimer(defect)), oxidation_states=CDTE)
    assert (row.anion_anion, row.cation_cation, row.mixed) == (1, 1, 0)
    oxide = impurity("O", "Te", 0)
    oxygen = int(np.flatnonzero(oxide.atoms.symbols == "O")[0])
    atoms = oxide.atoms.copy()
    atoms.set_distance(nearest_neighbours(oxide)[0], oxygen, 2.2, fix=0, mic=True)
    row = judged("CdTe", oxide, atoms, oxidation_states=CDTE)
    assert (row.anion_anion, row.cation_cation, row.mixed, row.follows) == (0, 0, 1, True)


def test_an_element_has_no_anions_to_judge_by() -> None:
    neutral, charged = made("Se", "v_Se", charges=(0, 1), distance=8.0)[::-1]
    ends = nearest_neighbours(charged)
    row = judged("Se", charged, brought_together(charged, [(ends[0], ends[1])], 2.35))
    assert row.holes == 1
    # Two chain ends that meet make the electron-pair bond that anions make.
    assert (row.anion_anion, row.cation_cation, row.mixed) == (1, 0, 0)
    assert row.follows is None
    assert "no anions" in row.reasons[0]
    assert judged("Se", neutral, neutral.atoms).follows is None


def test_oxygen_in_selenium_is_bonded_to_what_is_no_anion_there() -> None:
    states = {"Se": 0.0, "O": -2.0}
    assert bond_kind(states, ("O", "Se")) is BondKind.MIXED
    assert bond_kind(states, ("Se", "Se")) is BondKind.ANION_ANION
    assert bond_kind({"Sn": 0.0}, ("Sn", "Sn")) is BondKind.CATION_CATION
    (bare,) = made("Se", "v_Se", distance=8.0)
    atoms = bare.bulk.copy()
    index = int(np.linalg.norm(atoms.get_scaled_positions() - bare.site, axis=1).argmin())
    atoms.symbols[index] = "O"
    # -2 is oxygen's state nearest to that of the selenium: two electrons taken from the chain.
    defect = Defect("O_Se", 0, DefectKind.SUBSTITUTION, atoms, bare.bulk, bare.site, 1, "C2", 2)
    seen = overview("Se", [defect_overview(defect, [(atoms, 0.0, ("Unperturbed",))])], oxidation_states={"Se": 0.0})
    assert states_with_impurity(seen, defect) == states
    (row,) = trend([seen]).rows
    assert (row.follows, row.anion_anion) == (None, 0)


def several() -> list[Overview]:
    """Two campaigns: CdTe with 3, 2 and 1 holes, GaAgS2 with 3, and one defect without an answer."""
    three, two, one = made("CdTe", "v_Cd", charges=(-1, 0, 1))
    (silver,) = made("GaAgS2", "v_Ga", distance=7.0)
    shell = nearest_neighbours(three)
    bonds = brought_together(three, [(shell[0], shell[1]), (shell[2], shell[3])], 2.75)
    first = [
        defect_overview(three, [(bonds, 0.0, ("Dimer",))]),
        defect_overview(two, [(pair(two, 2.75), 0.0, ("Dimer",))]),
        defect_overview(one, [(one.atoms, 0.0, ("Unperturbed",))]),
    ]
    return [
        overview("CdTe", first),
        overview("GaAgS2", [defect_overview(silver, [(silver.atoms, 0.0, ("Unperturbed",))])]),
    ]


def test_shares_and_rank_correlation() -> None:
    found: Trend = trend(several())
    counted = [(row.holes, row.anion_anion) for row in found.rows]
    assert counted == [(3, 2), (2, 1), (1, 0), (3, 0)]
    assert [(share.holes, share.bonds, share.count, share.share) for share in found.shares] == [
        (1, 0, 1, 1.0),
        (2, 1, 1, 1.0),
        (3, 0, 1, 0.5),
        (3, 2, 1, 0.5),
    ]
    assert found.spearman == pytest.approx(spearmanr(*zip(*counted, strict=True)).statistic)


def test_too_little_to_correlate() -> None:
    assert trend([]) == Trend((), (), None)
    cdte, silver = several()
    two = replace(cdte, defects=dict(list(cdte.defects.items())[:2]))
    assert trend([two]).spearman is None
    assert trend([silver, silver, silver]).spearman is None  # nothing varies
