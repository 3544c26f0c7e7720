"""Vegard's law between end members."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Host
from defectscout.hosts.substitution import Occupation
from defectscout.hosts.vegard import end_member, vegard_lattice, weights

WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(4.30, 7.01), ["Cd", "Se"], [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.376]]
)
PARENT = Host(WURTZITE, WURTZITE, np.eye(3), "CdSe")


def held(element: str, **counts: int) -> Occupation:
    total = sum(counts.values())
    return Occupation(element, tuple((s, n / total) for s, n in counts.items()), tuple(counts.items()))


def test_end_member_keeps_lattice_sites_and_order() -> None:
    member = end_member(PARENT, {"Se": "S"})
    assert [site.specie.symbol for site in member] == ["Cd", "Cd", "S", "S"]
    assert member.lattice == WURTZITE.lattice
    assert np.array_equal(member.frac_coords, WURTZITE.frac_coords)
    assert end_member(PARENT, {"Se": "Se"}) == WURTZITE
    assert end_member(PARENT, {"Se": "S", "Cd": "Zn"}).composition.reduced_formula == "ZnS"


def test_share_of_an_end_member_is_the_product_over_sublattices() -> None:
    mixed = (held("Se", Se=3, S=1), held("Cd", Cd=1, Zn=1))
    corners = [dict(zip(("Se", "Cd"), pair, strict=True)) for pair in product(("Se", "S"), ("Cd", "Zn"))]
    assert weights(mixed, corners) == pytest.approx([0.375, 0.375, 0.125, 0.125])


@given(st.lists(st.integers(0, 20), min_size=2, max_size=4).filter(any), st.integers(0, 9), st.integers(1, 9))
def test_shares_sum_to_one_over_all_corners(anions: list[int], zinc: int, cadmium: int) -> None:
    names = ("Se", "S", "Te", "O")[: len(anions)]
    mixed = (held("Se", **dict(zip(names, anions, strict=True))), held("Cd", Cd=cadmium, Zn=zinc))
    corners = [{"Se": anion, "Cd": cation} for anion, cation in product(names, ("Cd", "Zn"))]
    assert weights(mixed, corners).sum() == pytest.approx(1)


def test_an_element_that_the_composition_lacks_has_no_share() -> None:
    assert weights((held("Se", Se=4),), [{"Se": "Se"}, {"Se": "S"}]).tolist() == [1, 0]


def test_lattice_is_linear_and_meets_the_ends() -> None:
    first, second = WURTZITE.lattice.matrix, WURTZITE.lattice.matrix * [0.95, 0.95, 0.9]
    assert np.array_equal(vegard_lattice([first, second], np.array([1.0, 0.0])), first)
    assert np.array_equal(vegard_lattice([first, second], np.array([0.0, 1.0])), second)
    quarter = Lattice(vegard_lattice([first, second], np.array([0.75, 0.25])))
    assert quarter.a == pytest.approx(4.30 * (0.75 + 0.25 * 0.95))
    assert quarter.c == pytest.approx(7.01 * (0.75 + 0.25 * 0.9))
    assert quarter.gamma == pytest.approx(120)
