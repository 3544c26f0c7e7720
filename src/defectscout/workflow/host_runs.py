"""The host's relaxation as a run by hand: its inputs, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from defectscout.core.errors import CalculationError, CampaignError, InputFileError
from defectscout.core.files import write_atomically
from defectscout.core.progress import Progress
from defectscout.defects.convert import to_atoms
from defectscout.hosts.settings import HostSettings, SupercellSettings
from defectscout.references.engines.base import Calculation, Engine, Purpose, RunState
from defectscout.references.engines.templates import read_template, write_job
from defectscout.sampling.geometry import to_structure
from defectscout.sampling.poscar import poscar_text
from defectscout.workflow.collect import CandidateRun
from defectscout.workflow.handwork import DEFAULT_ENGINE
from defectscout.workflow.inputs import InputChoices, chosen_preset
from defectscout.workflow.outputs import Output, read_output

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

RUN_FOLDER: Final = "bulk"
"""The calculation's own folder; a dataset takes what runs in a folder of this name for the pristine crystal."""

RELAXED_NAME: Final = "relaxed.vasp"
_MANIFEST: Final = "host.json"
_START: Final = "start.vasp"
BASIS_KEEPS: Final = 0.03
"""A plane-wave basis is made for the volume at the start; past this change of it, forces of the two differ."""


@dataclass(frozen=True, slots=True)
class HostRun:
    """What was asked for.

    Attributes:
        source: the host's file.
        engine: name of the engine.
        preset: its settings.
    """

    source: str
    engine: str
    preset: str


_RUN: Final = TypeAdapter(HostRun)


@dataclass(frozen=True, slots=True)
class HostStanding:
    """How the relaxation of a host stands.

    Attributes:
        run: how far it has come.
        relaxed: file with the relaxed crystal; None before it is finished.
        length_changes: relative changes of the lattice parameters a, b, c; empty before it is finished.
        space_groups: before and after; empty before it is finished.
        concerns: what speaks against searching defects in it, a sentence each.
    """

    run: CandidateRun
    relaxed: Path | None = None
    length_changes: tuple[float, ...] = ()
    space_groups: tuple[str, ...] = ()
    concerns: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.length_changes:
            return str(self.run)
        changes = (f"{axis} {100 * change:+.2f} %" for axis, change in zip("abc", self.length_changes, strict=True))
        return f"{self.run}; {', '.join(changes)}; space group {self.space_groups[1]}"


def is_host_run(folder: Path) -> bool:
    """Whether `relax-host` has written into this folder."""
    return (folder / _MANIFEST).is_file()


def write_host_run(source: str, folder: Path, choices: InputChoices, settings: HostSettings) -> tuple[str, ...]:
    """Write the input of a relaxation of the host, cell and positions.

    It is that of the primitive cell, or of a supercell where the engine samples the Γ point alone.

    Args:
        source: structure file, or Materials Project id.
        folder: the calculation goes to `folder/bulk/`.
        choices: engine, preset and job script.
        settings: how a host is checked.

    Returns:
        What the user has to add before it can run, one sentence each.

    Raises:
        CampaignError: something else is in the folder, or a relaxation has run there.
        HostError: the structure is no crystal that defects can be made in.
        SettingsError: there is no such preset, or the job script cannot be used.
        UnknownMethodError: there is no such engine.
    """
    from defectscout.hosts.check import check_host
    from defectscout.hosts.read import read_structure
    from defectscout.hosts.supercell import choose_supercell
    from defectscout.references.engines.registry import load_engine

    engine = load_engine(choices.engine or DEFAULT_ENGINE)
    preset = chosen_preset(engine, choices.preset)
    template = read_template(choices.job) if choices.job is not None else None
    _check_free(folder, engine)
    cell = check_host(read_structure(source), settings, source)
    if engine.info.gamma_only:
        cell = choose_supercell(cell, SupercellSettings(), source, settings.symprec).supercell
    atoms = to_atoms(cell)
    formula = formula_of(atoms)
    run = folder / RUN_FOLDER
    state = engine.electronic_state(atoms, 0)
    notes = engine.write(run, Calculation(f"{formula} {RUN_FOLDER}", atoms, state, Purpose.HOST), preset)
    if template is not None:
        write_job(run, template, formula, RUN_FOLDER)
    write_atomically(folder / _START, poscar_text(atoms, f"{formula}, as given"))
    manifest = HostRun(source, engine.info.name, preset)
    write_atomically(folder / _MANIFEST, _RUN.dump_json(manifest, indent=1).decode())
    return notes


def _check_free(folder: Path, engine: Engine) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_host_run(folder):
        raise CampaignError(f"{folder} holds other files. Give a new folder for the relaxation of the host with -o.")
    if engine.diagnose(folder / RUN_FOLDER).state is not RunState.NOT_RUN or read_output(folder / RUN_FOLDER):
        raise CampaignError(
            f"A relaxation has run in {folder / RUN_FOLDER}. See how it stands with: defectscout collect {folder}; or "
            "give another folder with -o."
        )


