"""The far side of a worker process: a reference that answers with predictions.

Started by `process.Worker` as a fresh interpreter; it ends when the process that
started it does, whatever way that ended.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ase import Atoms

from defectscout.core.errors import DefectscoutError
from defectscout.core.frames import Prediction
from defectscout.references.base import Evaluator, Reference
from defectscout.references.registry import load_reference


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Evaluate `atoms`. A new `job` starts a new calculation; the same one goes on from its wavefunction."""

    job: str
    charge: int
    atoms: Atoms


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that has no answer."""

    reason: str


def main() -> None:
    """Serve the process whose file descriptors are the first two arguments, with the reference named third."""
    connection, life = Connection(int(sys.argv[1])), int(sys.argv[2])
    faulthandler.enable()
    # Ctrl-C is for the process that started this one, and it decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(life,), daemon=True).start()
    serve(connection, sys.argv[3])


def serve(connection: Connection, name: str) -> None:
    """Answer tasks until the other side closes the connection."""
    reference: Reference | None = None
    evaluator: Evaluator | None = None
    job: str | None = None
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        answer: Prediction | Failed
        try:
            if reference is None:
                reference = load_reference(name)
            if evaluator is None or task.job != job:
                evaluator = None  # the old calculation's memory goes before the new one's comes
                evaluator = reference.evaluator(reference.electronic_state(task.atoms, task.charge))
                job = task.job
            answer = evaluator.evaluate(task.atoms)
        except DefectscoutError as error:
            answer = Failed(str(error))
        except Exception as error:
            # Whatever a reference raises costs this relaxation, never the others.
            answer = Failed(f"{name} failed: {type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return


def _die_with(life: int) -> None:
    """Wait until the other end of the pipe is closed, which happens at the latest when that process dies."""
    while os.read(life, 1):
        pass
    # The whole process group, so that programs that a reference has started end too.
    os.killpg(os.getpgrp(), signal.SIGKILL)
