"""Lattices of end members that come from files, such as those that the user has relaxed with DFT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError, HostError
from defectscout.core.frames import FloatArray
from defectscout.hosts.check import check_crystal
from defectscout.hosts.read import read_structure
from defectscout.hosts.settings import HostSettings
from defectscout.hosts.symmetry import point_operations, primitive_cell, symmetrised_lattice, symmetry_dataset
from defectscout.hosts.vegard import end_member

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SYMPRECS: Final = (0.01, 0.05)
"""Å; a supercell that was relaxed without symmetry repeats its primitive cell less well than one that was made."""

_LENGTHS: Final = 0.2
"""Largest relative difference of lattice vectors, at equal volume (the default of pymatgen's StructureMatcher)."""

_ANGLES: Final = 5.0
"""Largest difference of their angles, ° (the same)."""

_SITES: Final = 0.3
"""Largest root mean square distance of sites from the parent's, in units of (volume per atom)^(1/3) (the same)."""

_SAME_SITES: Final = 0.02
"""Mappings whose distances differ by less, in these units, are told apart by how much they strain the lattice."""

_ASYMMETRY: Final = 0.01
"""Largest strain that averaging over the parent's symmetry may remove."""


def lattices_of_files(files: Sequence[Path], parent: Host, corners: Sequence[Mapping[str, str]]) -> list[FloatArray]:
    """The supercell's lattice vectors in each end member of an alloy, from structure files.

    A file may hold any cell of the crystal, in any orientation: its primitive cell is mapped onto that of the parent,
    and what remains is a pure stretch with the parent's symmetry, so that the vectors keep the parent's orientation.

    Args:
        files: one for each end member, in any order.
        parent: crystal that the alloy is made of.
        corners: for each end member, the element on each mixed sublattice of the parent.

    Returns:
        For each of the corners, shape (3, 3), rows in Å.

    Raises:
        AlloyError: an end member has no file or two, a file belongs to none of them, is not ordered, or holds another
            structure type than the parent.
        InputFileError: a file cannot be read.
        HostError: what it holds is no crystal.
    """
    expected = {_formula(member): member for member in (end_member(parent, corner) for corner in corners)}
    found = _by_formula(files, expected)
    lattices = {
        formula: _lattice(path, found[formula][1], expected[formula], parent) for formula, (path, _) in found.items()
    }
    return [lattices[_formula(end_member(parent, corner))] for corner in corners]


def _formula(structure: Structure) -> str:
    return str(structure.composition.reduced_formula)


def _by_formula(files: Sequence[Path], expected: Mapping[str, Structure]) -> dict[str, tuple[Path, Structure]]:
    """File and structure of each end member."""
    needed = ", ".join(expected)
    found: dict[str, tuple[Path, Structure]] = {}
    for path in files:
        structure = read_structure(str(path))
        formula = _formula(structure)
        if not structure.is_ordered:
            raise AlloyError(
                f"{path} holds {formula} with partial or shared occupancy. An end member has one element on each "
                f"sublattice: give one file for each of {needed}."
            )
        if formula not in expected:
            raise AlloyError(
                f"{path} holds {formula}, which is no end member of this alloy. Its end members are {needed}: give one "
                "file for each of them and no others."
            )
        if formula in found:
            raise AlloyError(
                f"{found[formula][0]} and {path} both hold {formula}, and which of them counts cannot be guessed. "
                "Leave one out."
            )
        found[formula] = (path, structure)
    missing = [formula for formula in expected if formula not in found]
    if missing:
        given = ", ".join(f"{formula} ({path})" for formula, (path, _) in found.items()) or "none"
        raise AlloyError(
            f"No file is given for the end member{'' if len(missing) == 1 else 's'} {', '.join(missing)}. The end "
            f"members of this alloy are {needed}; given: {given}. Give one file for each (--end-member), or none to "
            "have all of them relaxed with the reference."
        )
    return found


def _lattice(path: Path, structure: Structure, expected: Structure, parent: Host) -> FloatArray:
    """The supercell's lattice vectors in the crystal of one file."""
    primitive = _primitive(structure, len(expected), path)
    mapped = _best_mapping(primitive, expected)
    if mapped is None:
        raise _other_type(path, primitive, expected, parent)
    own = np.asarray(parent.primitive.lattice.matrix)
    stretched = own @ _stretch(own, mapped)
    symmetric = symmetrised_lattice(stretched, point_operations(expected, HostSettings().symprec))
    removed = float(np.abs(np.linalg.solve(stretched, symmetric) - np.eye(3)).max())
    if removed > _ASYMMETRY:
        raise _other_type(path, primitive, expected, parent, f"its lattice departs by {removed:.1%} from that symmetry")
    return np.asarray(parent.supercell.lattice.matrix @ _stretch(own, symmetric))


def _primitive(structure: Structure, atoms: int, path: Path) -> Structure:
    """The primitive cell of what a file holds, with the number of atoms that is expected if any tolerance gives it."""
    check_crystal(structure, HostSettings(), str(path))
    try:
        cells = [primitive_cell(structure, symprec) for symprec in _SYMPRECS]
    except HostError as error:
        raise HostError(f"{path}: {error}") from error
    return next((cell for cell in cells if len(cell) == atoms), cells[0])


def _stretch(lattice: FloatArray, other: FloatArray) -> FloatArray:
    """The symmetric matrix that brings row vectors of one lattice to the lengths and angles of another's.

    The right one of the polar decomposition of the deformation, so that whatever turns the other does not matter.
    """
    deformation = np.linalg.solve(lattice, other)
    return np.asarray(np.real(sqrtm(deformation @ deformation.T)), dtype=np.float64)


def _best_mapping(structure: Structure, expected: Structure) -> FloatArray | None:
    """Vectors of the structure that correspond to those of `expected`, shape (3, 3) in Å; None if none do.

    Sites decide between settings of one lattice; where they fit equally well, the least strain does.
    """
    fits = list(_mappings(structure, expected))
    nearest = min((distance for distance, _, _ in fits), default=np.inf)
    if nearest > _SITES:
        return None
    return min((fit for fit in fits if fit[0] <= nearest + _SAME_SITES), key=lambda fit: round(fit[1], 6))[2]


def _mappings(structure: Structure, expected: Structure) -> Iterator[tuple[float, float, FloatArray]]:
    """Distance of the sites, strain and vectors of each mapping of the lattice onto that of `expected`."""
    from pymatgen.core import Lattice

    target = expected.lattice
    scale = (target.volume / structure.volume) ** (1 / 3)
    scaled = Lattice(structure.lattice.matrix * scale)
    mappings = scaled.find_all_mappings(target, ltol=_LENGTHS, atol=_ANGLES, skip_rotation_matrix=True)
    for _, _, basis in mappings:
        if round(abs(float(np.linalg.det(basis)))) != 1:
            continue
        vectors = basis @ scaled.matrix
        distance = _distance(structure.cart_coords @ np.linalg.inv(vectors / scale), structure, expected)
        strain = float(np.linalg.norm(_stretch(np.asarray(target.matrix), vectors) - np.eye(3)))
        yield distance, strain, np.asarray(vectors / scale)


def _distance(coords: FloatArray, structure: Structure, expected: Structure) -> float:
    """Least root mean square distance of sites from those of the same elements, in units of (volume per atom)^(1/3).

    Args:
        coords: shape (n, 3), fractional coordinates of the structure's sites in the basis of `expected`.
        structure: elements of these sites.
        expected: sites of the same elements.
    """
    numbers, wanted = np.array(structure.atomic_numbers), np.array(expected.atomic_numbers)
    if sorted(numbers) != sorted(wanted):
        return np.inf
    lattice = np.asarray(expected.lattice.matrix)
    rarest = min(set(numbers.tolist()), key=lambda number: (int((numbers == number).sum()), number))
    anchor = coords[numbers == rarest][0]
    least = np.inf
    for origin in expected.frac_coords[wanted == rarest]:
        moved = coords - anchor + origin
        difference = expected.frac_coords[None, :, :] - moved[:, None, :]
        difference -= np.round(difference)
        vectors = difference @ lattice
        cost = (vectors**2).sum(axis=-1)
        cost[numbers[:, None] != wanted[None, :]] = 1e6
        rows, columns = linear_sum_assignment(cost)
        apart = vectors[rows, columns]
        least = min(least, float(np.sqrt(((apart - apart.mean(axis=0)) ** 2).sum(axis=1).mean())))
    return float(least / (expected.volume / len(expected)) ** (1 / 3))


def _other_type(path: Path, primitive: Structure, expected: Structure, parent: Host, reason: str = "") -> AlloyError:
    return AlloyError(
        f"{path}: this {_formula(primitive)} is no crystal of the structure type of {parent.formula}. It has "
        f"{_described(primitive)}, and {_described(expected)} is expected"
        f"{f'; {reason}' if reason else _same_but_sites(primitive, expected)}. Vegard's law holds between crystals of "
        f"one type: give {_formula(primitive)} in that of {parent.formula}."
    )


def _described(structure: Structure) -> str:
    try:
        group = str(symmetry_dataset(structure, _SYMPRECS[0]).international)
    except HostError:
        group = "undetermined"
    return f"space group {group} with {len(structure)} atoms in the primitive cell"


def _same_but_sites(primitive: Structure, expected: Structure) -> str:
    if _described(primitive) != _described(expected):
        return ""
    return ", with the atoms on other sites or axes of other lengths"
