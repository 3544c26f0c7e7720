"""Lattices of end members from files of any cell in any orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Poscar
from scipy.spatial.transform import Rotation

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError, HostError, InputFileError
from defectscout.core.frames import FloatArray
from defectscout.hosts.check import check_host
from defectscout.hosts.end_member_files import lattices_of_files
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.hosts.supercell import choose_supercell
from defectscout.hosts.symmetry import point_operations, symmetrised_lattice
from defectscout.hosts.vegard import end_member

ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(6.56), ["Cd", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]])
SELENIDE = Structure.from_spacegroup("F-43m", Lattice.cubic(6.14), ["Cd", "Se"], [[0, 0, 0], [0.25, 0.25, 0.25]])
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(4.30, 7.01), ["Cd", "Se"], [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.376]]
)
STIBNITE = Structure.from_spacegroup(
    "Pnma",
    Lattice.orthorhombic(11.3, 3.84, 11.2),  # a and c are near each other: only the sites tell them apart
    ["Sb", "Sb", "S", "S", "S"],
    [[0.03, 0.25, 0.67], [0.35, 0.25, 0.46], [0.05, 0.25, 0.13], [0.38, 0.25, 0.06], [0.21, 0.25, 0.81]],
)
CORNERS = ({"Te": "Te"}, {"Te": "Se"})


def parent_of(structure: Structure) -> Host:
    primitive = check_host(structure, HostSettings(), "parent")
    return choose_supercell(primitive, SupercellSettings(), "parent", 0.01)


CDTE = parent_of(ZINC_BLENDE)
SB2S3 = parent_of(STIBNITE)


def written(structure: Structure, path: Path) -> Path:
    path.write_text(Poscar(structure).get_str(significant_figures=14))
    return path


def scrambled(structure: Structure, seed: int, matrix: object = 1, noise: float = 0.0) -> Structure:
    """Another cell of the same crystal, turned, shifted, its atoms in another order."""
    rng = np.random.default_rng(seed)
    cell = structure.make_supercell(matrix, in_place=False)
    turned = Structure(cell.lattice.matrix @ Rotation.random(rng=rng).as_matrix(), cell.species, cell.frac_coords)
    coords = turned.cart_coords + rng.uniform(-noise, noise, (len(turned), 3)) + 5 * rng.random(3)
    moved = Structure(turned.lattice, turned.species, coords, coords_are_cartesian=True)
    return Structure.from_sites([moved[int(k)] for k in rng.permutation(len(moved))])


def deformed(parent: Host, corner: dict[str, str], seed: int) -> Structure:
    """An end member whose lattice differs from the parent's in every way that the symmetry allows."""
    strain = np.random.default_rng(seed).uniform(-0.05, 0.05, (3, 3))
    member = end_member(parent, corner)
    lattice = symmetrised_lattice(
        member.lattice.matrix @ (0.97 * np.eye(3) + strain + strain.T), point_operations(member, 0.01)
    )
    return Structure(lattice, member.species, member.frac_coords)


def stretch(parent: Host, lattice: FloatArray) -> FloatArray:
    return np.linalg.solve(parent.supercell.lattice.matrix, lattice)


def metric(lattice: FloatArray) -> FloatArray:
    return lattice @ lattice.T


def test_cubic_end_members_in_any_order(tmp_path: Path) -> None:
    files = [
        written(scrambled(SELENIDE, 1), tmp_path / "conventional.vasp"),
        written(scrambled(ZINC_BLENDE.get_primitive_structure(), 2), tmp_path / "primitive.vasp"),
    ]
    own, other = lattices_of_files(files, CDTE, CORNERS)
    assert np.allclose(own, CDTE.supercell.lattice.matrix, atol=1e-9)
    assert np.allclose(other, CDTE.supercell.lattice.matrix * 6.14 / 6.56, atol=1e-9)


