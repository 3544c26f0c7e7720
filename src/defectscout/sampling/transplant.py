"""What a defect of one host relaxed to, carried over to the same defect of a host of the same structure.

Hosts of one structure type tend to share the motif of a defect's reconstruction (paper, section II A), but not its bond
lengths: displacements are carried over as fractions of the lattice vectors, so that bonds scale with the lattice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.sampling.geometry import bare_atoms

LENGTHS: Final = 0.08
ANGLES: Final = 5.0
"""Largest relative difference of lattice vectors, once both supercells have one volume, and of angles, degrees."""

SAME_ATOM: Final = 0.8
"""Å. Farthest that an atom of one unperturbed structure may be from its counterpart in the other."""

NO_BETTER: Final = 0.02
"""Å. Root mean square distance of counterparts below which no better correspondence is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Correspondence:
    """Which atom of one defect supercell stands for which of another.

    Attributes:
        counterpart: shape (n_atoms,): for each atom of the one, the index of its counterpart in the other.
        matrix: shape (3, 3): takes fractional coordinates of the one, as rows, to those of the other.
        distance: root mean square distance of counterparts in the unperturbed structures, Å.
    """

    counterpart: NDArray[np.intp]
    matrix: FloatArray
    distance: float


def correspondence(ideal: Atoms, defect: Defect, elements: Mapping[str, str]) -> Correspondence | None:
    """How the unperturbed supercell of a defect of another host maps on that of `defect`.

    Supercells may differ in volume, a little in shape, in orientation, origin and order of atoms. All ways in which
    the lattice of one falls on that of the other are tried with all translations that bring an atom of the rarest
    element onto one of its kind.

    Args:
        ideal: unperturbed supercell of the other host's defect.
        defect: the defect.
        elements: for each element of the other host, the one that takes its place here.

    Returns:
        The correspondence with the smallest distance; None if the two are not the same defect of one structure type, or
        their supercells differ.
    """
    symbols = [elements.get(symbol, "") for symbol in ideal.get_chemical_symbols()]
    own = defect.atoms.get_chemical_symbols()
    if sorted(symbols) != sorted(own):
        return None
    theirs, mine = np.array(symbols), np.array(own)
    rarest = min(set(own), key=lambda symbol: (own.count(symbol), symbol))
    here, there = defect.atoms.get_scaled_positions(wrap=False), ideal.get_scaled_positions(wrap=False)
    cell = np.asarray(defect.atoms.cell.array)
    trees = {symbol: (np.flatnonzero(mine == symbol), _tree(here[mine == symbol])) for symbol in set(own)}
    best: Correspondence | None = None
    for matrix in _lattice_maps(ideal, defect.atoms):
        mapped = there @ matrix
        anchor = mapped[np.flatnonzero(theirs == rarest)[0]]
        for index in np.flatnonzero(mine == rarest):
            found = _match(mapped + here[index] - anchor, theirs, here, trees, cell)
            if found is not None and (best is None or found[1] < best.distance):
                best = Correspondence(found[0], matrix, found[1])
                if best.distance < NO_BETTER:
                    return best
    return best


def carried_over(found: Correspondence, ideal: Atoms, relaxed: Atoms, defect: Defect) -> Atoms:
    """The structure of `defect` that is displaced from its unperturbed one as `relaxed` is from `ideal`.

    Args:
        found: how the two defects correspond.
        ideal: unperturbed supercell of the other host's defect.
        relaxed: the same atoms, displaced.
        defect: the defect.

    Returns:
        Atoms in the order of the defect's.
    """
    moved = relaxed.get_scaled_positions(wrap=False) - ideal.get_scaled_positions(wrap=False)
    moved -= np.round(moved)
    fractional = defect.atoms.get_scaled_positions(wrap=False)
    fractional[found.counterpart] += moved @ found.matrix
    return bare_atoms(defect.atoms, fractional @ np.asarray(defect.atoms.cell.array))


def _lattice_maps(ideal: Atoms, atoms: Atoms) -> Iterator[FloatArray]:
    """Matrices that take fractional coordinates to those in the other's lattice; that of equal vectors first."""
    from pymatgen.core import Lattice

    here = np.asarray(atoms.cell.array)
    there = np.asarray(ideal.cell.array) * (atoms.get_volume() / ideal.get_volume()) ** (1 / 3)
    if np.abs(here - there).max() < LENGTHS * np.linalg.norm(here, axis=1).min():
        yield np.eye(3)
    maps = Lattice(there).find_all_mappings(Lattice(here), ltol=LENGTHS, atol=ANGLES, skip_rotation_matrix=True)
    for _, _, combination in maps:
        if abs(abs(np.linalg.det(combination)) - 1) < 1e-6:
            yield np.linalg.inv(combination)


def _tree(fractional: FloatArray) -> cKDTree:
    return cKDTree(fractional % 1.0 % 1.0, boxsize=1.0)


def _match(
    mapped: FloatArray,
    symbols: NDArray[np.str_],
    here: FloatArray,
    trees: Mapping[str, tuple[NDArray[np.intp], cKDTree]],
    cell: FloatArray,
) -> tuple[NDArray[np.intp], float] | None:
    """Counterparts and their root mean square distance; None where an atom has none, or shares it."""
    counterpart = np.empty(len(mapped), dtype=np.intp)
    for symbol, (indices, tree) in trees.items():
        own = symbols == symbol
        counterpart[own] = indices[tree.query(mapped[own] % 1.0 % 1.0)[1]]
    if len(np.unique(counterpart)) < len(counterpart):
        return None
    apart = mapped - here[counterpart]
    apart -= np.round(apart)
    apart -= apart.mean(axis=0)  # the anchor itself may sit a little elsewhere in its host
    distances = np.linalg.norm(apart @ cell, axis=1)
    return None if distances.max() > SAME_ATOM else (counterpart, float(np.sqrt(np.mean(distances**2))))
