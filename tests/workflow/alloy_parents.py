"""Crystals that alloys are made of in tests, and settings that search them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.io import write
from pymatgen.core import Lattice, Structure

from conftest import model
from defectscout.core.defect import Host
from defectscout.hosts.supercell import repeated
from defectscout.workflow.settings import SearchSettings, merge

SMALL: dict[str, Any] = {
    "supercell": {"matrix": ((2, 0, 0), (0, 2, 0), (0, 0, 2)), "min_image_distance": 8.0},
    "defects": {"select": ("v_Mg",)},
    "reference": {"name": model("reference"), "workers": 1},
    "sampling": {"none": True},
    "strategy": "reference-only",
}
"""Eight formula units of the model crystal, and the unperturbed structure only: enough for all that is not physics."""


def quick(**overrides: Any) -> SearchSettings:
    return merge(merge(SearchSettings(), SMALL, "test"), overrides, "test")


def write_parent(folder: Path) -> Path:
    """The model crystal."""
    path = folder / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path


def parent(cation: str = "Mg", anion: str = "S", repeat: int = 2) -> Host:
    """Rocksalt with repeat³ formula units in the supercell."""
    cell = Structure(
        Lattice([[0, 2.9, 2.9], [2.9, 0, 2.9], [2.9, 2.9, 0]]), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    matrix = repeat * np.eye(3, dtype=np.int64)
    return Host(cell, repeated(cell, matrix), matrix.astype(np.float64), "test crystal")
