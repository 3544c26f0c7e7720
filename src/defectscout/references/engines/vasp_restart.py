"""Preparing a VASP calculation to run again."""

from __future__ import annotations

import shutil
from pathlib import Path

from defectscout.core.errors import CalculationError
from defectscout.core.files import write_atomically
from defectscout.references.engines.base import RunState
from defectscout.references.engines.retries import Retry, add_retry
from defectscout.references.engines.vasp_diagnosis import VaspState, read_structure, remedy_in_words, vasp_state
from defectscout.references.engines.vasp_folder import kept_as, next_number
from defectscout.references.engines.vasp_incar import with_tags
from defectscout.references.engines.vasp_output import read_progress, settings_of

_INPUTS = ("POSCAR", "INCAR", "CONTCAR")  # copied before they change
_SWITCHES = ("STOPCAR",)  # would stop the next run at once


def go_on(folder: Path) -> str:
    """Prepare `folder` to run again: CONTCAR becomes POSCAR, INCAR takes the remedy, output and input are numbered.

    A run that is not known to have ended is taken for one that was killed; whoever calls knows that it does not run.

    Returns:
        What was changed.

    Raises:
        CalculationError: it has not run or has finished; there is no remedy; POSCAR or INCAR is missing.
    """
    state = vasp_state(folder)
    _check(folder, state)
    failure, changes = state.failure, dict(state.changes or {})
    start_over = failure is not None and failure.start_over
    source = folder / "POSCAR" if start_over else _last_structure(folder, state)
    number = next_number(folder)
    words = _words(state, source)
    add_retry(
        folder,
        Retry(
            run=number,
            state=state.state.value,
            failure=failure.name if failure is not None else "",
            reason=state.reason,
            changed=words,
            settings=changes,
        ),
    )
    poscar = source.read_text(encoding="utf-8", errors="replace")
    incar = (folder / "INCAR").read_text(encoding="utf-8", errors="replace")
    for name in _INPUTS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, kept_as(folder / name, number))
    for path in (*state.files.outputs, *state.files.screen, *(folder / name for name in _SWITCHES)):
        if path.is_file():
            path.rename(kept_as(path, number))
    write_atomically(folder / "POSCAR", poscar)
    write_atomically(folder / "INCAR", with_tags(incar, changes))
    return words


def _check(folder: Path, state: VaspState) -> None:
    if state.state is RunState.FINISHED:
        raise CalculationError(f"The calculation in {folder} has finished: there is nothing to go on with.")
    if state.state is RunState.NOT_RUN:
        why = f" ({state.reason})" if state.reason else ""
        raise CalculationError(f"The calculation in {folder} has not run{why}: there is nothing to go on from.")
    if state.files.folder != folder:
        raise CalculationError(
            f"The latest run is in {state.files.folder}, a numbered folder inside {folder}: to go on in the next one "
            "is for whoever made them. Make it with the last CONTCAR as POSCAR."
        )
    if state.state is RunState.FAILED and state.changes is None:
        raise CalculationError(f"{folder}: {state.reason}. No remedy is left that is known: see to it by hand.")
    missing = [name for name in ("POSCAR", "INCAR") if not (folder / name).is_file()]
    if missing:
        raise CalculationError(
            f"{folder} holds output, but no {' and no '.join(missing)}: give the folder in which it ran, not one with "
            "its output alone."
        )


def _last_structure(folder: Path, state: VaspState) -> Path:
    contcar, poscar = folder / "CONTCAR", folder / "POSCAR"
    last, first = read_structure(contcar), read_structure(poscar)
    if last is not None and (first is None or sorted(last.symbols) == sorted(first.symbols)):
        return contcar
    if state.files.outputs and read_progress(state.files).steps == 0:
        return poscar  # nothing has moved yet
    raise CalculationError(
        f"{contcar} is missing, cut or of other atoms than POSCAR, so that there is no structure to go on from. Copy "
        "it from where the calculation ran."
    )


def _words(state: VaspState, source: Path) -> str:
    if state.failure is not None and state.changes is not None:
        return remedy_in_words(state.failure, state.changes, settings_of(state.files))
    return f"from the last structure ({source.name}), nothing else changed"
