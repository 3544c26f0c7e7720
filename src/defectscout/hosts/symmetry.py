"""Space-group symmetry of a host, without turning or shifting the user's cell.

spglib's own refinement returns a standardised cell, which may be turned, shifted and
set up differently from the input. Everything here stays in the frame of the input:
numerical noise is removed by averaging over the symmetry operations that spglib finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from defectscout.core.errors import HostError
from defectscout.core.frames import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

IntArray = NDArray[np.int64]


def symmetry_dataset(structure: Structure, symprec: float) -> Any:
    """spglib's dataset of `structure`.

    Args:
        structure: ordered crystal.
        symprec: tolerance, Å.

    Raises:
        HostError: if spglib finds no space group, not even P1, within `symprec`.
    """
    import spglib

    cell = (structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers))
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    except Exception as error:  # spglib's exception classes differ between its versions
        dataset, reason = None, f" ({error})"
    else:
        reason = ""
    if dataset is None:
        raise HostError(
            f"The symmetry of {structure.composition.reduced_formula} cannot be determined within {symprec} Å"
            f"{reason}: sites may be closer together than the tolerance. Check the structure, or set a smaller "
            "host symprec."
        )
    return dataset


def point_operations(structure: Structure, symprec: float) -> IntArray:
    """Rotations of the crystal's point group.

    Returns:
        Shape (n_operations, 3, 3), integers; each acts on column vectors of fractional
        coordinates of `structure`, the identity among them.
    """
    rotations = symmetry_dataset(structure, symprec).rotations
    return np.unique(np.asarray(rotations, dtype=np.int64), axis=0)


def symmetrised_lattice(lattice: FloatArray, rotations: IntArray) -> FloatArray:
    """The lattice nearest to `lattice` that is invariant under `rotations`.

    The metric tensor is averaged over the group, and the new vectors are the old ones
    after a pure stretch, so that the orientation stays.

    Args:
        lattice: shape (3, 3), rows are the lattice vectors, Å.
        rotations: shape (n, 3, 3), a group.
    """
    metric = lattice @ lattice.T
    averaged = np.mean([w.T @ metric @ w for w in rotations], axis=0)
    inverse = np.linalg.inv(lattice)
    stretch = np.real(sqrtm(inverse @ averaged @ inverse.T))
    return np.asarray(lattice @ stretch, dtype=np.float64)


def symmetrised(structure: Structure, symprec: float) -> Structure:
    """`structure` with the noise in its lattice and positions averaged away.

    Cell setting, orientation, origin and atom order stay. Averaging goes over the
    space-group operations found within `symprec`, which form a group exactly, so that
    the result has this space group to numerical precision.

    Args:
        structure: primitive, ordered crystal.
        symprec: tolerance, Å.

    Raises:
        HostError: if no symmetry can be determined.
    """
    from pymatgen.core import Lattice, Structure

    dataset = symmetry_dataset(structure, symprec)
    rotations = np.asarray(dataset.rotations, dtype=np.int64)
    translations = np.asarray(dataset.translations, dtype=np.float64)
    lattice = symmetrised_lattice(structure.lattice.matrix, np.unique(rotations, axis=0))
    coords = np.asarray(structure.frac_coords)
    numbers = np.asarray(structure.atomic_numbers)
    total = np.zeros_like(coords)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = coords @ rotation.T + translation
        partner = nearest_sites(images, coords, numbers, lattice)
        # Pull the partner back through the operation: it is one more estimate of the same site.
        offset = coords[partner] - images
        offset -= np.round(offset)
        total += offset @ np.linalg.inv(rotation).T
    return Structure(Lattice(lattice), structure.species, wrapped(coords + total / len(rotations)))


def nearest_sites(
    images: FloatArray, coords: FloatArray, numbers: NDArray[np.int_], lattice: FloatArray
) -> NDArray[np.intp]:
    """Index in `coords` of the same-species site nearest to each of `images`.

    Args:
        images: shape (n, 3), fractional coordinates, species in the order of `numbers`.
        coords: shape (n, 3), fractional coordinates.
        numbers: shape (n,), atomic numbers of both.
        lattice: shape (3, 3), Å.
    """
    difference = images[:, None, :] - coords[None, :, :]
    difference -= np.round(difference)
    distance = ((difference @ lattice) ** 2).sum(axis=-1)
    distance[numbers[:, None] != numbers[None, :]] = np.inf
    return np.asarray(distance.argmin(axis=1))


def wrapped(coords: FloatArray) -> FloatArray:
    """Fractional coordinates in [0, 1), with no -1e-17 turned into 0.999..."""
    result = coords - np.floor(coords + 1e-9)
    result[np.abs(result) < 1e-12] = 0.0
    return np.asarray(result, dtype=np.float64)


def primitive_cell(structure: Structure, symprec: float) -> Structure:
    """A primitive cell of `structure` in the same orientation and with the same origin.

    A cell that is primitive already keeps its basis; otherwise the basis is
    LLL-reduced. Sites that are equivalent by a pure translation are averaged. Atoms
    are grouped by element in order of first appearance.

    Args:
        structure: ordered crystal.
        symprec: tolerance, Å.

    Raises:
        HostError: if no symmetry can be determined.
    """
    from pymatgen.core import Lattice, Structure

    dataset = symmetry_dataset(structure, symprec)
    pure = np.all(np.asarray(dataset.rotations) == np.eye(3, dtype=int), axis=(1, 2))
    translations = np.asarray(dataset.translations)[pure]
    count = len(translations)
    if count == 1:
        lattice = structure.lattice.matrix
    else:
        # Multiples of 1/count generate the primitive lattice together with the cell's own vectors.
        generators = np.vstack([np.rint(translations * count), count * np.eye(3)]).astype(np.int64)
        basis = hermite_basis(generators) / count
        lattice = Lattice(basis @ structure.lattice.matrix).get_lll_reduced_lattice().matrix
    if np.linalg.det(lattice) < 0:
        lattice = -lattice
    coords = structure.cart_coords @ np.linalg.inv(lattice)
    symbols = [site.specie.symbol for site in structure]
    orbit = np.asarray(dataset.mapping_to_primitive)
    sites: list[tuple[str, FloatArray]] = []
    for label in dict.fromkeys(orbit.tolist()):
        members = np.flatnonzero(orbit == label)
        first = coords[members[0]]
        offset = coords[members] - first
        offset -= np.round(offset)
        sites.append((symbols[members[0]], first + offset.mean(axis=0)))
    order = {symbol: rank for rank, symbol in enumerate(dict.fromkeys(symbols))}
    sites.sort(key=lambda site: order[site[0]])
    return Structure(Lattice(lattice), [s for s, _ in sites], wrapped(np.array([x for _, x in sites])))


def hermite_basis(generators: IntArray) -> IntArray:
    """Basis, in row Hermite form, of the lattice that integer row vectors span.

    Args:
        generators: shape (n, 3), integers of rank 3.
    """
    rows = [list(map(int, row)) for row in generators]
    basis: list[list[int]] = []
    for column in range(3):
        while True:
            nonzero = [row for row in rows if row[column]]
            if len(nonzero) <= 1:
                break
            pivot = min(nonzero, key=lambda row: abs(row[column]))
            for row in rows:
                if row is not pivot and row[column]:
                    factor = row[column] // pivot[column]
                    row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
        pivot = nonzero[0]
        rows = [row for row in rows if row is not pivot and any(row)]
        basis.append(pivot if pivot[column] > 0 else [-a for a in pivot])
    return np.array(basis, dtype=np.int64)
