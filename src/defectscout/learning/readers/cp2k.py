"""CP2K's trajectories: PROJECT-pos-1.xyz, with forces, cell, stress and settings beside it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, GPa, Hartree

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.cp2k_first import first_step
from defectscout.learning.readers.files import READING_ERRORS, open_text, plain_name
from defectscout.learning.readers.names import Said
from defectscout.learning.readers.steps import Rest, Step, voigt

_BAR = 1e-4 * GPa
_COMMENT = re.compile(r"i\s*=\s*(?P<step>\d+).*?E\s*=\s*(?P<energy>-?\d+\.\d+)")
_FUNCTIONALS = {"PBE": "PBE", "PADE": "LDA", "LDA": "LDA", "BLYP": "BLYP", "TPSS": "TPSS", "BP": "BP86"}
_SAME_ENERGY, _SAME_PLACE = 1e-7, 1e-8  # hartree, Å
_CELL_CHANGES = ("CELL_OPT", "NPT")


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of an XYZ file of CP2K: positions (Å) or forces (hartree/bohr), and an energy (hartree)."""

    step: int
    energy: float
    symbols: tuple[str, ...]
    values: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Output:
    """What CP2K's output says of the evaluations, by their energies in hartree, to nine digits."""

    converged: dict[str, bool]


def read_cp2k(positions: Path) -> Iterator[Item | Rest]:
    """Ionic steps of a CP2K relaxation.

    Positions (Å) and energies (hartree) come from PROJECT-pos-1.xyz, forces (hartree/bohr) from
    PROJECT-frc-1.xyz (`&MOTION &PRINT &FORCES`), the cell from PROJECT-1.cell, or, where it
    stays as it is, from PROJECT-1.restart; stresses (bar, positive where the cell wants to
    expand: ASE's sign turned round) from PROJECT-1.stress; the functional and the charge from
    PROJECT-1.restart or the input; and whether the electrons converged from the output. The structure that it
    began with is in none of these: it is read where input and output say all of it (see `first_step`).

    Args:
        positions: PROJECT-pos-1.xyz, plain or compressed.
    """
    folder, project = positions.parent, plain_name(positions).rpartition("-pos-")[0]
    force_file = _beside(folder, f"{project}-frc-1.xyz")
    if force_file is None:
        yield Rest(
            f"{project}-frc-1.xyz with the forces is not beside it. Let CP2K write it (&MOTION &PRINT &FORCES) and run "
            "again: energies alone do not train a force field."
        )
        return
    settings = _settings(folder, project)
    cells = _columns(_beside(folder, f"{project}-1.cell"))
    fixed = None if cells else _fixed_cell(settings)
    if not cells and fixed is None:
        yield Rest(
            f"Its cells are not known: {project}-1.cell is not beside it, nor a {project}-1.restart of a run that "
            "keeps the cell. Let CP2K write them (&MOTION &PRINT &CELL)."
        )
        return
    stresses = _columns(_beside(folder, f"{project}-1.stress"))
    said, output = _said(settings), _output(folder)
    first = first_step(folder, project)
    number = 0
    if first is not None:
        yield Item(said, first, number)
        number += 1
    try:
        last: _Block | None = None
        for place, forces in zip(_blocks(positions), _blocks(force_file), strict=True):
            if last is not None and place.step not in cells and _repeats(place, last):
                continue  # CP2K evaluates the minimum once more at the end
            last = place
            row = _next(cells, place.step)
            cell = row[:9].reshape(3, 3) if row is not None else fixed
            if cell is None or place.step != forces.step or place.symbols != forces.symbols:
                yield Rest(f"Step {place.step} was not read: positions, forces and cell are not of one step.")
                continue
            stress = _next(stresses, place.step)
            step = Step(
                atoms=Atoms(symbols=place.symbols, positions=place.values, cell=cell, pbc=True),
                energy=place.energy * Hartree,
                forces=forces.values * (Hartree / Bohr),
                stress=-voigt(stress[:9]) * _BAR if stress is not None else None,
                scf_converged=output.converged.get(f"{place.energy:.9f}"),
            )
            yield Item(said, step, number)
            number += 1
    except READING_ERRORS as error:
        yield Rest(f"It ends, or is damaged, after {number} ionic steps ({error}); those were read.")


