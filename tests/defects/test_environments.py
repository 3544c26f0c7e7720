"""Environments of an alloy's sites: counts that are known by hand, and what must not change them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError
from defectscout.core.progress import SilentProgress
from defectscout.defects.at_sites import defects_at_sites
from defectscout.defects.environments import SiteEnvironment, site_environments
from defectscout.defects.settings import DefectSettings, DefectSite
from defectscout.hosts.arrangement import AlloySupercell
from defectscout.hosts.substitution import Occupation
from defectscout.sampling.geometry import nearest_neighbours
from defectscout.sampling.sample import sample
from defectscout.sampling.settings import SamplingSettings

RELAXED = Path(__file__).parents[1] / "data" / "alloys" / "Cd27Te14Se13_relaxed.vasp"
ENVIRONMENTS_OF_RELAXED = {"Te2Se2": 10, "Te3Se": 9, "TeSe3": 5, "Se4": 2, "Te4": 1}


def zincblende(repeat: int = 3) -> Structure:
    cell = Structure(
        Lattice([[0, 3.24, 3.24], [3.24, 0, 3.24], [3.24, 3.24, 0]]), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )
    return cell.make_supercell([repeat] * 3)


def rocksalt(repeat: int = 2) -> Structure:
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.2), ["Mg", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return cell.make_supercell([repeat] * 3)


def alloy(parent: Structure, replaced: dict[int, str]) -> AlloySupercell:
    """The parent with some of its atoms replaced; the sublattices of these are the mixed ones."""
    structure = parent.copy()
    for index, symbol in replaced.items():
        structure.replace(index, symbol)
    own = tuple(site.specie.symbol for site in parent)
    present = Counter(site.specie.symbol for site in structure)
    mixed = tuple(
        Occupation(
            element,
            asked=(),
            counts=tuple(
                (symbol, present[symbol])
                for symbol in dict.fromkeys((element, *(s for index, s in replaced.items() if own[index] == element)))
            ),
        )
        for element in sorted({own[index] for index in replaced})
    )
    return AlloySupercell(structure, own, mixed, "random", 1)


def atoms_of(structure: Structure, symbol: str) -> list[int]:
    return [index for index, site in enumerate(structure) if site.specie.symbol == symbol]


def counts(found: tuple[SiteEnvironment, ...]) -> dict[str, int]:
    assert sum(item.share for item in found) == pytest.approx(1.0)
    assert all(sum(number for _, number in item.orbits) == len(item.sites) for item in found)
    return {item.name: len(item.sites) for item in found}


def at_distance(structure: Structure, atom: int, others: list[int], rank: int) -> int:
    """The other atom that stands at the rank-th of its distances from `atom`."""
    distances = {other: round(structure.get_distance(atom, other), 3) for other in others if other != atom}
    wanted = sorted(set(distances.values()))[rank]
    return next(other for other, distance in distances.items() if distance == wanted)


def test_one_foreign_anion_in_zincblende() -> None:
    parent = zincblende()
    anion = atoms_of(parent, "Te")[0]
    found = site_environments(alloy(parent, {anion: "Se"}), "Cd")
    assert counts(found) == {"Te4": 23, "Te3Se": 4}
    near = found[1]
    assert near.shells == ((("Te", 3), ("Se", 1)),)
    assert near.share == pytest.approx(4 / 27)
    # The four are alike by the symmetry of the foreign atom's site, Td.
    assert near.orbits == ((near.sites[0], 4),)
    assert counts(site_environments(alloy(parent, {anion: "Se"}), "Te")) == {"Cd4": 26}
    assert counts(site_environments(alloy(parent, {anion: "Se"}), "Se")) == {"Cd4": 1}
    assert site_environments(alloy(parent, {anion: "Se"}), "S") == ()


@pytest.mark.parametrize(
    ("rank", "expected"),
    [(0, {"Te4": 20, "Te3Se": 6, "Te2Se2": 1}), (1, {"Te4": 19, "Te3Se": 8})],
    ids=["neighbours", "apart"],
)
def test_two_foreign_anions_in_zincblende(rank: int, expected: dict[str, int]) -> None:
    """Anions that are neighbours on their sublattice share one cation."""
    parent = zincblende()
    anions = atoms_of(parent, "Te")
    second = at_distance(parent, anions[0], anions, rank)
    assert counts(site_environments(alloy(parent, {anions[0]: "Se", second: "Se"}), "Cd")) == expected


def test_two_shells_in_zincblende() -> None:
    """A cation has 4 anions next to it, and 12 in the second shell of the mixed sublattice."""
    parent = zincblende()
    found = site_environments(alloy(parent, {atoms_of(parent, "Te")[3]: "Se"}), "Cd", 2)
    assert counts(found) == {"Te4-Te11Se": 12, "Te4-Te12": 11, "Te3Se-Te12": 4}


def test_further_shells_are_of_the_mixed_sublattice() -> None:
    parent = zincblende()
    (found,) = site_environments(alloy(parent, dict.fromkeys(atoms_of(parent, "Cd"), "Zn")), "Te", 3)
    assert found.name == "Zn4-Zn12-Zn12"
    (found,) = site_environments(alloy(parent, dict.fromkeys(atoms_of(parent, "Te"), "Se")), "Se", 3)
    assert found.name == "Cd4-Se12-Se6"  # those of the face-centred cubic lattice


def test_rocksalt_with_two_mixed_sublattices() -> None:
    parent = rocksalt()
    anion = atoms_of(parent, "S")[0]
    cation = at_distance(parent, anion, atoms_of(parent, "Mg"), 0)
    mixed = alloy(parent, {anion: "Se", cation: "Ca"})
    assert counts(site_environments(mixed, "Mg")) == {"S6": 26, "S5Se": 5}
    assert counts(site_environments(mixed, "Ca")) == {"S5Se": 1}
    assert counts(site_environments(mixed, "S")) == {"Mg6": 26, "Mg5Ca": 5}
    assert counts(site_environments(mixed, "Se")) == {"Mg5Ca": 1}


def test_an_ordered_cell_has_one_orbit_for_each_environment() -> None:
    """Layers of S and Se along [001]: all cations alike."""
    parent = rocksalt(1)
    layer = [index for index in atoms_of(parent, "S") if round(parent[index].frac_coords[2], 3) == 0.5]
    mixed = alloy(parent, dict.fromkeys(layer, "Se"))
    found = site_environments(mixed, "Mg")
    assert counts(found) == {"S4Se2": 2, "S2Se4": 2}
    assert [len(item.orbits) for item in found] == [1, 1]


def test_a_neighbour_through_two_images_counts_twice() -> None:
    """Two primitive cells of rocksalt: a cation's six neighbours are images of two anions."""
    parent = Structure(Lattice([[0, 2.6, 2.6], [2.6, 0, 2.6], [2.6, 2.6, 0]]), ["Mg", "S"], [[0, 0, 0], [0.5] * 3])
    assert counts(site_environments(alloy(parent, {1: "Se"}), "Mg")) == {"Se6": 1}
    double = parent.make_supercell([2, 1, 1])
    assert counts(site_environments(alloy(double, {atoms_of(double, "S")[0]: "Se"}), "Mg")) == {"S3Se3": 2}


