"""Searches in a process of their own, which is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_and_kill(code: str, folder: Path, where: str, calls: int, delay: float) -> None:
    """Run code that goes on with the campaign in `folder`, and kill -9 it in the middle.

    Args:
        code: what to run; it may import what the tests may.
        folder: the campaign.
        where: which relaxations of the record count, as SQL.
        calls: force calls that they have spent when the process is killed.
        delay: seconds that each force call of the model crystal takes, so that there is a middle.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n{code}"],
        env={**os.environ, "MODEL_CRYSTAL_DELAY": str(delay)},
        start_new_session=True,
    )
    _wait(process, folder / "campaign.db", where, calls)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _wait(process: subprocess.Popen[bytes], path: Path, where: str, calls: int) -> None:
    """Read the record as a bystander until the time has come."""
    for _ in range(2400):
        if process.poll() is not None:
            raise AssertionError(f"the search ended before it could be killed where {where}")
        time.sleep(0.05)
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                (found,) = connection.execute(f"SELECT SUM(evaluations) FROM tasks WHERE {where}").fetchone()
        except sqlite3.OperationalError:
            continue
        if found is not None and found >= calls:
            return
    raise AssertionError(f"the search never came to where {where}")
