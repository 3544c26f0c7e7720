"""Frames in ASE's own formats: extended XYZ, trajectories and databases."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.files import open_text
from defectscout.learning.readers.names import Said, read_name
from defectscout.learning.readers.steps import Rest, Step, voigt

_ENERGY = ("REF_energy", "free_energy", "energy")
"""Where the energy is looked for, the first to be asked first. `REF_energy` is MACE's; the free
energy goes before `energy`, which codes that smear their electrons extrapolate to zero width."""
_FORCES = ("REF_forces", "forces", "force")
_STRESS = ("REF_stress", "stress")


def read_extxyz(path: Path) -> Iterator[Item | Rest]:
    """Frames of an extended XYZ file, one at a time; stops at the first malformed one."""
    from ase.io import read

    number = 0
    try:
        with open_text(path) as file:
            while first := file.readline():
                if not first.strip():
                    continue
                lines = list(islice(file, int(first) + 1))
                if len(lines) != int(first) + 1 or _is_cut(lines):
                    yield Rest(f"The file ends inside frame {number} (counted from 0); what stands before was read.")
                    return
                item = item_of(read(io.StringIO(first + "".join(lines)), format="extxyz"))
                yield Rest(f"Frame {number} (counted from 0) was not read: {item}.") if isinstance(item, str) else item
                number += 1
    except Exception as error:  # ASE's parser raises whatever it stumbles over
        yield Rest(f"Frame {number} (counted from 0) and what follows were not read: {_said(error)}.")


def read_traj(path: Path) -> Iterator[Item | Rest]:
    """Frames of an ASE trajectory."""
    from ase.io.trajectory import Trajectory

    number = 0
    try:
        with Trajectory(path) as frames:
            for number in range(len(frames)):
                item = item_of(frames[number])
                yield Rest(f"Frame {number} (counted from 0) was not read: {item}.") if isinstance(item, str) else item
    except Exception as error:  # ASE's reader raises whatever it stumbles over
        yield Rest(f"Frame {number} (counted from 0) and what follows were not read: {_said(error)}.")


def read_db(path: Path) -> Iterator[Item | Rest]:
    """Rows of an ASE database; what they are of stands in their key-value pairs or their data."""
    from ase.db import connect

    try:
        for row in connect(path, use_lock_file=False).select():
            atoms = row.toatoms()
            atoms.info = {**row.data, **row.key_value_pairs}
            for key in ("forces", "REF_forces"):
                if key in row.data:
                    atoms.arrays[key] = np.asarray(row.data[key], dtype=float)
            item = item_of(atoms)
            yield Rest(f"Row {row.id} was not read: {item}.") if isinstance(item, str) else item
    except Exception as error:  # ASE's reader raises whatever it stumbles over
        yield Rest(f"The database was not read to its end: {_said(error)}.")


def item_of(atoms: Atoms) -> Item | str:
    """A frame that ASE has read, or what it lacks."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    energy = _first(_ENERGY, atoms.info, results)
    forces = _first(_FORCES, atoms.arrays, results)
    if energy is None:
        return "it has no energy (energy, free_energy or REF_energy)"
    if forces is None:
        return "it has no forces (forces or REF_forces)"
    step = Step(
        atoms=bare(atoms),
        energy=float(energy),
        forces=np.asarray(forces, dtype=float).reshape(-1, 3),
        stress=_stress(atoms, results),
        scf_converged=_truth(atoms.info.get("scf_converged")),
    )
    number = atoms.info.get("step")
    return Item(said_by(atoms.info), step, int(number) if isinstance(number, int | np.integer) else None)


def said_by(info: Mapping[str, Any]) -> Said:
    """What the keys of a frame say: host, defect, charge, start or label, method or functional, config_type."""
    charge = info.get("charge", info.get("total_charge"))
    start = info.get("start", info.get("label"))
    method = info.get("method", info.get("functional"))
    said = Said(
        host=_text(info.get("host")),
        defect=_text(info.get("defect")),
        charge=round(float(charge)) if isinstance(charge, int | float | np.number) else None,
        method=_text(method),
        start=_text(start),
    )
    labels = [_text(info.get(key)) for key in ("config_type", "label")]
    for label in labels:
        if label is not None and said.defect is None:
            said = said.over(read_name(label))
    return said


def bare(atoms: Atoms) -> Atoms:
    """Species, positions, cell and periodicity only."""
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def _is_cut(lines: list[str]) -> bool:
    """Whether the last line of a frame is shorter than the one above it and the file ends there."""
    last = lines[-1]
    return not last.endswith("\n") and len(lines) > 2 and len(last) < len(lines[-2].rstrip("\n"))


def _first(keys: tuple[str, ...], own: Mapping[str, Any], results: Mapping[str, Any]) -> Any:
    for key in keys:
        for place in (own, results):
            if place.get(key) is not None:
                return place[key]
    return None


def _stress(atoms: Atoms, results: Mapping[str, Any]) -> FloatArray | None:
    stress = _first(_STRESS, atoms.info, results)
    if stress is not None:
        return voigt(np.asarray(stress, dtype=float))
    virial = _first(("REF_virials", "virials", "virial"), atoms.info, results)
    if virial is not None and atoms.cell.rank == 3:
        return -voigt(np.asarray(virial, dtype=float)) / float(atoms.get_volume())
    return None


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _truth(value: object) -> bool | None:
    return None if value is None else bool(value) and value not in ("F", "False")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