def _repeats(block: _Block, last: _Block) -> bool:
    same = block.step == last.step + 1 and abs(block.energy - last.energy) < _SAME_ENERGY
    return same and block.symbols == last.symbols and bool(np.abs(block.values - last.values).max() < _SAME_PLACE)


def _beside(folder: Path, name: str) -> Path | None:
    return next((path for end in ("", ".gz", ".xz", ".bz2") if (path := folder / f"{name}{end}").is_file()), None)


def _blocks(path: Path) -> Iterator[_Block]:
    with open_text(path) as file:
        while first := file.readline():
            if not first.strip():
                continue
            comment = _COMMENT.search(file.readline())
            rows = [line.split() for line in islice(file, int(first))]
            if comment is None or len(rows) != int(first) or any(len(row) < 4 for row in rows):
                raise ValueError(f"{path.name} is cut")
            yield _Block(
                step=int(comment["step"]),
                energy=float(comment["energy"]),
                symbols=tuple(re.sub(r"\d.*", "", row[0]).capitalize() for row in rows),
                values=np.array([row[1:4] for row in rows], dtype=float),
            )


def _columns(path: Path | None) -> dict[int, deque[FloatArray]]:
    """The numbers behind step and time of a .cell or .stress file, by step.

    A step comes more than once where the run was started over: CP2K appends to files that are there.
    """
    found: dict[int, deque[FloatArray]] = {}
    if path is None:
        return found
    with open_text(path) as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    for row in rows:
        if len(row) >= 11:
            found.setdefault(int(row[0]), deque()).append(np.array(row[2:], dtype=float))
    return found


def _next(columns: dict[int, deque[FloatArray]], step: int) -> FloatArray | None:
    return columns[step].popleft() if columns.get(step) else None


def _settings(folder: Path, project: str) -> str:
    """The text of the restart file, which holds all settings, or of the input."""
    for name in (f"{project}-1.restart", f"{project}.inp"):
        path = _beside(folder, name)
        if path is not None:
            with open_text(path) as file:
                return file.read()
    return ""


def _fixed_cell(settings: str) -> FloatArray | None:
    if any(word in settings.upper() for word in _CELL_CHANGES):
        return None
    block = re.search(r"&CELL\b(.*?)&END CELL", settings.partition("&SUBSYS")[2], re.DOTALL)
    rows = [re.search(rf"^\s*{axis}\s+(.+)$", block[1], re.MULTILINE) for axis in "ABC"] if block else []
    if len(rows) != 3 or any(row is None or "[" in row[1] for row in rows):
        return None
    return np.array([row[1].split()[:3] for row in rows if row is not None], dtype=float)


def _said(settings: str) -> Said:
    """Functional and charge; nothing for hybrids and semi-empirical methods, which need a name from the user."""
    if not settings:
        return Said()
    charge = re.search(r"^\s*CHARGE\s+([+-]?\d+)", settings, re.MULTILINE)
    return Said(charge=int(charge[1]) if charge else 0, method=_functional(settings))


def _functional(settings: str) -> str | None:
    text = settings.upper()
    if re.search(r"&(HF|XTB|DFTB|LIBXC|XALPHA)\b", text):
        return None
    block = re.search(r"&XC_FUNCTIONAL\b(.*?)&END XC_FUNCTIONAL", text, re.DOTALL)
    if block is None:
        return None
    names = {name for name in re.findall(r"\b[A-Z0-9]+\b", block[1]) if name in _FUNCTIONALS}
    if len(names) != 1:
        return None
    name = _FUNCTIONALS[names.pop()]
    if re.search(r"PARAMETRIZATION\s+PBESOL", text):
        name = "PBEsol"
    if "&VDW_POTENTIAL" in text:
        kind = re.search(r"TYPE\s+DFT(D\d)(\(BJ\))?", text)
        return f"{name}+{kind[1]}{'BJ' if kind[2] else ''}" if kind else None
    return name


def _output(folder: Path) -> _Output:
    converged: dict[str, bool] = {}
    for path in sorted(folder.iterdir()):
        if not plain_name(path).endswith((".out", ".log")):
            continue
        state: bool | None = None
        with open_text(path) as file:
            for line in file:
                if "SCF run converged" in line:
                    state = True
                elif "SCF run NOT converged" in line:
                    state = False
                elif "ENERGY| Total FORCE_EVAL" in line and state is not None:
                    converged[f"{float(line.split()[-1]):.9f}"] = state
                    state = None
    return _Output(converged)