def test_the_bonds_of_wurtzite_are_one_shell() -> None:
    parent = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(4.30, 7.02), ["Cd", "Se"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.39]]
    ).make_supercell([3, 3, 2])
    distances = sorted({round(n.nn_distance, 2) for n in parent.get_neighbors(parent[0], 3.0)})
    assert len(distances) == 2  # three bonds and a longer one
    mixed = alloy(parent, {atoms_of(parent, "Se")[0]: "S"})
    assert counts(site_environments(mixed, "Cd")) == {"Se4": 32, "Se3S": 4}


def test_perovskite() -> None:
    parent = Structure(
        Lattice.cubic(6.2),
        ["Cs", "Pb", *["I"] * 3],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    ).make_supercell([2, 2, 2])
    mixed = alloy(parent, {atoms_of(parent, "I")[0]: "Br"})
    assert counts(site_environments(mixed, "Pb")) == {"I6": 6, "I5Br": 2}
    assert counts(site_environments(mixed, "Cs")) == {"I12": 4, "I11Br": 4}


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["Te", "Se", "S"]), min_size=8, max_size=8), st.integers(0, 1000))
def test_they_are_counts_of_the_nearest_neighbours(symbols: list[str], seed: int) -> None:
    """Against distances, and after a permutation of the atoms, a shift and a rotation of the crystal."""
    parent = zincblende(2)
    replaced = dict(zip(atoms_of(parent, "Te"), symbols, strict=True))
    mixed = alloy(parent, replaced)
    expected: Counter[str] = Counter()
    for atom in atoms_of(parent, "Cd"):
        near = mixed.structure.get_neighbors(mixed.structure[atom], 3.0)
        expected["".join(sorted(site.specie.symbol for site in near))] += 1
    assert spelt(site_environments(mixed, "Cd")) == expected
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(parent))
    axis = rng.normal(size=3)
    moved = Structure.from_sites([mixed.structure[index] for index in order])
    moved.translate_sites(range(len(moved)), rng.random(3))
    moved.apply_operation(SymmOp.from_axis_angle_and_translation(axis, float(rng.uniform(0, 360))))
    again = AlloySupercell(moved, tuple(mixed.parents[index] for index in order), mixed.occupations, "random", 1)
    assert spelt(site_environments(again, "Cd")) == expected
    first, second = (orbit_numbers(site_environments(item, "Cd")) for item in (mixed, again))
    assert first == second


