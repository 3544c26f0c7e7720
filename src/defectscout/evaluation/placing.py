"""Lay structures of one supercell over each other: orientation, origin, equivalent sites, order of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import spglib
from ase import Atoms
from ase.cell import Cell
from ase.geometry import find_mic
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from defectscout.core.errors import SamplingError
from defectscout.core.frames import FloatArray
from defectscout.minima.symmetry import HOST_SYMPREC, space_group_operations

LENGTH_TOLERANCE: Final = 0.02
"""Å, of a lattice parameter: frames with another cell have energies that cannot be compared."""

ANGLE_TOLERANCE: Final = 0.1
"""Degrees, likewise."""

_REACH: Final = 1.5  # Å; an atom farther from its place counts as this far away
_ON_SITES: Final = 0.7
_ANCHORS: Final = 6
_SAMPLE: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """An operation that maps the supercell's lattice onto itself, and a translation.

    Attributes:
        rotation: shape (3, 3), integers, acting on columns of fractional coordinates.
        shift: fractional, shape (3,).
    """

    rotation: FloatArray
    shift: FloatArray

    def positions(self, atoms: Atoms) -> FloatArray:
        """Fractional coordinates of the moved atoms, not wrapped, shape (n_atoms, 3)."""
        return np.asarray(atoms.get_scaled_positions(wrap=False) @ self.rotation.T + self.shift, dtype=float)

    def apply(self, atoms: Atoms, cell: Cell) -> Atoms:
        """The moved atoms in `cell`, without calculator."""
        return Atoms(numbers=atoms.numbers, scaled_positions=self.positions(atoms), cell=cell, pbc=True)


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """How a relaxation's frames are laid over the defect supercell.

    Attributes:
        order: for each atom of the defect supercell the index of the frame's atom, shape (n_atoms,).
        motion: what moves the frame there.
        cell: the defect supercell.
    """

    order: NDArray[np.intp]
    motion: Motion
    cell: Cell

    def apply(self, atoms: Atoms) -> Atoms:
        """A frame in the order, orientation and place of the defect supercell, without calculator.

        Raises:
            SamplingError: another number of atoms, or another cell.
        """
        if len(atoms) != len(self.order):
            raise SamplingError(f"a frame has {len(atoms)} atoms, not {len(self.order)}")
        check_cell(atoms, self.cell)
        return self.motion.apply(atoms, self.cell)[self.order]

    def forces(self, forces: FloatArray, cell: Cell) -> FloatArray:
        """Forces on a frame's atoms (its cell being `cell`) in the same order and orientation, shape (n_atoms, 3)."""
        fractional = forces @ np.linalg.inv(cell.array)
        return np.asarray((fractional @ self.motion.rotation.T @ self.cell.array)[self.order], dtype=float)


def check_cell(atoms: Atoms, cell: Cell) -> None:
    """Check that a frame has the cell given, in whatever orientation.

    Raises:
        SamplingError: it has not.
    """
    found, wanted = atoms.cell.cellpar(), cell.cellpar()
    if (
        np.abs(found[:3] - wanted[:3]).max() > LENGTH_TOLERANCE
        or np.abs(found[3:] - wanted[3:]).max() > ANGLE_TOLERANCE
    ):
        raise SamplingError(
            f"the cell is {found.round(3).tolist()}, not {wanted.round(3).tolist()} (Å, degrees), so that energies "
            f"cannot be compared"
        )


