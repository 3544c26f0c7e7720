"""Quantum ESPRESSO by its input files: `espresso.pwi` goes in, `espresso.out` comes out.

A run that ended early goes on from its last structure in a new input, from density and wavefunctions where they are
still there. Input and output of the run before are kept as `espresso.1.pwi` and `espresso.1.out`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.files import write_atomically
from defectscout.references.base import ElectronicState
from defectscout.references.engines import retries
from defectscout.references.engines.base import Calculation, Diagnosis, EngineInfo, Execution, Purpose, RunState
from defectscout.references.engines.earlier_runs import next_number
from defectscout.references.engines.espresso_failures import EXPLODED, SCF, Failure, find_failure
from defectscout.references.engines.espresso_restart import (
    outputs,
    set_aside,
    starting_from_files,
    value_in,
    with_structure,
    with_values,
)
from defectscout.references.engines.plausible import CLOSEST, LARGEST_FORCE, closest_contact
from defectscout.references.espresso import CITATION, electronic_state, error_message, why_failed
from defectscout.references.espresso_input import OUT, PREFIX, Task, input_text
from defectscout.references.espresso_output import FINAL, IonicStep, ionic_steps
from defectscout.references.espresso_pseudos import choose_pseudos
from defectscout.references.espresso_settings import PRESETS, settings_of

INPUT: Final = f"{PREFIX}.pwi"
OUTPUT: Final = f"{PREFIX}.out"

EXECUTION: Final = Execution(
    arguments=("-in", INPUT),
    stdout=OUTPUT,
    stderr=f"{PREFIX}.err",
    retrieve=(OUTPUT, f"{PREFIX}.err"),
    carry=(OUT,),
    history=(f"{PREFIX}.[0-9]*.out", f"{PREFIX}.[0-9]*.pwi"),
)

_DONE = "JOB DONE"
_CONVERGED = "bfgs converged in"
_STEP_LIMIT = "The maximum number of steps has been reached"
_TIME_LIMIT = re.compile("Maximum CPU time exceeded|Signal Received, stopping")


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """How a calculation stands, with what a restart needs to know of it.

    Attributes:
        diagnosis: for the user.
        output: of its latest run; None if there is none.
        last: the last structure that forces are known of.
        failure: what failed; None if nothing did, or nothing that is known.
        mended: the input with the remedy; None without one.
    """

    diagnosis: Diagnosis
    output: Path | None = None
    last: Atoms | None = None
    failure: Failure | None = None
    mended: retries.Mended | None = None


def load(name: str) -> EspressoEngine:
    """The engine `espresso`."""
    return EspressoEngine(name)


class EspressoEngine:
    """pw.x's `relax` at the Γ point for defects, and `vc-relax` with more k-points for hosts.

    A preset may also be the path of a TOML file with settings (see `settings_of`).
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def info(self) -> EngineInfo:
        presets = {name: line for name, (line, _) in PRESETS.items()}
        return EngineInfo(self._name, "Quantum ESPRESSO", CITATION, presets, order_kept=True)

    @property
    def execution(self) -> Execution:
        return EXECUTION

    def end_in_time(self, folder: Path, seconds: float) -> None:
        path = folder / INPUT
        text = path.read_text(encoding="utf-8")
        known = value_in(text, "max_seconds")
        if not known or float(known.lower().replace("d", "e")) > seconds:
            write_atomically(path, with_values(text, {("CONTROL", "max_seconds"): int(seconds)}))

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        """The lowest spin for all electrons; `write` sees to potentials with an odd number of them in the core."""
        if (int(atoms.numbers.sum()) - charge) % 2:
            return ElectronicState(charge, 2, "an odd number of electrons leaves one unpaired")
        return ElectronicState(charge, 1)

    def write(self, folder: Path, calculation: Calculation, preset: str) -> tuple[str, ...]:
        settings = settings_of(preset)
        notes = []
        state = calculation.state
        needed = electronic_state(calculation.atoms, state.charge, settings)
        if state.multiplicity is not None and (state.multiplicity - (needed.multiplicity or 1)) % 2:
            notes.append(
                f"The potentials leave out an odd number of electrons: {INPUT} has a multiplicity of "
                f"{needed.multiplicity} in place of {state.multiplicity}."
            )
            state = needed
        kind = "vc-relax" if calculation.purpose is Purpose.HOST else "relax"
        text = input_text(calculation.atoms, state, settings, Task(kind, reuse=False, title=calculation.title))
        folder.mkdir(parents=True, exist_ok=True)
        set_aside(folder)
        (folder / retries.FILE_NAME).unlink(missing_ok=True)
        write_atomically(folder / INPUT, text)
        if not settings.pseudo_dir:
            potentials = choose_pseudos(calculation.atoms.get_chemical_symbols(), settings)
            names = ", ".join(pseudo.path.name for pseudo in potentials)
            notes.append(
                f"pseudo_dir in {INPUT} is a folder of this machine: elsewhere, put {names} there and change it, or "
                "say where they will be with the setting pseudo_dir."
            )
        return tuple(notes)

    def diagnose(self, folder: Path) -> Diagnosis:
        try:
            return _standing(folder).diagnosis
        except (OSError, CalculationError) as error:
            return Diagnosis(RunState.FAILED, f"its files cannot be read: {error}")

    def go_on(self, folder: Path, preset: str) -> str:
        """As the Protocol has it; what stands in the input counts, for it may have been changed by hand."""
        standing = _standing(folder)
        state, reason = standing.diagnosis.state, standing.diagnosis.reason
        path, output = folder / INPUT, standing.output
        if state is RunState.NOT_RUN or output is None or not path.is_file():
            raise CalculationError(f"There is nothing to go on from in {folder}: {reason or f'no {INPUT}'}.")
        if state is RunState.FINISHED:
            raise CalculationError(f"The calculation in {folder} is finished: there is nothing to go on with.")
        if state is RunState.FAILED and standing.mended is None:
            raise CalculationError(
                f"The calculation in {folder} failed, and to go on as it is would end the same way: {reason}. Change "
                f"{INPUT} there, or write it anew from another structure or preset."
            )
        text = standing.mended.text if standing.mended is not None else path.read_text(encoding="utf-8")
        changes = [standing.mended.what] if standing.mended is not None else []
        start_over = standing.failure is not None and standing.failure.start_over
        if start_over:
            changes.insert(0, "begins again from its first structure")
            text = _with_first_structure(text, folder)
        elif standing.last is None:
            changes.insert(0, "begins again from its first structure, as no ionic step was finished")
        else:
            changes.insert(0, "goes on from its last structure")
            text = with_structure(text, standing.last)
        # pw.x does without these files where they are gone. After a change of the cell the plane waves are others; what
        # a failed run left is not to be trusted.
        reuse = state is not RunState.FAILED and standing.last is not None
        text = starting_from_files(text, reuse and "vc-relax" not in value_in(text, "calculation"))
        number = next_number(folder, PREFIX, "pwi")
        done = "; ".join(changes)
        failure = standing.failure.name if standing.failure is not None else ""
        retries.add_retry(folder, retries.Retry(number, state.value, failure, reason, done))
        output.rename(folder / f"{PREFIX}.{number}.out")
        path.rename(folder / f"{PREFIX}.{number}.pwi")
        write_atomically(path, text)
        return done


