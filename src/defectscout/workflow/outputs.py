"""What a relaxation that ran elsewhere has written so far: its ionic steps, joined over its runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from defectscout.core.errors import InputFileError
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.files import natural, plain_name, walk
from defectscout.learning.readers.formats import Found, Kind, recognise
from defectscout.learning.readers.names import Said
from defectscout.learning.readers.others import items_of
from defectscout.learning.readers.steps import Rest, Step, problem_of
from defectscout.learning.readers.vasp import (
    VaspRelaxation,
    coarser_sibling_of,
    header_of,
    read_relaxation,
    vasp_relaxations,
)

_VASP = (Kind.OUTCAR, Kind.VASPRUN)
_OTHERS = (Kind.CP2K, Kind.ESPRESSO, Kind.EXTXYZ, Kind.TRAJ)
_RUN = re.compile(r"(?:run|restart|cont|part)[_-]?(?P<number>\d+)")
_NUMBERED = re.compile(r"(?P<name>.+)\.(?P<number>\d+)")
_START = "this relaxation"
_LAST = 10**9  # a file without a number is the newest
_SAME, _SAME_ENERGY = 1e-4, 1e-3  # Å, eV


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The ionic steps of one relaxation.

    Attributes:
        source: the file or folder that they were read from.
        steps: number and content of each, in order; atoms as the code has them.
        taken: ionic steps that the code has taken, those that are left out of `steps` among them.
        method: the functional's name; empty where the output does not say.
        charge: charge of the cell, e; None where the output does not say.
        notes: what was not read, and why.
    """

    source: Path
    steps: tuple[tuple[int, Step], ...]
    taken: int
    method: str
    charge: int | None
    notes: tuple[str, ...]


def read_output(folder: Path) -> Output | None:
    """The ionic steps in the folder of one calculation; None if it holds no output.

    Runs that go on from each other are joined (`OUTCAR.1`, `run1/`). Where a later run began elsewhere, as one does
    that starts over, the last one counts. Steps without a converged electronic structure are left out, for their
    energies and forces are none.

    Raises:
        InputFileError: the folder holds several calculations.
    """
    if not folder.is_dir():
        return None
    files = [path for _, paths in walk(folder) for path in paths]
    found = [item for path in files if (item := _recognised(path)).kind in (*_VASP, *_OTHERS)]
    vasp = [item.path for item in found if item.kind in _VASP]
    if vasp:
        relaxation = _one(folder, vasp_relaxations(vasp))
        header = header_of(relaxation)
        items = read_relaxation(relaxation, Said(start=_START), SourceDefaults())
        charge = header.charge if header is not None else None
        return _output(relaxation.source, items, charge)
    others = sorted(found, key=_order)
    if not others:
        return None
    source = others[0].path if len(others) == 1 else folder
    return _output(source, _joined(others), None)


def _recognised(path: Path) -> Found:
    """The format of a file; that of an earlier run has a number behind its name."""
    found = recognise(path)
    numbered = _NUMBERED.fullmatch(plain_name(path))
    if found.kind is not Kind.NOTHING or numbered is None or not numbered["name"].endswith((".out", ".pwo", ".log")):
        return found
    return recognise(path, asked_for=True)


def _order(found: Found) -> tuple[int, int, tuple[tuple[int, int, str], ...]]:
    run = _RUN.fullmatch(found.path.parent.name)
    numbered = _NUMBERED.fullmatch(plain_name(found.path))
    return (
        int(run["number"]) if run is not None else _LAST,
        int(numbered["number"]) if numbered is not None else _LAST,
        natural(found.path),
    )


def _one(folder: Path, relaxations: Sequence[VaspRelaxation]) -> VaspRelaxation:
    """The relaxation of a folder: in itself, or that in it with the finest k-points."""
    own = [relaxation for relaxation in relaxations if relaxation.folder == folder]
    if own:
        return own[0]
    finest = [relaxation for relaxation in relaxations if coarser_sibling_of(relaxation, relaxations) is None]
    if len(finest) == 1:
        return finest[0]
    raise InputFileError(
        f"{folder} holds {len(finest)} calculations ({', '.join(item.folder.name for item in finest[:4])}): keep the "
        "one that counts in it, and move the others out."
    )


def _joined(found: Iterable[Found]) -> Iterator[Item | Rest]:
    """Items of several files, where each goes on from the one before; a repeated step is left out."""
    end: Step | None = None  # of the file before
    number = 0
    for one in found:
        begins, last = True, end
        for item in items_of(one):
            if isinstance(item, Rest):
                yield item
                continue
            end = item.step
            if begins and last is not None and _repeats(item.step, last):
                begins = False
                continue
            begins = False
            yield Item(item.said, item.step, number)
            number += 1


def _repeats(step: Step, last: Step) -> bool:
    if len(step.atoms) != len(last.atoms) or abs(step.energy - last.energy) > _SAME_ENERGY:
        return False
    difference = step.atoms.get_scaled_positions(wrap=False) - last.atoms.get_scaled_positions(wrap=False)
    return bool(np.abs((difference - np.round(difference)) @ step.atoms.cell.array).max() < _SAME)


def _output(source: Path, items: Iterable[Item | Rest], charge: int | None) -> Output:
    notes, all_items = [], []
    for item in items:
        if isinstance(item, Rest):
            notes.append(item.reason)
        else:
            all_items.append(item)
    if not all_items:
        return Output(source, (), 0, "", charge, (*notes,) or ("It holds no ionic step.",))
    last = all_items[-1].said
    counted = [item for item in all_items if item.said.start == last.start]
    if len(counted) < len(all_items):
        notes.append(f"{len(all_items) - len(counted)} ionic steps of earlier runs that began elsewhere were left out.")
    steps = []
    for place, item in enumerate(counted):
        problem = problem_of(item.step)
        if not problem and item.step.scf_converged is False:
            problem = "its electronic structure did not converge"
        if problem:
            notes.append(f"Ionic step {place + 1} was left out: {problem}.")
        else:
            steps.append((place, item.step))
    return Output(
        source=source,
        steps=tuple(steps),
        taken=len(counted),
        method=last.method or "",
        charge=charge if charge is not None else last.charge,
        notes=tuple(notes),
    )
