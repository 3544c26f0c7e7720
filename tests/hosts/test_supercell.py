"""Supercells: exact search, symmetry, order of atoms, round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Host
from defectscout.core.errors import HostError, SupercellError
from defectscout.core.quiet import quiet
from defectscout.hosts.check import check_host
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.hosts.sublattices import (
    contains,
    hermite_forms,
    is_invariant,
    least_index,
    short_vectors,
    shortest_vector,
    spaced,
)
from defectscout.hosts.supercell import (
    choose_supercell,
    given_supercell,
    image_distance,
    primitive_sites,
    repeat_host,
    repeated,
)
from defectscout.hosts.symmetry import hermite_basis, point_operations

SYMPREC = 0.01
DEFAULTS = SupercellSettings()
CHALCOPYRITE = Structure.from_spacegroup(
    "I-42d", Lattice.tetragonal(5.37, 10.52), ["Ga", "Cu", "S"], [[0, 0, 0.5], [0, 0, 0], [0.2537, 0.25, 0.125]]
)
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(4.30, 7.01), ["Cd", "Se"], [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.376]]
)
matrices = st.lists(st.integers(-3, 3), min_size=9, max_size=9).map(lambda entries: np.array(entries).reshape(3, 3))


def kept_operations(host: Host, symprec: float) -> tuple[int, int]:
    """How many rotations of the host's point group its supercell keeps, and how many there are."""
    operations = point_operations(host.primitive, symprec)
    form = hermite_basis(np.rint(host.supercell_matrix).astype(np.int64))
    return int(is_invariant(form[None], operations).sum()), len(operations)


@pytest.fixture(scope="module")
def cdte(cdte_cif: Path) -> Structure:
    return check_host(read_structure(str(cdte_cif)), HostSettings(), "CdTe")


def host_of(primitive: Structure, **values: object) -> Host:
    return choose_supercell(primitive, SupercellSettings(**values), "host", SYMPREC)  # type: ignore[arg-type]


def sites_symmetry(structure: Structure) -> str:
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    return str(spglib.get_symmetry_dataset(cell, symprec=1e-3).pointgroup)


@pytest.mark.parametrize("index", [1, 2, 3, 4, 6, 8, 12])
def test_number_of_sublattices(index: int) -> None:
    # Sum over divisors d of d sigma(d): the number of sublattices of index n in three dimensions.
    divisors = [d for d in range(1, index + 1) if index % d == 0]
    expected = sum(d * sum(e for e in range(1, d + 1) if d % e == 0) for d in divisors)
    forms = hermite_forms(index)
    assert len(forms) == expected == len({form.tobytes() for form in forms})
    assert np.allclose(np.linalg.det(forms), index)


