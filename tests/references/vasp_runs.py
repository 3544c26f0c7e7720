"""Folders as VASP leaves them, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from learning.vasp_files import IonicStep, VaspSettings, outcar

INCAR = """# defects
ALGO = Normal  # change to all
EDIFF = 1e-05
EDIFFG = -0.01
IBRION = 2; POTIM = 0.5
ISYM = 0
LHFCALC = True
LREAL = Auto
NELM = 60
NSW = 300
"""


def pair(distance: float = 2.8) -> Atoms:
    return Atoms("CdTe", [(0, 0, 0), (0, 0, distance)], cell=[8, 8, 8], pbc=True)


def ionic_steps(forces: Sequence[float], energy: float = -5.0, electronic: int = 12) -> list[IonicStep]:
    """Steps of a Cd–Te pair with these largest forces."""
    steps = []
    for number, force in enumerate(forces):
        pull = np.array([(0, 0, force), (0, 0, -force)])
        steps.append(IonicStep(pair(2.8 - 0.01 * number), energy - 0.01 * number, pull, np.zeros(6), electronic))
    return steps


def outcar_text(
    steps: Sequence[IonicStep],
    *,
    reached: bool = False,
    nsw: int = 300,
    scf: bool | None = True,
    settings: VaspSettings | None = None,
) -> str:
    """An OUTCAR that came to its end."""
    text = outcar(steps, settings or VaspSettings(), scf)
    lines = text.splitlines()
    lines[4:4] = [
        "   EDIFFG = -.1E-01   stopping-criterion for IOM",
        f"   NSW    = {nsw:6d}    number of steps for IOM",
        "   IBRION =      2    ionic relax: 0-MD 1-quasi-New 2-CG",
    ]
    if reached:
        lines.insert(len(lines) - 1, " reached required accuracy - stopping structural energy minimisation")
    return "\n".join(lines) + "\n"


def folder_with(path: Path, outcar_content: str | None = None, screen: str = "", contcar: Atoms | None = None) -> Path:
    """A folder with inputs and what a run left in it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "INCAR").write_text(INCAR)
    write(path / "POSCAR", pair(), format="vasp", direct=True)
    if outcar_content is not None:
        (path / "OUTCAR").write_text(outcar_content)
        write(path / "CONTCAR", contcar if contcar is not None else pair(2.75), format="vasp", direct=True)
    if screen:
        (path / "vasp.out").write_text(screen)
    return path
