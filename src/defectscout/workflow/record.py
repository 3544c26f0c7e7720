"""The record of a campaign: one SQLite file that everything else is rebuilt from.

Configurations are rows of an `ase.db` database (`ase db campaign.db stage=reference`
works); beside them stand three tables of our own: `tasks`, one row for each
relaxation with its state and the checkpoint to go on from, `frames`, which row
each step of it is, and `documents`, what else a campaign must remember. A step of a relaxation, its frame and its
checkpoint are written in one transaction, so that a kill between any two
instructions leaves a record from which the search goes on.
"""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.relaxation.records import Checkpoint, from_bytes, to_bytes

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    stage TEXT NOT NULL,
    defect TEXT NOT NULL,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    evaluations INTEGER NOT NULL DEFAULT 0,
    initial_energy REAL,
    seconds REAL NOT NULL DEFAULT 0,
    start_row INTEGER,
    checkpoint BLOB,
    PRIMARY KEY (stage, defect, label)
);
CREATE TABLE IF NOT EXISTS frames (
    stage TEXT NOT NULL,
    defect TEXT NOT NULL,
    label TEXT NOT NULL,
    step INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (stage, defect, label, step)
);
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""

_STRUCTURE = "systems.numbers, systems.positions, systems.cell, systems.pbc"
# Read as blobs, in one query for all rows: `ase.db` opens the file again for each row that is asked for by its
# id, and selecting by key looks at every frame of the campaign.


HOST, SAMPLING, SCOUT = "host", "sampling", "scout"
"""Stages: relaxations of the host; sampling structures as they begin; their relaxations with the surrogate."""

ASK, REFERENCE, CHECK = "ask", "reference", "check"
"""Stages: single points; relaxations whose ends may be minima; relaxations that check the answer. The learning loop has
all three, a search without it the second alone."""


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Which relaxation or single point.

    Attributes:
        stage: `host`, `sampling`, `scout`, `ask`, `reference` or `check`.
        defect: label of the defect; `bulk` for the host.
        label: the sampling structure that it began from, or what it is.
    """

    stage: str
    defect: str
    label: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.defect}/{self.label}"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One relaxation as recorded.

    Attributes:
        key: which one.
        start: starting structure.
        state: how it stands.
        reason: why it failed or stopped short.
        evaluations: force calls spent so far.
        initial_energy: energy of its first frame, eV.
        seconds: wall time spent so far.
        packed: last frame and the optimiser's state, as stored; None before the first frame.
    """

    key: TaskKey
    start: Atoms
    state: RelaxationState
    reason: str
    evaluations: int
    initial_energy: float | None
    seconds: float
    packed: bytes | None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Last frame and the optimiser's state, to go on from; unpacked anew each time, which takes a millisecond."""
        return _unpack(self.packed, self.start) if self.packed is not None else None

    def as_relaxation(self) -> Relaxation:
        """The end of a finished task."""
        checkpoint = self.checkpoint
        return Relaxation(
            label=self.key.label,
            final=checkpoint.frame if checkpoint is not None else None,
            initial_energy=self.initial_energy,
            state=self.state,
            reason=self.reason,
            n_evaluations=self.evaluations,
        )


