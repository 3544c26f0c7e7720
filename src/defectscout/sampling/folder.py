"""Sampling structures that the user brings: ShakeNBreak's layout, or structure files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import InputFileError, SamplingError
from defectscout.core.frames import FloatArray
from defectscout.core.quiet import quiet
from defectscout.sampling.geometry import bare_atoms, minimum_image, nearest_neighbour_distance
from defectscout.sampling.labels import energy_key, label_of_folder

_STARTS = ("POSCAR", "CONTCAR")  # the start is preferred to a structure relaxed from it
_SUFFIXES = (".cif", ".vasp", ".poscar", ".contcar", ".xyz", ".extxyz", ".json", ".xsf", ".cssr", ".res")
_LENGTH_TOLERANCE = 0.02  # Å, of a lattice parameter
_ANGLE_TOLERANCE = 0.1  # degrees
_ANCHORS = 8


def read_folder(folder: Path, defect: Defect) -> tuple[SamplingStructure, ...]:
    """Sampling structures from a folder.

    Understood are `folder/v_Cd_0/LABEL/POSCAR` and `folder/LABEL/POSCAR` (CONTCAR
    where there is no POSCAR), and structure files in the folder itself, each named
    by its stem. Atoms may come in any order, and lattice vectors in any orientation:
    within each species, atoms are assigned to those of the defect supercell so that
    the sum of their squared displacements is the smallest.

    Args:
        folder: the folder.
        defect: the defect that the structures must fit.

    Returns:
        Structures sorted by label, atoms in the order of `defect.atoms`.

    Raises:
        InputFileError: if the folder does not exist or holds no structures, or if
            files cannot be read (all of them are listed).
        SamplingError: if structures have another composition or cell (all listed).
    """
    files = check_folder(folder, defect)
    structures: list[SamplingStructure] = []
    unreadable: list[str] = []
    unfit: list[str] = []
    for label, path in files:
        if path.is_dir():
            unreadable.append(f"{path} (neither a POSCAR nor a CONTCAR in it)")
            continue
        try:
            atoms = _read(path)
        except Exception as error:
            unreadable.append(f"{path} ({_one_line(error)})")
            continue
        try:
            structures.append(SamplingStructure(label, fit_to_supercell(atoms, defect)))
        except SamplingError as error:
            unfit.append(f"{path}: {error}")
    if unreadable:
        raise InputFileError(
            f"{len(unreadable)} of {len(files)} sampling structures for {defect.label} cannot be read: "
            + "; ".join(unreadable)
            + ". Repair these files or remove them from the folder."
        )
    if unfit:
        raise SamplingError(
            f"{len(unfit)} of {len(files)} sampling structures in {folder} do not fit {defect.label}: "
            + "; ".join(unfit)
            + ". Bring structures of this defect in this supercell."
        )
    return tuple(structures)


def check_folder(folder: Path, defect: Defect) -> list[tuple[str, Path]]:
    """Labels and files of a defect's sampling structures, sorted by label; no file is read.

    Raises:
        InputFileError: if the folder does not exist, holds no structures, or names them twice.
    """
    if not folder.is_dir():
        raise InputFileError(
            f"The folder of sampling structures {folder} does not exist. Give a folder in ShakeNBreak's "
            f"layout ({defect.label}/Unperturbed/POSCAR, ...) or one with structure files."
        )
    return _find_files(folder, defect)


def fit_to_supercell(atoms: Atoms, defect: Defect) -> Atoms:
    """`atoms` in the cell, orientation and order of atoms of the defect supercell.

    Args:
        atoms: a structure of the defect.
        defect: the defect.

    Returns:
        Periodic; every atom in the image nearest to its site in `defect.atoms`. A structure with
        the defect on another, equivalent site is translated as a whole.

    Raises:
        SamplingError: if composition or lattice parameters differ, or if the atoms
            lie on other sites (another setting or orientation of the supercell).
    """
    target = defect.atoms
    if Counter(atoms.get_chemical_symbols()) != Counter(target.get_chemical_symbols()):
        raise SamplingError(f"it holds {atoms.get_chemical_formula()}, not {target.get_chemical_formula()}")
    found, wanted = atoms.cell.cellpar(), target.cell.cellpar()
    if (
        np.abs(found[:3] - wanted[:3]).max() > _LENGTH_TOLERANCE
        or np.abs(found[3:] - wanted[3:]).max() > _ANGLE_TOLERANCE
    ):
        raise SamplingError(f"its cell is {_cell(found)}, not {_cell(wanted)}")
    positions = atoms.get_scaled_positions(wrap=False) @ np.array(target.get_cell())
    limit = 0.5 * nearest_neighbour_distance(defect.bulk)
    displacements = _assign(positions, atoms, target)
    if _typical(displacements) > limit:
        # The same defect on another, equivalent site: the whole structure is translated.
        displacements = _assign(positions + _translation(positions, atoms, target), atoms, target)
    if _typical(displacements) > limit:
        raise SamplingError(
            f"half of its atoms are more than {_typical(displacements):.2f} Å away from the sites of the supercell "
            f"(at most {limit:.2f} Å) however it is translated: its cell has another setting or orientation"
        )
    return bare_atoms(target, target.get_positions() + displacements)


def _typical(displacements: FloatArray) -> float:
    return float(np.median(np.linalg.norm(displacements, axis=1)))


def _translation(positions: FloatArray, atoms: Atoms, target: Atoms) -> FloatArray:
    """The translation that brings most atoms onto sites of their own species, shape (3,), Å.

    Every translation is tried that takes one of a few atoms of the rarest species to a site of that
    species (a few, since one may have been distorted itself); the one with the smallest sum of distances to
    the nearest sites wins.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    rarest = min(dict.fromkeys(symbols), key=lambda symbol: int((symbols == symbol).sum()))
    sites = target.get_positions()[np.array(target.get_chemical_symbols()) == rarest]
    best, smallest = np.zeros(3), np.inf
    for start in positions[symbols == rarest][:_ANCHORS]:
        for site in sites:
            cost = _distance_to_sites(positions + (site - start), atoms, target)
            if cost < smallest:
                best, smallest = site - start, cost
    return best


