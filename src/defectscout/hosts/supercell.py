"""The supercell that defects are made in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from defectscout.core.defect import Host
from defectscout.core.errors import HostError, SupercellError
from defectscout.core.frames import FloatArray
from defectscout.hosts.settings import SupercellSettings
from defectscout.hosts.sublattices import (
    contains,
    hermite_forms,
    invariant,
    is_invariant,
    least_index,
    shortest_vector,
    spaced,
)
from defectscout.hosts.symmetry import (
    IntArray,
    hermite_basis,
    nearest_sites,
    point_operations,
    symmetry_dataset,
    wrapped,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

_MAX_ATOMS = 1500
"""Past this the search is stopped: no reference relaxes such a cell fifteen times."""


def image_distance(structure: Structure) -> float:
    """Least distance between periodic images of a site, Å."""
    return shortest_vector(structure.lattice.matrix)


def choose_supercell(primitive: Structure, settings: SupercellSettings, source: str, symprec: float) -> Host:
    """The smallest supercell that keeps the host's point group, if it is affordable.

    All sublattices of the host are searched. A supercell whose lattice lacks some of the
    host's rotations lowers the site symmetry of every defect in it and splits degenerate
    minima, so one that keeps them all is taken if it is at most `max_growth` times
    larger than the smallest supercell with the asked image distance and number of atoms
    (paper, section IV A: 10 Å). Otherwise the one that keeps most of the rotations at
    the smallest size is taken. Among equals, a diagonal expansion of the primitive cell
    comes first, then one of the conventional cell, then the largest image distance.

    Args:
        primitive: symmetrised primitive cell.
        settings: image distance, size, growth, or an explicit matrix.
        source: file name or identifier; kept in the result.
        symprec: symmetry tolerance, Å.

    Raises:
        SupercellError: no supercell fulfils the settings, or the explicit matrix brings
            images closer than the image distance.
    """
    if settings.matrix is not None:
        matrix = _checked_matrix(primitive, settings)
    else:
        matrix = _searched_matrix(primitive, settings, symprec)
    return Host(primitive, repeated(primitive, matrix), matrix.astype(np.float64), source)


def given_supercell(structure: Structure, settings: SupercellSettings, source: str) -> Host:
    """A host whose supercell is `structure` itself, atoms in its order, symmetric or not.

    Args:
        structure: the supercell.
        settings: the image distance that it must have.
        source: file name or identifier; kept in the result.

    Raises:
        SupercellError: its images are closer than the image distance.
    """
    distance = image_distance(structure)
    if distance < settings.min_image_distance - 1e-6:
        raise SupercellError(
            f"{source}: the supercell as given has {distance:.2f} Å between periodic images, less than "
            f"{settings.min_image_distance:g} Å. Give a larger one, or allow it with --min-image-distance."
        )
    return Host(structure, structure, np.eye(3), source)


def repeated(primitive: Structure, matrix: IntArray) -> Structure:
    """Supercell of `primitive`, atoms grouped by element in the primitive cell's order.

    The order of the atoms depends on the matrix and the species only, not on where the
    atoms are, so that two relaxations of one cell repeat in the same order.

    Args:
        primitive: shape of the cell and atoms.
        matrix: shape (3, 3), integers; rows in units of the primitive cell's vectors.
    """
    from pymatgen.core import Lattice, Structure

    points = _lattice_points(matrix)
    inverse = np.linalg.inv(matrix)
    symbols = [site.specie.symbol for site in primitive]
    species: list[str] = []
    coords: list[FloatArray] = []
    for symbol in dict.fromkeys(symbols):
        for index in (k for k, name in enumerate(symbols) if name == symbol):
            species.extend([symbol] * len(points))
            coords.append((primitive.frac_coords[index] + points) @ inverse)
    return Structure(Lattice(matrix @ primitive.lattice.matrix), species, wrapped(np.concatenate(coords)))


def repeat_host(host: Host, primitive: Structure) -> Host:
    """`host` with a new (relaxed) primitive cell: the same matrix, the same order of atoms.

    Args:
        host: gives matrix, atom order and source.
        primitive: the same atoms in the same order as `host.primitive`, moved.

    Raises:
        HostError: if `primitive` has other atoms than `host.primitive`.
    """
    from pymatgen.core import Structure

    if [s.specie.symbol for s in primitive] != [s.specie.symbol for s in host.primitive]:
        raise HostError(
            f"{host.source}: the relaxed primitive cell has other atoms or another order of atoms than the host. "
            "Give the cell that the host's own primitive cell relaxed to."
        )
    matrix = np.rint(host.supercell_matrix).astype(np.int64)
    order = _order(host, matrix)
    supercell = repeated(primitive, matrix)
    supercell = Structure.from_sites([supercell[int(i)] for i in order])
    return Host(primitive, supercell, host.supercell_matrix, host.source)


def primitive_sites(host: Host) -> IntArray:
    """For each atom of the supercell, the atom of the primitive cell that it is an image of.

    Returns:
        Shape (n_atoms,), indices in `host.primitive`.

    Raises:
        HostError: if the supercell is no repetition of the primitive cell.
    """
    symbols = [site.specie.symbol for site in host.primitive]
    images = len(host.supercell) // len(host.primitive)
    grouped = [k for name in dict.fromkeys(symbols) for k, symbol in enumerate(symbols) if symbol == name]
    owners = np.repeat(np.array(grouped, dtype=np.int64), images)
    return np.asarray(owners[_order(host, np.rint(host.supercell_matrix).astype(np.int64))])


def _order(host: Host, matrix: IntArray) -> IntArray:
    """Indices that bring `repeated(host.primitive, matrix)` into the order of `host.supercell`."""
    plain = repeated(host.primitive, matrix)
    if [s.specie.symbol for s in plain] == [s.specie.symbol for s in host.supercell]:
        difference = plain.frac_coords - host.supercell.frac_coords
        difference -= np.round(difference)
        if np.abs(difference @ plain.lattice.matrix).max() < 0.1:
            return np.arange(len(plain))
    numbers, plain_numbers = host.supercell.atomic_numbers, plain.atomic_numbers
    order = np.full(len(plain), -1)
    if Counter(numbers) == Counter(plain_numbers):
        rank = np.argsort(plain_numbers, kind="stable")
        slots = np.argsort(numbers, kind="stable")
        found = nearest_sites(
            host.supercell.frac_coords[slots],
            plain.frac_coords[rank],
            np.asarray(plain_numbers)[rank],
            host.supercell.lattice.matrix,
        )
        order[slots] = rank[found]
    if len(set(order.tolist())) != len(plain):
        raise HostError(f"{host.source}: the supercell is no repetition of the primitive cell.")
    return order


def _lattice_points(matrix: IntArray) -> IntArray:
    """One integer point of each coset of the sublattice, shape (|det|, 3), in a fixed order."""
    a, d, f = np.diag(hermite_basis(matrix))
    grid = np.meshgrid(range(a), range(d), range(f), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)


def _checked_matrix(primitive: Structure, settings: SupercellSettings) -> IntArray:
    matrix = np.array(settings.matrix, dtype=np.int64)
    distance = shortest_vector(matrix @ primitive.lattice.matrix)
    if distance < settings.min_image_distance - 1e-3:
        raise SupercellError(
            f"The supercell matrix {matrix.tolist()} brings periodic images within {distance:.2f} Å of each other, "
            f"closer than the least image distance of {settings.min_image_distance:g} Å. Give a larger matrix, or "
            "lower min_image_distance."
        )
    return matrix


def _searched_matrix(primitive: Structure, settings: SupercellSettings, symprec: float) -> IntArray:
    lattice = np.asarray(primitive.lattice.matrix)
    operations = point_operations(primitive, symprec)
    conventional = _conventional_basis(primitive, symprec)
    distance, growth = settings.min_image_distance, settings.max_growth
    least = max(-(-settings.min_atoms // len(primitive)), least_index(float(primitive.volume), distance))
    last = _MAX_ATOMS // len(primitive)
    smallest: int | None = None  # index of the smallest supercell of any symmetry; looked for no farther than needed
    searched = least - 1
    for index in range(least, last + 1):
        while smallest is None and (searched + 1) * growth < index - 1e-9:
            searched += 1
            if len(spaced(hermite_forms(searched), lattice, distance)):
                smallest = searched
        if smallest is not None and index > smallest * growth + 1e-9:
            return _most_symmetric(range(smallest, index), lattice, operations, conventional, distance)
        fitting = spaced(invariant(hermite_forms(index), operations), lattice, distance)
        if len(fitting):
            return _nicest_basis(fitting, lattice, conventional)
    for index in range(max(searched + 1, least), last + 1) if smallest is None else ():
        if len(spaced(hermite_forms(index), lattice, distance)):
            smallest = index
            break
    if smallest is not None:
        return _most_symmetric(range(smallest, last + 1), lattice, operations, conventional, distance)
    raise SupercellError(
        f"No supercell of up to {_MAX_ATOMS} atoms keeps periodic images of "
        f"{primitive.composition.reduced_formula} {distance:g} Å apart and has at least {settings.min_atoms} atoms. "
        "Lower min_image_distance or min_atoms, or give the supercell's matrix."
    )


def _most_symmetric(
    indices: range, lattice: FloatArray, operations: IntArray, conventional: IntArray, distance: float
) -> IntArray:
    """The smallest of those supercells that keep most operations, where none keeps them all."""
    best: tuple[int, IntArray] | None = None
    for index in indices:
        fitting = spaced(hermite_forms(index), lattice, distance)
        if len(fitting):
            kept = is_invariant(fitting, operations).sum(axis=1)
            most = int(kept.max())
            if best is None or most > best[0]:
                best = (most, fitting[kept == most])
    assert best is not None, "the first index has a fitting supercell"
    return _nicest_basis(best[1], lattice, conventional)


def _conventional_basis(primitive: Structure, symprec: float) -> IntArray:
    """Rows of the conventional cell in units of the primitive cell's vectors."""
    transformation = np.asarray(symmetry_dataset(primitive, symprec).transformation_matrix)
    return np.rint(np.linalg.inv(transformation).T).astype(np.int64)


