"""VASP's OUTCAR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import GPa

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.files import READING_ERRORS, open_text
from defectscout.learning.readers.steps import Rest, Step
from defectscout.learning.readers.vasp_header import VaspHeader, charge_from, functional_name

_KBAR = 0.1 * GPa
_FLOAT = re.compile(r"-?\d+\.\d+")
_SETTING = re.compile(r"^\s+(GGA|METAGGA|LHFCALC|AEXX|HFSCREEN|IVDW|LVDW|LSORBIT|NELM|NELECT|NIONS)\s*=\s*([^\s;]+)")
_END = ("General timing and accounting", "Total CPU time used")


@dataclass(slots=True)
class _Header:
    """What is gathered line by line."""

    settings: dict[str, str] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    valences: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def take(self, line: str) -> None:
        if "=" not in line:
            return
        if "TITEL" in line:
            self.titles.append(line.split("=", 1)[1].strip())
        elif "POMASS" in line and "ZVAL" in line:
            self.valences.append(float(line.split("ZVAL")[1].split("=")[1].split()[0]))
        elif "ions per type" in line:
            self.counts = [int(count) for count in line.split("=")[1].split()]
        elif "number of ions" in line and "NIONS" in line:
            self.settings.setdefault("NIONS", line.split("NIONS")[1].split("=")[1].split()[0])
        else:
            match = _SETTING.match(line)
            if match is not None:
                # The settings as VASP understood them stand after those of INCAR and win.
                self.settings[match[1]] = match[2]

    @property
    def elements(self) -> list[str]:
        names = [title.split() for title in self.titles]
        return [(name[1] if len(name) > 1 else name[0]).split("_")[0].split(".")[0] for name in names]

    def finished(self) -> VaspHeader:
        symbols = tuple(symbol for symbol, count in zip(self.elements, self.counts, strict=False) for _ in range(count))
        settings = self.settings
        hybrid = settings.get("LHFCALC", "F").strip(".").upper().startswith("T")
        return VaspHeader(
            symbols=symbols,
            nelm=int(settings["NELM"]) if settings.get("NELM", "").isdigit() else None,
            charge=charge_from(
                _number(settings.get("NELECT")), dict(zip(self.elements, self.valences, strict=False)), symbols
            ),
            method=functional_name(
                gga=settings.get("GGA", ""),
                metagga=settings.get("METAGGA", ""),
                hybrid=hybrid,
                aexx=_number(settings.get("AEXX")) or 0.0,
                hfscreen=_number(settings.get("HFSCREEN")) or 0.0,
                dispersion=int(_number(settings.get("IVDW")) or 0),
                spin_orbit=settings.get("LSORBIT", "F").strip(".").upper().startswith("T"),
                potentials=self.titles[0] if self.titles else "",
            )
            if self.titles
            else None,
        )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


@dataclass(slots=True)
class _Open:
    """The ionic step that is being read."""

    cell: FloatArray | None = None
    stress: FloatArray | None = None
    table: FloatArray | None = None
    electronic: int = 0
    reached: bool | None = None

    def step(self, header: VaspHeader, energy: float) -> Step | str:
        if self.cell is None or self.table is None:
            return "cell, positions or forces are missing"
        if len(self.table) != len(header.symbols):
            return f"the potentials and `ions per type` give {len(header.symbols)} ions, the table {len(self.table)}"
        converged = self.reached
        if converged is None and header.nelm is not None and self.electronic:
            converged = self.electronic < header.nelm
        atoms = Atoms(symbols=header.symbols, positions=self.table[:, :3], cell=self.cell, pbc=True)
        return Step(atoms, energy, self.table[:, 3:].copy(), self.stress, converged)


def read_outcar(path: Path) -> Iterator[VaspHeader | Step | Rest]:
    """Header and ionic steps of an OUTCAR, one at a time.

    The energy is the free energy (`free  energy   TOTEN`), whose gradient VASP's forces are.
    Stresses in kbar with VASP's sign become eV/Å³ with ASE's. A step counts as converged if
    VASP says that EDIFF was reached or, where it says neither, if it took fewer electronic
    steps than NELM.

    Yields:
        The header once, before the first step; what could not be read as `Rest`.
    """
    number = 0
    try:
        with open_text(path) as file:
            for found in _parse(file):
                yield found
                number += isinstance(found, Step)
    except READING_ERRORS as error:
        yield Rest(f"The file is damaged after {number} ionic steps ({type(error).__name__}: {error}).")


def _parse(lines: Iterator[str]) -> Iterator[VaspHeader | Step | Rest]:
    gathered, header, current = _Header(), None, _Open()
    finished, number = False, 0
    for line in lines:
        if header is None:
            gathered.take(line)
        if "Iteration" in line and "(" in line and line.lstrip().startswith("-"):
            if header is None:
                header = gathered.finished()
                yield header
            current.electronic += 1
        elif "direct lattice vectors" in line and "reciprocal" in line:
            current.cell = _cell(lines)
        elif line.startswith("  in kB"):
            current.stress = _stress(line)
        elif "aborting loop" in line:
            current.reached = "not" not in line
        elif "POSITION" in line and "TOTAL-FORCE" in line:
            current.table = _table(lines)
        elif "free  energy   TOTEN" in line:
            if header is None:
                header = gathered.finished()
                yield header
            step = current.step(header, float(_FLOAT.findall(line)[0])) if _FLOAT.search(line) else "no energy"
            yield Rest(f"Ionic step {number} was not read: {step}.") if isinstance(step, str) else step
            number += 1
            current = _Open(cell=current.cell)
        elif any(mark in line for mark in _END):
            finished = True
    if header is None:
        yield Rest("It holds no ionic step.")
    elif not finished:
        begun = current.electronic or current.table is not None
        tail = ", inside the next one" if begun else ""
        yield Rest(f"The calculation was stopped or the file cut after {number} ionic steps{tail}; those were read.")


def _cell(lines: Iterator[str]) -> FloatArray | None:
    rows = [_FLOAT.findall(next(lines, ""))[:3] for _ in range(3)]
    return np.array(rows, dtype=float) if all(len(row) == 3 for row in rows) else None


def _stress(line: str) -> FloatArray | None:
    values = _FLOAT.findall(line)
    if len(values) != 6:
        return None
    xx, yy, zz, xy, yz, zx = (-float(value) * _KBAR for value in values)
    return np.array([xx, yy, zz, yz, zx, xy])


def _table(lines: Iterator[str]) -> FloatArray | None:
    """Positions and forces between two rules, shape (n, 6); None if cut or overflown (`****`)."""
    next(lines, "")
    rows: list[list[str]] = []
    for line in lines:
        if line.lstrip().startswith("---"):
            table = np.array([[float(value) for value in row] for row in rows])
            return table if table.ndim == 2 else None
        values = _FLOAT.findall(line)
        if len(values) != 6:
            return None
        rows.append(values)
    return None
