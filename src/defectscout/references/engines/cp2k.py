"""CP2K by its input files: `cp2k.inp` goes in, `cp2k.out` and `cp2k-pos-1.xyz` with its companions come out.

A run that ended early goes on as CP2K means it: the input asks for `cp2k-1.restart`, steps are counted on, and
trajectories grow in the files that they are in. What CP2K said of the run before is kept as `cp2k.1.out`, its input
as `cp2k.1.inp`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.files import write_atomically
from defectscout.references.base import ElectronicState
from defectscout.references.cp2k import CITATION, electronic_state
from defectscout.references.cp2k_input import relaxation_input
from defectscout.references.cp2k_settings import DEFAULT, PRESETS, Cp2kSettings, settings_of
from defectscout.references.cp2k_shell import abort_message
from defectscout.references.engines import retries
from defectscout.references.engines.base import (
    Calculation,
    Diagnosis,
    EngineInfo,
    Execution,
    Purpose,
    RunState,
)
from defectscout.references.engines.cp2k_restart import (
    counting_on,
    ending_after,
    finished_steps,
    remedy_for_scf,
    restarting,
    set_aside,
    step_of_restart,
    trim,
)
from defectscout.references.engines.earlier_runs import next_number, outputs_in

PROJECT: Final = "cp2k"
INPUT: Final = f"{PROJECT}.inp"
OUTPUT: Final = f"{PROJECT}.out"

EXECUTION: Final = Execution(
    arguments=("-i", INPUT),
    stdout=OUTPUT,
    stderr=f"{PROJECT}.err",
    retrieve=(
        OUTPUT,
        f"{PROJECT}.err",
        f"{PROJECT}-pos-1.xyz",
        f"{PROJECT}-frc-1.xyz",
        f"{PROJECT}-1.cell",
        f"{PROJECT}-1.stress",
        f"{PROJECT}-1.restart",
    ),
    carry=(f"{PROJECT}-RESTART.wfn",),
    history=(f"{PROJECT}.[0-9]*.out", f"{PROJECT}.[0-9]*.inp"),
)

_STARTED = "PROGRAM STARTED AT"
_ENDED = "PROGRAM ENDED AT"
_COMPLETED = "GEOMETRY OPTIMIZATION COMPLETED"
_STEP_LIMIT = "MAXIMUM NUMBER OF OPTIMIZATION STEPS REACHED"
_TIME_LIMIT = "exceeded requested execution time"


def load(name: str) -> Cp2kEngine:
    """The engine `cp2k`."""
    return Cp2kEngine(name)


class Cp2kEngine:
    """CP2K's geometry and cell optimisation at the Γ point.

    A preset may also be the path of a TOML file with settings (see `settings_of`).
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def info(self) -> EngineInfo:
        presets = {name: line for name, (line, _) in PRESETS.items()}
        return EngineInfo(self._name, "CP2K", CITATION, presets, order_kept=True, gamma_only=True)

    @property
    def execution(self) -> Execution:
        return EXECUTION

    def end_in_time(self, folder: Path, seconds: float) -> None:
        path = folder / INPUT
        write_atomically(path, ending_after(path.read_text(encoding="utf-8"), seconds))

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        # All presets count the same electrons: they share potentials.
        return electronic_state(atoms, charge, settings_of(DEFAULT))

    def write(self, folder: Path, calculation: Calculation, preset: str) -> tuple[str, ...]:
        settings: Cp2kSettings = settings_of(preset)
        text = relaxation_input(
            calculation.title,
            calculation.atoms,
            calculation.state,
            settings,
            PROJECT,
            cell=calculation.purpose is Purpose.HOST,
        )
        folder.mkdir(parents=True, exist_ok=True)
        set_aside(folder, PROJECT, outputs(folder))
        (folder / retries.FILE_NAME).unlink(missing_ok=True)
        write_atomically(folder / INPUT, text)
        return ()

    def diagnose(self, folder: Path) -> Diagnosis:
        try:
            return self._diagnose(folder)
        except OSError as error:
            return Diagnosis(RunState.FAILED, f"its files cannot be read: {error}")

    def _diagnose(self, folder: Path) -> Diagnosis:
        output = find_output(folder)
        text = last_run(output) if output is not None else ""
        if not text:
            return Diagnosis(RunState.NOT_RUN, f"there is no output of CP2K, such as {OUTPUT}")
        steps = finished_steps(folder, PROJECT)
        abort = abort_message(text)
        if _TIME_LIMIT in text:
            return Diagnosis(RunState.UNFINISHED, f"it reached its time limit after {steps} ionic steps")
        if _scf_failed(text):
            remedy = _remedy(folder)
            return Diagnosis(
                RunState.FAILED, f"the self-consistent field did not converge, in ionic step {steps}", remedy
            )
        if abort:
            return Diagnosis(RunState.FAILED, f"CP2K stopped after {steps} ionic steps: {abort}")
        if _ENDED not in text:
            return Diagnosis(
                RunState.RUNNING,
                f"the output has no end after {steps} ionic steps: it runs, or was killed",
            )
        if _COMPLETED in text:
            return Diagnosis(RunState.FINISHED)
        if _STEP_LIMIT in text:
            return Diagnosis(RunState.UNFINISHED, f"it reached its limit of steps after {steps}", "more steps")
        return Diagnosis(RunState.UNFINISHED, f"it ended after {steps} ionic steps without reaching its criterion")

    def go_on(self, folder: Path, preset: str) -> str:
        settings = settings_of(preset)
        diagnosis = self.diagnose(folder)
        path, output = folder / INPUT, find_output(folder)
        if diagnosis.state is RunState.NOT_RUN or output is None or not path.is_file():
            raise CalculationError(f"There is nothing to go on from in {folder}: {diagnosis.reason or f'no {INPUT}'}.")
        if diagnosis.state is RunState.FINISHED:
            raise CalculationError(f"The calculation in {folder} is finished: there is nothing to go on with.")
        text, changes = path.read_text(encoding="utf-8"), []
        if diagnosis.state is RunState.FAILED:
            mended = remedy_for_scf(text) if diagnosis.remedy else None
            if mended is None:
                raise CalculationError(
                    f"The calculation in {folder} failed, and to go on as it is would end the same way: "
                    f"{diagnosis.reason}. Change {INPUT} there, or write it anew from another structure or preset."
                )
            text = mended.text
            changes.append(mended.what)
        step = step_of_restart(folder, PROJECT)
        if step is None:
            changes.insert(0, "begins again from its first structure, as no ionic step was finished")
        else:
            text = counting_on(restarting(text, PROJECT), step, settings.max_steps)
            changes.insert(0, f"goes on from ionic step {step}")
            changes += trim(folder, PROJECT, step)
        number = next_number(folder, PROJECT, "inp")
        output.rename(folder / f"{PROJECT}.{number}.out")
        path.rename(folder / f"{PROJECT}.{number}.inp")
        write_atomically(path, text)
        done = "; ".join(changes)
        failure = "scf" if diagnosis.state is RunState.FAILED else ""
        retries.add_retry(folder, retries.Retry(number, diagnosis.state.value, failure, diagnosis.reason, done))
        return done


def outputs(folder: Path) -> tuple[Path, ...]:
    """CP2K's outputs in a folder, the latest last; see `earlier_runs.outputs_in`."""
    return outputs_in(folder, (".out", ".log"), _STARTED, 100_000)


def find_output(folder: Path) -> Path | None:
    """The latest of them; None if there is none."""
    return next(reversed(outputs(folder)), None)


def last_run(output: Path) -> str:
    """The text of the last run in an output, as CP2K appends to one that is there."""
    text = output.read_text(encoding="utf-8", errors="replace")
    return text[max(0, text.rfind(_STARTED)) :]


def _scf_failed(text: str) -> bool:
    """Whether the last self-consistent field failed: CP2K goes on up to 2023.2, and stops from 2024.1 on."""
    runs = re.findall(r"SCF run (NOT )?converged", text)
    return bool(runs) and bool(runs[-1])


def _remedy(folder: Path) -> str:
    path = folder / INPUT
    mended = remedy_for_scf(path.read_text(encoding="utf-8")) if path.is_file() else None
    return mended.what if mended is not None else ""
