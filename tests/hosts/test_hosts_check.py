"""Which structures are hosts, and what the symmetrised primitive cell keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spglib
from ase.build import bulk, fcc111, graphene, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Lattice, Structure
from scipy.spatial.transform import Rotation

from defectscout.core.errors import HostError
from defectscout.hosts.check import check_crystal, check_host, planar_gaps
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings

SETTINGS = HostSettings()
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(4.30, 7.01), ["Cd", "Se"], [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.376]]
)


def space_group(structure: Structure, symprec: float) -> int:
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    return int(spglib.get_symmetry_dataset(cell, symprec=symprec).number)


def from_ase(atoms: object) -> Structure:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_noise_is_removed_and_the_frame_is_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = WURTZITE.lattice.matrix @ Rotation.random(rng=rng).as_matrix()
    coords = WURTZITE.frac_coords + rng.random(3)
    noise = rng.uniform(-5e-4, 5e-4, (4, 3))
    noisy = Structure(lattice + rng.uniform(-2e-4, 2e-4, (3, 3)), WURTZITE.species, coords + noise / 7.0)
    primitive = check_host(noisy, SETTINGS, "noisy")
    assert space_group(noisy, 1e-6) == 1
    assert space_group(primitive, 1e-6) == 186
    # Orientation, basis and origin are the user's: nothing moved by more than the noise.
    assert np.abs(primitive.lattice.matrix - noisy.lattice.matrix).max() < 1e-3
    moved = primitive.frac_coords - noisy.frac_coords
    moved -= np.round(moved)
    assert np.abs(moved @ noisy.lattice.matrix).max() < 3e-3


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-2, 2), min_size=9, max_size=9))
def test_any_supercell_reduces_to_the_same_crystal(entries: list[int]) -> None:
    matrix = np.array(entries).reshape(3, 3)
    volume = abs(round(float(np.linalg.det(matrix))))
    if not 1 <= volume <= 12:
        return
    primitive = check_host(WURTZITE.make_supercell(matrix, in_place=False), SETTINGS, "supercell")
    assert len(primitive) == len(WURTZITE)
    assert primitive.volume == pytest.approx(WURTZITE.volume)
    assert space_group(primitive, 1e-5) == 186
    # The same origin and orientation: each atom of the primitive cell stands on one of the crystal.
    for site in primitive:
        assert any(site.specie == other.specie and site.distance(other) < 1e-3 for other in _around(site))


def _around(site: object) -> list[object]:
    from pymatgen.core import PeriodicSite

    inverse = WURTZITE.lattice.get_fractional_coords(site.coords)  # type: ignore[attr-defined]
    return [
        PeriodicSite(
            other.specie,
            other.coords - WURTZITE.lattice.matrix.T @ np.round(other.frac_coords - inverse),
            site.lattice,
            coords_are_cartesian=True,
        )  # type: ignore[attr-defined]
        for other in WURTZITE
    ]


def test_left_handed_cell_is_turned_over() -> None:
    mirrored = Structure(WURTZITE.lattice.matrix[[1, 0, 2]], WURTZITE.species, WURTZITE.frac_coords[:, [1, 0, 2]])
    assert np.linalg.det(mirrored.lattice.matrix) < 0
    primitive = check_host(mirrored, SETTINGS, "mirrored")
    assert np.linalg.det(primitive.lattice.matrix) > 0
    assert primitive.matches(WURTZITE)


def test_atoms_are_grouped_by_element() -> None:
    mixed = Structure.from_sites([WURTZITE[k] for k in (2, 0, 3, 1)])
    assert [s.specie.symbol for s in check_host(mixed, SETTINGS, "mixed")] == ["Se", "Se", "Cd", "Cd"]


def test_partial_occupancy_names_the_site() -> None:
    alloy = Structure(Lattice.cubic(6.5), [{"Se": 0.5, "Te": 0.5}, "Cd"], [[0] * 3, [0.5] * 3])
    with pytest.raises(HostError, match=r"alloy\.cif: 1 of 2 sites.*Se:0\.5.*\(0\.000, 0\.000, 0\.000\)"):
        check_host(alloy, SETTINGS, "alloy.cif")


def test_overlap_names_pair_and_distance() -> None:
    crystal = Structure(Lattice.cubic(6.5), ["Cd", "Te", "Te"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0.52]])
    with pytest.raises(HostError, match=r"atom 2 \(Te .*atom 3 \(Te .*0\.130 Å apart.*1 pair"):
        check_host(crystal, SETTINGS, "overlap.cif")
    check_host(crystal, HostSettings(min_distance=0.04), "overlap.cif")


def test_cell_in_wrong_units_overlaps_with_its_image() -> None:
    with pytest.raises(HostError, match="its own image"):
        check_host(Structure(Lattice.cubic(0.33), ["Po"], [[0] * 3]), SETTINGS, "nanometres.cif")


def test_a_supercell_is_checked_without_its_symmetry() -> None:
    from ase.data import covalent_radii

    crystal = WURTZITE.make_supercell(2, in_place=False).perturb(0.1)
    assert space_group(crystal, 0.01) == 1
    check_crystal(crystal, SETTINGS, "alloy.vasp")
    partial = crystal.copy()
    partial.replace(3, {"Cd": 0.5, "Zn": 0.5})
    with pytest.raises(HostError, match=r"alloy\.vasp: 1 of 32 sites.*partial"):
        check_crystal(partial, SETTINGS, "alloy.vasp")
    crowded = crystal.copy()
    beside = crystal[0].coords + 0.3 * covalent_radii[48] * np.array([1, 0, 0])
    crowded.append("Cd", beside, coords_are_cartesian=True)
    with pytest.raises(HostError, match=r"alloy\.vasp: atom .* Å apart"):
        check_crystal(crowded, SETTINGS, "alloy.vasp")
    with pytest.raises(HostError, match=r"alloy\.vasp: .*vacuum"):
        check_crystal(from_ase(fcc111("Cu", (2, 2, 4), vacuum=6.0, periodic=True)), SETTINGS, "alloy.vasp")


def test_dimers_and_metals_do_not_overlap() -> None:
    check_host(from_ase(bulk("Cu")), SETTINGS, "Cu")
    check_host(from_ase(bulk("NaH", "rocksalt", a=4.88)), SETTINGS, "NaH")


def test_unknown_species() -> None:
    with pytest.raises(HostError, match=r"X0?\+? ?at|X at"):
        check_host(Structure(Lattice.cubic(4), [DummySpecies("X"), "O"], [[0] * 3, [0.5] * 3]), SETTINGS, "x.cif")


def test_flat_and_unfinished_cells() -> None:
    flat = Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), ["C"], [[0] * 3])
    with pytest.raises(HostError, match="volume"):
        check_host(flat, SETTINGS, "flat.cif")
    nan = Structure(Lattice.cubic(4), ["C"], [[np.nan, 0, 0]])
    with pytest.raises(HostError, match="not finite"):
        check_host(nan, SETTINGS, "nan.cif")


def test_open_boundaries() -> None:
    slab = Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["C"], [[0] * 3])
    with pytest.raises(HostError, match="not periodic along c"):
        check_host(slab, SETTINGS, "slab.cif")


@pytest.mark.parametrize("turned", [False, True])
def test_vacuum(turned: bool) -> None:
    box = molecule("CH4", vacuum=6.0, pbc=True)
    slab = fcc111("Cu", (1, 1, 4), vacuum=6.0, periodic=True)
    sheet = graphene(vacuum=8.0)
    sheet.pbc = True
    basis = np.array([[1, 0, 0], [1, 1, 0], [2, -1, 1]]) if turned else np.eye(3, dtype=int)
    for atoms, said in ((box, "molecule"), (slab, "slab"), (sheet, "slab")):
        structure = from_ase(atoms).make_supercell(basis, in_place=False)
        with pytest.raises(HostError, match=said):
            check_host(structure, SETTINGS, "vacuum.cif")


def test_layered_crystals_are_hosts() -> None:
    graphite = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(2.46, 6.71), ["C", "C"], [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]
    )
    assert planar_gaps(graphite).max() == pytest.approx(6.71 / 2)
    assert len(check_host(graphite, SETTINGS, "graphite")) == 4


def test_molecular_crystal_is_a_host(shared_data: Path) -> None:
    host = read_structure(str(shared_data / "hosts" / "SbSCl9_C2-m.cif"))
    assert len(check_host(host, SETTINGS, "SbSCl9")) == 22


def test_all_hosts_of_the_paper(shared_data: Path) -> None:
    files = sorted((shared_data / "hosts").glob("*.cif"))
    assert len(files) == 33
    for file in files:
        structure = read_structure(str(file))
        primitive = check_host(structure, SETTINGS, file.name)
        assert space_group(primitive, 1e-5) == space_group(structure, 0.01), file.name
        assert primitive.matches(structure), file.name


def test_settings_reject_nonsense() -> None:
    for name, value in (("symprec", 0.0), ("min_distance", -1.0), ("max_gap", 0.0)):
        with pytest.raises(ValueError, match=name):
            HostSettings(**{name: value})