@settings(deadline=None)
@given(matrices, st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_membership_and_hermite_form(matrix: np.ndarray, vector: list[int]) -> None:
    if round(float(np.linalg.det(matrix))) == 0:
        return
    form = hermite_basis(matrix)
    assert contains(form[None], np.array(vector))[0] == np.allclose(
        np.array(vector) @ np.linalg.inv(matrix), np.round(np.array(vector) @ np.linalg.inv(matrix)), atol=1e-6
    )
    assert abs(np.linalg.det(form)) == pytest.approx(abs(np.linalg.det(matrix)))


@settings(deadline=None)
@given(matrices)
def test_shortest_vector_is_dopeds(matrix: np.ndarray) -> None:
    if abs(np.linalg.det(matrix)) < 0.5:
        return
    from doped.utils.supercells import get_min_image_distance

    lattice = matrix @ CHALCOPYRITE.lattice.matrix
    assert shortest_vector(lattice) == pytest.approx(
        get_min_image_distance(Structure(lattice, ["S"], [[0] * 3])), abs=2e-3
    )


def test_short_vectors_and_spacing_agree_by_brute_force() -> None:
    lattice = CHALCOPYRITE.get_primitive_structure().lattice.matrix
    vectors, lengths = short_vectors(lattice, 10.0)
    grid = np.stack(np.meshgrid(*[range(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    expected = np.sort(np.linalg.norm(grid @ lattice, axis=1))[1:]
    expected = expected[expected <= 10.0]
    assert len(expected) == 2 * len(vectors)  # one of each ± pair
    assert np.allclose(np.repeat(lengths, 2), expected)
    forms = hermite_forms(6)
    fit = spaced(forms, lattice, 8.0)
    assert len(fit) == sum(shortest_vector(form @ lattice) >= 8.0 for form in forms)


def test_least_index_is_reached_by_the_densest_lattice() -> None:
    fcc = Lattice([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    for multiple in (2, 3, 5):
        assert least_index(fcc.volume, multiple * np.sqrt(2)) == multiple**3


def test_cdte_is_three_by_three_by_three(cdte: Structure) -> None:
    host = host_of(cdte)
    assert len(host.supercell) == 54
    assert np.array_equal(host.supercell_matrix, 3 * np.eye(3))
    assert kept_operations(host, SYMPREC) == (24, 24)
    assert image_distance(host.supercell) == pytest.approx(3 * cdte.lattice.a)


def test_gacus2_is_two_by_two_by_two() -> None:
    host = host_of(check_host(CHALCOPYRITE.get_primitive_structure(), HostSettings(), "GaCuS2"))
    assert len(host.supercell) == 64
    assert np.array_equal(host.supercell_matrix, 2 * np.eye(3))


def test_supercell_keeps_the_site_symmetry_of_every_atom(cdte: Structure) -> None:
    for primitive in (cdte, check_host(WURTZITE, HostSettings(), "CdSe")):
        host = host_of(primitive)
        supercell = host.supercell.copy()
        supercell.remove_sites([0])
        # Td for zinc blende, C3v for wurtzite: the vacancy has the symmetry of its site.
        assert sites_symmetry(supercell) == ("-43m" if len(primitive) == 2 else "3m")


def test_dopeds_skewed_supercell_would_not(cdte: Structure) -> None:
    skewed = host_of(cdte, matrix=((3, -1, 0), (0, 3, -1), (-2, 0, 3)))
    assert len(skewed.supercell) == 50
    kept, all_operations = kept_operations(skewed, SYMPREC)
    assert kept < all_operations
    supercell = skewed.supercell.copy()
    supercell.remove_sites([0])
    assert sites_symmetry(supercell) != "-43m"


def test_growth_limits_what_symmetry_may_cost(cdte: Structure) -> None:
    host = host_of(cdte, max_growth=1.0)
    assert len(host.supercell) == 50
    assert image_distance(host.supercell) >= 10
    assert kept_operations(host, SYMPREC)[0] < 24


@pytest.mark.parametrize("distance", [6.0, 9.0, 13.0])
def test_smallest_by_exhaustion(distance: float) -> None:
    primitive = check_host(WURTZITE, HostSettings(), "CdSe")
    host = host_of(primitive, min_image_distance=distance, min_atoms=1, max_growth=4.0)
    operations = point_operations(primitive, SYMPREC)
    index = len(host.supercell) // len(primitive)
    assert image_distance(host.supercell) >= distance
    assert kept_operations(host, SYMPREC) == (12, 12)
    for smaller in range(1, index):
        forms = spaced(hermite_forms(smaller), primitive.lattice.matrix, distance)
        assert not is_invariant(forms, operations).all(axis=1).any()


def test_min_atoms(cdte: Structure) -> None:
    assert len(host_of(cdte, min_atoms=55).supercell) > 55


def test_doped_finds_no_better_supercell_of_a_size(cdte: Structure) -> None:
    from doped.utils.supercells import find_ideal_supercell

    lattice = cdte.lattice.matrix
    with quiet():
        _, dopeds = find_ideal_supercell(lattice, target_size=4, return_min_dist=True)
    best = max(shortest_vector(form @ lattice) for form in hermite_forms(4))
    assert best >= dopeds - 2e-3  # doped rounds to 0.001 Å


@settings(max_examples=30, deadline=None)
@given(matrices)
def test_repetition_is_the_same_crystal(matrix: np.ndarray) -> None:
    volume = round(float(np.linalg.det(matrix)))
    if not 1 <= volume <= 8:
        return
    supercell = repeated(WURTZITE, matrix)
    expected = WURTZITE.make_supercell(matrix, in_place=False)
    assert len(supercell) == volume * len(WURTZITE)
    assert np.allclose(supercell.lattice.matrix, expected.lattice.matrix)
    difference = supercell.frac_coords[:, None] - expected.frac_coords[None]
    difference -= np.round(difference)
    distance = np.linalg.norm(difference @ supercell.lattice.matrix, axis=-1)
    partner = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-6
    assert len(set(partner)) == len(supercell)
    assert all(a.specie == expected[int(k)].specie for a, k in zip(supercell, partner, strict=True))
    symbols = [s.specie.symbol for s in supercell]
    assert symbols == ["Cd"] * (2 * volume) + ["Se"] * (2 * volume)


def test_relaxed_primitive_repeats_in_the_same_order(cdte: Structure) -> None:
    host = host_of(cdte)
    relaxed = Structure(cdte.lattice.matrix * 1.02, cdte.species, cdte.frac_coords + np.array([[-1e-4], [1e-4]]))
    new = repeat_host(host, relaxed)
    assert np.array_equal(new.supercell_matrix, host.supercell_matrix)
    assert new.supercell.volume == pytest.approx(host.supercell.volume * 1.02**3)
    moved = new.supercell.frac_coords - host.supercell.frac_coords
    moved -= np.round(moved)
    assert np.abs(moved).max() < 1e-4
    with pytest.raises(HostError, match="other atoms"):
        repeat_host(host, Structure(cdte.lattice, ["Te", "Cd"], cdte.frac_coords))


def test_shuffled_supercell_keeps_its_order(cdte: Structure) -> None:
    host = host_of(cdte)
    order = np.random.default_rng(0).permutation(len(host.supercell))
    shuffled = Host(cdte, Structure.from_sites([host.supercell[int(k)] for k in order]), host.supercell_matrix, "x")
    again = repeat_host(shuffled, cdte)
    assert again.supercell.species == shuffled.supercell.species
    difference = again.supercell.frac_coords - shuffled.supercell.frac_coords
    assert np.abs(difference - np.round(difference)).max() < 1e-9
    assert [cdte[int(k)].specie for k in primitive_sites(shuffled)] == shuffled.supercell.species


def test_short_matrix_names_the_distance(cdte: Structure) -> None:
    with pytest.raises(SupercellError, match=r"9\.28 Å.*10 Å"):
        host_of(cdte, matrix=((2, 0, 0), (0, 2, 0), (0, 0, 2)))
    small = host_of(cdte, matrix=((2, 0, 0), (0, 2, 0), (0, 0, 2)), min_image_distance=9.0)
    assert len(small.supercell) == 16


def test_given_supercell_stays_as_it_is(cdte: Structure) -> None:
    supercell = host_of(cdte).supercell
    order = np.random.default_rng(1).permutation(len(supercell))
    mixed = Structure.from_sites([supercell[int(k)] for k in order])
    mixed.replace(0, "Se")
    host = given_supercell(mixed, SupercellSettings(as_given=True), "alloy.vasp")
    assert host.supercell == host.primitive == mixed
    assert [site.specie for site in host.supercell] == [site.specie for site in mixed]
    assert np.array_equal(host.supercell_matrix, np.eye(3))
    assert host.source == "alloy.vasp"
    # A symmetric one is not made smaller, either.
    assert len(given_supercell(supercell, SupercellSettings(as_given=True), "CdTe.vasp").primitive) == 54


def test_given_supercell_that_is_too_small(cdte: Structure) -> None:
    small = cdte.make_supercell(2, in_place=False)
    with pytest.raises(SupercellError, match=r"alloy\.vasp: .*9\.28 Å between periodic images, less than 10 Å"):
        given_supercell(small, SupercellSettings(as_given=True), "alloy.vasp")
    allowed = SupercellSettings(as_given=True, min_image_distance=image_distance(small))
    assert given_supercell(small, allowed, "alloy.vasp").supercell == small


def test_given_supercell_excludes_a_matrix() -> None:
    with pytest.raises(ValueError, match="as_given and matrix exclude each other"):
        SupercellSettings(as_given=True, matrix=((3, 0, 0), (0, 3, 0), (0, 0, 3)))


@pytest.mark.parametrize("values", [{"min_image_distance": 100.0}, {"min_atoms": 5000}])
def test_hopeless_settings_end_at_once(cdte: Structure, values: dict[str, float]) -> None:
    with pytest.raises(SupercellError, match="No supercell of up to"):
        host_of(cdte, **values)


@pytest.mark.parametrize(
    ("matrix", "complaint"),
    [(((1, 0, 0), (2, 0, 0), (0, 0, 1)), "zero"), (((0, 3, 0), (3, 0, 0), (0, 0, 3)), "left-handed")],
)
def test_impossible_matrices_are_settings_errors(matrix: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SupercellSettings(matrix=matrix)  # type: ignore[arg-type]


def test_all_hosts_of_the_paper_keep_their_point_group(shared_data: Path) -> None:
    for file in sorted((shared_data / "hosts").glob("*.cif")):
        primitive = check_host(read_structure(str(file)), HostSettings(), file.name)
        host = choose_supercell(primitive, DEFAULTS, file.name, SYMPREC)
        kept, everything = kept_operations(host, SYMPREC)
        assert kept == everything, file.name
        assert image_distance(host.supercell) >= 10, file.name
        assert 50 <= len(host.supercell) <= 144, file.name
