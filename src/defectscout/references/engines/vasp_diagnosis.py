"""How a VASP calculation stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from defectscout.references.engines.base import Diagnosis, RunState
from defectscout.references.engines.plausible import CLOSEST, LARGEST_FORCE, closest_contact
from defectscout.references.engines.retries import FILE_NAME, Retry, read_retries
from defectscout.references.engines.vasp_failures import (
    EXPLODED,
    POSITIVE,
    SCF,
    WALLTIME,
    Changes,
    Failure,
    find_failure,
    named_by_custodian,
)
from defectscout.references.engines.vasp_folder import RunFiles, latest_run, screen_text
from defectscout.references.engines.vasp_output import REACHED, Progressed, read_progress, settings_of

_TERMINATED = re.compile(r"\bKilled\b|\bTerminated\b|EXIT CODE: (?!0\b)\d+")


@dataclass(frozen=True, slots=True)
class VaspState:
    """How a calculation stands, with what a restart needs to know of it.

    Attributes:
        files: of its latest run.
        state: how it stands.
        reason: why it is not finished.
        failure: what failed; None if nothing did, or nothing that is known.
        changes: INCAR tags that mend it; None without a remedy.
    """

    files: RunFiles
    state: RunState
    reason: str = ""
    failure: Failure | None = None
    changes: Changes | None = None

    @property
    def diagnosis(self) -> Diagnosis:
        if self.failure is None or self.changes is None:
            return Diagnosis(self.state, self.reason)
        return Diagnosis(self.state, self.reason, remedy_in_words(self.failure, self.changes, settings_of(self.files)))


def remedy_in_words(failure: Failure, changes: Changes, now: Changes) -> str:
    """What a remedy changes, such as `ALGO Normal → All`."""
    words = [
        f"{name} {now[name].split()[0]} → {value}" if now.get(name) else f"{name} = {value}"
        for name, value in changes.items()
    ]
    words.append("from the starting structure" if failure.start_over else "from the last structure")
    return ", ".join(words) + (f". {failure.costs}" if failure.costs else "")


def vasp_state(folder: Path) -> VaspState:
    """How the calculation in a folder stands.

    Raises:
        CalculationError: the list of its retries is damaged.
    """
    files = latest_run(folder)
    retries = read_retries(folder)
    screen = screen_text(files)
    if not files.outputs:
        return _without_output(files, screen, retries)
    run = read_progress(files)
    run.reached |= REACHED in screen
    if run.reached or run.closed:
        return _ended(files, run, screen + run.tail, retries)
    return _cut(files, run, screen + run.tail, retries)


def _without_output(files: RunFiles, screen: str, retries: tuple[Retry, ...]) -> VaspState:
    failure = find_failure(screen, stopping=True)
    if failure is not None:
        return _failed(files, failure, f"{failure.reason}; nothing has been computed", retries, 0)
    again = f"prepared to go on after run {retries[-1].run} ({FILE_NAME})" if retries else ""
    return VaspState(files, RunState.NOT_RUN, again)


def _ended(files: RunFiles, run: Progressed, text: str, retries: tuple[Retry, ...]) -> VaspState:
    """VASP has come to its own end."""
    wrong = _implausible(files, run)
    if wrong is not None:
        return _failed(files, *wrong, retries, run.steps)
    failed = run.scf_failed()
    if failed and failed[-1]:
        # Forces of such a step are no forces, even if VASP takes them for small ones.
        where = f"in all {len(failed)} ionic steps" if all(failed) and len(failed) > 1 else "in the last ionic step"
        return _failed(files, SCF, f"the electronic structure did not converge {where}", retries, run.steps)
    if run.reached:
        return VaspState(files, RunState.FINISHED)
    if run.steps and (run.settings["NSW"] <= 1 or run.settings["IBRION"] < 0):
        return VaspState(files, RunState.FINISHED, "a single point: INCAR asks for no relaxation")
    if run.stopped:
        return VaspState(files, RunState.UNFINISHED, f"stopped by a STOPCAR after {_steps(run)}")
    if run.steps >= run.settings["NSW"]:
        limit = f"reached the step limit, NSW = {run.settings['NSW']:.0f}"
        return VaspState(files, RunState.UNFINISHED, limit + _at(run))
    failure = find_failure(text, stopping=True)
    if failure is not None:
        return _failed(files, failure, f"{failure.reason} after {_steps(run)}", retries, run.steps)
    if run.fmax is None and run.steps:  # only OSZICAR tells, and it does not know the forces
        return VaspState(files, RunState.UNFINISHED, f"ended after {_steps(run)}, and nothing says that it converged")
    return VaspState(files, RunState.UNFINISHED, f"ended after {_steps(run)} without reaching its criterion{_at(run)}")


def _cut(files: RunFiles, run: Progressed, text: str, retries: tuple[Retry, ...]) -> VaspState:
    """The output has no end."""
    failure = find_failure(text, stopping=True)
    if failure is not None and failure.name == "crash":
        # What VASP warned of before tells more than that it fell over.
        failure = find_failure(text, stopping=False) or failure
    if failure is not None:
        named = "" if failure.name != "crash" else _also(named_by_custodian(text))
        return _failed(files, failure, f"{failure.reason}{named} after {_steps(run)}", retries, run.steps)
    wrong = _implausible(files, run)
    if wrong is not None:
        state = _failed(files, *wrong, retries, run.steps)
        ended = any(message in text for message in WALLTIME) or _TERMINATED.search(text) is not None
        if ended:
            return state
        # It may still run: nobody must touch its files before it has been stopped.
        return replace(state, state=RunState.RUNNING, reason=f"{state.reason}; it runs, or was killed: stop it")
    failed = run.scf_failed()
    hopeless = len(failed) >= 2 and all(failed)
    if any(message in text for message in WALLTIME):
        if hopeless:
            return _failed(
                files, SCF, f"the electronic structure did not converge in any of {_steps(run)}", retries, run.steps
            )
        if not run.steps:
            reason = "the queue ended it before its first ionic step was complete: give it more time or more cores"
            return VaspState(files, RunState.FAILED, reason)
        return VaspState(files, RunState.UNFINISHED, f"the queue ended it (walltime) after {_steps(run)}{_at(run)}")
    if _TERMINATED.search(text):
        warned = find_failure(text, stopping=False)
        if warned is not None:
            return _failed(files, warned, f"{warned.reason}; it was killed after {_steps(run)}", retries, run.steps)
        if run.steps:
            return VaspState(files, RunState.UNFINISHED, f"killed after {_steps(run)}{_at(run)}")
    note = ", none of which has converged electronically" if hopeless else ""
    return VaspState(files, RunState.RUNNING, f"{_steps(run)} so far{note}{_at(run)}; it runs, or was killed")


def _failed(files: RunFiles, failure: Failure, reason: str, retries: tuple[Retry, ...], steps: int) -> VaspState:
    tried = sum(retry.failure == failure.name for retry in retries)
    tags = dict(settings_of(files))
    if "NBANDS" not in tags and failure.name == "too_few_bands" and files.outputs:
        bands = read_progress(files).settings.get("NBANDS", 0)
        tags["NBANDS"] = f"{bands:.0f}"
    changes = failure.remedy(tags, tried)
    if failure.start_over and not steps:
        return VaspState(files, RunState.FAILED, f"{reason}: the starting structure itself is bad", failure)
    if changes is None and tried:
        reason += f"; {tried} {'remedy has' if tried == 1 else 'remedies have'} been tried"
    return VaspState(files, RunState.FAILED, reason, failure, changes)


def _implausible(files: RunFiles, run: Progressed) -> tuple[Failure, str] | None:
    if not run.steps:
        return None
    if run.fmax is not None and run.fmax > LARGEST_FORCE:
        return EXPLODED, f"the geometry explodes: forces of {run.fmax:.0f} eV/Å in ionic step {run.steps}"
    if run.energies[-1] > 0:
        return POSITIVE, f"the energy is positive in ionic step {run.steps} ({run.energies[-1]:.1f} eV)"
    atoms = read_structure(files.folder / "CONTCAR")
    closest = closest_contact(atoms) if atoms is not None else 1.0
    if closest < CLOSEST:
        return EXPLODED, f"the geometry explodes: two atoms have come to {closest:.2f} of the sum of their radii"
    return None


def read_structure(path: Path) -> Atoms | None:
    """A POSCAR or CONTCAR; None if it is not there, empty or cut."""
    import numpy as np
    from ase.io import read

    try:
        atoms = read(path, format="vasp")
    except Exception:  # whatever a parser raises on half a file
        return None
    finite = len(atoms) and np.isfinite(atoms.positions).all() and atoms.cell.rank == 3
    return atoms if finite else None


def _steps(run: Progressed) -> str:
    return "1 ionic step" if run.steps == 1 else f"{run.steps} ionic steps"


def _at(run: Progressed) -> str:
    return f", largest force {run.fmax:.3f} eV/Å" if run.fmax is not None and run.steps else ""


def _also(names: str) -> str:
    return f" (custodian: {names})" if names else ""