def read_host_run(folder: Path, settings: HostSettings, progress: Progress) -> HostStanding:
    """How the relaxation stands; once it is finished, the relaxed crystal is written to `relaxed.vasp`.

    Raises:
        InputFileError: the folder is not one that `relax-host` has written, or its output cannot be read.
    """
    place, engine = _opened(folder)
    diagnosis = engine.diagnose(place)
    output = read_output(place)
    for note in output.notes if output is not None else ():
        progress.message(f"{place}: {note}")
    steps = output.steps if output is not None else ()
    run = CandidateRun(
        name=str(place),
        folder=place,
        state=diagnosis.state,
        steps=output.taken if output is not None else 0,
        fmax=steps[-1][1].fmax if steps else None,
        reason=diagnosis.reason,
        remedy=diagnosis.remedy,
    )
    if run.state is not RunState.FINISHED:
        return HostStanding(run)
    if output is None or not steps:
        return HostStanding(replace(run, state=RunState.FAILED, reason="none of its ionic steps can be used"))
    return _finished(folder, run, output, settings)


def _finished(folder: Path, run: CandidateRun, output: Output, settings: HostSettings) -> HostStanding:
    from defectscout.hosts.read import read_structure

    before, after = read_structure(str(folder / _START)), to_structure(output.steps[-1][1].atoms)
    groups = (_space_group(before, settings.symprec), _space_group(after, settings.symprec))
    changes = tuple(float(new / old - 1) for old, new in zip(before.lattice.abc, after.lattice.abc, strict=True))
    relaxed = folder / RELAXED_NAME
    title = f"{after.reduced_formula}, relaxed: {output.method}"
    write_atomically(relaxed, poscar_text(output.steps[-1][1].atoms, title))
    concerns = _concerns(changes, groups, after.volume / before.volume - 1, settings)
    return HostStanding(run, relaxed, changes, groups, concerns)


def _concerns(
    changes: tuple[float, ...], groups: tuple[str, str], volume: float, settings: HostSettings
) -> tuple[str, ...]:
    concerns = []
    worst = int(np.abs(changes).round(6).argmax())  # rounded: a, not b, where symmetry makes them equal
    if abs(changes[worst]) > settings.max_length_change:
        concerns.append(
            f"The lattice parameter {'abc'[worst]} changes by {100 * changes[worst]:+.1f} % (limit "
            f"{100 * settings.max_length_change:g} %): is this the crystal that was meant?"
        )
    if groups[0] != groups[1]:
        concerns.append(
            f"The space group changes from {groups[0]} to {groups[1]}: defects in it would trigger, or undo, the "
            "host's own reconstruction."
        )
    if abs(volume) > BASIS_KEEPS:
        concerns.append(
            f"The volume changes by {100 * volume:+.1f} %, and the basis set was made for the first one: relax again "
            "from the relaxed crystal, in another folder."
        )
    return tuple(concerns)


def restart_host_run(folder: Path, running_too: bool) -> str:
    """Prepare the relaxation to run again from its last structure, what failed mended where there is a remedy.

    Args:
        folder: as `write_host_run` was given.
        running_too: also if its output merely has no end.

    Returns:
        What was changed; empty if it is finished, runs, or has not begun.

    Raises:
        InputFileError: the folder is not one that `relax-host` has written.
        CalculationError: there is nothing to go on from, or no remedy.
    """
    run, engine = _opened(folder)
    state = engine.diagnose(run).state
    ended = {RunState.UNFINISHED, RunState.FAILED} | ({RunState.RUNNING} if running_too else set())
    if state not in ended:
        return ""
    try:
        return engine.go_on(run, host_run(folder).preset)
    except CalculationError as error:
        raise CalculationError(f"{run}: {error}") from error


def _opened(folder: Path) -> tuple[Path, Engine]:
    from defectscout.references.engines.registry import load_engine

    return folder / RUN_FOLDER, load_engine(host_run(folder).engine)


def host_run(folder: Path) -> HostRun:
    """What `relax-host` was asked for.

    Raises:
        InputFileError: the folder is not one that it has written.
    """
    path = folder / _MANIFEST
    try:
        return _RUN.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputFileError(
            f"Cannot read {path}: {error}. Give a folder that `defectscout relax-host` has written."
        ) from None


def formula_of(atoms: Atoms) -> str:
    """Such as `CdTe`, whatever the cell."""
    return str(atoms.get_chemical_formula(mode="metal", empirical=True))


def start_of(folder: Path) -> Atoms:
    """The crystal that the relaxation starts from.

    Raises:
        InputFileError: its file is not there, or damaged.
    """
    from defectscout.hosts.read import read_structure

    return to_atoms(read_structure(str(folder / _START)))


def _space_group(structure: Structure, symprec: float) -> str:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    return str(SpacegroupAnalyzer(structure, symprec=symprec).get_space_group_symbol())
