"""A cation vacancy in zincblende CdTe, and reconstructions of it made by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import find_mic
from ase.io import read
from scipy.optimize import linear_sum_assignment

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState

A = 6.54  # Å
FCC = ((3, 0, 0), (0, 3, 0), (0, 0, 3))
FCC_SKEWED = ((3, 0, 0), (3, 3, 0), (0, 3, 3))  # the same lattice, other vectors
CUBIC = ((-2, 2, 2), (2, -2, 2), (2, 2, -2))  # 64 atoms


def vacancy(matrix: tuple[tuple[int, int, int], ...] = CUBIC) -> Defect:
    pristine = make_supercell(bulk("CdTe", "zincblende", a=A), np.array(matrix))
    # Elements in blocks, as codes want them; the vacant site is the Cd atom at the origin.
    pristine = pristine[np.argsort(pristine.numbers, kind="stable")]
    vacant = int(np.linalg.norm(pristine.get_positions(wrap=True, eps=1e-6), axis=1).argmin())
    site = pristine.get_scaled_positions()[vacant]
    atoms = pristine.copy()
    del atoms[vacant]
    return Defect("v_Cd", 0, DefectKind.VACANCY, atoms, pristine, site, 1, "Td", 2)


def neighbours(defect: Defect, count: int = 4) -> list[int]:
    """The atoms nearest to the site, in the order of the directions in which they lie."""
    vectors = vectors_from_site(defect)
    nearest = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")[:count]
    return sorted((int(i) for i in nearest), key=lambda i: tuple(vectors[i].round(3)))


def vectors_from_site(defect: Defect) -> np.ndarray:
    centre = defect.atoms.cell.cartesian_positions(defect.site)
    probe = Atoms("X", positions=[centre], cell=defect.atoms.cell, pbc=True) + defect.atoms
    return probe.get_distances(0, range(1, len(probe)), mic=True, vector=True)


def dimer(defect: Defect, pair: tuple[int, int] = (0, 1), length: float = 2.75) -> Atoms:
    """Two of the four neighbours of the vacancy pulled together to `length`, the others moved outwards."""
    vectors, shell = vectors_from_site(defect), neighbours(defect)
    atoms = defect.atoms.copy()
    first, second = shell[pair[0]], shell[pair[1]]
    middle, along = (vectors[first] + vectors[second]) / 2, vectors[second] - vectors[first]
    along /= np.linalg.norm(along)
    for index, sign in ((first, -0.5), (second, 0.5)):
        atoms.positions[index] += 0.6 * middle + sign * length * along - vectors[index]
    for index in set(shell) - {first, second}:
        atoms.positions[index] += 0.1 * vectors[index]
    return atoms


def breathing(defect: Defect, amount: float = -0.1) -> Atoms:
    """All four neighbours moved along their bonds by a fraction of their length; keeps Td."""
    vectors, atoms = vectors_from_site(defect), defect.atoms.copy()
    for index in neighbours(defect):
        atoms.positions[index] += amount * vectors[index]
    return atoms


def under_operation(defect: Defect, atoms: Atoms, rotation: np.ndarray, translation: np.ndarray) -> Atoms:
    """A structure under an operation of the host, in the defect's order: some atoms have changed places."""
    positions = (atoms.get_scaled_positions() @ rotation.T + translation) @ atoms.cell.array
    image = defect.atoms.copy()
    for number in np.unique(atoms.numbers):
        mine = np.flatnonzero(atoms.numbers == number)
        vectors = positions[mine][:, None] - defect.atoms.positions[mine][None]
        lengths = find_mic(vectors.reshape(-1, 3), atoms.cell, pbc=True)[1].reshape(len(mine), -1)
        rows, columns = linear_sum_assignment(lengths**2)
        image.positions[mine[columns]] = positions[mine[rows]]
    return image


PAIRS = tuple(itertools.combinations(range(4), 2))


def relaxation(
    label: str,
    atoms: Atoms | None,
    energy: float,
    state: RelaxationState = RelaxationState.CONVERGED,
    reason: str = "",
) -> Relaxation:
    final = None if atoms is None else Frame(atoms, Prediction(energy, np.zeros((len(atoms), 3))), 7)
    return Relaxation(label, final, energy + 1.0, state, reason, 8)


def reference_search(folder: Path) -> tuple[Defect, list[Relaxation]]:
    """The vacancy and the ends of one search in the shared data."""
    pristine = read(folder / "bulk.extxyz.gz", -1)
    site = np.full(3, 1 / 3)
    probe = Atoms("X", positions=[pristine.cell.cartesian_positions(site)], cell=pristine.cell, pbc=True)
    vacant = int((probe + pristine).get_distances(0, range(1, len(pristine) + 1), mic=True).argmin())
    atoms = pristine.copy()
    del atoms[vacant]
    defect = Defect("v_Cd", 0, DefectKind.VACANCY, atoms, pristine, site, 1, "Td", 2)
    ends = []
    for path in sorted(folder.glob("*.extxyz.gz")):
        if not path.name.startswith("bulk"):
            frame = read(path, -1)
            label = path.name.removesuffix(".extxyz.gz").replace("pc", "%")
            ends.append(relaxation(label, frame, frame.get_potential_energy()))
    return defect, ends
