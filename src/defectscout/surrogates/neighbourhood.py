"""Which atoms see which: the neighbour lists that graphs are made of, and what no graph can be made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray

IntArray = NDArray[np.int64]

MIN_DISTANCE: Final = 0.3
"""Å. Closer atoms lie on top of each other: not even the shortest bond there is (H2, 0.74 Å)
comes below it when a bond distortion of -60 % shortens it."""

_SAME_SITE: Final = 1e-8
"""Å. An atom found this close to itself, in the same cell, is itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """A periodic structure with all pairs of atoms within a cutoff, each in both directions.

    Attributes:
        numbers: shape (n_atoms,), atomic numbers.
        positions: shape (n_atoms, 3), Å, not wrapped.
        cell: shape (3, 3), rows are lattice vectors, Å.
        centres: shape (n_pairs,), index of the atom that sees.
        neighbours: shape (n_pairs,), index of the atom that is seen.
        images: shape (n_pairs, 3), lattice translation of the neighbour, in units of the lattice vectors.
        distances: shape (n_pairs,), Å.
        charge: charge state, units of e; what `atoms.info["charge"]` says, else 0.
    """

    numbers: IntArray
    positions: FloatArray
    cell: FloatArray
    centres: IntArray
    neighbours: IntArray
    images: FloatArray
    distances: FloatArray
    charge: int = 0

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³; positive for left-handed cells too."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def fractional(self) -> FloatArray:
        """Fractional coordinates, shape (n_atoms, 3), not wrapped."""
        return np.asarray(np.linalg.solve(self.cell.T, self.positions.T).T, dtype=np.float64)

    @property
    def vectors(self) -> FloatArray:
        """Vectors from centre to neighbour, shape (n_pairs, 3), Å."""
        return self.positions[self.neighbours] - self.positions[self.centres] + self.images @ self.cell

    def to_atoms(self) -> Atoms:
        """The structure alone."""
        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=True)


def neighbourhoods(structures: Sequence[Atoms], cutoff: float, evaluator: str) -> list[Neighbourhood]:
    """Neighbourhoods of all `structures`.

    Args:
        structures: periodic in three directions.
        cutoff: Å.
        evaluator: who asks, for the message.

    Raises:
        CalculationError: naming each structure, by its index, that no graph can be made of: numbers
            that are not finite, no cell, atoms on top of each other, atoms without any neighbour.
    """
    found: list[Neighbourhood] = []
    problems: list[str] = []
    for index, atoms in enumerate(structures):
        problem = _before_pairs(atoms)
        if not problem:
            candidate = _pairs(atoms, cutoff)
            problem = _after_pairs(candidate, atoms, cutoff)
            found.append(candidate)
        if problem:
            problems.append(f"structure {index}: {problem}")
    if problems:
        raise CalculationError(
            f"{evaluator} cannot evaluate {len(problems)} of {len(structures)} structures ({'; '.join(problems)}). "
            "Such a structure comes from a distortion that is too large or a relaxation that went astray."
        )
    return found


def _before_pairs(atoms: Atoms) -> str:
    if len(atoms) == 0:
        return "it has no atoms"
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "positions or cell are not finite numbers"
    if not atoms.pbc.all():
        return "it is not periodic in three directions, as crystals are"
    areas = np.linalg.norm(np.cross(atoms.cell.array[[1, 2, 0]], atoms.cell.array[[2, 0, 1]]), axis=1)
    volume = atoms.cell.volume
    # volume / area is the distance between opposite faces; no area at all means no cell.
    if (areas <= 0).any() or (volume / areas < MIN_DISTANCE).any():
        return f"its cell is flat or missing (volume {volume:.2g} Å³)"
    return ""


def _after_pairs(found: Neighbourhood, atoms: Atoms, cutoff: float) -> str:
    if len(found.distances) and found.distances.min() < MIN_DISTANCE:
        closest = int(found.distances.argmin())
        i, j = int(found.centres[closest]), int(found.neighbours[closest])
        return (
            f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) lie on top of each other, "
            f"{found.distances[closest]:.2f} Å apart"
        )
    isolated = np.setdiff1d(np.arange(len(atoms)), found.centres)
    if len(isolated):
        first = int(isolated[0])
        others = f" and {len(isolated) - 1} more" if len(isolated) > 1 else ""
        return f"atom {first} ({atoms.symbols[first]}){others} has no neighbour within {cutoff:g} Å"
    return ""


def _pairs(atoms: Atoms, cutoff: float) -> Neighbourhood:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.array(atoms.positions, dtype=np.float64, order="C")
    cell = np.array(atoms.cell.array, dtype=np.float64, order="C")
    centres, neighbours, images, distances = find_points_in_spheres(
        positions, positions, r=cutoff, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=_SAME_SITE
    )
    pairs = (centres != neighbours) | (distances > _SAME_SITE)
    return Neighbourhood(
        numbers=np.array(atoms.numbers, dtype=np.int64),
        positions=positions,
        cell=cell,
        centres=np.asarray(centres[pairs], dtype=np.int64),
        neighbours=np.asarray(neighbours[pairs], dtype=np.int64),
        images=np.asarray(images[pairs], dtype=np.float64),
        distances=np.asarray(distances[pairs], dtype=np.float64),
        charge=int(atoms.info.get("charge", 0)),
    )
