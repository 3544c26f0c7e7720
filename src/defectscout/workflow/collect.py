"""Reading back reference relaxations that ran elsewhere, finished or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Defect, charge_text
from defectscout.core.errors import InputFileError, SamplingError
from defectscout.core.frames import Frame, RelaxationState
from defectscout.core.progress import Progress
from defectscout.references.engines.base import Diagnosis, Engine, RunState
from defectscout.relaxation.fire import fire_init
from defectscout.relaxation.records import Checkpoint
from defectscout.sampling.labels import folder_name
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.fitting import fit_frames
from defectscout.workflow.handwork import DEFAULT_ENGINE, read_inputs_record, write_method
from defectscout.workflow.outputs import Output, read_output
from defectscout.workflow.record import REFERENCE, TaskKey
from defectscout.workflow.stages.candidates import DefectCandidates, candidate_structures


@dataclass(frozen=True, slots=True)
class CandidateRun:
    """How the relaxation of one candidate stands.

    Attributes:
        name: `v_Cd_0/Bond_Distortion_-60.0%`.
        folder: where it ran, or is to run.
        state: how it stands.
        steps: ionic steps so far.
        fmax: largest force on an atom in the last one that counts, eV/Å; None before.
        reason: why it is not finished.
        remedy: what `defectscout restart` would change.
    """

    name: str
    folder: Path
    state: RunState
    steps: int = 0
    fmax: float | None = None
    reason: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        words = [f"{self.name}: {self.state.value}"]
        if self.steps:
            force = f", largest force {self.fmax:.3f} eV/Å" if self.fmax is not None else ""
            words.append(f"{self.steps} ionic step{'' if self.steps == 1 else 's'}{force}")
        if self.reason:
            words.append(self.reason)
        if self.remedy:
            words.append(f"remedy: {self.remedy}")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class Collected:
    """How each candidate's relaxation stands, in the order of the candidates."""

    runs: tuple[CandidateRun, ...]

    def count(self, state: RunState) -> int:
        """How many stand so."""
        return sum(run.state is state for run in self.runs)

    @property
    def complete(self) -> bool:
        """Whether all have finished."""
        return all(run.state is RunState.FINISHED for run in self.runs)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was found of one candidate, before its energies are known to be on one scale with the others."""

    key: TaskKey
    defect: Defect
    folder: Path
    diagnosis: Diagnosis
    output: Output | None


def collect(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    folder: Path,
    progress: Progress,
) -> Collected:
    """Read the relaxations of the candidates in ShakeNBreak's layout into the record, as far as they have come.

    May be called any number of times: what has been read before is replaced by what is there now. A relaxation that
    runs, or that was ended early, keeps its frames and is in no answer yet; one that failed is set aside.

    Args:
        campaign: the open campaign.
        defects: its defects.
        candidates: their candidates, by the defect's label.
        folder: holds `v_Cd_0/LABEL/` with the output of the engine that the inputs were written for, else of
            VASP.
        progress: told about every relaxation.

    Raises:
        InputFileError: the folder does not exist or holds no output of this campaign.
    """
    from defectscout.references.engines.registry import load_engine

    if not folder.is_dir():
        raise InputFileError(f"The folder {folder} does not exist. Give the folder with the relaxations.")
    written = read_inputs_record(campaign)
    engine = load_engine(written.engine if written is not None else DEFAULT_ENGINE)
    found: list[_Found | CandidateRun] = []
    for defect in defects:
        structures = candidate_structures(campaign, defect, candidates[defect.label])
        campaign.record.add_tasks(REFERENCE, defect.label, [(item.label, atoms) for item, atoms in structures])
        for candidate, _ in structures:
            target = folder / defect.label / folder_name(candidate.label)
            found.append(_look(engine, TaskKey(REFERENCE, defect.label, candidate.label), defect, target))
    if not any(isinstance(item, CandidateRun) or _is_there(item) for item in found):
        raise InputFileError(
            f"No relaxation of this campaign was found under {folder}. Expected are folders such as "
            f"{'/'.join(found[0].folder.parts[-2:]) if found else 'v_Cd_0/Unperturbed'} with the output of "
            f"{engine.info.program} in them."
        )
    method = _method(found)
    write_method(campaign, method or engine.info.name)
    runs = tuple(item if isinstance(item, CandidateRun) else _take(campaign, item, method, progress) for item in found)
    for run in runs:
        (progress.warn if _needs_care(run) else progress.message)(str(run))
    # Agreement with the surrogate has to be worked out anew from the new frames.
    campaign.record.forget([], ["agreement"])
    _say_what_next(campaign, Collected(runs), progress)
    return Collected(runs)


def _is_there(found: _Found) -> bool:
    return found.output is not None or found.diagnosis.state is not RunState.NOT_RUN


def _look(engine: Engine, key: TaskKey, defect: Defect, folder: Path) -> _Found | CandidateRun:
    diagnosis = engine.diagnose(folder)
    try:
        output = read_output(folder)
    except InputFileError as error:
        return CandidateRun(_name(key), folder, RunState.FAILED, reason=str(error))
    return _Found(key, defect, folder, diagnosis, output)


def _method(found: Sequence[_Found | CandidateRun]) -> str:
    """The functional of most relaxations; that of the first where two are as many."""
    methods = Counter(
        item.output.method
        for item in found
        if isinstance(item, _Found) and item.output is not None and item.output.method
    )
    return methods.most_common(1)[0][0] if methods else ""


def _take(campaign: Campaign, found: _Found, method: str, progress: Progress) -> CandidateRun:
    """Record one relaxation as far as it has come."""
    name, diagnosis, output = _name(found.key), found.diagnosis, found.output
    if output is None:
        if diagnosis.state is RunState.FAILED:
            campaign.record.finish(found.key, RelaxationState.FAILED, diagnosis.reason, 0)
        return _read_before(campaign, found.key, found.folder) or CandidateRun(
            name, found.folder, diagnosis.state, reason=diagnosis.reason, remedy=diagnosis.remedy
        )
    for note in output.notes:
        # That a run which goes on, or will go on, has no end is said already.
        (progress.message if output.steps else progress.warn)(f"{output.source}: {note}")
    if diagnosis.state is RunState.FINISHED and not output.steps:
        diagnosis = Diagnosis(RunState.FAILED, f"none of its ionic steps can be used ({output.notes[-1]})")
    try:
        _check(found, output, method)
        frames = fit_frames(output.steps, found.defect) if output.steps else []
    except (InputFileError, SamplingError) as error:
        reason = f"{output.source} was not read: {error}"
        campaign.record.forget_frames(found.key)
        campaign.record.finish(found.key, RelaxationState.PENDING, reason, 0)
        return CandidateRun(name, found.folder, RunState.FAILED, output.taken, None, reason)
    _record(campaign, found.key, frames, output.taken, diagnosis)
    return CandidateRun(
        name=name,
        folder=found.folder,
        state=diagnosis.state,
        steps=output.taken,
        fmax=frames[-1].prediction.fmax if frames else None,
        reason=diagnosis.reason,
        remedy=diagnosis.remedy,
    )


def _read_before(campaign: Campaign, key: TaskKey, folder: Path) -> CandidateRun | None:
    """A relaxation that was read to its end and whose files are elsewhere now; None if that is not so."""
    known = next(task for task in campaign.record.tasks(key.stage, key.defect) if task.key == key)
    if known.state is not RelaxationState.CONVERGED:
        return None
    frames = campaign.record.frames(key)
    fmax = frames[-1].prediction.fmax if frames else None
    return CandidateRun(_name(key), folder, RunState.FINISHED, known.evaluations, fmax)


def _check(found: _Found, output: Output, method: str) -> None:
    charge = found.defect.charge
    if output.charge is not None and output.charge != charge:
        raise InputFileError(
            f"its number of electrons is that of charge {charge_text(output.charge)}, not {charge_text(charge)} "
            "(NELECT in INCAR for VASP); run it again with the right one"
        )
    if output.method and output.method != method:
        raise InputFileError(
            f"its functional is {output.method}, and {method} in most of the others, whose energies cannot be compared "
            "with it; run it again with the same settings"
        )


def _record(campaign: Campaign, key: TaskKey, frames: Sequence[Frame], taken: int, diagnosis: Diagnosis) -> None:
    record = campaign.record
    record.forget_frames(key)
    if frames:
        first = frames[0].prediction.energy
        optimiser = fire_init(len(frames[0].atoms), campaign.settings.refinement.fire)
        record.write_steps([(key, Checkpoint(frame, optimiser, first)) for frame in frames], seconds=0.0)
    record.finish(key, _recorded(diagnosis.state, bool(frames)), diagnosis.reason, taken)


def _recorded(state: RunState, has_frames: bool) -> RelaxationState:
    """How the record has a relaxation: what can go on is not at its end, and so in no answer."""
    if state is RunState.FAILED:
        return RelaxationState.FAILED
    if state is RunState.FINISHED:
        return RelaxationState.CONVERGED
    return RelaxationState.RUNNING if has_frames else RelaxationState.PENDING


def _needs_care(run: CandidateRun) -> bool:
    return run.state is RunState.FAILED


def _say_what_next(campaign: Campaign, collected: Collected, progress: Progress) -> None:
    runs = collected.runs
    parts = [f"{count} {state.value}" for state in RunState if (count := collected.count(state))]
    progress.message(f"{len(runs)} candidates: {', '.join(parts)}.")
    again = sum(run.state is RunState.UNFINISHED or bool(run.remedy) for run in runs)
    if again:
        progress.message(f"To prepare {again} of them to run again: defectscout restart {campaign.folder}")


def _name(key: TaskKey) -> str:
    return f"{key.defect}/{key.label}"
