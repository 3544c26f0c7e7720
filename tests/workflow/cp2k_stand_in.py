"""Stands in for CP2K: relaxes the input's structure on the model crystal's surface and leaves CP2K's files.

How it ends is said by the environment variable CP2K_STAND_IN, for all calculations (`walltime`) or for those whose
title ends so (`walltime:Unperturbed,broken:Dimer`):

    walltime: the first run reaches its time limit after two steps
    killed: the first run's output has no end, after two steps
    lost: the first run leaves nothing at all
    scf: the self-consistent field converges with conjugate gradients alone
    broken: it never converges
    garbage: what it writes is no output of CP2K's
    endless: each run reaches its time limit after one step
"""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

DATA = """ Mg DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q2
 Mg SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q2
 S DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q6
 S SZV-MOLOPT-SR-GTH SZV-MOLOPT-SR-GTH-q6
"""
POTENTIALS = """Mg GTH-PBE-q2
S GTH-PBE-q6 GTH-PBE
"""
FORCE = 0.03  # eV/Å
BANNER = "  **** **** ******  **  PROGRAM {} AT               2026-11-23 11:44:51.629\n"


def data_files(folder: Path) -> Path:
    """Heads of CP2K's data files for the model crystal's elements."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BASIS_MOLOPT").write_text(DATA)
    (folder / "BASIS_MOLOPT_UCL").write_text("")
    (folder / "GTH_POTENTIALS").write_text(POTENTIALS)
    return folder


def install(folder: Path) -> Path:
    """An executable that runs this file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cp2k.psmp"
    here = Path(__file__).resolve()
    paths = os.pathsep.join([str(here.parents[1]), str(here.parents[2] / "src")])
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{paths}" OMP_NUM_THREADS=1 exec "{sys.executable}" "{here}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def mode_of(title: str) -> str:
    """How the calculation of this title ends."""
    for item in os.environ.get("CP2K_STAND_IN", "").split(","):
        mode, _, end = item.partition(":")
        if mode and title.endswith(end):
            return mode
    return ""


def main() -> None:
    text = Path(sys.argv[sys.argv.index("-i") + 1]).read_text()
    title = text.splitlines()[0].lstrip("# ")
    mode, again = mode_of(title), "&EXT_RESTART" in text
    if mode == "lost" and not _came_before(title):
        sys.exit(1)
    if mode == "garbage":
        sys.stdout.write("Segmentation fault - invalid memory reference.\n")
        sys.exit(139)
    sys.stdout.write(BANNER.format("STARTED"))
    sys.stdout.write(" GLOBAL| Project name                                                       cp2k\n")
    if mode == "broken" or (mode == "scf" and "MINIMIZER DIIS" in text):
        sys.stdout.write(" *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***\n")
        sys.stdout.write(" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:   -30.1\n")
        sys.stdout.write(BANNER.format("ENDED"))
        return
    limit = {"endless": 1}.get(mode, 400)
    if not again and mode in ("walltime", "killed"):
        limit = 2
    converged = relax(text, again, limit)
    if converged:
        sys.stdout.write(" ***                    GEOMETRY OPTIMIZATION COMPLETED                      ***\n")
    elif mode in ("walltime", "endless"):
        sys.stdout.write(" *** SCF run terminated - exceeded requested execution time:       4.000 seconds.\n")
    if converged or mode != "killed":
        sys.stdout.write(BANNER.format("ENDED"))


def _came_before(title: str) -> bool:
    mark = Path(os.environ["CP2K_STAND_IN_MARKS"]) / re.sub(r"\W", "_", title)
    known = mark.exists()
    mark.touch()
    return known