def test_formats_and_relaxed_noise(tmp_path: Path) -> None:
    SELENIDE.to(str(tmp_path / "CdSe.cif"))
    noisy = scrambled(ZINC_BLENDE, 3, [2, 1, 1], noise=0.01)
    files = [tmp_path / "CdSe.cif", written(noisy, tmp_path / "POSCAR")]
    own, other = lattices_of_files(files, CDTE, CORNERS)
    assert np.allclose(own, CDTE.supercell.lattice.matrix, atol=1e-6)
    assert np.allclose(other, CDTE.supercell.lattice.matrix * 6.14 / 6.56, atol=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), cell=st.sampled_from([1, [1, 2, 1], [[1, 1, 0], [0, 1, 0], [0, 1, 1]]]))
def test_axes_of_an_orthorhombic_crystal_are_not_swapped(tmp_path: Path, seed: int, cell: object) -> None:
    corner = {"S": "Se"}
    # 11.3 and 11.2 Å become 10.9 and 11.5 Å: by length alone, the axes would be swapped.
    member = end_member(SB2S3, corner)
    lattice = member.lattice.matrix * (np.array([10.9, 4.0, 11.5]) / member.lattice.abc)[:, None]
    file = written(
        scrambled(Structure(lattice, member.species, member.frac_coords), seed, cell), tmp_path / "Sb2Se3.vasp"
    )
    (found,) = lattices_of_files([file], SB2S3, [corner])
    expected = SB2S3.supercell_matrix @ lattice
    assert np.allclose(found, expected, atol=1e-8)  # axes along those of the parent, whatever turned the file's


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), wurtzite=st.booleans())
def test_turning_changes_nothing_and_nothing_is_turned(tmp_path: Path, seed: int, wurtzite: bool) -> None:
    parent, corner = (parent_of(WURTZITE), {"Se": "S"}) if wurtzite else (SB2S3, {"S": "Se"})
    member = deformed(parent, corner, seed)
    file = written(scrambled(member, seed), tmp_path / "member.vasp")
    (found,) = lattices_of_files([file], parent, [corner])
    assert np.allclose(metric(found), metric(parent.supercell_matrix @ member.lattice.matrix), atol=1e-6)
    pure = stretch(parent, found)
    assert np.allclose(pure, pure.T, atol=1e-10)
    assert np.linalg.eigvalsh((pure + pure.T) / 2).min() > 0
    primitive = np.linalg.solve(parent.supercell_matrix, found)
    for operation in point_operations(parent.primitive, 0.01):
        assert np.allclose(operation.T @ metric(primitive) @ operation, metric(primitive), atol=1e-8)


def test_hosts_of_the_paper(shared_data: Path, tmp_path: Path) -> None:
    for name in ("Sb2S3_Pnma", "GaCuS2_I-42d", "CuS_P6_3-mmc", "AgBiSCl2_Cmcm", "RhSe2_Pa-3", "SbSCl9_C2-m"):
        parent = parent_of(read_structure(str(shared_data / "hosts" / f"{name}.cif")))
        corner = {parent.primitive[0].specie.symbol: "Po"}
        member = deformed(parent, corner, 4)
        file = written(scrambled(member, 5, noise=0.002), tmp_path / f"{name}.vasp")
        (found,) = lattices_of_files([file], parent, [corner])
        assert np.allclose(metric(found), metric(parent.supercell_matrix @ member.lattice.matrix), atol=1e-6), name


def test_real_end_members(shared_data: Path) -> None:
    files = [shared_data / "hosts" / f"{name}_Pnma.cif" for name in ("Sb2Se3", "Sb2S3")]
    parent = parent_of(read_structure(str(files[1])))
    own, other = lattices_of_files(files, parent, [{"S": "S"}, {"S": "Se"}])
    assert np.allclose(own, parent.supercell.lattice.matrix, atol=1e-3)
    lengths = np.sort(np.linalg.norm(np.linalg.solve(parent.supercell_matrix, other), axis=1))
    assert lengths == pytest.approx(np.sort(read_structure(str(files[0])).lattice.abc), abs=1e-3)


