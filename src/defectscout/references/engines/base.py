"""What every DFT code offers that is run by its input files, by hand or on a queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from ase import Atoms

from defectscout.references.base import ElectronicState


class Purpose(StrEnum):
    """What a calculation relaxes."""

    DEFECT = "defect"  # positions, in the cell as it is
    HOST = "host"  # cell and positions


class RunState(StrEnum):
    """How a calculation stands, as far as its files say."""

    NOT_RUN = "not run"  # there is no output
    RUNNING = "running"  # the output has no end: it runs, or was killed
    FINISHED = "finished"  # it reached its criterion
    UNFINISHED = "unfinished"  # it ended before that (step limit, walltime) and can go on from its last structure
    FAILED = "failed"  # it ended, and to go on as it is would end the same way


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the files of a calculation say of it.

    Attributes:
        state: how it stands.
        reason: why it is not finished, for a scientist; empty if it is.
        remedy: what `go_on` would change; empty where it changes nothing but the structure, or has no remedy.
    """

    state: RunState
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Calculation:
    """One relaxation to write input for.

    Attributes:
        title: such as `v_Cd_0 Bond_Distortion_-60.0%`.
        atoms: where it starts.
        state: charge and spin.
        purpose: what relaxes.
    """

    title: str
    atoms: Atoms
    state: ElectronicState
    purpose: Purpose = Purpose.DEFECT


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of an engine.

    Attributes:
        name: that it is asked for by.
        program: such as `VASP`.
        citation: DOI of the program.
        presets: name and one line on each set of settings, the default first.
        order_kept: whether its output has the atoms in the order of the structure that was given.
        gamma_only: whether its inputs sample the Γ point alone, so that a host takes a supercell.
    """

    name: str
    program: str
    citation: str
    presets: Mapping[str, str]
    order_kept: bool
    gamma_only: bool = False


@runtime_checkable
class Engine(Protocol):
    """A DFT code with its input and output files."""

    @property
    def info(self) -> EngineInfo:
        """What is known of it."""

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        """Charge and spin multiplicity for `atoms` in charge state `charge`."""

    def write(self, folder: Path, calculation: Calculation, preset: str) -> tuple[str, ...]:
        """Write the input of a calculation into `folder`, in place of one that is there.

        Returns:
            What the user has to add before it can run, one sentence each; empty if nothing.

        Raises:
            SettingsError: there is no such preset.
            UnsupportedElementError: an element that the engine has no potential or basis for.
        """

    def diagnose(self, folder: Path) -> Diagnosis:
        """How the calculation in `folder` stands. Never raises for what its output holds."""

    def go_on(self, folder: Path, preset: str) -> str:
        """Prepare `folder` to run again from its last structure, what failed mended where there is a remedy.

        The output so far is kept beside it under a number, as restarts are read (`OUTCAR.1`, ...).

        Returns:
            What was changed, for the record.

        Raises:
            CalculationError: there is nothing to go on from, or no remedy.
        """


@dataclass(frozen=True, slots=True)
class Execution:
    """How a queue runs a calculation of an engine. Names and patterns are those of files in its folder.

    Attributes:
        stdout: file that the program's output goes to.
        stderr: file that its error messages go to.
        arguments: of the command line.
        stdin: file that it reads as standard input; empty for none.
        retrieve: names or patterns of what comes back: all that `diagnose`, `go_on` and the readers need.
        carry: what a restart takes from where the run before ran, if it is still there, such as the wavefunction.
        history: patterns of what is kept of earlier runs, for the record; no run needs it.
        secret: files that may be stored nowhere, such as licensed potentials; `write` writes them again.
    """

    stdout: str
    stderr: str
    arguments: tuple[str, ...] = ()
    stdin: str = ""
    retrieve: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()


@runtime_checkable
class RunnableEngine(Engine, Protocol):
    """An engine whose calculations a queue can run, look at and prepare to go on, without the user's help."""

    @property
    def execution(self) -> Execution:
        """How its calculations are run."""

    def end_in_time(self, folder: Path, seconds: float) -> None:
        """Have the run in `folder` end by itself after this time, its files in order, unless it would end sooner.

        A program that cannot be told (VASP) is left as it is: its run goes on from what the queue leaves of it.
        """
