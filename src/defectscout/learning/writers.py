"""Frames written in the forms that other tools train on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from defectscout.core.errors import DatasetError
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.learning.frames import LabelledFrame

Format = Literal["extxyz", "traj", "db", "json"]


def write_frames(frames: Iterable[LabelledFrame], out: Path, format: Format) -> int:
    """Write frames one at a time; `readers.read_source` reads them back.

    Energies are in eV, forces in eV/Å. Stresses are in eV/Å³ with ASE's sign, in `json` in GPa
    with ASE's sign. The origin of each frame stands beside it (`host`, `defect`, `charge`,
    `start`, `step`, `method`, `config_type`).

    Args:
        frames: what to write.
        out: the file; `.gz` compresses extxyz and json. It appears when it is complete.
        format: `json` is M3GNet's and matgl's form: lists of structures (pymatgen's dictionaries),
            energies, forces, stresses and labels.

    Returns:
        How many frames were written.

    Raises:
        DatasetError: the file exists or cannot be written, or there is no frame.
    """
    if out.exists():
        raise DatasetError(f"{out} exists and was not overwritten. Remove it, or choose another file.")
    # The suffixes stay at the end: they choose the compression.
    part = out.with_name(f".part-{out.name}")
    count = 0
    try:
        part.unlink(missing_ok=True)
        with _WRITERS[format](part) as writer:
            for frame in frames:
                writer.add(frame)
                count += 1
        if count:
            part.replace(out)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
    if not count:
        raise DatasetError(f"There was no frame to write into {out}: nothing is selected.")
    return count


def labels_of(frame: LabelledFrame) -> dict[str, Any]:
    """What a frame is of, as plain values."""
    origin = frame.origin
    charge = "" if origin.is_bulk else f"_{origin.charge}"
    labels: dict[str, Any] = {
        "host": origin.host,
        "defect": origin.defect,
        "charge": origin.charge,
        "start": origin.start,
        "step": origin.step,
        "method": origin.method,
        "config_type": f"{origin.host}_{origin.defect}{charge}",
    }
    if frame.scf_converged is not None:
        labels["scf_converged"] = frame.scf_converged
    return labels


class _Writer(AbstractContextManager["_Writer"]):
    """Writes one file."""

    def add(self, frame: LabelledFrame) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Extxyz(_Writer):
    def __init__(self, path: Path) -> None:
        self._file = _open(path)

    def add(self, frame: LabelledFrame) -> None:
        from ase.io import write

        write(self._file, _with_results(frame), format="extxyz")

    def __exit__(self, *details: object) -> None:
        self._file.close()


class _Traj(_Writer):
    def __init__(self, path: Path) -> None:
        from ase.io.trajectory import Trajectory

        self._trajectory = Trajectory(path, "w")

    def add(self, frame: LabelledFrame) -> None:
        self._trajectory.write(_with_results(frame))

    def __exit__(self, *details: object) -> None:
        self._trajectory.close()


class _Db(_Writer):
    def __init__(self, path: Path) -> None:
        from ase.db import connect

        self._database = connect(path, type="db", use_lock_file=False)

    def __enter__(self) -> _Db:
        self._database.__enter__()
        return self

    def add(self, frame: LabelledFrame) -> None:
        # In `data`: values of key-value pairs may not read like numbers or formulas, and hosts do.
        atoms = _with_results(frame)
        self._database.write(atoms, data=dict(atoms.info))

    def __exit__(self, *details: Any) -> None:
        self._database.__exit__(*details)


class _Json(_Writer):
    """One list after the other would need all frames at once: each list grows in a file of its own."""

    _KEYS = ("structures", "energies", "forces", "stresses", "labels")

    def __init__(self, path: Path) -> None:
        import tempfile

        self._path = path
        self._parts = {key: tempfile.TemporaryFile("w+", encoding="utf-8") for key in self._KEYS}  # noqa: SIM115

    def add(self, frame: LabelledFrame) -> None:
        stress = frame.prediction.stress
        values = {
            "structures": _structure(frame.atoms),
            "energies": frame.prediction.energy,
            "forces": frame.prediction.forces.tolist(),
            "stresses": None if stress is None else (stress[_FULL] * EV_PER_A3_IN_GPA).tolist(),
            "labels": labels_of(frame),
        }
        for key, value in values.items():
            part = self._parts[key]
            part.write(",\n" if part.tell() else "")
            part.write(json.dumps(value))

    def __exit__(self, *details: object) -> None:
        import shutil

        with _open(self._path) as file:
            for number, (key, part) in enumerate(self._parts.items()):
                file.write(f'{"{" if not number else ","}"{key}": [')
                part.seek(0)
                shutil.copyfileobj(part, file)
                file.write("]")
                part.close()
            file.write("}\n")


_FULL = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_WRITERS: dict[str, Callable[[Path], _Writer]] = {"extxyz": _Extxyz, "traj": _Traj, "db": _Db, "json": _Json}


def _open(path: Path) -> Any:
    import gzip

    return gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8")


def _with_results(frame: LabelledFrame) -> Atoms:
    atoms = Atoms(
        numbers=frame.atoms.numbers, positions=frame.atoms.positions, cell=frame.atoms.cell, pbc=frame.atoms.pbc
    )
    atoms.info = labels_of(frame)
    prediction = frame.prediction
    results: dict[str, Any] = {"energy": prediction.energy, "forces": prediction.forces}
    if prediction.stress is not None:
        results["stress"] = prediction.stress
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _structure(atoms: Atoms) -> dict[str, Any]:
    """pymatgen's dictionary of a structure, without its site properties."""
    lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
    scaled = atoms.get_scaled_positions(wrap=False)
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {
            "matrix": atoms.cell.array.tolist(),
            "pbc": [True, True, True],
            **dict(zip("abc", lengths.tolist(), strict=True)),
            **dict(zip(("alpha", "beta", "gamma"), angles.tolist(), strict=True)),
            "volume": float(atoms.get_volume()),
        },
        "properties": {},
        "sites": [
            {
                "species": [{"element": symbol, "occu": 1}],
                "abc": fractional.tolist(),
                "properties": {},
                "label": symbol,
                "xyz": position.tolist(),
            }
            for symbol, fractional, position in zip(atoms.get_chemical_symbols(), scaled, atoms.positions, strict=True)
        ],
    }
