"""How a frame is written into the rows of a dataset, and read from them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.db.core import check, now
from ase.db.row import AtomsRow
from numpy.typing import NDArray

from defectscout.core.frames import Prediction
from defectscout.learning.frames import FrameOrigin, LabelledFrame


def to_ase(frame: LabelledFrame) -> AtomsRow:
    """A frame as `ase.db` stores it; ASE keeps the charge of a cell in the atoms' initial charges.

    Made without an `Atoms` and a calculator, whose comparisons would double the time of writing.
    """
    atoms, prediction = frame.atoms, frame.prediction
    columns: dict[str, Any] = {
        "unique_id": uuid4().hex,
        "ctime": now(),
        "user": None,  # a dataset that is passed on does not say who made it
        "numbers": np.asarray(atoms.numbers, dtype=np.int64),
        "positions": np.array(atoms.positions, dtype=float),
        "cell": np.array(atoms.cell.array, dtype=float),
        "pbc": np.ones(3, dtype=bool),
        "energy": float(prediction.energy),
        "forces": np.asarray(prediction.forces, dtype=float),
        "calculator": "unknown",
        "calculator_parameters": {},
    }
    if frame.origin.charge:
        columns["initial_charges"] = np.full(len(atoms), frame.origin.charge / len(atoms))
    if prediction.stress is not None:
        columns["stress"] = np.asarray(prediction.stress, dtype=float)
    return AtomsRow(columns)


def keys(origin: FrameOrigin) -> dict[str, str | int]:
    """What `ase db` selects frames by."""
    return {
        "host": _text(origin.host),
        "defect": _text(origin.defect),
        "charge": origin.charge,
        "start": _text(origin.start),
        "step": origin.step,
        "method": _text(origin.method),
    }


@cache
def _text(value: str) -> str:
    """A text as a value of `ase.db`, which refuses texts that read like a number or a truth value."""
    try:
        check({"start": value})
    except ValueError:
        return f"'{value}'"
    return value


def composition_text(atoms: Atoms) -> str:
    """Elements and their counts, sorted by symbol."""
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    pairs = ((chemical_symbols[number], int(count)) for number, count in zip(numbers, counts, strict=True))
    return json.dumps(sorted(pairs))


def to_origin(values: Sequence[Any]) -> FrameOrigin:
    """Where a frame comes from, from the columns of `frames`."""
    host, defect, charge, start, step, method, source = values
    intern = sys.intern  # a hundred thousand frames share a few dozen names
    return FrameOrigin(intern(host), intern(defect), charge, intern(start), step, intern(method), intern(source))


def to_frame(values: Sequence[Any]) -> LabelledFrame:
    """One frame from the columns of `frames` and `ase.db` (little-endian arrays)."""
    scf, *rest = values
    origin, (numbers, positions, cell, energy, forces, stress) = rest[:7], rest[7:]
    atoms = Atoms(
        numbers=np.frombuffer(numbers, "<i4").astype(int),
        positions=_floats(positions).reshape(-1, 3),
        cell=_floats(cell).reshape(3, 3),
        pbc=True,
    )
    prediction = Prediction(
        energy=float(energy),
        forces=_floats(forces).reshape(-1, 3),
        stress=None if stress is None else _floats(stress),
    )
    return LabelledFrame(atoms, prediction, to_origin(origin), None if scf is None else bool(scf))


def _floats(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, "<f8").astype(float)


def frame_digest(frame: LabelledFrame) -> bytes:
    """Hash of a frame's origin (without its source), structure and labels."""
    origin, prediction = frame.origin, frame.prediction
    names = [origin.host, origin.defect, origin.charge, origin.start, origin.step, origin.method]
    digest = hashlib.sha256(json.dumps(names).encode())
    digest.update(np.asarray(frame.atoms.numbers, "<i4").tobytes())
    arrays = [frame.atoms.positions, frame.atoms.cell.array, prediction.energy, prediction.forces]
    for array in arrays if prediction.stress is None else [*arrays, prediction.stress]:
        digest.update(np.ascontiguousarray(array, "<f8").tobytes())
    return digest.digest()
