"""Point symmetry of a defect supercell."""

from __future__ import annotations

import numpy as np
import spglib
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray

SCHOENFLIES = {
    "1": "C1", "-1": "Ci", "2": "C2", "m": "Cs", "2/m": "C2h", "222": "D2", "mm2": "C2v", "mmm": "D2h",
    "4": "C4", "-4": "S4", "4/m": "C4h", "422": "D4", "4mm": "C4v", "-42m": "D2d", "-4m2": "D2d",
    "4/mmm": "D4h", "3": "C3", "-3": "C3i", "32": "D3", "3m": "C3v", "-3m": "D3d", "6": "C6", "-6": "C3h",
    "6/m": "C6h", "622": "D6", "6mm": "C6v", "-6m2": "D3h", "-62m": "D3h", "6/mmm": "D6h", "23": "T",
    "m-3": "Th", "432": "O", "-43m": "Td", "m-3m": "Oh",
}  # fmt: skip
"""Schoenflies symbol of each crystallographic point group in spglib's (Hermann–Mauguin) notation."""

SMALLEST_SYMPREC = 1e-3

HOST_SYMPREC = 0.05
"""Å. How far the atoms of a pristine supercell may be from their symmetric places: hosts come relaxed by any method."""


def space_group_operations(pristine: Atoms) -> tuple[FloatArray, FloatArray]:
    """Operations of a pristine supercell's space group, on columns of fractional coordinates.

    Returns:
        Rotations, shape (n, 3, 3), and translations, shape (n, 3); the identity alone where spglib finds nothing.
    """
    cell = (pristine.cell[:], pristine.get_scaled_positions(), pristine.numbers)
    found = spglib.get_symmetry(cell, symprec=HOST_SYMPREC)
    if found is None:
        return np.eye(3)[None], np.zeros((1, 3))
    return np.asarray(found["rotations"], dtype=float), np.asarray(found["translations"], dtype=float)


def site_symmetry(atoms: Atoms, symprec: float) -> str:
    """Point group of a defect supercell, Schoenflies.

    With one defect in the cell this is the point group of the defect's structure,
    as far as the shape of the supercell allows it.

    Args:
        atoms: the supercell.
        symprec: how far an atom may be from its symmetric place, Å. Relaxations that end
            with forces of 0.03 eV/Å leave positions uncertain by about 0.01 to 0.1 Å, so
            that bulk crystals' usual 0.01 Å finds no symmetry at all; 0.1 Å finds that of well
            relaxed structures and still tells a dimer's (atoms moved by 1 Å) from the host's.
            Where spglib finds no consistent set of operations within the tolerance
            the largest smaller one (by halves) for which it does is taken.

    Raises:
        CalculationError: spglib finds no symmetry at any tolerance (atoms on top of each other).
    """
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    tolerance = symprec
    while tolerance >= min(SMALLEST_SYMPREC, symprec):
        symbol = _point_group(cell, tolerance)
        if symbol:
            return SCHOENFLIES[symbol]
        tolerance /= 2
    raise CalculationError(
        f"spglib finds no symmetry operations for {atoms.get_chemical_formula()} at {symprec} Å or any smaller "
        f"tolerance, which happens when two atoms lie on top of each other. Look at the structure."
    )


def is_symmetric(atoms: Atoms, symprec: float) -> bool:
    """Whether a relaxation that starts here would keep a symmetry, be it in a saddle point; see `site_symmetry`."""
    return site_symmetry(atoms, symprec) != "C1"


def _point_group(cell: tuple[object, object, object], symprec: float) -> str:
    """Hermann–Mauguin symbol, or empty where spglib gives up (older versions return None, newer may raise)."""
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    except Exception as error:  # spglib ≥ 2.7 can be told to raise its own error types
        if type(error).__module__.partition(".")[0] == "spglib":
            return ""
        raise
    return "" if dataset is None else str(dataset.pointgroup).strip()