def _standing(folder: Path) -> _Standing:
    output = next(reversed(outputs(folder)), None)
    if output is None:
        return _Standing(Diagnosis(RunState.NOT_RUN, f"there is no output of pw.x, such as {OUTPUT}"))
    text, final, rest = _last_run(output).partition(FINAL)
    ended = _DONE in rest or _DONE in text
    try:
        steps = [step for step in ionic_steps(text) if step.forces is not None and step.scf_converged]
    except ValueError as error:
        return _Standing(Diagnosis(RunState.FAILED, f"its output cannot be read: {error}"), output)
    last = steps[-1].atoms if steps else None
    after = f"after {len(steps)} ionic step{'' if len(steps) == 1 else 's'}"
    if _TIME_LIMIT.search(text):
        return _Standing(Diagnosis(RunState.UNFINISHED, f"it reached its time limit {after}"), output, last)
    found = _failure(folder, text, steps, ended)
    if found is not None:
        return _failed(folder, output, last, after, *found)
    if final or (ended and _CONVERGED in text):
        return _Standing(Diagnosis(RunState.FINISHED), output, last)
    if not ended:
        reason = f"the output has no end {after}: it runs, or was killed"
        return _Standing(Diagnosis(RunState.RUNNING, reason), output, last)
    if _STEP_LIMIT in text:
        reason = f"it reached its limit of steps {after}"
        return _Standing(Diagnosis(RunState.UNFINISHED, reason, "more steps"), output, last)
    return _Standing(Diagnosis(RunState.UNFINISHED, f"it ended {after} without reaching its criterion"), output, last)


def _failure(folder: Path, text: str, steps: list[IonicStep], ended: bool) -> tuple[Failure | None, str] | None:
    """What failed, if it is known, and why; None if nothing did."""
    if steps:
        last = steps[-1]
        largest = float(np.abs(last.forces).max()) if last.forces is not None else 0.0
        if largest > LARGEST_FORCE:
            return EXPLODED, f"the geometry explodes: forces of {largest:.0f} eV/Å"
        closest = closest_contact(last.atoms)
        if closest < CLOSEST:
            return EXPLODED, f"the geometry explodes: two atoms have come to {closest:.2f} of the sum of their radii"
    why = why_failed(text)
    if why:
        return SCF, why
    message = error_message(text)
    path = folder / INPUT
    read = path.read_text(encoding="utf-8") if path.is_file() else ""
    failure = find_failure(text, message, len(steps), read)
    if failure is None and (ended or not message):
        return None
    words = failure.words if failure is not None else ""
    return failure, ": ".join(part for part in (words, message) if part)


def _failed(
    folder: Path, output: Path, last: Atoms | None, after: str, failure: Failure | None, reason: str
) -> _Standing:
    path = folder / INPUT
    tried = sum(retry.failure == failure.name for retry in retries.read_retries(folder)) if failure is not None else 0
    hopeless = failure is None or not path.is_file() or (failure.start_over and last is None)
    mended = None if failure is None or hopeless else failure.remedy(path.read_text(encoding="utf-8"), tried)
    said = f"{after} {reason}" if failure is SCF else f"{reason} ({after})"
    if failure is not None and failure.start_over and last is None:
        said += ": the starting structure itself is bad"
    if mended is None and tried:
        said += f"; {tried} {'remedy has' if tried == 1 else 'remedies have'} been tried"
    diagnosis = Diagnosis(RunState.FAILED, said, mended.what if mended is not None else "")
    return _Standing(diagnosis, output, last, failure, mended)


def _with_first_structure(text: str, folder: Path) -> str:
    """An input with the structure that the calculation began with, before it went on for the first time."""
    first = folder / f"{PREFIX}.1.pwi"
    if not first.is_file():
        return text
    from ase.io import read

    atoms: Atoms = read(first, format="espresso-in")
    return with_structure(text, atoms)


def _last_run(output: Path) -> str:
    """The text of the last run in an output, as a script may append to one that is there."""
    text = output.read_text(encoding="utf-8", errors="replace")
    return text[max(0, text.rfind("\n     Program PWSCF")) :]
