"""CP2K's shell: one process that keeps its wavefunction while another program moves the atoms.

Quantities go in and come out in atomic units and are converted with ASE's constants, as trajectories
that CP2K writes itself are when they are read: CP2K's own differ in the eighth digit, which is
1e-4 eV in the total energy of a small cell.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.references.scratch import Scratch

PROJECT: Final = "cp2k"
"""Beginning of the names of the files in the scratch folder."""

_READY: Final = "* READY"
_GRACE_SECONDS: Final = 5.0
_STARTUP_LINES: Final = 1000


class Cp2kShell:
    """A CP2K process that answers to commands, in a scratch folder that goes when it or this process ends."""

    def __init__(self, command: Sequence[str], data: Path, threads: int) -> None:
        """Start it.

        Args:
            command: what starts CP2K, without options.
            data: CP2K's data folder.
            threads: threads of each of its processes.

        Raises:
            CalculationError: it does not start.
        """
        scratch = Scratch("cp2k")
        self._folder = scratch.folder
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "CP2K_DATA_DIR": str(data),
            "TMPDIR": str(self._folder),  # MPI leaves folders behind when it is killed
        }
        try:
            self._process = subprocess.Popen(
                [*command, "--shell"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            scratch.close()
            raise CalculationError(f"CP2K could not be started with '{shlex.join(command)}': {error}.") from error
        self._close = weakref.finalize(self, _end, self._process, scratch)
        self._said: list[str] = []
        self._environment = 0
        for _ in range(_STARTUP_LINES):
            if self._receive() == _READY:
                break
        else:
            raise CalculationError(f"'{shlex.join(command)}' did not answer as CP2K's shell does.")

    @property
    def output(self) -> Path:
        """What CP2K writes while it calculates."""
        return self._folder / f"{PROJECT}.out"

    def load(self, text: str) -> None:
        """Begin calculations with this input, in place of those before.

        Raises:
            CalculationError: CP2K does not accept it.
        """
        if self._environment:
            self._ask(f"DESTROY {self._environment}")
            self._environment = 0
        path = self._folder / f"{PROJECT}.inp"
        path.write_text(text, encoding="utf-8")
        self._environment = int(self._ask(f"LOAD {path.name} {self.output.name}")[0])

    def evaluate(self, atoms: Atoms) -> Prediction:
        """Energy, forces and stress of a structure with the atoms of the loaded input.

        The wavefunction starts from the last one. Whether it has converged is not said here: see `output`.

        Raises:
            CalculationError: CP2K ended, or refuses.
        """
        number = self._environment
        cell, places = atoms.cell.array / Bohr, atoms.positions.ravel() / Bohr
        self._ask(f"SET_CELL {number}", *(_row(row) for row in cell))
        self._ask(f"SET_POS {number}", str(places.size), *(_row([value]) for value in places), "*END")
        self._ask(f"EVAL_EF {number}")
        energy = float(self._ask(f"GET_E {number}")[0]) * Hartree
        forces = _floats(self._ask(f"GET_F {number}")[1 : len(atoms) + 1]).reshape(-1, 3) * (Hartree / Bohr)
        stress = _floats(self._ask(f"GET_STRESS {number}")).reshape(3, 3) * (Hartree / Bohr**3)
        # CP2K's sign is that of a pressure.
        voigt = -((stress + stress.T) / 2).ravel()[[0, 4, 8, 5, 2, 1]]
        return Prediction(energy, forces, voigt)

    def close(self) -> None:
        """End it, and remove its scratch folder."""
        self._close()

    def _ask(self, *lines: str) -> list[str]:
        """Send a command; its answer without the last line, which says that CP2K is ready for the next one."""
        assert self._process.stdin is not None
        self._said.clear()
        with contextlib.suppress(OSError):  # why it is gone comes out when the answer is read
            self._process.stdin.write("\n".join(lines) + "\n")
            self._process.stdin.flush()
        answer: list[str] = []
        while (line := self._receive()) != _READY:
            if line.startswith("* ERROR"):
                raise CalculationError(f"CP2K refused '{lines[0]}': {line.removeprefix('* ERROR').strip(' :')}.")
            answer.append(line)
        return answer

    def _receive(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CalculationError(self._obituary())
        self._said.append(line.rstrip())
        return line.strip()

    def _obituary(self) -> str:
        try:
            status: int | str = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            status = "unknown"
        output = self.output.read_text(errors="replace") if self.output.is_file() else ""
        said = abort_message("\n".join(self._said)) or abort_message(output)
        last = next((line.strip() for line in reversed(self._said) if line.strip()), "")
        words = said or last
        return (
            f"CP2K ended in the middle of a calculation (exit status {status})" + (f": {words}" if words else "") + "."
        )


def abort_message(text: str) -> str:
    """What CP2K says in the box with which it ends in an error, in one line; empty if there is none."""
    box = re.findall(r"^ \*\s*\[ABORT\](?P<rest>.*?)^ \*{10,}", text, re.DOTALL | re.MULTILINE)
    if not box:
        return ""
    rows = (re.sub(r"^ ?\*\s*\\?[\s_/\\|O]*?\s{2,}|\*$", "", line).strip() for line in box[-1].splitlines())
    return " ".join(row for row in rows if row).strip()


def _row(values: FloatArray | Sequence[float]) -> str:
    return " ".join(f"{value:.17e}" for value in values)


def _floats(lines: Sequence[str]) -> FloatArray:
    try:
        return np.array(" ".join(lines).split(), dtype=float)
    except ValueError:
        raise CalculationError(f"CP2K gave something that is not a number: {' '.join(lines)[:200]}") from None


def _end(process: subprocess.Popen[str], scratch: Scratch) -> None:
    """End CP2K, then its scratch folder. It holds nothing that is needed."""
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    scratch.close()
