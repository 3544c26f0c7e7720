"""Reference stage: the candidates relax with the method whose answer counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pydantic import TypeAdapter

from defectscout.core.defect import Defect
from defectscout.core.frames import Relaxation, RelaxationState
from defectscout.core.progress import Progress
from defectscout.references.base import ElectronicState, ReferenceInfo
from defectscout.relaxation.process import available_cores
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.steppers import CorrectedStepper, Stepper
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import REFERENCE, Task, TaskKey
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.candidates import DefectCandidates, candidate_structures
from defectscout.workflow.stages.clocks import Clocks
from defectscout.workflow.stages.convergence import ConvergenceMeter
from defectscout.workflow.stages.scout import load_recorded_surrogate

_SEPARATOR = "/"
_INFO = TypeAdapter(ReferenceInfo)


def electronic_states(settings: SearchSettings, defects: Sequence[Defect]) -> dict[str, ElectronicState]:
    """Charge and spin that the reference uses for each defect, by its label.

    Raises:
        UnsupportedElementError: if the reference has no parameters for an element.
    """
    from defectscout.references.registry import load_reference

    if settings.reference.name == "none":
        return {}
    reference = load_reference(settings.reference.name)
    states = {}
    for defect in defects:
        reference.check_elements(sorted(set(defect.atoms.get_chemical_symbols())))
        states[defect.label] = reference.electronic_state(defect.atoms, defect.charge)
    return states


def relax_candidates(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    progress: Progress,
    steppers: Mapping[str, Stepper] = MappingProxyType({}),
) -> None:
    """Relax every candidate with the reference, several at once; resume what was interrupted.

    Args:
        campaign: the open campaign.
        defects: its defects.
        candidates: of each, by its label.
        progress: told about the work.
        steppers: how relaxations of a defect take their steps, by its label; FIRE without one.
    """
    from defectscout.relaxation.pool import ReferenceJob, relax_with_reference

    for defect in defects:
        structures = candidate_structures(campaign, defect, candidates[defect.label])
        campaign.record.add_tasks(REFERENCE, defect.label, [(item.label, atoms) for item, atoms in structures])
    tasks = campaign.record.tasks(REFERENCE)
    pending = [task for task in tasks if not task.state.is_finished]
    if not pending:
        return
    record_reference(campaign, progress)
    charges = {defect.label: defect.charge for defect in defects}
    jobs = [
        ReferenceJob(
            label=_SEPARATOR.join((task.key.defect, task.key.label)),
            atoms=task.start,
            charge=charges[task.key.defect],
            checkpoint=task.checkpoint,
            stepper=steppers.get(task.key.defect),
        )
        for task in pending
    ]
    meter = ConvergenceMeter(campaign.settings.refinement)
    for task in tasks:
        if task.state.is_finished:
            meter.finish(str(task.key))
    progress.stage("reference", len(tasks))
    clocks = Clocks(campaign.settings.reference.workers or available_cores())
    relax_with_reference(
        campaign.settings.reference.name,
        jobs,
        campaign.settings.refinement,
        workers=campaign.settings.reference.workers,
        on_step=_keeper(campaign, meter, clocks, progress),
        on_finish=_finisher(campaign, meter, clocks, progress),
    )
    progress.finish("reference")


def candidate_steppers(campaign: Campaign, defects: Sequence[Defect]) -> dict[str, Stepper]:
    """How the candidates of a search that scouts once take their steps, by the defect; empty for FIRE.

    Raises:
        DefectscoutError: the surrogate that is to propose them cannot be loaded.
    """
    settings = campaign.settings
    if settings.strategy != "scout" or settings.refinement.optimiser == "fire":
        return {}
    surrogate = load_recorded_surrogate(campaign, defects)
    return {
        defect.label: CorrectedStepper(settings.refinement, AtCharge(surrogate, defect.charge)) for defect in defects
    }


def record_reference(campaign: Campaign, progress: Progress) -> None:
    """Record what answers, and say so if it is no longer what answered before an interruption."""
    from defectscout.references.registry import load_reference

    info = load_reference(campaign.settings.reference.name).info
    known = reference_info(campaign)
    if known is None:
        campaign.record.write_document("reference", _INFO.dump_json(info).decode())
    elif known != info:
        progress.warn(
            f"The reference {info.name} was {known.package} when this campaign began to use it and is {info.package} "
            "now: energies of the two are not strictly comparable."
        )


def reference_info(campaign: Campaign) -> ReferenceInfo | None:
    """What was recorded of the reference; None before it was asked."""
    stored = campaign.record.read_document("reference")
    return _INFO.validate_json(stored) if stored is not None else None


def _key(label: str) -> TaskKey:
    defect, name = label.split(_SEPARATOR, 1)
    return TaskKey(REFERENCE, defect, name)


def _keeper(
    campaign: Campaign, meter: ConvergenceMeter, clocks: Clocks, progress: Progress
) -> Callable[[str, Checkpoint], None]:
    def keep(label: str, checkpoint: Checkpoint) -> None:
        key = _key(label)
        campaign.record.write_steps([(key, checkpoint)], seconds=clocks.step(label))
        frame = checkpoint.frame
        meter.update(str(key), frame.prediction, frame.step)
        progress.advance("reference", meter.done, f"{label}, step {frame.step}, {frame.prediction.fmax:.2f} eV/Å")

    return keep


def _finisher(
    campaign: Campaign, meter: ConvergenceMeter, clocks: Clocks, progress: Progress
) -> Callable[[Relaxation], None]:
    def finish(relaxation: Relaxation) -> None:
        clocks.finish(relaxation.label)
        key = _key(relaxation.label)
        campaign.record.finish(key, relaxation.state, relaxation.reason, relaxation.n_evaluations)
        meter.finish(str(key))
        if relaxation.state is RelaxationState.FAILED:
            progress.warn(f"{relaxation.label}: the reference relaxation failed: {relaxation.reason}")

    return finish


def referenced(campaign: Campaign, defect: Defect) -> tuple[Task, ...]:
    """The recorded reference relaxations of a defect."""
    return tuple(campaign.record.tasks(REFERENCE, defect.label))
