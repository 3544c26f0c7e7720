"""Which element stands on which site of an alloy supercell."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError
from defectscout.hosts.arrangement import AlloySupercell, arrangement_seed, occupations_of, random_alloy
from defectscout.hosts.settings import SupercellSettings
from defectscout.hosts.substitution import Substitution
from defectscout.hosts.supercell import choose_supercell

ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(6.56), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
PARENT = choose_supercell(ZINC_BLENDE.get_primitive_structure(), SupercellSettings(), "CdTe", 0.01)
CHALCOPYRITE = Structure.from_spacegroup(
    "I-42d", Lattice.tetragonal(5.37, 10.52), ["Ga", "Cu", "S"], [[0, 0, 0.5], [0, 0, 0], [0.2537, 0.25, 0.125]]
)
SELENIDE = (Substitution("Te", (("Se", 0.3),)),)


def symbols(alloy: AlloySupercell) -> list[str]:
    return [site.specie.symbol for site in alloy.structure]


def by_site(alloy: AlloySupercell, parent: Host) -> list[str]:
    """Elements in the order of the parent's sites."""
    difference = parent.supercell.frac_coords[:, None] - alloy.structure.frac_coords[None]
    difference -= np.round(difference)
    return [symbols(alloy)[index] for index in (difference**2).sum(axis=-1).argmin(axis=1)]


def test_seeds_reproduce_and_differ() -> None:
    first = random_alloy(PARENT, SELENIDE, 1, 42)
    assert random_alloy(PARENT, SELENIDE, 1, 42).structure == first.structure
    others = [random_alloy(PARENT, SELENIDE, 1, 43), random_alloy(PARENT, SELENIDE, 2, 42)]
    arrangements = {tuple(by_site(alloy, PARENT)) for alloy in (first, *others)}
    assert len(arrangements) == 3


def test_a_supercell_does_not_depend_on_what_is_made_beside_it() -> None:
    alone = random_alloy(PARENT, SELENIDE, 3, 42).structure
    for realisation in (1, 2, 5):
        random_alloy(PARENT, SELENIDE, realisation, 42)
    random_alloy(PARENT, (Substitution("Te", (("Se", 0.5),)),), 1, 42)
    assert random_alloy(PARENT, SELENIDE, 3, 42).structure == alone


def test_seed_follows_counts_realisation_and_the_users_seed() -> None:
    held = occupations_of(PARENT, SELENIDE)
    same = occupations_of(PARENT, (Substitution("Te", (("Se", 0.296),)),))  # 8 of 27, too
    assert arrangement_seed(held, 1, 42) == arrangement_seed(same, 1, 42)
    other = occupations_of(PARENT, (Substitution("Te", (("Se", 0.5),)),))
    assert (
        len({arrangement_seed(held, r, s) for r in (1, 2, 11) for s in (1, 2, 11)} | {arrangement_seed(other, 1, 1)})
        == 10
    )


def test_every_arrangement_is_as_likely() -> None:
    # Each Te site is Se in 13 of 27 cases: over 400 realisations no site strays from that by 5 standard deviations.
    half = (Substitution("Te", (("Se", 0.5),)),)
    taken = np.zeros(len(PARENT.supercell))
    for realisation in range(400):
        taken += np.array(by_site(random_alloy(PARENT, half, realisation, 1), PARENT)) == "Se"
    on_te = np.array([site.specie.symbol == "Te" for site in PARENT.supercell])
    share = 13 / 27
    assert np.all(taken[~on_te] == 0)
    assert np.abs(taken[on_te] / 400 - share).max() < 5 * np.sqrt(share * (1 - share) / 400)


@settings(max_examples=25, deadline=None)
@given(
    se=st.floats(0, 0.6), s=st.floats(0, 0.4), zn=st.floats(0, 1), realisation=st.integers(1, 9), seed=st.integers(0, 9)
)
def test_what_every_alloy_fulfils(se: float, s: float, zn: float, realisation: int, seed: int) -> None:
    substitutions = (Substitution("Te", (("Se", se), ("S", s))), Substitution("Cd", (("Zn", zn),)))
    try:
        held = occupations_of(PARENT, substitutions)
    except AlloyError:
        return
    alloy = random_alloy(PARENT, substitutions, realisation, seed)
    assert alloy.occupations == held
    assert Counter(symbols(alloy)) == Counter({s: n for item in held for s, n in item.counts})
    # Atoms stand on the parent's sites, grouped by element in the order of the parent's.
    assert [name for name, _ in groupby(symbols(alloy))] == [
        s for s in ("Cd", "Zn", "Te", "Se", "S") if s in symbols(alloy)
    ]
    assert np.array_equal(alloy.structure.lattice.matrix, PARENT.supercell.lattice.matrix)
    sites = {
        tuple(coords): site.specie.symbol
        for coords, site in zip(PARENT.supercell.frac_coords, PARENT.supercell, strict=True)
    }
    assert alloy.parents == tuple(sites[tuple(coords)] for coords in alloy.structure.frac_coords)
    assert len(sites) == len(alloy.structure)
    for symbol, own in zip(symbols(alloy), alloy.parents, strict=True):
        assert symbol in {"Cd": ("Cd", "Zn"), "Te": ("Te", "Se", "S")}[own]


@pytest.mark.parametrize(("x", "formula"), [(0.0, "Cd27 Te27"), (1.0, "Cd27 Se27")])
def test_end_members(x: float, formula: str) -> None:
    alloy = random_alloy(PARENT, (Substitution("Te", (("Se", x),)),), 1, 42)
    assert alloy.structure.composition.formula == formula
    assert np.array_equal(alloy.structure.frac_coords, PARENT.supercell.frac_coords)
    assert alloy.parents == tuple(site.specie.symbol for site in PARENT.supercell)
    assert alloy.is_mixed == tuple(parent == "Te" for parent in alloy.parents)


def test_quaternary_with_a_sublattice_left_alone() -> None:
    parent = choose_supercell(CHALCOPYRITE.get_primitive_structure(), SupercellSettings(), "GaCuS2", 0.01)
    alloy = random_alloy(
        parent, (Substitution("Ga", (("In", 0.25),)), Substitution("S", (("Se", 0.5), ("Te", 0.25)))), 1, 7
    )
    held = {"Ga": 12, "In": 4, "Cu": 16, "S": 8, "Se": 16, "Te": 8}
    assert Counter(symbols(alloy)) == Counter(held)
    assert Counter(alloy.parents) == Counter({"Ga": 16, "Cu": 16, "S": 32})
    assert [own for own, mixed in zip(alloy.parents, alloy.is_mixed, strict=True) if not mixed] == ["Cu"] * 16
    assert alloy.arrangement == "random"


def test_impossible_alloys_are_refused() -> None:
    with pytest.raises(AlloyError, match="contains no S"):
        random_alloy(PARENT, (Substitution("S", (("Se", 0.5),)),), 1, 42)
    with pytest.raises(AlloyError, match="too few for Se"):
        random_alloy(PARENT, (Substitution("Te", (("Se", 0.01),)),), 1, 42)