def spelt(found: tuple[SiteEnvironment, ...]) -> Counter[str]:
    words = [(sorted(symbol for symbol, n in item.shells[0] for _ in range(n)), len(item.sites)) for item in found]
    return Counter({"".join(symbols): number for symbols, number in words})


def orbit_numbers(found: tuple[SiteEnvironment, ...]) -> list[list[int]]:
    return sorted(sorted(number for _, number in item.orbits) for item in found)


def test_a_larger_cell_of_the_same_crystal_has_the_same_shares() -> None:
    parent = zincblende(2)
    mixed = alloy(parent, {atoms_of(parent, "Te")[0]: "Se", atoms_of(parent, "Te")[3]: "Se"})
    structure = mixed.structure.copy()
    structure.add_site_property("parent", list(mixed.parents))
    structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    larger = AlloySupercell(structure, tuple(structure.site_properties["parent"]), mixed.occupations, "random", 1)
    small = {item.name: (2 * len(item.sites), item.share) for item in site_environments(mixed, "Cd", 2)}
    assert {item.name: (len(item.sites), item.share) for item in site_environments(larger, "Cd", 2)} == small


_SYMBOLS = st.sampled_from(["C", "Co", "O", "Os", "S", "Se", "N", "No", "Ni", "I", "In"])
_SHELLS = st.lists(
    st.dictionaries(_SYMBOLS, st.integers(1, 24), min_size=1, max_size=4).map(lambda shell: tuple(shell.items())),
    min_size=1,
    max_size=3,
).map(tuple)


@given(_SHELLS)
def test_a_name_tells_one_environment_only(shells: tuple[tuple[tuple[str, int], ...], ...]) -> None:
    name = SiteEnvironment("Cd", shells, (0,), ((0, 1),), 1.0).name
    read = tuple(
        tuple((symbol, int(number or 1)) for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*)", part))
        for part in name.split("-")
    )
    assert read == shells
    DefectSite(atom=0, name=name)  # it can stand in the name of a defect


def test_many_shells_of_a_crystal_without_symmetry() -> None:
    """Distances follow each other closely there, and shells must come to an end all the same."""
    rng = np.random.default_rng(3)
    parent = rocksalt(1)
    parent.apply_strain([0.03, -0.02, 0.01])
    parent.perturb(0.15)
    coords = parent.frac_coords + 0.01 * rng.normal(size=(len(parent), 3))
    parent = Structure(parent.lattice, parent.species, coords)
    found = site_environments(alloy(parent, {atoms_of(parent, "S")[0]: "Se"}), "Mg", 6)
    assert all(len(item.shells) == 6 for item in found)
    assert all(all(number > 0 for _, number in shell) for item in found for shell in item.shells)


def test_an_atom_without_neighbours() -> None:
    parent = Structure(Lattice.cubic(30.0), ["Mg", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(AlloyError, match="no bonded neighbours"):
        site_environments(alloy(parent, {1: "Se"}), "Mg")


def relaxed_vacancies() -> dict[int, object]:
    structure = Structure.from_file(RELAXED)
    host = Host(structure, structure, np.eye(3), RELAXED.name)
    sites = tuple(DefectSite(atom=atom, name=f"s{atom}") for atom in atoms_of(structure, "Cd"))
    made = defects_at_sites(host, DefectSettings(select=("v_Cd",), sites=sites), SilentProgress())
    return dict(zip(atoms_of(structure, "Cd"), made, strict=True))


def test_a_relaxed_supercell_is_sampled_at_the_neighbours_of_the_ideal_one() -> None:
    """GFN1-xTB's own structure of Cd27Te14Se13: neighbours are sought in it, environments on the ideal sites."""
    structure = Structure.from_file(RELAXED)
    found: Counter[str] = Counter()
    vacancies = relaxed_vacancies()
    for defect in vacancies.values():
        symbols = defect.atoms.get_chemical_symbols()
        near = Counter(symbols[index] for index in nearest_neighbours(defect))
        assert near.total() == 4
        found["".join(f"{s}{near[s] if near[s] > 1 else ''}" for s in ("Te", "Se") if near[s])] += 1
    assert found == ENVIRONMENTS_OF_RELAXED
    assert len(vacancies) == len(structure) // 2
    starts = sample(next(iter(vacancies.values())), SamplingSettings(pairs=True)).structures
    assert len(starts) == 31
    assert len({start.label for start in starts}) == 31