def place(atoms: Atoms, target: Atoms, pristine: Atoms, equivalents: Sequence[Motion], tolerance: float) -> Placement:
    """Lay a structure over the defect supercell.

    First the host's sites are laid over each other (`onto`). Then, of the host's operations that bring an equivalent
    site to the defect's, the one is taken that puts most atoms on their places. Last, within each
    element, atoms are assigned so that the sum of squared distances is the smallest.

    Args:
        atoms: a start; a relaxation's other frames go the same way (`Placement.apply`).
        target: the defect supercell.
        pristine: the pristine supercell in the same place.
        equivalents: see `equivalent_sites`.
        tolerance: how far an atom may lie from a site that it belongs to, Å.

    Raises:
        SamplingError: another composition or cell, or atoms that lie on other sites however they are moved.
    """
    if sorted(atoms.numbers) != sorted(target.numbers):
        raise SamplingError(f"it holds {atoms.get_chemical_formula()}, not {target.get_chemical_formula()}")
    check_cell(atoms, target.cell)
    motion = onto(atoms, pristine, tolerance)
    if motion is None:
        raise SamplingError("its atoms lie on other sites than the host's, however it is turned and translated")
    best = _nearest(atoms, target, motion, equivalents)
    order = np.zeros(len(target), dtype=np.intp)
    positions = best.positions(atoms) @ target.cell.array
    for number in np.unique(target.numbers):
        here = np.flatnonzero(target.numbers == number)
        there = np.flatnonzero(atoms.numbers == number)
        rows, columns, _ = assigned(target.positions[here], positions[there], target.cell)
        order[here[rows]] = there[columns]
    return Placement(order, best, target.cell)


def equivalent_sites(pristine: Atoms, site: FloatArray) -> tuple[Motion, ...]:
    """For each of the host's sites that are equivalent to the defect's an operation that brings it there.

    Args:
        pristine: the pristine supercell.
        site: the defect's site, fractional, shape (3,).

    Returns:
        The identity first, then translations, then the others.
    """
    identity = Motion(np.eye(3), np.zeros(3))
    operations = [Motion(*operation) for operation in zip(*space_group_operations(pristine), strict=True)]
    operations.sort(key=lambda motion: not np.array_equal(motion.rotation, identity.rotation))
    kept = [identity]
    images = [site]
    for motion in operations:
        image = np.linalg.solve(motion.rotation, site - motion.shift)
        apart = np.array(images) - image
        if np.linalg.norm((apart - np.round(apart)) @ pristine.cell.array, axis=1).min() > 2 * HOST_SYMPREC:
            kept.append(motion)
            images.append(np.asarray(image, dtype=float))
    return tuple(kept)


def onto(atoms: Atoms, target: Atoms, tolerance: float) -> Motion | None:
    """The motion that lays most atoms on places of their element in `target`; None if none does.

    The two may differ by a defect; their cells are taken for the same. Tried are the identity, then
    translations, then the other operations of the supercell's lattice with translations: the same defect is
    at times computed in crystals that are turned against each other.
    """
    for rotation in lattice_operations(target.cell):
        shift = _shift(atoms, atoms.get_scaled_positions(wrap=False) @ rotation.T, target, tolerance)
        if shift is not None:
            return Motion(rotation, shift)
    return None


def lattice_operations(cell: Cell) -> FloatArray:
    """Operations that map a lattice onto itself, shape (n, 3, 3), on columns; the identity first, then rotations."""
    found = spglib.get_symmetry((cell.array, [[0.0, 0.0, 0.0]], [1]), symprec=LENGTH_TOLERANCE)
    identity = np.eye(3)
    others = [] if found is None else [r.astype(float) for r in found["rotations"] if not np.array_equal(r, identity)]
    others.sort(key=lambda rotation: -np.linalg.det(rotation))
    return np.array([identity, *others])


def _shift(atoms: Atoms, scaled: FloatArray, target: Atoms, tolerance: float) -> FloatArray | None:
    """The translation that lays most atoms on places of their element, fractional; zero is tried first."""
    places = target.get_scaled_positions()
    pairs = [(scaled[atoms.numbers == number], places[target.numbers == number]) for number in np.unique(atoms.numbers)]
    pairs = [pair for pair in pairs if len(pair[1])]
    shifts = [np.zeros(3)]
    # The rarest of the host's elements gives the fewest translations to try.
    mine, theirs = min(pairs, key=lambda pair: len(pair[1]) if len(pair[0]) >= _ANCHORS else np.inf)
    for anchor in _spread(mine, _ANCHORS):
        shifts += list(theirs - anchor)
    few = [(_spread(mine, _SAMPLE), theirs) for mine, theirs in pairs]
    n_few = sum(len(mine) for mine, _ in few)
    needed = _ON_SITES * min(len(atoms), len(target))
    for shift in shifts:
        if len(_residuals(few, shift, target.cell, tolerance)) < 0.5 * n_few:
            continue
        residuals = _residuals(pairs, shift, target.cell, tolerance)
        if len(residuals) >= needed:
            return np.asarray(shift + np.median(residuals, axis=0), dtype=float)
    return None


