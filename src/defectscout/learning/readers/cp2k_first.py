"""The structure that a CP2K relaxation began with, which its trajectories leave out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, GPa, Hartree

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.files import open_text, plain_name
from defectscout.learning.readers.steps import Step, voigt

_FIRST_STEP = "OPTIMIZATION STEP:      1"
_ROW = re.compile(r"^\s+\d+\s+\d+\s+[A-Z][a-z]?((?:\s+-?\d+\.\d+){3})\s*$")


def first_step(folder: Path, project: str) -> Step | None:
    """Step 0, from the input's coordinates and what the output says before the first step.

    CP2K writes trajectories from the first step on. The evaluation before it is in its output, with
    forces if `&FORCE_EVAL &PRINT &FORCES` asks for them, and without digits enough of the
    positions, so that these come from the input.

    Args:
        folder: of the calculation.
        project: CP2K's name of it.

    Returns:
        None where input or output are not there, do not say all of it, or are of a run that goes on from another.
    """
    names = sorted(path for path in folder.iterdir() if path.is_file())
    inputs = (path for path in names if plain_name(path).endswith(".inp"))
    atoms = next((found for path in inputs if (found := _atoms(_text(path), project)) is not None), None)
    if atoms is None:
        return None
    outputs = (path for path in names if plain_name(path).endswith((".out", ".log")))
    return next((step for path in outputs if (step := _evaluation(path, project, atoms)) is not None), None)


def _text(path: Path) -> str:
    with open_text(path) as file:
        return file.read()


def _atoms(text: str, project: str) -> Atoms | None:
    """Structure in an input with plain vectors and coordinates in Å."""
    named = re.search(r"^\s*PROJECT(?:_NAME)?\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
    if named is None or named[1] != project or re.search(r"&EXT_RESTART", text, re.IGNORECASE):
        return None
    system = text.partition("&SUBSYS")[2]
    cell = re.search(r"&CELL\s*\n(.*?)&(?:END\s+CELL|CELL_REF)\b", system, re.DOTALL)
    coordinates = re.search(r"&COORD\s*\n(.*?)&END\s+COORD\b", system, re.DOTALL)
    if cell is None or coordinates is None or re.search(r"SCALED|UNIT|\[", coordinates[1] + cell[1]):
        return None
    vectors = [re.search(rf"^\s*{axis}\s+(.+)$", cell[1], re.MULTILINE) for axis in "ABC"]
    rows = [line.split() for line in coordinates[1].splitlines() if line.strip()]
    if any(vector is None for vector in vectors) or any(len(row) < 4 for row in rows):
        return None
    try:
        return Atoms(
            symbols=[re.sub(r"\d.*", "", row[0]).capitalize() for row in rows],
            positions=np.array([row[1:4] for row in rows], dtype=float),
            cell=np.array([vector[1].split()[:3] for vector in vectors if vector is not None], dtype=float),
            pbc=True,
        )
    except (KeyError, ValueError):
        return None


def _evaluation(path: Path, project: str, atoms: Atoms) -> Step | None:
    """The evaluation before the first step, if this is the output of a run that takes it."""
    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    converged: bool | None = None
    with open_text(path) as file:
        for line in file:
            if line.startswith(" GLOBAL| Project name") and line.split()[-1] != project:
                return None
            if "SCF run" in line and "converged" in line:
                converged = "NOT" not in line
            elif "ENERGY| Total FORCE_EVAL" in line:
                energy = float(line.split()[-1]) * Hartree
            elif line.strip() == "ATOMIC FORCES in [a.u.]":
                forces = _forces(islice(file, len(atoms) + 2), len(atoms))
            elif "STRESS|" in line and "stress tensor [GPa]" in line and "Eigen" not in line:
                stress = _stress(islice(file, 4))
            elif _FIRST_STEP in line:
                if energy is None or forces is None:
                    return None
                return Step(atoms, energy, forces, stress, converged)
            elif "OPTIMIZATION STEP:" in line:
                return None
    return None


def _forces(lines: Iterable[str], count: int) -> FloatArray | None:
    rows = [match[1].split() for line in lines if (match := _ROW.match(line)) is not None]
    return np.array(rows, dtype=float) * (Hartree / Bohr) if len(rows) == count else None


def _stress(lines: Iterable[str]) -> FloatArray | None:
    rows = [line.split()[2:5] for line in lines if re.match(r"\s*STRESS\|\s+[xyz]\s+-?\d", line)]
    return -voigt(np.array(rows, dtype=float)) * GPa if len(rows) == 3 else None
