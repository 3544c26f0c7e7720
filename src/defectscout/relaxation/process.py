"""The near side of a worker process.

A worker is a fresh interpreter instead of a fork or a `multiprocessing` child: threads
are limited before anything heavy is imported, no lock of a threaded library is
inherited, and a user's script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Final

from ase import Atoms

from defectscout.core.frames import Prediction
from defectscout.relaxation.worker import Failed, Task

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_PROGRAM: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); from defectscout.relaxation.worker import main; main()"
)

GRACE_SECONDS: Final = 5.0
"""How long an exit status is waited for after a worker has closed its connection."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerDiedError(Exception):
    """A worker ended without an answer; the text says how."""


class Worker:
    """One worker process."""

    def __init__(self, reference: str, threads: int) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in kill()
        near, far = Pipe()
        life_read, self._life = os.pipe()
        # Waiting threads sleep: spinning ones cost a busy machine more than they save.
        environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(far.fileno()), str(life_read), reference, path],
                env=environment,
                pass_fds=(far.fileno(), life_read),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                process_group=0,  # Ctrl-C in the terminal does not reach it
            )
        finally:
            far.close()
            os.close(life_read)
        self.connection: Connection = near

    def send(self, job: str, charge: int, atoms: Atoms) -> None:
        """Ask for a prediction. That nobody is there to answer comes out when the answer is received."""
        with contextlib.suppress(OSError):
            self.connection.send(Task(job, charge, atoms))

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def receive(self) -> Prediction | Failed:
        """The answer; waits for it.

        Raises:
            WorkerDiedError: if it will never come.
        """
        try:
            answer: Prediction | Failed = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError(self.obituary()) from error
        return answer

    def obituary(self) -> str:
        """How the worker died, and the last that it said."""
        try:
            status = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker process closed its connection"
        if status == -signal.SIGKILL:
            how = "was killed (SIGKILL), as happens when memory runs out"
        elif status < 0:
            how = f"crashed ({signal.Signals(-status).name})"
        else:
            how = f"ended with exit status {status}"
        said = self._last_line()
        return f"the worker process {how}" + (f"; its last words: {said}" if said else "")

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """End it at once. It holds nothing that is not recorded here."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.connection.close()
        os.close(self._life)
        self._process.wait()
        self._log.close()
