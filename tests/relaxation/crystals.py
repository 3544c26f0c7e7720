"""Hosts that EMT can relax in milliseconds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from defectscout.core.defect import Host
from defectscout.hosts.supercell import repeated


def host(atoms: Atoms, matrix: list[list[int]]) -> Host:
    primitive = Structure(
        Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
    )
    rows = np.array(matrix)
    return Host(primitive, repeated(primitive, rows), rows.astype(float), "test crystal")


def layered() -> Host:
    """P4/mmm, layers Cu Cu Au along c: lattice parameters a and c and one coordinate z are free."""
    a, c = 2.75, 6.0
    atoms = Atoms(
        "AuCu2",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.31], [0.5, 0.5, 0.69]],
        cell=[a, a, c],
        pbc=True,
    )
    return host(atoms, [[3, 0, 0], [0, 3, 0], [0, 0, 2]])


def copper(a: float = 3.5) -> Host:
    return host(bulk("Cu", a=a), [[-1, 1, 1], [1, -1, 1], [1, 1, -1]])


def simple_cubic_copper() -> Host:
    """A lattice that copper falls out of."""
    return host(bulk("Cu", "sc", a=2.4), [[3, 0, 0], [0, 3, 0], [0, 0, 3]])