def test_wurtzite_is_no_zinc_blende(tmp_path: Path) -> None:
    file = written(WURTZITE, tmp_path / "wz.vasp")
    said = r"wz\.vasp: this CdSe is no crystal.*of CdTe.*P6_3mc with 4 atoms.*F-43m with 2 atoms.*is expected"
    with pytest.raises(AlloyError, match=said):
        lattices_of_files([file], CDTE, [{"Te": "Se"}])
    with pytest.raises(AlloyError, match=r"F-43m with 2 atoms.*P6_3mc with 4 atoms.*is expected"):
        lattices_of_files([written(ZINC_BLENDE, tmp_path / "zb.vasp")], parent_of(WURTZITE), [{"Se": "Te"}])


def test_rock_salt_is_no_zinc_blende(tmp_path: Path) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Cd", "Se"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(AlloyError, match=r"Fm-3m with 2 atoms.*F-43m with 2 atoms"):
        lattices_of_files([written(salt, tmp_path / "rs.vasp")], CDTE, [{"Te": "Se"}])


def test_a_lattice_without_the_parents_symmetry_is_refused(tmp_path: Path) -> None:
    strained = Structure(SELENIDE.lattice.matrix * [1, 1, 1.04], SELENIDE.species, SELENIDE.frac_coords)
    with pytest.raises(AlloyError, match=r"I-4m2 .*departs by 2\.\d% from that symmetry"):
        lattices_of_files([written(strained, tmp_path / "strained.vasp")], CDTE, [{"Te": "Se"}])


def test_an_end_member_without_a_file(tmp_path: Path) -> None:
    file = written(ZINC_BLENDE, tmp_path / "CdTe.vasp")
    with pytest.raises(AlloyError, match=r"No file is given for the end member CdSe\..*are CdTe, CdSe; given: CdTe \("):
        lattices_of_files([file], CDTE, CORNERS)
    with pytest.raises(AlloyError, match=r"end members CdTe, CdSe\..*given: none"):
        lattices_of_files([], CDTE, CORNERS)


def test_a_file_of_no_end_member(tmp_path: Path) -> None:
    sulphide = Structure(SELENIDE.lattice, ["Cd"] * 4 + ["S"] * 4, SELENIDE.frac_coords)
    with pytest.raises(AlloyError, match=r"CdS\.vasp holds CdS, which is no end member.*CdTe, CdSe"):
        lattices_of_files([written(sulphide, tmp_path / "CdS.vasp")], CDTE, CORNERS)


def test_two_files_of_one_end_member(tmp_path: Path) -> None:
    files = [written(ZINC_BLENDE, tmp_path / name) for name in ("one.vasp", "two.vasp")]
    with pytest.raises(AlloyError, match=r"one\.vasp and .*two\.vasp both hold CdTe"):
        lattices_of_files(files, CDTE, CORNERS)


def test_partial_occupancy(tmp_path: Path) -> None:
    mixed = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(6.3), ["Cd", {"Te": 0.5, "Se": 0.5}], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )
    mixed.to(str(tmp_path / "mixed.cif"))
    with pytest.raises(AlloyError, match=r"mixed\.cif.*partial or shared occupancy.*one file for each of CdTe, CdSe"):
        lattices_of_files([tmp_path / "mixed.cif"], CDTE, CORNERS)


def test_files_that_hold_no_crystal(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        lattices_of_files([tmp_path / "absent.cif"], CDTE, CORNERS)
    apart = Structure(Lattice.cubic(30), ["Cd", "Se"], [[0, 0, 0], [0.08, 0, 0]])
    with pytest.raises(HostError, match="molecule"):
        lattices_of_files([written(apart, tmp_path / "molecule.vasp")], CDTE, [{"Te": "Se"}])
