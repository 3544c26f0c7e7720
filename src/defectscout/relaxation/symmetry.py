"""The host's symmetry, and the way between its primitive cell and its supercell.

A reference that samples only the Γ point must see the supercell, while the degrees of
freedom of the host are those few of the primitive cell that its space group leaves free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.core.defect import Host
from defectscout.core.errors import HostError
from defectscout.core.frames import FloatArray

IntArray = NDArray[np.int_]

SITE_TOLERANCE = 0.1
"""Å. How far a supercell's atom may lie from its primitive atom's translation: far less
than any distance between atoms, more than any rounding in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Folding:
    """Which atom of the primitive cell each atom of the supercell repeats.

    Attributes:
        matrix: shape (3, 3), the supercell matrix; rows in units of primitive vectors.
        site: shape (n_supercell,), index of the primitive atom.
        shift: shape (n_supercell, 3), integers, its lattice translation.
        numbers: shape (n_supercell,), atomic numbers.
    """

    matrix: FloatArray
    site: IntArray
    shift: IntArray
    numbers: IntArray

    @property
    def n_cells(self) -> int:
        """Primitive cells in the supercell."""
        return round(abs(float(np.linalg.det(self.matrix))))

    def supercell(self, primitive: Atoms) -> Atoms:
        """The supercell of `primitive`, atoms in the host's order."""
        positions = primitive.positions[self.site] + self.shift @ primitive.cell.array
        return Atoms(numbers=self.numbers, positions=positions, cell=self.matrix @ primitive.cell.array, pbc=True)

    def primitive(self, supercell: Atoms) -> Atoms:
        """The primitive cell that `supercell` repeats; displacements are averaged over the images."""
        cell = np.linalg.solve(self.matrix, supercell.cell.array)
        positions = self.mean(supercell.positions - self.shift @ cell)
        numbers = np.zeros(len(positions), dtype=int)
        numbers[self.site] = self.numbers
        return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=True)

    def mean(self, vectors: FloatArray) -> FloatArray:
        """Mean of the supercell's vectors, shape (n_supercell, 3), over the images of each primitive atom."""
        folded = np.zeros((int(self.site.max()) + 1, 3))
        np.add.at(folded, self.site, vectors)
        counts = np.bincount(self.site)
        return np.asarray(folded / counts[:, None])


def fold(host: Host) -> Folding:
    """Find out which primitive atom each supercell atom repeats.

    Raises:
        HostError: if the supercell is not a repetition of the primitive cell.
    """
    matrix = np.asarray(host.supercell_matrix, dtype=float)
    cell = host.primitive.lattice.matrix
    if not np.allclose(matrix @ cell, host.supercell.lattice.matrix, atol=SITE_TOLERANCE):
        raise HostError(_no_repetition(host, "their lattice vectors do not match"))
    primitive_numbers = np.array([site.specie.Z for site in host.primitive])
    numbers = np.array([site.specie.Z for site in host.supercell])
    fractional = host.supercell.frac_coords @ matrix
    site = np.empty(len(numbers), dtype=int)
    shift = np.empty((len(numbers), 3), dtype=int)
    for i, position in enumerate(fractional):
        difference = position - host.primitive.frac_coords
        nearest = np.round(difference)
        distance = np.linalg.norm((difference - nearest) @ cell, axis=1)
        distance[primitive_numbers != numbers[i]] = np.inf
        site[i] = distance.argmin()
        shift[i] = nearest[site[i]]
        if distance[site[i]] > SITE_TOLERANCE:
            raise HostError(_no_repetition(host, f"atom {i} of the supercell has no counterpart"))
    folding = Folding(matrix, site, shift, numbers)
    if not (np.bincount(site, minlength=len(primitive_numbers)) == folding.n_cells).all():
        raise HostError(_no_repetition(host, "a site is repeated too often or not often enough"))
    return folding


def _no_repetition(host: Host, why: str) -> str:
    return (
        f"The supercell of the host {host.formula} ({host.source}) is not a repetition of its primitive cell: {why}. "
        "Let defectscout make the supercell from the host, or relax the host yourself and keep it as it is "
        "(keep = true)."
    )


@dataclass(frozen=True, slots=True, eq=False)
class SymmetryOperations:
    """Point operations of a crystal with what they do to its atoms.

    Attributes:
        number: space group number.
        symbol: its Hermann–Mauguin symbol.
        rotations: shape (n_operations, 3, 3), Cartesian. They stay the same under every
            strain that keeps the symmetry.
        images: shape (n_operations, n_atoms), the atom that each atom is taken to.
        conventional: shape (3, 3); rows are the conventional lattice vectors in units of the primitive ones.
    """

    number: int
    symbol: str
    rotations: FloatArray
    images: IntArray
    conventional: FloatArray

    def vectors(self, values: FloatArray) -> FloatArray:
        """The part of `values`, shape (n_atoms, 3), that has the crystal's symmetry."""
        total = np.zeros_like(values)
        for rotation, image in zip(self.rotations, self.images, strict=True):
            total[image] += values @ rotation.T
        return np.asarray(total / len(self.rotations))

    def tensor(self, values: FloatArray) -> FloatArray:
        """The part of a Cartesian tensor, shape (3, 3), that has the crystal's symmetry."""
        rotated = self.rotations @ values @ self.rotations.transpose(0, 2, 1)
        return np.asarray(rotated.mean(axis=0))

    def lengths(self, cell: FloatArray) -> FloatArray:
        """Conventional lattice parameters a, b, c of a primitive `cell`, Å."""
        return np.asarray(np.linalg.norm(self.conventional @ cell, axis=1))


def symmetry_operations(primitive: Atoms, symprec: float, source: str) -> SymmetryOperations:
    """Space group operations of a primitive cell.

    Raises:
        HostError: if no symmetry can be determined within `symprec` (Å).
    """
    import spglib

    cell = primitive.cell.array
    fractional = primitive.get_scaled_positions(wrap=False)
    dataset = spglib.get_symmetry_dataset((cell, fractional, primitive.numbers), symprec=symprec)
    if dataset is None:
        raise HostError(
            f"The symmetry of {source} cannot be determined with a tolerance of {symprec:g} Å. "
            "Look for sites that nearly coincide, or change symprec."
        )
    images = np.empty((len(dataset.rotations), len(primitive)), dtype=int)
    for row, rotation, translation in zip(images, dataset.rotations, dataset.translations, strict=True):
        moved = fractional @ rotation.T + translation
        difference = moved[:, None, :] - fractional[None, :, :]
        difference -= np.round(difference)
        row[:] = np.linalg.norm(difference @ cell, axis=2).argmin(axis=1)
    rotations = np.array([cell.T @ rotation @ np.linalg.inv(cell.T) for rotation in dataset.rotations])
    conventional = np.linalg.inv(dataset.transformation_matrix.T)
    return SymmetryOperations(dataset.number, dataset.international, rotations, images, conventional)