def _nicest_basis(forms: IntArray, lattice: FloatArray, conventional: IntArray) -> IntArray:
    """A basis of the nicest of these sublattices of one index, right-handed like `lattice`."""
    candidates = [_basis(form, lattice, conventional) for form in forms]
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _basis(form: IntArray, lattice: FloatArray, conventional: IntArray) -> tuple[tuple[int, float, float], IntArray]:
    """Sort key (kind of expansion, image distance, compactness) and basis of one sublattice."""
    from pymatgen.core import Lattice

    index = round(float(np.linalg.det(form)))
    cells = (np.eye(3, dtype=np.int64), conventional)
    diagonal = [np.diag([_least_multiple(form, row) for row in cell]) @ cell for cell in cells]
    fitting = [(rank, basis) for rank, basis in enumerate(diagonal) if round(abs(float(np.linalg.det(basis)))) == index]
    if fitting:
        rank, basis = fitting[0]
    else:
        rank = len(diagonal)
        reduced = Lattice(form @ lattice).get_lll_reduced_lattice().matrix
        basis = np.rint(reduced @ np.linalg.inv(lattice)).astype(np.int64)
    if np.linalg.det(basis) < 0:
        basis = -basis
    distance = shortest_vector(basis @ lattice)
    compactness = float((np.linalg.norm(basis @ lattice, axis=1) ** 2).sum())
    return (rank, -round(distance, 3), round(compactness, 3)), basis


def _least_multiple(form: IntArray, vector: IntArray) -> int:
    multiple = 1
    while not contains(form[None], multiple * vector)[0]:
        multiple += 1
    return multiple
