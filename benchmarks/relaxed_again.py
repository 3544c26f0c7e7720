"""Corrected relaxations of finished learning loops, run once more with other settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import RelaxationState
from defectscout.relaxation.pool import ReferenceJob, relax_with_reference
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import CorrectedStepper
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign, reopen_campaign
from defectscout.workflow.learn.learner import load_learned
from defectscout.workflow.learn.questions import CONFIRMED, Kind
from defectscout.workflow.learn.rounds import LearnRecord, read_records, tasks_of
from defectscout.workflow.record import REFERENCE, Task

MOST_STEPS = 60


@dataclass(frozen=True)
class Relaxed:
    """A corrected relaxation of a learning loop that came to its end.

    Attributes:
        campaign, label: which one.
        start: its first structure.
        charge: of the defect, e.
        surrogate: of the round that began it.
        lowest: energy of the lowest frame of the defect, eV.
    """

    campaign: str
    label: str
    start: Atoms
    charge: int
    surrogate: AtCharge
    lowest: float


def relaxed_in(folder: Path) -> Iterator[Relaxed]:
    """The corrected relaxations of a campaign that came to rest, but for the unperturbed structure's."""
    with reopen_campaign(folder) as campaign:
        for label, record in read_records(campaign).items():
            yield from _relaxed(campaign, label, record)


def _relaxed(campaign: Campaign, defect: str, record: LearnRecord) -> Iterator[Relaxed]:
    charge = int(defect.rpartition("_")[2])
    tasks = {task.key.label: task for task in tasks_of(campaign, defect, (REFERENCE,))}
    lowest = min(f.prediction.energy for task in tasks.values() for f in campaign.record.frames(task.key))
    for item in record.rounds:
        for one in item.asked:
            begins = one.kind is Kind.CORRECTED and one.stage == REFERENCE and not one.calls_before
            if begins and one.label != UNPERTURBED and _came_to_rest(tasks[one.task]):
                surrogate = AtCharge(load_learned(campaign, item.model or record.started_from), charge)
                yield Relaxed(campaign.folder.name, one.task, tasks[one.task].start, charge, surrogate, lowest)


def _came_to_rest(task: Task) -> bool:
    """Whether it converged; a confirmation may have gone on from there since."""
    return task.state is RelaxationState.CONVERGED or task.reason == f"{task.key.label}{CONFIRMED}"


@dataclass(frozen=True)
class End:
    """How a relaxation went.

    Attributes:
        state: how it ended.
        energies: of each force call; the last is that of its end, eV.
    """

    state: RelaxationState
    energies: tuple[float, ...]


def again(one: Relaxed, starts: Sequence[Atoms], settings: RelaxationSettings, method: str) -> list[End]:
    """Relax each of these structures with the surrogate of that relaxation."""
    stepper = CorrectedStepper(settings.model_copy(update={"max_steps": MOST_STEPS}), one.surrogate)
    jobs = [
        ReferenceJob(label=str(k), atoms=atoms, charge=one.charge, stepper=stepper) for k, atoms in enumerate(starts)
    ]
    energies: dict[str, list[float]] = {job.label: [] for job in jobs}

    def note(label: str, checkpoint: Checkpoint) -> None:
        energies[label].append(checkpoint.frame.prediction.energy)

    ends = relax_with_reference(method, jobs, settings, workers=0, on_step=note)
    return [End(end.state, tuple(energies[end.label])) for end in ends]
