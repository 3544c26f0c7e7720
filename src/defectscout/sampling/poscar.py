"""POSCAR files in ShakeNBreak's order of atoms."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from ase import Atoms
from numpy.typing import NDArray


def poscar_order(atoms: Atoms) -> NDArray[np.int64]:
    """Order in which ShakeNBreak writes atoms: by electronegativity, then symbol, then as they were.

    Args:
        atoms: a defect supercell.

    Returns:
        Shape (n_atoms,); `atoms[order]` is the order in the file. For supercells
        made by doped it is 0, 1, 2, ...
    """
    from pymatgen.core import Element

    symbols = atoms.get_chemical_symbols()
    electronegativity = {symbol: Element(symbol).X for symbol in set(symbols)}
    keys = [
        # Pauling's scale has no value for some noble gases: they come last.
        (electronegativity[symbol] if electronegativity[symbol] > 0 else np.inf, symbol, index)
        for index, symbol in enumerate(symbols)
    ]
    return np.array(sorted(range(len(symbols)), key=keys.__getitem__), dtype=np.int64)


def poscar_text(atoms: Atoms, comment: str) -> str:
    """Text of a POSCAR file.

    Args:
        atoms: the structure.
        comment: first line of the file.

    Returns:
        The file in fractional coordinates (16 decimals), atoms in `poscar_order`.
    """
    ordered = atoms[poscar_order(atoms)]
    groups = [(symbol, len(list(group))) for symbol, group in groupby(ordered.get_chemical_symbols())]
    lines = [" ".join(comment.split()), "1.0"]
    lines += ["".join(f" {component:21.16f}" for component in vector) for vector in ordered.get_cell()]
    lines += [" ".join(symbol for symbol, _ in groups), " ".join(str(count) for _, count in groups), "Direct"]
    lines += [
        "".join(f" {coordinate:19.16f}" for coordinate in position)
        for position in ordered.get_scaled_positions(wrap=False)
    ]
    return "\n".join(lines) + "\n"