def _spread(points: FloatArray, count: int) -> FloatArray:
    """At most `count` of the points, spread over their order."""
    return np.asarray(points[np.linspace(0, len(points) - 1, min(count, len(points))).astype(int)], dtype=float)


def squared_distances(first: FloatArray, second: FloatArray, cell: Cell) -> FloatArray:
    """Squared distances at the nearest images, Å², shape (n_first, n_second).

    Exact for distances below half the cell's smallest height, which is all that is ever compared.
    """
    difference = (second[None, :, :] - first[:, None, :]) @ np.linalg.inv(cell.array)
    difference -= np.round(difference)
    return np.asarray(((difference @ cell.array) ** 2).sum(axis=-1), dtype=float)


def assigned(
    sites: FloatArray, positions: FloatArray, cell: Cell
) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """Assign positions to sites, each once, as many as there are of the fewer; and the distances, Å.

    What lies far off counts no more than `_REACH`, nearly, so that one atom far away does not
    drag a row of others off their sites.
    """
    if not len(sites) or not len(positions):
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0)
    squared = squared_distances(sites, positions, cell)
    rows, columns = linear_sum_assignment(np.minimum(squared, _REACH**2) + 0.01 * squared)
    lengths = np.linalg.norm(find_mic(positions[columns] - sites[rows], cell, pbc=True)[0], axis=1)
    return rows, columns, np.asarray(lengths, dtype=float)


def _nearest(atoms: Atoms, target: Atoms, motion: Motion, equivalents: Sequence[Motion]) -> Motion:
    """The motion, followed by the operation that puts most atoms on their places."""
    least = _cost(motion.positions(atoms), atoms, target)
    best = motion
    # A structure that is distorted anyway stays where it is unless a whole atom comes to its place.
    limit = least - 0.5 * _REACH**2
    if limit < 0:
        return best
    for operation in equivalents[1:]:
        whole = Motion(operation.rotation @ motion.rotation, operation.rotation @ motion.shift + operation.shift)
        cost = _cost(whole.positions(atoms), atoms, target)
        if cost < min(least, limit):
            best, least = whole, cost
    return best


def _cost(scaled: FloatArray, atoms: Atoms, target: Atoms) -> float:
    """Sum of the squared distances of atoms from their places, capped for each, Å²."""
    total = 0.0
    positions = scaled @ target.cell.array
    for number in np.unique(target.numbers):
        here, there = target.positions[target.numbers == number], positions[atoms.numbers == number]
        capped = np.minimum(squared_distances(here, there, target.cell), _REACH**2)
        rows, columns = linear_sum_assignment(capped)
        total += float(capped[rows, columns].sum())
    return total


def _residuals(
    pairs: list[tuple[FloatArray, FloatArray]], shift: FloatArray, cell: Cell, tolerance: float
) -> FloatArray:
    """What is left between atoms and the places that they are near to, fractional, shape (n_near, 3)."""
    near: list[FloatArray] = []
    for mine, theirs in pairs:
        difference = theirs[None, :, :] - mine[:, None, :] - shift
        difference -= np.round(difference)
        lengths = np.linalg.norm(difference @ cell.array, axis=2)
        nearest = lengths.argmin(axis=1)
        rows = np.flatnonzero(lengths.min(axis=1) < tolerance)
        near.append(difference[rows, nearest[rows]])
    return np.concatenate(near) if near else np.zeros((0, 3))
