"""An AiiDA profile of its own in a folder, as `verdi presto` makes it, with its daemon: all through `verdi`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROFILE = "queue"
COMPUTER = "slurm"

_COMPUTER_YAML = """\
label: slurm
hostname: localhost
description: one node
transport: core.local
scheduler: core.slurm
work_dir: {folder}/work
mpirun_command: mpirun -np {{tot_num_mpiprocs}}
mpiprocs_per_machine: 1
default_memory_per_machine: null
shebang: '#!/bin/bash'
use_double_quotes: false
prepend_text: export OMP_NUM_THREADS=1
append_text: ''
"""

_CODE_YAML = """\
label: {label}
computer: slurm
filepath_executable: {executable}
default_calc_job_plugin: {plugin}
with_mpi: false
use_double_quotes: false
prepend_text: ''
append_text: ''
"""

_POLL_OFTEN = "from aiida.orm import load_computer; load_computer('slurm').set_minimum_job_poll_interval(1)"


class VerdiError(RuntimeError):
    """A command of AiiDA's, or one of ours that uses it, failed."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile whose daemon may run or not.

    Attributes:
        folder: its configuration, its data, and the working directories of its jobs.
        environment: in which it is found, and the queue too.
    """

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def run(self, *words: str, timeout: float = 120) -> str:
        """Standard output of a program of this Python environment.

        Raises:
            VerdiError: it failed.
        """
        program = Path(sys.executable).with_name(words[0])
        done = subprocess.run(
            [str(program), *words[1:]],
            env=dict(self.environment), capture_output=True, text=True, timeout=timeout, check=False, cwd=self.folder,
        )  # fmt: skip
        if done.returncode:
            raise VerdiError(f"{' '.join(words)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def verdi(self, *words: str) -> str:
        """Standard output of `verdi`."""
        return self.run("verdi", *words)

    def script(self, path: Path, *words: str) -> Any:
        """What a script that runs in the profile prints, read as JSON from its last line."""
        return json.loads(self.verdi("run", str(path), *words).strip().splitlines()[-1])

    def start_daemon(self) -> None:
        """Start the daemon, with one worker."""
        self.verdi("daemon", "start", "1")

    def stop_daemon(self) -> None:
        """Ask the daemon to end."""
        self.verdi("daemon", "stop")

    def daemon_processes(self) -> dict[int, str]:
        """Processes of the daemon, its workers and the broker, with their command lines."""
        found = {}
        # AiiDA hands the configuration's folder on, which lies inside ours.
        mark = f"\0AIIDA_PATH={self.folder}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark not in b"\0" + path.read_bytes():
                    continue
                words = path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if any(word in words for word in ("daemon", "broker", "circus")):
                    found[int(path.parent.name)] = words
        return found

    def workers(self) -> tuple[int, ...]:
        """The daemon's workers."""
        return tuple(number for number, words in self.daemon_processes().items() if "daemon worker" in words)

    def kill_worker(self, number: int) -> None:
        """End a worker as the kernel does when memory is short."""
        os.kill(number, signal.SIGKILL)

    def kill_daemon(self) -> None:
        """End all of it as a machine that loses power does."""
        # One of them may just have started another.
        while processes := self.daemon_processes():
            for number in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.1)

    def add_code(self, label: str, executable: str, plugin: str) -> None:
        """A code on the queue's computer."""
        path = self.folder / f"{label}.yaml"
        path.write_text(_CODE_YAML.format(label=label, executable=executable, plugin=plugin))
        self.verdi("code", "create", "core.code.installed", "--non-interactive", "--config", str(path))

    def log(self, lines: int = 40) -> str:
        """The end of the daemon's log."""
        logs = sorted((self.folder / ".aiida" / "daemon" / "log").glob("aiida-*.log"))
        return "\n".join("\n".join(log.read_text(errors="replace").splitlines()[-lines:]) for log in logs)


@contextlib.contextmanager
def presto_profile(folder: Path, environment: Mapping[str, str]) -> Iterator[Profile]:
    """Make a profile with SQLite and the ZeroMQ broker, a computer `slurm`, and start the daemon; end it after.

    Args:
        folder: an empty one of its own, with a path short enough for a socket (107 bytes).
        environment: in which SLURM's commands find their cluster.

    Raises:
        VerdiError: a command failed.
    """
    programs = str(Path(sys.executable).parent)
    own = {name: value for name, value in environment.items() if not name.startswith("AIIDA_")} | {
        # `verdi` is looked for on the path, by the daemon too.
        "PATH": os.pathsep.join([programs, environment.get("PATH", os.defpath)]),
        "AIIDA_PATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "TMPDIR": str(folder / "tmp"),  # sockets of the daemon are left there
        "COLUMNS": "200",
    }
    (folder / "tmp").mkdir()
    profile = Profile(folder, own)
    try:
        profile.verdi("presto", "--non-interactive", "--use-zeromq", "--profile-name", PROFILE)
        profile.verdi("config", "set", "warnings.showdeprecations", "false")
        computer = folder / "computer.yaml"
        computer.write_text(_COMPUTER_YAML.format(folder=folder))
        profile.verdi("computer", "setup", "--non-interactive", "--config", str(computer))
        profile.verdi(
            "computer", "configure", "core.local", COMPUTER, "--non-interactive", "--safe-interval", "0",
            "--no-use-login-shell",
        )  # fmt: skip
        script = folder / "poll_often.py"
        script.write_text(_POLL_OFTEN)
        profile.verdi("run", str(script))
        profile.start_daemon()
        yield profile
    finally:
        _end(profile)


def _end(profile: Profile) -> None:
    """Stop the daemon as it wants to be stopped, and kill what is left of it."""
    with contextlib.suppress(VerdiError, subprocess.TimeoutExpired):
        profile.stop_daemon()
    end = time.monotonic() + 10
    while profile.daemon_processes() and time.monotonic() < end:
        time.sleep(0.2)
    profile.kill_daemon()
