"""The pristine supercell behind frames of a defect: from a bulk frame, or from the frames' own translations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import find_mic
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray

MAX_STRAIN = 0.03
"""Largest strain between a bulk cell, repeated, and the defect's supercell. Bulk frames at a volume of
their own (an equation of state, another functional) are scaled; another orientation does not come this close."""

MIN_TRANSLATIONS = 4
"""Fewest lattice translations in a supercell that outvote a defect: with two, it is one against one."""

_MAPPED = 0.75
_ANCHORS = 6


def tiled(bulk: Atoms, cell: FloatArray) -> Atoms | None:
    """A bulk frame repeated and scaled into a supercell, shape (3, 3), Å; None if it does not fit into it.

    The lattice of `bulk` must divide that of `cell` in the same orientation, up to `MAX_STRAIN`.
    """
    steps = cell @ np.linalg.inv(bulk.cell.array)
    matrix = np.round(steps).astype(int)
    if round(np.linalg.det(matrix)) < 1:
        return None
    strain = np.linalg.solve(matrix @ bulk.cell.array, cell) - np.eye(3)
    if np.abs(strain).max() > MAX_STRAIN:
        return None
    supercell = make_supercell(_bare(bulk), matrix, wrap=True)
    supercell.set_cell(cell, scale_atoms=True)
    return supercell


def lattice_translations(atoms: Atoms, tolerance: float) -> FloatArray:
    """Translations of the host's lattice inside its supercell, fractional, shape (n, 3), the zero one first.

    A vector counts as one if it takes three of four atoms to within `tolerance` (Å) of an atom of their
    element: a point defect and the distortion around it disturb fewer. The vectors found must
    form a group, which fixes them exactly: n times each is a vector of the supercell.

    Returns:
        Only the zero vector where those found form no group.
    """
    zero = np.zeros((1, 3))
    found = [np.zeros(3)]
    for vector in _candidates(atoms):
        if _known(atoms, vector, found, tolerance):
            continue
        refined = _refined(atoms, vector, tolerance)
        if refined is not None and not _known(atoms, refined, found, tolerance):
            found.append(refined)
    count = len(found)
    exact = np.round(np.array(found) * count) / count % 1.0
    rounding = np.linalg.norm(_mic(atoms, np.array(found) - exact), axis=1)
    if rounding.max() > tolerance or not _is_group(exact, count):
        return zero
    return exact


def pristine_by_majority(atoms: Atoms, tolerance: float) -> Atoms | None:
    """The host's supercell behind one structure of a defect, by a vote among its lattice translations.

    Each site of the primitive cell occurs once for each translation; what most of its copies
    hold belongs to the host, and its place is the median of theirs. So a missing, an
    additional or a wrong atom is outvoted, and a rattle averages out.

    Args:
        atoms: a structure of the defect, distorted as far as `tolerance` allows.
        tolerance: how far most atoms may lie from their sites, Å.

    Returns:
        Sites in the frame of `atoms`; None where there are too few translations to outvote a defect.
    """
    translations = lattice_translations(atoms, tolerance)
    if len(translations) < MIN_TRANSLATIONS:
        return None
    scaled = atoms.get_scaled_positions()
    left = np.ones(len(atoms), dtype=bool)
    numbers: list[int] = []
    sites: list[FloatArray] = []
    for base in range(len(atoms)):
        if not left[base]:
            continue
        like = left & (atoms.numbers == atoms.numbers[base])
        offsets, near = _copies(atoms, scaled, scaled[base], translations, tolerance)
        if (near & like).sum() <= len(translations) / 2:
            continue  # a defect's own atom, or one that moved far: its site has other copies
        site = scaled[base] + np.median(offsets[near & like], axis=0)
        # From the median more of the copies are within reach than from one of them.
        left &= ~(like & (near | _copies(atoms, scaled, site, translations, tolerance)[1]))
        numbers += [int(atoms.numbers[base])] * len(translations)
        sites += [site + translation for translation in translations]
    if not sites:
        return None
    return Atoms(numbers=numbers, scaled_positions=np.array(sites) % 1.0, cell=atoms.cell, pbc=True)


def tolerance_of(atoms: Sequence[Atoms]) -> float:
    """A quarter of the usual distance between nearest neighbours, Å: more is another site, not a displacement."""
    distances = []
    for structure in atoms:
        matrix = structure.get_all_distances(mic=True)
        np.fill_diagonal(matrix, np.inf)
        distances.append(float(np.median(matrix.min(axis=1))))
    return 0.25 * float(np.median(distances))


def _candidates(atoms: Atoms) -> FloatArray:
    """Vectors between like atoms, fractional: from a few atoms far apart to all others of their element."""
    scaled = atoms.get_scaled_positions()
    vectors = []
    for number in np.unique(atoms.numbers):
        like = np.flatnonzero(atoms.numbers == number)
        for anchor in like[np.linspace(0, len(like) - 1, min(_ANCHORS, len(like))).astype(int)]:
            vectors.append(scaled[like] - scaled[anchor])
    return np.concatenate(vectors)


def _refined(atoms: Atoms, vector: FloatArray, tolerance: float) -> FloatArray | None:
    """The vector, corrected by the median of what is left; None if it does not map the structure."""
    scaled = atoms.get_scaled_positions()
    residuals: list[FloatArray] = []
    for number in np.unique(atoms.numbers):
        like = scaled[atoms.numbers == number]
        difference = (like[None, :] - like[:, None] - vector).reshape(-1, 3)
        difference -= np.round(difference)
        lengths = np.linalg.norm(difference @ atoms.cell.array, axis=1).reshape(len(like), len(like))
        nearest = lengths.argmin(axis=1)
        rows = np.flatnonzero(lengths.min(axis=1) < tolerance)
        residuals += list(difference.reshape(len(like), len(like), 3)[rows, nearest[rows]])
    if len(residuals) < _MAPPED * len(atoms):
        return None
    return np.asarray((vector + np.median(np.array(residuals), axis=0)) % 1.0, dtype=float)


def _copies(
    atoms: Atoms, scaled: FloatArray, base: FloatArray, translations: FloatArray, tolerance: float
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """How far each atom lies from the nearest copy of `base`, fractional, and whether that is near."""
    difference = scaled[:, None, :] - base - translations[None, :, :]
    difference -= np.round(difference)
    lengths = np.linalg.norm(difference @ atoms.cell.array, axis=2)
    nearest = lengths.argmin(axis=1)
    rows = np.arange(len(scaled))
    return difference[rows, nearest], lengths[rows, nearest] < tolerance


def _is_group(exact: FloatArray, count: int) -> bool:
    keys = {tuple(np.round(vector * count).astype(int) % count) for vector in exact}
    sums = np.round((exact[:, None] + exact[None, :]).reshape(-1, 3) * count).astype(int) % count
    return len(keys) == count and all(tuple(vector) in keys for vector in sums)


def _known(atoms: Atoms, vector: FloatArray, found: list[FloatArray], tolerance: float) -> bool:
    return bool(np.linalg.norm(_mic(atoms, np.array(found) - vector), axis=1).min() < tolerance)


def _mic(atoms: Atoms, fractional: FloatArray) -> FloatArray:
    return np.asarray(find_mic(fractional @ atoms.cell.array, atoms.cell, pbc=True)[0], dtype=float)


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
