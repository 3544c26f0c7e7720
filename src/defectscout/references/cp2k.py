"""CP2K on this machine as the reference: `cp2k`, `cp2k:PRESET` or `cp2k:FILE.toml`.

One CP2K process for each relaxation, which keeps the wavefunction from one ionic step to the next.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError, MissingProgramError
from defectscout.core.frames import Prediction
from defectscout.references.base import ElectronicState, Evaluator, ReferenceInfo, lowest_spin
from defectscout.references.cp2k_data import choose_kinds, data_folder
from defectscout.references.cp2k_input import evaluation_input
from defectscout.references.cp2k_settings import NOT_PHYSICS, Cp2kSettings, settings_of
from defectscout.references.cp2k_shell import PROJECT, Cp2kShell
from defectscout.references.presets import fingerprint

VARIABLE: Final = "DEFECTSCOUT_CP2K"
"""Environment variable with the command that starts CP2K."""

CITATION: Final = "10.1063/5.0007045"
"""DOI of CP2K."""

PROGRAMS: Final = ("cp2k.ssmp", "cp2k.psmp", "cp2k.sopt", "cp2k.popt", "cp2k")
"""Names that CP2K is installed under; those without MPI first, as a worker is one process."""

_VERSION_SECONDS: Final = 60.0


def load(name: str) -> Cp2kReference:
    """The reference `cp2k`, `cp2k:PRESET` or `cp2k:FILE.toml`.

    Raises:
        SettingsError: there is no such preset, or the file has a bad setting.
        InputFileError: the file is missing or is not TOML.
        MissingProgramError: CP2K or its data files are not installed.
    """
    settings = settings_of(name.partition(":")[2])
    data_folder(settings)
    return Cp2kReference(name, settings, find_command(settings))


def find_command(settings: Cp2kSettings) -> tuple[str, ...]:
    """What starts CP2K: the setting `command`, else $DEFECTSCOUT_CP2K, else what is on PATH.

    Raises:
        MissingProgramError: there is no such program.
    """
    given = settings.command or os.environ.get(VARIABLE, "")
    command = tuple(shlex.split(given)) if given else next(((name,) for name in PROGRAMS if shutil.which(name)), ())
    if not command or shutil.which(command[0]) is None:
        looked = f"there is no program '{command[0]}'" if command else f"none of {', '.join(PROGRAMS)} is on PATH"
        raise MissingProgramError(
            f"CP2K was not found: {looked}. Install it (Debian and Ubuntu: apt install cp2k; conda: conda install -c "
            f"conda-forge cp2k), or say what starts it with the environment variable {VARIABLE} or the setting "
            "command, such as 'mpirun -np 4 cp2k.psmp'."
        )
    return command


@cache
def version_of(command: tuple[str, ...]) -> str:
    """CP2K's version, such as `2023.1`.

    Raises:
        MissingProgramError: the command does not start CP2K.
    """
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
        text = said.stdout + said.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        text = str(error)
    found = re.search(r"CP2K version (\S+)", text)
    if found is None:
        raise MissingProgramError(
            f"'{shlex.join(command)} --version' does not answer as CP2K does, but with "
            f"'{' '.join(text.split())[:200]}'. Check the environment variable {VARIABLE} or the setting command."
        )
    return found[1]


class Cp2kReference:
    """DFT with CP2K at the Γ point."""

    def __init__(self, name: str, settings: Cp2kSettings, command: tuple[str, ...]) -> None:
        self._name = name
        self._settings = settings
        self._command = command

    @property
    def info(self) -> ReferenceInfo:
        package = f"CP2K {version_of(self._command)}, {summary(self._settings)}"
        return ReferenceInfo(self._name, package, CITATION, gamma_only=True)

    def check_elements(self, symbols: Sequence[str]) -> None:
        choose_kinds(symbols, self._settings)

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        return electronic_state(atoms, charge, self._settings)

    def evaluator(self, state: ElectronicState) -> Evaluator:
        return Cp2kEvaluator(self._name, self._settings, self._command, state)


def electronic_state(atoms: Atoms, charge: int, settings: Cp2kSettings) -> ElectronicState:
    """Charge and spin from the valence electrons of the potentials; one electron is left unpaired where it must.

    Raises:
        UnsupportedElementError: an element has no basis set or potential.
        MissingProgramError: CP2K's data files were not found.
    """
    counts = Counter(atoms.get_chemical_symbols())
    electrons = sum(kind.valence * counts[kind.symbol] for kind in choose_kinds(list(counts), settings)) - charge
    return lowest_spin(charge, electrons)


def summary(settings: Cp2kSettings) -> str:
    """Functional, basis and cutoff, and a fingerprint of all settings that energies depend on."""
    physics = settings.model_dump(mode="json", exclude=set(NOT_PHYSICS))
    basis = f"{settings.basis} with {settings.auxiliary_basis} for exchange" if settings.hybrid else settings.basis
    return (
        f"{settings.functional}, {basis}, {settings.potential}, {settings.cutoff:g} Ry, settings {fingerprint(physics)}"
    )


class Cp2kEvaluator:
    """One relaxation: each self-consistent field starts from the wavefunction of the one before."""

    def __init__(self, name: str, settings: Cp2kSettings, command: tuple[str, ...], state: ElectronicState) -> None:
        self._name = name
        self._settings = settings
        self._command = command
        self._state = state
        self._shell: Cp2kShell | None = None
        self._symbols: list[str] = []
        self._read = 0
        self.scf_steps = 0
        """SCF steps of the last evaluation."""

    def evaluate(self, atoms: Atoms) -> Prediction:
        if not atoms.pbc.all():
            raise CalculationError(
                f"{self._name} calculates cells that are periodic in all directions, and this is not."
            )
        try:
            if self._shell is None or self._symbols != atoms.get_chemical_symbols():
                self._begin(atoms, self._settings)
            prediction, failure = self._converge(atoms)
            if failure:
                # From atomic densities, more carefully: a wavefunction of a configuration far away can lead astray.
                self._begin(atoms, more_robust(self._settings))
                prediction, failure = self._converge(atoms)
        except CalculationError:
            self.close()
            raise
        if failure:
            self.close()
            state = f"charge {self._state.charge:+d}, multiplicity {self._state.multiplicity}"
            raise CalculationError(
                f"{self._name}: {failure} ({atoms.get_chemical_formula()}, {state}), nor from a fresh guess with more "
                "robust settings. Look at the structure, or change solver, minimiser, mixing, max_scf or max_outer_scf "
                "in the settings of CP2K."
            )
        if not (np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all()):
            self.close()
            raise CalculationError(f"{self._name} returned energy or forces that are not finite numbers.")
        return prediction

    def close(self) -> None:
        """End the process; the next evaluation begins anew."""
        if self._shell is not None:
            self._shell.close()
        self._shell = None

    def _begin(self, atoms: Atoms, settings: Cp2kSettings) -> None:
        """A fresh process for these atoms: one that has failed is not asked again."""
        self.close()
        text = evaluation_input(atoms, self._state, settings, PROJECT)
        threads = settings.threads or int(os.environ.get("OMP_NUM_THREADS", "1"))
        self._shell = Cp2kShell(self._command, data_folder(settings), threads)
        self._read = 0
        self._symbols = atoms.get_chemical_symbols()
        self._shell.load(text)

    def _converge(self, atoms: Atoms) -> tuple[Prediction, str]:
        """A prediction, and why it must not be used; empty if it may."""
        assert self._shell is not None
        prediction = self._shell.evaluate(atoms)
        with self._shell.output.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            text = file.read()
            self._read = file.tell()
        self.scf_steps, failure = scf_result(text)
        return prediction, failure


def more_robust(settings: Cp2kSettings) -> Cp2kSettings:
    """Settings that lead to the same energy by a safer way."""
    if settings.solver == "ot":
        return settings.model_copy(update={"minimiser": "CG"})
    return settings.model_copy(update={"mixing": settings.mixing / 4})


def scf_result(text: str) -> tuple[int, str]:
    """SCF steps that the last calculation in CP2K's output took, and why it is not converged; empty if it is.

    CP2K up to 2023.2 only warns and goes on with what it has, and tells its shell nothing.
    """
    runs = re.findall(r"SCF run (NOT )?converged", text)
    errors = re.findall(r"^ +\d+ \S+[^\n]* (\S+) +-?\d+\.\d+ +-?\d\.\d+E[+-]\d+$", text, re.MULTILINE)
    if runs and not runs[-1]:
        return len(errors), ""
    reached = f" (convergence {errors[-1]} at the end)" if errors else ""
    return len(errors), f"the self-consistent field did not converge in {len(errors)} steps{reached}"
