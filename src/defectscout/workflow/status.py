"""How each candidate of a campaign stands, wherever it is relaxed: here, by hand, or through AiiDA."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from defectscout.core.errors import InputFileError, MissingExtraError
from defectscout.core.frames import RelaxationState
from defectscout.references.engines.base import Engine, RunState
from defectscout.references.engines.retries import read_retries
from defectscout.sampling.labels import folder_name
from defectscout.workflow.aiida.record import read_submission
from defectscout.workflow.campaign import RECORD_NAME, Campaign, read_campaign
from defectscout.workflow.handwork import inputs_folder, read_inputs_record
from defectscout.workflow.host_runs import RUN_FOLDER, host_run, is_host_run
from defectscout.workflow.outputs import read_output
from defectscout.workflow.record import REFERENCE, Record, Task
from defectscout.workflow.stages.candidates import candidate_names


class Standing(StrEnum):
    """How a candidate's relaxation stands."""

    WAITING = "waiting"  # its turn has not come
    QUEUED = "queued"  # it is on its way to the queue, or in it
    RUNNING = "running"
    PAUSED = "paused"  # the computer could not be reached
    UNFINISHED = "unfinished"  # it ended early and can go on
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"  # it was killed with the search


@dataclass(frozen=True, slots=True)
class CandidateStatus:
    """One candidate.

    Attributes:
        name: `v_Cd_0/Bond_Distortion_-60.0%`.
        standing: how its relaxation stands.
        steps: ionic steps so far, as far as is known.
        fmax: largest force on an atom in the last of them, eV/Å; None where that is not known.
        attempts: jobs, or runs, so far.
        reason: why it failed, paused or was run again.
    """

    name: str
    standing: Standing
    steps: int = 0
    fmax: float | None = None
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """A campaign.

    Attributes:
        candidates: in the order of the defects.
        sentence: where they are relaxed, and how that stands as a whole.
        notes: what the user should do.
    """

    candidates: tuple[CandidateStatus, ...]
    sentence: str
    notes: tuple[str, ...] = ()

    def count(self, standing: Standing) -> int:
        """How many stand so."""
        return sum(item.standing is standing for item in self.candidates)


def status(folder: Path, profile: str = "") -> CampaignStatus:
    """How each candidate of the campaign in `folder` stands; or the relaxation of a host.

    Args:
        folder: the campaign, or what `relax-host` has written.
        profile: AiiDA's profile; empty for the one that the campaign was submitted with.

    Raises:
        CampaignError: there is no campaign, or its search is not in that profile.
        MissingExtraError: it was submitted, and AiiDA is not installed.
    """
    of_host = is_host_run(folder)
    if read_submission(folder) is not None:
        need_aiida()
        from defectscout.workflow.aiida.follow import aiida_status
        from defectscout.workflow.aiida.hosts import host_status

        return host_status(folder, profile) if of_host else aiida_status(folder, profile)
    if of_host:
        return _host_by_hand(folder)
    campaign = look_into(folder)
    return _by_hand(campaign) if campaign.settings.reference.name == "none" else _recorded(campaign)


def look_into(folder: Path) -> Campaign:
    """The campaign in `folder` for reading alone: nothing is locked, so that it may be looked at while it runs.

    Raises:
        CampaignError: there is none.
    """
    settings, source = read_campaign(folder)
    return Campaign(folder, settings, source, Record(folder / RECORD_NAME))


def need_aiida() -> None:
    """Check that AiiDA is installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import aiida  # noqa: F401
    except ImportError:
        raise MissingExtraError("Work through AiiDA", "aiida-core", "aiida") from None


def _by_hand(campaign: Campaign) -> CampaignStatus:
    from defectscout.references.engines.registry import load_engine

    names, written = candidate_names(campaign), read_inputs_record(campaign)
    if not names:
        return CampaignStatus((), "Its candidates have not been chosen yet.")
    if written is None:
        runs = tuple(CandidateStatus(f"{defect}/{label}", Standing.WAITING) for defect, label in names)
        return CampaignStatus(runs, "No inputs have been written yet.")
    engine, base = load_engine(written.engine), inputs_folder(campaign)
    known = {(task.key.defect, task.key.label): task for task in campaign.record.tasks(REFERENCE)}
    runs = tuple(
        _of_folder(f"{defect}/{label}", engine, base / defect / folder_name(label), known.get((defect, label)))
        for defect, label in names
    )
    return CampaignStatus(runs, f"By hand in {base} ({engine.info.program}, {written.preset or 'default preset'}).")


def _host_by_hand(folder: Path) -> CampaignStatus:
    from defectscout.references.engines.registry import load_engine

    run = host_run(folder)
    engine, place = load_engine(run.engine), folder / RUN_FOLDER
    return CampaignStatus(
        (_of_folder(RUN_FOLDER, engine, place, None),), f"By hand in {place} ({engine.info.program}, {run.preset})."
    )


_OF_RUN = {
    RunState.NOT_RUN: Standing.WAITING,
    RunState.RUNNING: Standing.RUNNING,
    RunState.FINISHED: Standing.FINISHED,
    RunState.UNFINISHED: Standing.UNFINISHED,
    RunState.FAILED: Standing.FAILED,
}


def _of_folder(name: str, engine: Engine, folder: Path, task: Task | None) -> CandidateStatus:
    diagnosis = engine.diagnose(folder)
    try:
        output = read_output(folder)
    except InputFileError:
        output = None
    last = output.steps[-1][1] if output is not None and output.steps else None
    begun = diagnosis.state is not RunState.NOT_RUN
    reason = diagnosis.reason if begun else ""
    if diagnosis.remedy and diagnosis.state is RunState.FAILED:
        reason = f"{reason}; remedy: {diagnosis.remedy}"
    if not begun and task is not None and task.state is RelaxationState.CONVERGED:
        return of_task(name, task)
    return CandidateStatus(
        name=name,
        standing=_OF_RUN[diagnosis.state],
        steps=output.taken if output is not None else 0,
        fmax=last.fmax if last is not None else None,
        attempts=len(read_retries(folder)) + begun,
        reason=reason,
    )


def _recorded(campaign: Campaign) -> CampaignStatus:
    tasks = {(task.key.defect, task.key.label): task for task in campaign.record.tasks(REFERENCE)}
    names = list(dict.fromkeys([*candidate_names(campaign), *tasks]))
    runs = tuple(
        of_task(f"{defect}/{label}", tasks[defect, label])
        if (defect, label) in tasks
        else CandidateStatus(f"{defect}/{label}", Standing.WAITING)
        for defect, label in names
    )
    sentence = f"Relaxed here with {campaign.settings.reference.name}."
    return CampaignStatus(runs, sentence if names else f"{sentence} Its candidates have not been chosen yet.")


def of_task(name: str, task: Task) -> CandidateStatus:
    """How a relaxation stands in a campaign's record."""
    if task.state is RelaxationState.PENDING:
        return CandidateStatus(name, Standing.WAITING, reason=task.reason)
    checkpoint = task.checkpoint
    standing = Standing.UNFINISHED
    if task.state is RelaxationState.FAILED:
        standing = Standing.FAILED
    elif task.state.is_finished:
        standing = Standing.FINISHED
    return CandidateStatus(
        name=name,
        standing=standing,
        steps=task.evaluations,
        fmax=checkpoint.frame.prediction.fmax if checkpoint is not None else None,
        attempts=1,
        reason=task.reason,
    )
