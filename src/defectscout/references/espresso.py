"""Quantum ESPRESSO on this machine as the reference: `espresso`, `espresso:PRESET` or `espresso:FILE.toml`.

pw.x is started for each step, and starts from density and wavefunctions of the step before.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError, MissingProgramError
from defectscout.core.frames import Prediction
from defectscout.references.base import ElectronicState, Evaluator, ReferenceInfo, lowest_spin
from defectscout.references.espresso_input import PREFIX, Task, exists, input_text
from defectscout.references.espresso_output import ionic_steps
from defectscout.references.espresso_pseudos import choose_pseudos, pseudo_folder
from defectscout.references.espresso_settings import NOT_PHYSICS, EspressoSettings, settings_of
from defectscout.references.presets import fingerprint
from defectscout.references.scratch import Scratch

VARIABLE: Final = "DEFECTSCOUT_ESPRESSO"
"""Environment variable with the command that starts pw.x."""

CITATION: Final = "10.1088/1361-648X/aa8f79"
"""DOI of Quantum ESPRESSO."""

DIAGONALISATION: Final = re.compile(
    r"S matrix not positive definite|problems computing cholesky|too many bands are not converged"
    r"|eigenvectors failed to converge"
)
"""What pw.x says when it cannot diagonalise the Hamiltonian."""

_SCF: Final = re.compile(
    r"(EXX )?(?:self-consistency reached|convergence (?:has been achieved|NOT achieved after +(\d+) iterations))"
)
_VERSION_SECONDS: Final = 60.0


def load(name: str) -> EspressoReference:
    """The reference `espresso`, `espresso:PRESET` or `espresso:FILE.toml`.

    Raises:
        SettingsError: there is no such preset, or the file has a bad setting.
        InputFileError: the file is missing or is not TOML.
        MissingProgramError: pw.x is not installed, or no folder of pseudopotentials is named.
    """
    settings = settings_of(name.partition(":")[2])
    command = find_command(settings)
    pseudo_folder(settings)
    return EspressoReference(name, settings, command)


def find_command(settings: EspressoSettings) -> tuple[str, ...]:
    """What starts pw.x: the setting `command`, else $DEFECTSCOUT_ESPRESSO, else `pw.x` on PATH.

    Raises:
        MissingProgramError: there is no such program.
    """
    command = tuple(shlex.split(settings.command or os.environ.get(VARIABLE, "") or "pw.x"))
    if shutil.which(command[0]) is None:
        raise MissingProgramError(
            f"Quantum ESPRESSO was not found: there is no program '{command[0]}'. Install it (Debian and Ubuntu: apt "
            "install quantum-espresso; conda: conda install -c conda-forge qe), or say what starts pw.x with the "
            f"environment variable {VARIABLE} or the setting command, such as 'mpirun -np 4 pw.x'."
        )
    return command


@cache
def version_of(command: tuple[str, ...]) -> str:
    """pw.x's version, such as `6.7MaX`. It has no option for that: it is asked with an empty input.

    Raises:
        MissingProgramError: the command does not start pw.x.
    """
    scratch = Scratch("pw")
    try:
        said = subprocess.run(
            command, cwd=scratch.folder, input="", capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
        text = said.stdout + said.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        text = str(error)
    finally:
        scratch.close()
    found = re.search(r"Program PWSCF v\.(\S+)", text)
    if found is None:
        raise MissingProgramError(
            f"'{shlex.join(command)}' does not answer as pw.x does, but with '{' '.join(text.split())[:200]}'. Check "
            f"the environment variable {VARIABLE} or the setting command."
        )
    return found[1]


class EspressoReference:
    """DFT with Quantum ESPRESSO at the Γ point."""

    def __init__(self, name: str, settings: EspressoSettings, command: tuple[str, ...]) -> None:
        self._name = name
        self._settings = settings
        self._command = command

    @property
    def info(self) -> ReferenceInfo:
        package = f"Quantum ESPRESSO {version_of(self._command)}, {summary(self._settings)}"
        return ReferenceInfo(self._name, package, CITATION, gamma_only=True)

    def check_elements(self, symbols: Sequence[str]) -> None:
        choose_pseudos(symbols, self._settings)

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        return electronic_state(atoms, charge, self._settings)

    def evaluator(self, state: ElectronicState) -> Evaluator:
        return EspressoEvaluator(self._name, self._settings, self._command, state)


def electronic_state(atoms: Atoms, charge: int, settings: EspressoSettings) -> ElectronicState:
    """Charge and spin from the valence electrons of the potentials; one electron is left unpaired where it must.

    Raises:
        UnsupportedElementError, InputFileError, MissingProgramError: as `choose_pseudos`.
    """
    counts = Counter(atoms.get_chemical_symbols())
    electrons = sum(p.valence * counts[p.symbol] for p in choose_pseudos(list(counts), settings)) - charge
    return lowest_spin(charge, electrons)


def summary(settings: EspressoSettings) -> str:
    """Functional, cutoff and potentials, and a fingerprint of all settings that energies depend on."""
    physics = settings.model_dump(mode="json", exclude=set(NOT_PHYSICS))
    folder = pseudo_folder(settings)
    wanted = (path for path in folder.iterdir() if path.suffix.lower() in (".upf", ".json"))
    files = sorted((path.name, path.stat().st_size) for path in wanted)
    cutoff = f"{settings.cutoff:g} Ry" if settings.cutoff else "cutoffs of the potentials"
    return f"{settings.functional}, {cutoff}, potentials of {folder.name}, settings {fingerprint([physics, files])}"


class EspressoEvaluator:
    """One relaxation: each self-consistent field starts from density and wavefunctions of the one before."""

    def __init__(self, name: str, settings: EspressoSettings, command: tuple[str, ...], state: ElectronicState) -> None:
        self._name = name
        self._settings = settings
        self._command = command
        self._state = state
        self._scratch: Scratch | None = None
        self._last: Atoms | None = None
        self.scf_steps = 0
        """SCF steps of the last evaluation."""

    def evaluate(self, atoms: Atoms) -> Prediction:
        if not atoms.pbc.all():
            raise CalculationError(
                f"{self._name} calculates cells that are periodic in all directions, and this is not."
            )
        reuse = self._goes_on(atoms)
        run = self._run(atoms, self._settings, reuse)
        if run.failure and (reuse or may_be_mended(run.failure)):
            # From atomic densities, more carefully: a density of a configuration far away can lead astray.
            run = self._run(atoms, more_robust(self._settings), reuse=False)
        if run.failure:
            self.close()
            raise CalculationError(self._said(run.failure, atoms))
        self._last = atoms.copy()
        self.scf_steps = len(re.findall(r"^ +iteration #", run.text, re.MULTILINE))
        return self._prediction(run.text, len(atoms))

    def _said(self, failure: str, atoms: Atoms) -> str:
        state = f"charge {self._state.charge:+d}, multiplicity {self._state.multiplicity}"
        what = f"{self._name}: {failure} ({atoms.get_chemical_formula()}, {state})"
        if not may_be_mended(failure):
            return f"{what}. Look at the structure and at the settings and potentials of Quantum ESPRESSO."
        return (
            f"{what}, nor from a fresh guess with more robust settings. Look at the structure, or change mixing, "
            "mixing_mode, diagonalisation, smearing or max_scf in the settings of Quantum ESPRESSO."
        )

    def close(self) -> None:
        """Remove its files; the next evaluation begins anew."""
        if self._scratch is not None:
            self._scratch.close()
        self._scratch = self._last = None

    def _goes_on(self, atoms: Atoms) -> bool:
        """Whether density and wavefunctions of the last step fit: those of another cell have other plane waves."""
        last = self._last
        same = last is not None and bool(np.array_equal(last.numbers, atoms.numbers))
        fits = last is not None and same and bool(np.array_equal(last.cell.array, atoms.cell.array))
        return fits and self._scratch is not None and exists(self._scratch.folder)

    def _run(self, atoms: Atoms, settings: EspressoSettings, reuse: bool) -> _Run:
        """pw.x, run to its end."""
        if not reuse:
            self.close()
        if self._scratch is None:
            self._scratch = Scratch("pw")
        folder = self._scratch.folder
        text = input_text(atoms, self._state, settings, Task("scf", reuse))
        (folder / f"{PREFIX}.pwi").write_text(text, encoding="utf-8")
        threads = settings.threads or int(os.environ.get("OMP_NUM_THREADS", "1"))
        try:
            said = subprocess.run(
                [*self._command, "-in", f"{PREFIX}.pwi"],
                cwd=folder,
                env=os.environ | {"OMP_NUM_THREADS": str(threads), "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            self.close()
            raise CalculationError(f"pw.x could not be started with '{shlex.join(self._command)}': {error}.") from error
        failure = why_failed(said.stdout)
        if not failure and "JOB DONE" not in said.stdout:
            lines = [line.strip() for line in said.stdout.splitlines() if line.strip()]
            signals = [line for line in lines if "received signal" in line]
            words = error_message(said.stdout) or next(iter(signals or reversed(lines)), "nothing")
            failure = f"pw.x ended without a result (exit status {said.returncode}): {words}"
        return _Run(said.stdout, failure)

    def _prediction(self, text: str, n_atoms: int) -> Prediction:
        try:
            found = [step for step in ionic_steps(text) if step.forces is not None and step.scf_converged]
        except ValueError as error:
            raise CalculationError(f"{self._name}: pw.x's output cannot be read: {error}.") from None
        if not found or found[-1].forces is None or found[-1].forces.shape != (n_atoms, 3):
            raise CalculationError(f"{self._name}: pw.x's output holds no energy and forces of all atoms.")
        energy, forces = found[-1].energy, found[-1].forces
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise CalculationError(f"{self._name} returned energy or forces that are not finite numbers.")
        return Prediction(energy, forces, found[-1].stress)


@dataclass(frozen=True, slots=True)
class _Run:
    """What pw.x said, and why it must not be used; empty if it may."""

    text: str
    failure: str


def more_robust(settings: EspressoSettings) -> EspressoSettings:
    """Settings that lead to the same energy by a safer way."""
    return settings.model_copy(update={"mixing": settings.mixing / 4, "diagonalisation": "cg"})


def why_failed(text: str) -> str:
    """Why the last self-consistent field in pw.x's output has no result; empty if that is not said."""
    runs = _SCF.findall(text)
    if not runs or not runs[-1][1]:
        return ""
    errors = re.findall(r"estimated scf accuracy +< +(\S+) Ry", text)
    reached = f" (estimated accuracy {errors[-1]} Ry at the end)" if errors else ""
    what = "exact exchange" if runs[-1][0] else "the self-consistent field"
    return f"{what} did not converge in {runs[-1][1]} steps{reached}"


def may_be_mended(failure: str) -> bool:
    """Whether other settings of the electronic solver may help, at the same energy."""
    return "did not converge in" in failure or DIAGONALISATION.search(failure) is not None


def error_message(text: str) -> str:
    """What pw.x says between lines of percent signs, in one line; empty if it says nothing."""
    box = re.findall(r"^ %{20,}\n(.*?)\n %{20,}", text, re.DOTALL | re.MULTILINE)
    return " ".join(box[-1].split()) if box else ""
