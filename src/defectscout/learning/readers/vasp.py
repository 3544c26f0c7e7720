"""VASP calculations in the folders that people have them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from defectscout.learning.frames import BULK
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.files import open_text, plain_name
from defectscout.learning.readers.names import AS_RUN, Said
from defectscout.learning.readers.outcar import read_outcar
from defectscout.learning.readers.steps import Rest, Step
from defectscout.learning.readers.vasp_header import VaspHeader
from defectscout.learning.readers.vasprun import read_vasprun

_FILE = re.compile(r"(?P<kind>OUTCAR|vasprun(?:\.xml)?)(?:[._-]?(?P<number>\d+))?(?:\.xml)?")
_RUN = re.compile(r"(?:run|restart|cont|part)[_-]?(?P<number>\d+)")
_LAST = 10**9  # the file without a number is the newest
_SAME, _SAME_ENERGY = 1e-4, 1e-3  # Å, eV
_CONTINUES = 1.0  # Å, of any atom
_KPOINTS = ("vasp_std", "vasp_nkred_std", "vasp_gam")
"""doped's calculations of one defect, from the finest k-points to the coarsest."""


@dataclass(frozen=True, slots=True)
class VaspRun:
    """One run of VASP: its OUTCAR, its vasprun.xml or both."""

    order: tuple[int, int]
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class VaspRelaxation:
    """A relaxation: one run of VASP, or several that go on from each other.

    Attributes:
        folder: its folder; that above `run1`, `run2`, ... where there are such.
        runs: first to last.
    """

    folder: Path
    runs: tuple[VaspRun, ...]

    @property
    def source(self) -> Path:
        """The file, where there is but one; else the folder."""
        files = [file for run in self.runs for file in run.files]
        return files[0] if len(files) == 1 else self.folder


def is_vasp_name(path: Path) -> bool:
    """Whether a file is named like an OUTCAR or a vasprun.xml, compressed, numbered or not."""
    return _FILE.fullmatch(plain_name(path)) is not None


def vasp_relaxations(files: Sequence[Path]) -> tuple[VaspRelaxation, ...]:
    """Sort OUTCAR and vasprun.xml files into relaxations.

    Runs are files with numbers behind their names (`vasprun.xml.0.gz`, `OUTCAR.1`; the one
    without comes last) or folders such as `run1`.
    """
    placed = sorted((_placed(file) for file in files), key=lambda item: (str(item[0]), item[1]))
    relaxations = []
    for folder, of_folder in groupby(placed, key=lambda item: item[0]):
        runs = [
            VaspRun(order, tuple(file for _, _, file in of_run))
            for order, of_run in groupby(of_folder, key=lambda item: item[1])
        ]
        relaxations.append(VaspRelaxation(folder, tuple(runs)))
    return tuple(relaxations)


def _placed(file: Path) -> tuple[Path, tuple[int, int], Path]:
    match = _FILE.fullmatch(plain_name(file))
    number = int(match["number"]) if match is not None and match["number"] else _LAST
    run = _RUN.fullmatch(file.parent.name)
    if run is not None:
        return file.parent.parent, (int(run["number"]), number), file
    return file.parent, (_LAST, number), file


def coarser_sibling_of(relaxation: VaspRelaxation, others: Sequence[VaspRelaxation]) -> str | None:
    """Name of the folder beside it with the same calculation on finer k-points; None if there is none."""
    if relaxation.folder.name not in _KPOINTS:
        return None
    beside = {other.folder.name for other in others if other.folder.parent == relaxation.folder.parent}
    finer = [name for name in _KPOINTS[: _KPOINTS.index(relaxation.folder.name)] if name in beside]
    return finer[0] if finer else None


