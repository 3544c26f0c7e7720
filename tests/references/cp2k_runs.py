"""Small calculations with CP2K, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ase import Atoms

from defectscout.references.cp2k import PROGRAMS, Cp2kReference, find_command
from defectscout.references.cp2k_settings import PRESETS, Cp2kSettings

HERE = any(shutil.which(name) for name in PROGRAMS)
needs_cp2k = pytest.mark.skipif(not HERE, reason="CP2K is not installed: apt install cp2k")

QUICK: Cp2kSettings = PRESETS["quick"][1].model_copy(update={"cutoff": 200.0, "eps_scf": 1e-7})
"""Hydrogen's potential is hard: a little more than the preset's cutoff."""

DATA = """
# a comment about H and Si
 H SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q1
 1
 1 0 0 1 1
 0.5 1.0
 Si SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q4
 Ga SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q13
 Ga SZV-MOLOPT-SR-GTH-q3
 Rh SZV-MOLOPT-SR-GTH-q9
 Rh SZV-MOLOPT-SR-GTH-q17
 U SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q32
"""

POTENTIALS = """
H GTH-PBE-q1 GTH-PBE
    1
     0.20000000    2    -4.17890044     0.72446331
Si GTH-PBE-q4 GTH-PBE
Ga GTH-PBE-q13 GTH-PBE
Ga GTH-PBE-q3
Rh GTH-PBE-q9
Rh GTH-PBE-q17 GTH-PBE
U GTH-PBE-q14 GTH-PBE
H GTH-BLYP-q1 GTH-BLYP
"""

AUXILIARY = """
H admm-dzp-q1
Si admm-dzp-q4
Ga admm-dzp-q13
H cFIT3
"""


def data_files(folder: Path) -> Path:
    """Heads of data files as CP2K has them, for choosing: nothing can be calculated with them."""
    (folder / "BASIS_MOLOPT").write_text(DATA)
    (folder / "GTH_POTENTIALS").write_text(POTENTIALS)
    (folder / "BASIS_ADMM_UZH").write_text(AUXILIARY)
    return folder


def hydrogen() -> Atoms:
    """A molecule in a skewed cell, stretched."""
    cell = [[4.0, 0.0, 0.0], [0.2, 4.1, 0.0], [0.0, 0.1, 4.2]]
    return Atoms("HH", positions=[[0.1, 0.0, 0.0], [0.1, 0.2, 0.85]], cell=cell, pbc=True)


def reference(**changes: object) -> Cp2kReference:
    """The quick preset with something changed."""
    settings = QUICK.model_copy(update=changes)
    return Cp2kReference("cp2k:test", settings, find_command(settings))


def run(folder: Path) -> None:
    """What a job script does."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*find_command(QUICK), "-i", "cp2k.inp", "-o", "cp2k.out"]
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)