def relax(text: str, again: bool, limit: int) -> bool:
    """FIRE on the model crystal, cell and all where it is asked for; each step is written as CP2K writes it."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from ase.units import Bohr, GPa, Hartree

    from model_crystal import reference

    source = Path("cp2k-1.restart").read_text() if again else text
    atoms = structure(source)
    atoms.calc = reference()
    first = int(re.search(r"STEP_START_VAL +(\d+)", source)[1]) if again else 0
    taken = 0

    def say() -> None:
        energy, forces = atoms.get_potential_energy() / Hartree, atoms.get_forces() / (Hartree / Bohr)
        stress = -atoms.get_stress(voigt=False) / GPa
        rows = "".join(
            f"  {i + 1:5d}      1      {s:<2s}" + "".join(f"{x:20.12f}" for x in row) + "\n"
            for i, (s, row) in enumerate(zip(atoms.get_chemical_symbols(), forces, strict=True))
        )
        tensor = "".join(
            f" STRESS|      {axis}" + "".join(f"{x:20.11E}" for x in row) + "\n"
            for axis, row in zip("xyz", stress, strict=True)
        )
        sys.stdout.write(
            "  *** SCF run converged in     5 steps ***\n\n"
            f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]: {energy:30.15f}\n\n"
            f" ATOMIC FORCES in [a.u.]\n\n # Atom   Kind   Element          X   Y   Z\n{rows}"
            f" SUM OF ATOMIC FORCES 0.0 0.0 0.0 0.0\n\n STRESS| Analytical stress tensor [GPa]\n"
            f" STRESS|                        x                   y                   z\n{tensor}\n"
        )

    moved = FrechetCellFilter(atoms) if "RUN_TYPE CELL_OPT" in text else atoms
    optimiser = FIRE(moved, logfile=None)
    say()
    while taken < limit:
        optimiser.step()
        taken += 1
        step = first + taken
        sys.stdout.write(f" OPTIMIZATION STEP: {step:6d}\n")
        say()
        write_step(atoms, step)
        Path("cp2k-1.restart").write_text(restart(text, atoms, step))
        if abs(moved.get_forces()).max() < FORCE:
            return True
    return False


def structure(text: str):
    from ase import Atoms

    system = text.partition("&SUBSYS")[2]
    cell = [re.search(rf"^ *{axis} +(.+)$", system, re.MULTILINE)[1].split() for axis in "ABC"]
    rows = [line.split() for line in re.search(r"&COORD\n(.*?)&END COORD", system, re.DOTALL)[1].splitlines()]
    rows = [row for row in rows if row]
    positions = [[float(x) for x in row[1:4]] for row in rows]
    return Atoms([row[0] for row in rows], positions, cell=[[float(x) for x in row] for row in cell], pbc=True)


def restart(text: str, atoms: object, step: int) -> str:
    """The input with the structure and the counter of a step in it."""
    bare = re.sub(r"^ *STEP_START_VAL +\d+ *\n", "", text.partition("&EXT_RESTART")[0], flags=re.MULTILINE)
    bare = re.sub(r"^( *)(MAX_ITER +\d+)", rf"\1\2\n\1STEP_START_VAL {step}", bare, count=1, flags=re.MULTILINE)
    coordinates = "".join(
        f"      {s} " + " ".join(f"{x:.12f}" for x in place) + "\n"
        for s, place in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    )
    for axis, row in zip("ABC", atoms.cell.array, strict=True):
        vector = " ".join(f"{x:.12f}" for x in row)
        bare = re.sub(rf"(&CELL\n(?:.*\n)*? *{axis} +).+", rf"\g<1>{vector}", bare, count=1)
    return re.sub(r"(&COORD\n).*?( *&END COORD)", rf"\1{coordinates}\2", bare, flags=re.DOTALL)


def write_step(atoms: object, step: int) -> None:
    from ase.units import Bohr, GPa, Hartree

    energy = atoms.get_potential_energy() / Hartree
    head = f"{len(atoms):8d}\n i = {step:8d}, E = {energy:19.10f}\n"
    for name, values in (("pos", atoms.positions), ("frc", atoms.get_forces() / (Hartree / Bohr))):
        rows = zip(atoms.get_chemical_symbols(), values, strict=True)
        with Path(f"cp2k-{name}-1.xyz").open("a") as file:
            file.write(head + "".join(f" {s:>2s}" + "".join(f"{x:20.10f}" for x in row) + "\n" for s, row in rows))
    cell = " ".join(f"{x:19.10f}" for x in atoms.cell.array.ravel())
    stress = " ".join(f"{x:19.10f}" for x in (-atoms.get_stress(voigt=False) / GPa * 1e4).ravel())
    for name, values in (("cell", f"{cell} {atoms.get_volume():24.10f}"), ("stress", stress)):
        path = Path(f"cp2k-1.{name}")
        with path.open("a") as file:
            if file.tell() == 0:
                file.write("#   Step   Time [fs]\n")
            file.write(f"{step:8d}       0.000 {values}\n")


if __name__ == "__main__":
    main()