def _distance_to_sites(positions: FloatArray, atoms: Atoms, target: Atoms) -> float:
    """Sum over atoms of the distance to the nearest site of their species, capped against strays, Å."""
    total = 0.0
    for number in np.unique(target.numbers):
        here = target.get_positions()[target.numbers == number]
        there = positions[atoms.numbers == number]
        vectors = (there[:, None, :] - here[None, :, :]).reshape(-1, 3)
        scaled = vectors @ np.linalg.inv(target.cell.array)
        nearest = np.linalg.norm((scaled - np.round(scaled)) @ target.cell.array, axis=1)
        total += float(np.minimum(nearest.reshape(len(there), len(here)).min(axis=1), 1.0).sum())
    return total


def _assign(positions: FloatArray, atoms: Atoms, target: Atoms) -> FloatArray:
    """Displacement of each atom of `target` to the atom assigned to it, shape (n_atoms, 3), Å."""
    from scipy.optimize import linear_sum_assignment

    displacements = np.zeros((len(target), 3))
    for number in np.unique(target.numbers):
        here = np.flatnonzero(target.numbers == number)
        there = np.flatnonzero(atoms.numbers == number)
        vectors = positions[there][None, :, :] - target.get_positions()[here][:, None, :]
        vectors = minimum_image(vectors.reshape(-1, 3), target).reshape(len(here), len(there), 3)
        rows, columns = linear_sum_assignment((vectors**2).sum(axis=2))
        displacements[here[rows]] = vectors[rows, columns]
    return displacements


def _find_files(folder: Path, defect: Defect) -> list[tuple[str, Path]]:
    """Labels and files, sorted by label."""
    # ShakeNBreak before 3.2 wrote no plus sign.
    inner = [folder / name for name in dict.fromkeys((defect.label, defect.label.replace("+", "")))]
    base = next((path for path in inner if path.is_dir()), folder)
    found: list[tuple[str, Path]] = []
    for path in sorted(base.iterdir()):
        if path.is_dir():
            start = next((path / name for name in _STARTS if (path / name).is_file()), None)
            label = label_of_folder(path.name)
            if start is not None or energy_key(label) is not None:
                found.append((label, start or path))
        elif path.suffix.lower() in _SUFFIXES and path.name != "distortion_metadata.json":
            found.append((path.stem, path))
        elif path.name.startswith(_STARTS):
            found.append((path.name, path))
    if not found:
        raise InputFileError(
            f"The folder {base} holds no sampling structures for {defect.label}. Expected are folders such "
            f"as Unperturbed/ or Bond_Distortion_-60.0%/ with a POSCAR or CONTCAR in each (also inside "
            f"{defect.label}/), or structure files ({', '.join(_SUFFIXES)})."
        )
    repeated = sorted({label for label, _ in found if [name for name, _ in found].count(label) > 1})
    if repeated:
        files = ", ".join(str(path) for label, path in found if label in repeated)
        raise InputFileError(
            f"Sampling structures of {defect.label} share the names {', '.join(repeated)}: {files}. "
            "Give each file a name of its own."
        )
    return sorted(found)


def _read(path: Path) -> Atoms:
    from ase.io import read

    with quiet():
        # ASE guesses the format of POSCAR_1 or start.poscar wrongly or not at all.
        is_poscar = path.name.startswith(_STARTS) or path.suffix.lower() in (".vasp", ".poscar", ".contcar")
        try:
            atoms = read(path, format="vasp" if is_poscar else None)
        except Exception:
            if path.suffix.lower() not in (".cif", ".json", ".xsf", ".cssr", ".res"):
                raise
            from pymatgen.core import Structure

            atoms = Structure.from_file(str(path)).to_ase_atoms()
    if isinstance(atoms, list):
        atoms = atoms[-1]
    if len(atoms) == 0 or not atoms.cell.rank == 3:
        raise ValueError("no periodic structure in it")
    if not np.isfinite(atoms.get_positions()).all():
        raise ValueError("coordinates that are not numbers")
    return Atoms(atoms.get_chemical_symbols(), atoms.get_positions(), cell=atoms.get_cell(), pbc=True)


def _cell(parameters: FloatArray) -> str:
    lengths = " × ".join(f"{length:.3f}" for length in parameters[:3])
    angles = "/".join(f"{angle:.2f}" for angle in parameters[3:])
    return f"{lengths} Å, {angles}°"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