class Record:
    """Reads and writes the database of one campaign. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        from ase.db import connect

        # The campaign folder is locked as a whole; ASE's own lock file would
        # outlive a killed process and block the next one.
        self._database = connect(path, type="db", use_lock_file=False)
        self.path = path
        with self._transaction() as connection:
            connection.executescript(_SCHEMA)
            with self._database.managed_connection():
                pass  # makes the tables of `ase.db`, which it would only do at the first configuration

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database:
                yield self._database.connection
        except sqlite3.Error as error:
            raise CampaignError(
                f"Writing the record {self.path} failed: {error}. Check that the disk has room and that the "
                "folder can be written; then run the same command again: what is recorded is safe."
            ) from error

    # documents

    def write_document(self, name: str, content: str) -> None:
        """Store a text under a name, replacing what was there."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, content))

    def read_document(self, name: str) -> str | None:
        """A stored text, or None."""
        with self._transaction() as connection:
            row = connection.execute("SELECT content FROM documents WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    # tasks

    def add_tasks(self, stage: str, defect: str, starts: Sequence[tuple[str, Atoms]]) -> None:
        """Add relaxations to do, all or none; those that are there already stay as they are."""
        with self._transaction() as connection:
            for label, atoms in starts:
                known = connection.execute(
                    "SELECT 1 FROM tasks WHERE stage = ? AND defect = ? AND label = ?", (stage, defect, label)
                ).fetchone()
                if known:
                    continue
                row = self._database.write(_bare(atoms), stage=f"{stage}-start", defect=defect, label=_text(label))
                connection.execute(
                    "INSERT INTO tasks (stage, defect, label, state, start_row) VALUES (?, ?, ?, ?, ?)",
                    (stage, defect, label, RelaxationState.PENDING.value, row),
                )

    def tasks(self, stage: str, defect: str | None = None) -> list[Task]:
        """All relaxations of a stage, in the order in which they were added."""
        query = (
            "SELECT stage, defect, label, state, reason, evaluations, initial_energy, seconds, checkpoint, "
            f"{_STRUCTURE} FROM tasks JOIN systems ON systems.id = tasks.start_row WHERE stage = ?"
        )
        parameters: tuple[str, ...] = (stage,)
        if defect is not None:
            query += " AND defect = ?"
            parameters += (defect,)
        with self._transaction() as connection:
            rows = connection.execute(query + " ORDER BY tasks.rowid", parameters).fetchall()
        return [_task(row) for row in rows]

    def write_steps(self, steps: Sequence[tuple[TaskKey, Checkpoint]], seconds: float) -> None:
        """Store one ionic step of one or more relaxations, in one transaction.

        Args:
            steps: which relaxation, and the step to go on from.
            seconds: wall time since the step before, shared among the relaxations.
        """
        with self._transaction() as connection:
            for key, checkpoint in steps:
                self._write_frame(connection, key, checkpoint.frame)
                connection.execute(
                    "UPDATE tasks SET state = ?, evaluations = ?, seconds = seconds + ?, checkpoint = ?, "
                    "initial_energy = ? WHERE stage = ? AND defect = ? AND label = ?",
                    (
                        RelaxationState.RUNNING.value,
                        checkpoint.frame.step + 1,
                        seconds / len(steps),
                        _pack(checkpoint),
                        checkpoint.initial_energy,
                        key.stage,
                        key.defect,
                        key.label,
                    ),
                )

    def _write_frame(self, connection: sqlite3.Connection, key: TaskKey, frame: Frame) -> None:
        atoms = _bare(frame.atoms)
        results = {"energy": frame.prediction.energy, "forces": frame.prediction.forces}
        if frame.prediction.stress is not None:
            results["stress"] = frame.prediction.stress
        atoms.calc = SinglePointCalculator(atoms, **results)
        row = self._database.write(atoms, stage=key.stage, defect=key.defect, label=_text(key.label), step=frame.step)
        connection.execute(
            "INSERT INTO frames VALUES (?, ?, ?, ?, ?)", (key.stage, key.defect, key.label, frame.step, row)
        )

    def finish(self, key: TaskKey, state: RelaxationState, reason: str, evaluations: int) -> None:
        """Mark a relaxation as ended."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE tasks SET state = ?, reason = ?, evaluations = ? WHERE stage = ? AND defect = ? AND label = ?",
                (state.value, reason, evaluations, key.stage, key.defect, key.label),
            )

    def forget(self, stages: Sequence[str], documents: Sequence[str]) -> None:
        """Remove stages and documents, for a fork that starts again from an earlier stage."""
        with self._transaction() as connection:
            for stage in stages:
                self._delete(connection, "SELECT start_row FROM tasks WHERE stage = ?", (stage,))
                self._delete(connection, "SELECT row FROM frames WHERE stage = ?", (stage,))
                connection.execute("DELETE FROM tasks WHERE stage = ?", (stage,))
                connection.execute("DELETE FROM frames WHERE stage = ?", (stage,))
            for document in documents:
                connection.execute("DELETE FROM documents WHERE name = ?", (document,))

    def forget_frames(self, key: TaskKey) -> None:
        """Remove the kept frames of one relaxation, before they are read again."""
        where, parameters = "WHERE stage = ? AND defect = ? AND label = ?", (key.stage, key.defect, key.label)
        with self._transaction() as connection:
            self._delete(connection, f"SELECT row FROM frames {where}", parameters)
            connection.execute(f"DELETE FROM frames {where}", parameters)

    def _delete(self, connection: sqlite3.Connection, rows: str, parameters: tuple[str, ...]) -> None:
        """Delete configurations; `ase.db` would commit, and so tear the transaction, to compact the file."""
        from ase.db.sqlite import all_tables

        for table in all_tables:
            connection.execute(f"DELETE FROM {table} WHERE id IN ({rows})", parameters)

    # frames

    def frames(self, key: TaskKey) -> list[Frame]:
        """The kept frames of one relaxation, first to last."""
        query = (
            f"SELECT step, energy, forces, stress, {_STRUCTURE} FROM frames JOIN systems ON systems.id = frames.row "
            "WHERE stage = ? AND defect = ? AND label = ? ORDER BY step"
        )
        with self._transaction() as connection:
            rows = connection.execute(query, (key.stage, key.defect, key.label)).fetchall()
        return [_frame(row) for row in rows]


def _bare(atoms: Atoms) -> Atoms:
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def _text(label: str) -> str:
    """A label as a value of `ase.db`, which refuses texts that read like a number ("1", of a file 1.cif)."""
    from ase.db.core import check

    try:
        check({"label": label})
    except ValueError:
        return f"'{label}'"
    return label


def _task(row: tuple[Any, ...]) -> Task:
    stage, defect, label, state, reason, evaluations, initial_energy, seconds, blob, *structure = row
    return Task(
        key=TaskKey(stage, defect, label),
        start=_atoms(*structure),
        state=RelaxationState(state),
        reason=reason,
        evaluations=evaluations,
        initial_energy=initial_energy,
        seconds=seconds,
        packed=blob,
    )


def _frame(row: tuple[Any, ...]) -> Frame:
    step, energy, forces, stress, *structure = row
    prediction = Prediction(
        energy=float(energy),
        forces=_floats(forces).reshape(-1, 3),
        stress=_floats(stress) if stress is not None else None,
    )
    return Frame(atoms=_atoms(*structure), prediction=prediction, step=int(step))


def _atoms(numbers: bytes, positions: bytes, cell: bytes, pbc: int) -> Atoms:
    """A configuration from the columns of `ase.db`: little-endian arrays, and periodicity as three bits."""
    return Atoms(
        numbers=np.frombuffer(numbers, "<i4").astype(int),
        positions=_floats(positions).reshape(-1, 3),
        cell=_floats(cell).reshape(3, 3),
        pbc=[bool(pbc & bit) for bit in (1, 2, 4)],
    )


def _floats(blob: bytes) -> NDArray[np.float64]:
    return np.frombuffer(blob, "<f8").astype(float)


def _pack(checkpoint: Checkpoint) -> bytes:
    frame = checkpoint.frame
    buffer = io.BytesIO()
    np.savez(
        buffer,
        positions=frame.atoms.positions,
        cell=np.asarray(frame.atoms.cell),
        energy=frame.prediction.energy,
        forces=frame.prediction.forces,
        stress=frame.prediction.stress if frame.prediction.stress is not None else np.empty(0),
        step=frame.step,
        initial_energy=checkpoint.initial_energy,
        optimiser=np.frombuffer(to_bytes(checkpoint.optimiser), dtype=np.uint8),
    )
    return buffer.getvalue()


def _unpack(blob: bytes, start: Atoms) -> Checkpoint:
    with np.load(io.BytesIO(blob)) as data:
        atoms = Atoms(numbers=start.numbers, positions=data["positions"], cell=data["cell"], pbc=start.pbc)
        stress = data["stress"] if data["stress"].size else None
        prediction = Prediction(energy=float(data["energy"]), forces=data["forces"], stress=stress)
        return Checkpoint(
            frame=Frame(atoms, prediction, int(data["step"])),
            optimiser=from_bytes(data["optimiser"].tobytes()),
            initial_energy=float(data["initial_energy"]),
        )
