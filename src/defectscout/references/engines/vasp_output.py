"""How far a run of VASP has come, from whatever of its output is there, cut anywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from defectscout.references.engines.vasp_folder import READING_ERRORS, RunFiles, open_bytes, open_text
from defectscout.references.engines.vasp_incar import incar_number, incar_tags

_TAIL_LINES = 400
_NUMBER = re.compile(r"-?\d*\.\d+(?:[Ee][+-]?\d+)?|-?\d+")
_FLOAT = re.compile(r"-?\d+\.\d+")
_SETTING = re.compile(r"^\s+(NELM|NSW|EDIFFG|IBRION|NBANDS)\s*=\s*([^\s;]+)")
_BANDS = re.compile(r"NBANDS=\s*(\d+)")
REACHED = "reached required accuracy"
_CLOSED = ("General timing and accounting", "Total CPU time used")
_STOPPED = ("soft stop encountered", "hard stop encountered")
_LARGE = frozenset({"eigenvalues", "dos", "projected", "dielectricfunction", "kpoints"})
_ELECTRONIC = re.compile(r"^\s*(?:DAV|RMM|CG|CGA|DMP|SDA|DIA|CGD)\s*:\s*(\d+)")
_IONIC = re.compile(r"^\s*\d+\s+(?:T=.*?)?F=\s*(\S+)")


@dataclass(slots=True)
class Progressed:
    """How far a run has come, gathered while its output is read.

    Attributes:
        energies: free energy of each complete ionic step, eV.
        fmax: largest force on an atom of the last one, eV/Å; None where the output does not say.
        electronic: electronic steps of each complete ionic step.
        unconverged: of each, whether VASP said that EDIFF was not reached; None where it does not say.
        settings: NELM, NSW, EDIFFG, IBRION, NBANDS as VASP understood them.
        reached: whether VASP said that the forces (or energies) have reached EDIFFG.
        closed: whether the output has its last lines.
        stopped: whether VASP stopped because of a STOPCAR.
        tail: the last lines.
    """

    energies: list[float] = field(default_factory=list)
    fmax: float | None = None
    electronic: list[int] = field(default_factory=list)
    unconverged: list[bool | None] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)
    reached: bool = False
    closed: bool = False
    stopped: bool = False
    tail: str = ""

    @property
    def steps(self) -> int:
        """Complete ionic steps."""
        return len(self.energies)

    def scf_failed(self) -> tuple[bool, ...]:
        """Of each complete ionic step, whether its electronic structure did not converge."""
        nelm = self.settings.get("NELM", 60)
        return tuple(
            said if said is not None else count >= nelm
            for said, count in zip(self.unconverged, self.electronic, strict=True)
        )

    @property
    def forces_below(self) -> bool:
        """Whether the last forces are below -EDIFFG, where that is the criterion."""
        limit = self.settings.get("EDIFFG", 0.0)
        return limit < 0 and self.fmax is not None and self.fmax <= -limit * (1 + 1e-6)


def read_progress(files: RunFiles) -> Progressed:
    """The output that tells most: that with more ionic steps; OUTCAR where OUTCAR and vasprun.xml have as many."""
    found = []
    if files.outcar is not None:
        found.append(read_outcar(files.outcar))
    if files.vasprun is not None and not (found and found[0].closed):
        found.append(read_vasprun(files.vasprun))
    if files.oszicar is not None and not any(item.steps for item in found):
        found.append(read_oszicar(files.oszicar))
    best = max(found, key=lambda item: item.steps)
    incar = files.folder / "INCAR"
    tags = incar_tags(incar.read_text(encoding="utf-8", errors="replace")) if incar.is_file() else {}
    # VASP's defaults, where INCAR is silent; without INCAR nothing is known of NSW and IBRION.
    relaxes = {"NSW": 0.0, "IBRION": -1.0} if incar.is_file() else {"NSW": float("inf"), "IBRION": 2.0}
    for name, default in {"NELM": 60.0, "EDIFFG": 0.0, **relaxes}.items():
        best.settings.setdefault(name, incar_number(tags, name, default))
    best.reached = any(item.reached for item in found)
    best.stopped = any(item.stopped for item in found)
    best.closed = any(item.closed for item in found)
    best.tail = "\n".join(item.tail for item in found)
    return best


def read_outcar(path: Path) -> Progressed:
    """How far an OUTCAR has come."""
    run, tail = Progressed(), deque[str](maxlen=_TAIL_LINES)
    electronic, unconverged, table = 0, None, 0
    fmax: float | None = None
    largest = 0.0
    try:
        with open_text(path) as lines:
            for line in lines:
                tail.append(line)
                if table:
                    if line.lstrip().startswith("---"):
                        table += 1
                        if table == 3:
                            fmax, table = largest**0.5, 0
                        continue
                    values = _FLOAT.findall(line)
                    if len(values) == 6:
                        largest = max(largest, sum(float(value) ** 2 for value in values[3:]))
                    else:
                        largest = float("inf")  # **** where a force did not fit
                    continue
                if line.lstrip().startswith("-"):
                    if "Iteration" in line and "(" in line:
                        electronic += 1
                    elif "aborting loop" in line:
                        unconverged = "not" in line
                elif "TOTAL-FORCE" in line and "POSITION" in line:
                    table, largest = 1, 0.0
                elif "free  energy   TOTEN" in line:
                    run.energies.append(_energy(line))
                    run.electronic.append(electronic)
                    run.unconverged.append(unconverged)
                    run.fmax, fmax = fmax, None
                    electronic, unconverged = 0, None
                elif not run.energies and (match := _SETTING.match(line)) is not None:
                    _set(run.settings, match[1], match[2])
                elif not run.energies and (match := _BANDS.search(line)) is not None:
                    _set(run.settings, "NBANDS", match[1])
                elif REACHED in line:
                    run.reached = True
                elif any(mark in line for mark in _STOPPED):
                    run.stopped = True
                elif any(mark in line for mark in _CLOSED):
                    run.closed = True
    except READING_ERRORS:
        pass  # cut: what was read counts
    run.tail = "".join(tail)
    return run


def read_vasprun(path: Path) -> Progressed:
    """How far a vasprun.xml has come; it does not say itself whether EDIFFG was reached, its forces do."""
    run = Progressed()
    try:
        with open_bytes(path) as stream:
            for _, element in ET.iterparse(stream, events=("end",)):
                if element.tag in ("incar", "parameters"):
                    for item in element.iter("i"):
                        name = item.get("name", "")
                        if name in ("NELM", "NSW", "EDIFFG", "IBRION", "NBANDS") and name not in run.settings:
                            _set(run.settings, name, (item.text or "").strip())
                elif element.tag in _LARGE:
                    element.clear()
                elif element.tag == "calculation":
                    _take_calculation(run, element)
                    element.clear()
            run.closed = True
    except ET.ParseError:
        pass  # cut: what was read counts
    except READING_ERRORS:
        pass  # packed and cut
    run.reached = run.closed and run.forces_below
    return run


def read_oszicar(path: Path) -> Progressed:
    """How far an OSZICAR has come: energies and electronic steps only."""
    run, electronic = Progressed(), 0
    try:
        with open_text(path) as lines:
            for line in lines:
                match = _ELECTRONIC.match(line)
                if match is not None:
                    electronic = int(match[1])
                elif (match := _IONIC.match(line)) is not None:
                    run.energies.append(_float(match[1]))
                    run.electronic.append(electronic)
                    run.unconverged.append(None)
                    electronic = 0
    except READING_ERRORS:
        pass
    return run


def _take_calculation(run: Progressed, element: ET.Element) -> None:
    energy = element.find("energy/i[@name='e_fr_energy']")
    forces = element.find("varray[@name='forces']")
    if energy is None or forces is None:
        return
    try:
        rows = [[float(value) for value in (row.text or "").split()] for row in forces.findall("v")]
        run.fmax = max((sum(value**2 for value in row) for row in rows), default=0.0) ** 0.5
    except ValueError:
        run.fmax = float("inf")
    run.energies.append(_float(energy.text or ""))
    run.electronic.append(len(element.findall("scstep")))
    run.unconverged.append(None)


def _energy(line: str) -> float:
    numbers = _NUMBER.findall(line.split("=", 1)[-1])
    return float(numbers[0]) if numbers else float("inf")


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


def _set(settings: dict[str, float], name: str, text: str) -> None:
    value = incar_number({name: text}, name, float("nan"))
    if value == value:
        settings[name] = value


def settings_of(files: RunFiles) -> Mapping[str, str]:
    """Tags of the INCAR beside a run; empty where there is none."""
    incar = files.folder / "INCAR"
    return incar_tags(incar.read_text(encoding="utf-8", errors="replace")) if incar.is_file() else {}
