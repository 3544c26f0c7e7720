"""Where the defect sits in its supercell, and which atoms surround it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import SamplingError
from defectscout.core.frames import FloatArray
from defectscout.core.quiet import quiet

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SITE_TOLERANCE = 0.5  # Å, between the defect's site and the atom on it


def bare_atoms(atoms: Atoms, positions: FloatArray | None = None) -> Atoms:
    """Periodic copy of `atoms` without calculator, constraints, info or extra arrays.

    Args:
        atoms: species, cell and, unless given, positions.
        positions: shape (n_atoms, 3), Å.
    """
    return Atoms(
        numbers=atoms.get_atomic_numbers(),
        positions=atoms.get_positions() if positions is None else positions,
        cell=atoms.get_cell(),
        pbc=True,
    )


def to_structure(atoms: Atoms) -> Structure:
    """Pymatgen structure with the same order of atoms, without oxidation states."""
    from pymatgen.core import Lattice, Structure

    return Structure(
        Lattice(np.array(atoms.get_cell())),
        atoms.get_chemical_symbols(),
        atoms.get_positions(),
        coords_are_cartesian=True,
    )


def minimum_image(vectors: FloatArray, atoms: Atoms) -> FloatArray:
    """Shortest periodic images of Cartesian vectors.

    Args:
        vectors: shape (n, 3), Å.
        atoms: gives the cell.

    Returns:
        Shape (n, 3), Å.
    """
    from ase.geometry import find_mic

    shortest, _ = find_mic(vectors, atoms.get_cell(), pbc=True)
    return np.asarray(shortest, dtype=np.float64)


def nearest_neighbour_distance(atoms: Atoms) -> float:
    """Shortest interatomic distance, periodic images included, Å."""
    from ase.neighborlist import neighbor_list

    cutoff = 3.0
    while True:
        distances = neighbor_list("d", atoms, cutoff)
        if len(distances):
            return float(distances.min())
        cutoff *= 1.5


def default_rattle(bulk: Atoms) -> float:
    """ShakeNBreak's standard deviation of the rattle.

    Args:
        bulk: the pristine crystal.

    Returns:
        10 % of the nearest-neighbour distance, Å; 0.25 Å where that lies outside
        0.02 ... 0.4 Å, as in ShakeNBreak.
    """
    stdev = 0.1 * nearest_neighbour_distance(bulk)
    return stdev if 0.02 <= stdev <= 0.4 else 0.25


def site_index(defect: Defect) -> int | None:
    """Index of the antisite, impurity or interstitial atom in the defect supercell.

    It is looked up by position. (ShakeNBreak takes the index in doped's primitive
    cell for the index in the supercell, and so distorts around a host atom for
    most antisites and interstitials that doped generates.)

    Args:
        defect: the defect.

    Returns:
        None for a vacancy.

    Raises:
        SamplingError: if no atom lies on the defect's site.
    """
    if defect.kind is DefectKind.VACANCY:
        return None
    origin = defect.site @ np.array(defect.atoms.get_cell())
    distances = np.linalg.norm(minimum_image(defect.atoms.get_positions() - origin, defect.atoms), axis=1)
    index = int(distances.argmin())
    if distances[index] > _SITE_TOLERANCE:
        raise SamplingError(
            f"No atom lies on the site of {defect.label}: the nearest one is {distances[index]:.2f} Å away "
            f"from its fractional coordinates {np.round(defect.site, 4).tolist()}. The defect's supercell "
            "and its site do not belong together; generate the defect again."
        )
    return index


def nearest_neighbours(defect: Defect) -> tuple[int, ...]:
    """Atoms in the first coordination shell of the defect's site.

    CrystalNN, as ShakeNBreak uses it for the dimer, with the missing atom of a
    vacancy put back (ShakeNBreak puts vanadium there). Fewer than two neighbours
    are made up to the two nearest atoms.

    Args:
        defect: the defect.

    Returns:
        Ascending indices in the defect supercell.
    """
    from pymatgen.analysis.local_env import CrystalNN

    structure: Any = to_structure(defect.atoms)
    centre = site_index(defect)
    if centre is None:
        missing = Counter(defect.bulk.get_chemical_symbols())
        missing.subtract(Counter(defect.atoms.get_chemical_symbols()))
        structure.append(next(symbol for symbol, count in missing.items() if count > 0), defect.site)
        centre = len(structure) - 1
    with quiet():
        shell = {int(info["site_index"]) for info in CrystalNN().get_nn_info(structure, centre)} - {centre}
    if len(shell) < 2:
        distances = structure.distance_matrix[centre]
        shell = {int(i) for i in np.argsort(distances, kind="stable") if i != centre and len(distances)}
        shell = set(sorted(shell, key=lambda i: (round(float(distances[i]), 2), i))[:2])
    return tuple(sorted(shell))
