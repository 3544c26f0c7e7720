"""One relaxation as AiiDA stores it: what is to be run, apart from the structure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.errors import CalculationError, InputFileError, UnknownMethodError
from defectscout.core.files import write_atomically
from defectscout.references.base import ElectronicState
from defectscout.references.engines.base import Calculation, Purpose, RunnableEngine

LEFT_OUT = "left-out.sha256"
"""Names and hashes of input files that are stored nowhere, such as POTCAR."""


@dataclass(frozen=True, slots=True)
class RelaxationTask:
    """One relaxation.

    Attributes:
        engine: name of the engine.
        preset: its settings: a name, or the path of a TOML file as it was given.
        title: `v_Cd_0 Bond_Distortion_-60.0%`.
        charge: of the cell, e.
        multiplicity: spin multiplicity 2S+1; None if the engine chooses.
        defect: label of the defect; empty if it is none.
        candidate: label of the candidate; empty if it is none.
        purpose: what relaxes.
        preset_text: content of the TOML file; empty for a named preset.
    """

    engine: str
    preset: str
    title: str
    charge: int
    multiplicity: int | None
    defect: str = ""
    candidate: str = ""
    purpose: Purpose = Purpose.DEFECT
    preset_text: str = ""

    def calculation(self, atoms: Atoms) -> Calculation:
        """The calculation of a structure."""
        return Calculation(self.title, atoms, ElectronicState(self.charge, self.multiplicity), self.purpose)


_TASK = TypeAdapter(RelaxationTask)


def task_to_dict(task: RelaxationTask) -> dict[str, Any]:
    """A task as plain data."""
    content: dict[str, Any] = _TASK.dump_python(task, mode="json")
    return content


def task_from_dict(content: Mapping[str, Any]) -> RelaxationTask:
    """The inverse of `task_to_dict`."""
    return _TASK.validate_python(dict(content))


def runnable_engine(name: str) -> RunnableEngine:
    """An engine that a queue can run.

    Raises:
        UnknownMethodError: there is no such engine, or its calculations have to be run by hand.
    """
    from defectscout.references.engines.registry import available_engines, load_engine

    engine = load_engine(name)
    if not isinstance(engine, RunnableEngine):
        others = [other for other in available_engines() if isinstance(load_engine(other), RunnableEngine)]
        raise UnknownMethodError(
            f"Calculations of {engine.info.program} can be written, but not run through a queue: its output is not "
            f"read. Run them by hand (defectscout inputs), or choose one of {', '.join(others)}."
        )
    return engine


def read_preset(preset: str) -> str:
    """Content of a preset that is a file; empty for a name.

    Raises:
        InputFileError: the file cannot be read.
    """
    if not preset.endswith(".toml"):
        return ""
    try:
        return Path(preset).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InputFileError(f"The preset {preset} cannot be read: {reason}.") from None


@contextmanager
def usable_preset(preset: str, text: str) -> Iterator[str]:
    """What an engine takes as its preset: the name, or a file with the content that was stored."""
    if not text:
        yield preset
        return
    with TemporaryDirectory(prefix="defectscout-") as folder:
        path = Path(folder) / Path(preset).name
        path.write_text(text, encoding="utf-8")
        yield str(path)


def write_task(folder: Path, atoms: Atoms, task: RelaxationTask) -> tuple[str, ...]:
    """Write the input of a task, all files of it.

    Returns:
        What is missing before it can run.

    Raises:
        DefectscoutError: see `Engine.write`.
    """
    engine = runnable_engine(task.engine)
    with usable_preset(task.preset, task.preset_text) as preset:
        return engine.write(folder, task.calculation(atoms), preset)


def leave_out(folder: Path, task: RelaxationTask) -> None:
    """Remove what may not be stored from a folder, and leave its hashes."""
    rows = []
    for name in runnable_engine(task.engine).execution.secret:
        path = folder / name
        if path.is_file():
            rows.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
            path.unlink()
    if rows:
        write_atomically(folder / LEFT_OUT, "".join(rows))


def put_back(folder: Path, atoms: Atoms, task: RelaxationTask) -> tuple[str, ...]:
    """Make what was left out anew, from what this machine has.

    Args:
        folder: with the other files.
        atoms: the structure that the input was written for.
        task: what is run.

    Returns:
        Names of the files.

    Raises:
        CalculationError: a file cannot be made here, or is another than when the input was written.
    """
    names = runnable_engine(task.engine).execution.secret
    if not names:
        return ()
    known = _hashes(folder / LEFT_OUT)
    with TemporaryDirectory(prefix="defectscout-") as made:
        notes = write_task(Path(made), atoms, task)
        for name in names:
            path = Path(made) / name
            if not path.is_file():
                raise CalculationError(
                    f"{name} of {task.title} cannot be made on this machine: {' '.join(notes) or 'it was not written'}"
                )
            content = path.read_bytes()
            if name in known and hashlib.sha256(content).hexdigest() != known[name]:
                raise CalculationError(
                    f"{name} of {task.title} is another on this machine than when its input was written. Give "
                    "pymatgen the same potentials again, or submit anew."
                )
            (folder / name).write_bytes(content)
    return names


def _hashes(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 2}


def in_given_order(start: Atoms, atoms: Atoms, task: RelaxationTask) -> Any:
    """Indices that bring atoms of an engine's output into the order of the structure that was given.

    Raises:
        CalculationError: they are other atoms.
    """
    import numpy as np

    from defectscout.sampling.poscar import poscar_order

    order = np.arange(len(start))
    if not runnable_engine(task.engine).info.order_kept:
        order = np.argsort(poscar_order(start))
    if len(atoms) != len(start) or not (atoms.numbers[order] == start.numbers).all():
        raise CalculationError(
            f"The output of {task.title} has other atoms ({atoms.get_chemical_formula()}) than its input "
            f"({start.get_chemical_formula()})."
        )
    return order