def read_relaxation(relaxation: VaspRelaxation, said: Said, defaults: SourceDefaults) -> Iterator[Item | Rest]:
    """Ionic steps of a relaxation, numbered through over its runs.

    A run's first step is left out where it repeats the last one of the run before. A run that
    begins more than 1 Å from there is a relaxation of its own, with its name as start. A run with other
    atoms, charge or functional than the first ends the reading.

    Args:
        relaxation: its files.
        said: what its folders say.
        defaults: the default charge settles it where folder and calculation differ.
    """
    number, start = 0, said.start
    last: Step | None = None
    first_header: VaspHeader | None = None
    for run in relaxation.runs:
        file = _chosen(run)
        where = f"{file.name}: " if len(relaxation.runs) > 1 else ""
        fresh = True
        for found in _parser(file)(file):
            if isinstance(found, Rest):
                yield Rest(where + found.reason)
                continue
            if isinstance(found, VaspHeader):
                problem = _conflict(found, said, defaults) or _differs(found, first_header, file)
                if problem:
                    yield Rest(problem)
                    return
                first_header = first_header or found
                charge = 0 if said.defect == BULK else said.charge if said.charge is not None else found.charge
                if said.charge is not None and found.charge != said.charge and defaults.charge is not None:
                    charge = defaults.charge
                own = Said(charge=charge, method=found.method)
                continue
            begins, fresh = fresh and last is not None, False
            if begins and last is not None:
                moved = _moved(found, last)
                repeats = moved < _SAME and abs(found.energy - last.energy) < _SAME_ENERGY
                if repeats and last.scf_converged is not False:  # else this one is the better of the two
                    continue
                if moved > _CONTINUES:
                    own_folder = file.parent != relaxation.folder
                    name = file.parent.name if own_folder else plain_name(file)
                    number, start = 0, f"{said.start or AS_RUN}/{name}"
            last = found
            yield Item(replace(own, start=start), found, number)
            number += 1


def header_of(relaxation: VaspRelaxation) -> VaspHeader | None:
    """What a relaxation's first run says of itself; None if it holds no ionic step."""
    file = relaxation.runs[0].files[0]
    return next((found for found in _parser(file)(file) if isinstance(found, VaspHeader)), None)


def _parser(file: Path) -> Callable[[Path], Iterator[VaspHeader | Step | Rest]]:
    return read_vasprun if plain_name(file).startswith("vasprun") else read_outcar


def _chosen(run: VaspRun) -> Path:
    """The vasprun.xml if it is complete, else the file with more ionic steps."""
    if len(run.files) == 1:
        return run.files[0]
    files = sorted(run.files, key=lambda file: not plain_name(file).startswith("vasprun"))
    if _is_complete(files[0]):
        return files[0]
    return max(files, key=lambda file: sum(isinstance(found, Step) for found in _parser(file)(file)))


def _is_complete(vasprun: Path) -> bool:
    tail = ""
    try:
        with open_text(vasprun) as file:
            while block := file.read(1 << 20):
                tail = (tail + block)[-64:]
    except (OSError, EOFError, ValueError):
        return False
    return "</modeling>" in tail


def _conflict(header: VaspHeader, said: Said, defaults: SourceDefaults) -> str:
    if defaults.charge is not None or said.defect == BULK or None in (said.charge, header.charge):
        return ""
    if said.charge == header.charge:
        return ""
    return (
        f"The folder says charge {said.charge:+d}, the calculation's number of electrons {header.charge:+d}; nothing "
        "was read. Rename the folder, or give --charge."
    )


def _differs(header: VaspHeader, first: VaspHeader | None, file: Path) -> str:
    if first is None or (header.symbols, header.charge, header.method) == (first.symbols, first.charge, first.method):
        return ""
    return (
        f"{file.name} and later runs were not read: atoms, charge or functional are not those of the runs before. "
        "Move it into a folder of its own if it is another calculation."
    )


def _moved(step: Step, last: Step) -> float:
    """How far the first step of a run lies from the last one of the run before: the farthest atom, Å."""
    if not np.allclose(step.atoms.cell.array, last.atoms.cell.array, atol=0.5):
        return float("inf")
    difference = step.atoms.get_scaled_positions(wrap=False) - last.atoms.get_scaled_positions(wrap=False)
    difference -= np.round(difference)
    strain = np.abs(step.atoms.cell.array - last.atoms.cell.array).max()
    return float(max(np.linalg.norm(difference @ step.atoms.cell.array, axis=1).max(), strain))
