"""The learning loop as a part of a campaign: all its defects, their charge states, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import DefectscoutError
from defectscout.core.progress import Progress
from defectscout.learning.dataset import Dataset, write_dataset
from defectscout.learning.frame_sampling import spaced
from defectscout.learning.frames import LabelledFrame
from defectscout.relaxation.steppers import CorrectedStepper
from defectscout.surrogates.charge import AtCharge
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.campaign import LEARNING_FOLDER, Campaign
from defectscout.workflow.earlier import earlier
from defectscout.workflow.learn.candidates import record_candidates
from defectscout.workflow.learn.learner import labelled_frames, load_learned
from defectscout.workflow.learn.loop import learn
from defectscout.workflow.learn.rounds import read_records, write_record
from defectscout.workflow.learn.tuning import learnable
from defectscout.workflow.nearest import resolve_nearest
from defectscout.workflow.reused_frames import reused_frames
from defectscout.workflow.stages.other_charges import relax_borrowed
from defectscout.workflow.stages.reference import record_reference
from defectscout.workflow.stages.scout import load_recorded_surrogate, record_surrogate
from defectscout.workflow.store import keep
from defectscout.workflow.store_entry import FRAMES


def learn_all(campaign: Campaign, defects: Sequence[Defect], host: Host, progress: Progress) -> None:
    """Run the loop of every defect, hand structures on between charge states, and keep the surrogates."""
    record_reference(campaign, progress)
    surrogate = load_recorded_surrogate(campaign, defects)
    record_surrogate(campaign, surrogate.info)
    if not read_records(campaign):
        _offer(campaign, defects, host, progress)
    learn(campaign, defects, host.formula, reused(campaign, defects, host), progress)
    candidates = record_candidates(campaign, defects)
    if campaign.settings.defects.cross_charges:
        relax_borrowed(campaign, defects, candidates, progress, steppers=_steppers(campaign, defects))
    if campaign.settings.learn.keep:
        _keep(campaign, defects, host, progress)


def _offer(campaign: Campaign, defects: Sequence[Defect], host: Host, progress: Progress) -> None:
    """Say that an earlier surrogate is near, where the search starts from an untouched one."""
    settings = campaign.settings
    if is_model_folder(Path(settings.surrogate.name).expanduser()):
        return
    charges = sorted({defect.charge for defect in defects})
    offer = resolve_nearest(host, charges, settings.reference.name, progress=progress)
    if offer is not None:
        progress.message(f"{offer.sentence} To start from it: --surrogate nearest.")


def reused(campaign: Campaign, defects: Sequence[Defect], host: Host) -> tuple[LabelledFrame, ...]:
    """Frames that are learned from beside those of this campaign: of the store's related hosts, if the surrogate
    comes from there, or those that its folder holds; none with an untouched one.

    They are copied into the campaign at the first call, so that a store that is tidied up changes nothing.

    Raises:
        DatasetError: if they cannot be read.
    """
    copy = campaign.folder / LEARNING_FOLDER / FRAMES
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        write_dataset(copy, _earlier_frames(campaign, defects, host))
    with Dataset.open(copy) as dataset:
        return tuple(dataset.frames([row.row for row in dataset.index()]))


def _earlier_frames(campaign: Campaign, defects: Sequence[Defect], host: Host) -> list[LabelledFrame]:
    settings = campaign.settings
    limit, method = settings.learn.tuning.reused_frames, settings.reference.name
    if not limit:
        return []
    found = earlier(settings.surrogate.name)
    if found.models:
        charges = sorted({defect.charge for defect in defects})
        return [frame for charge in charges for frame in reused_frames(found.models, host, charge, method, limit)]
    if found.frames is None:
        return []
    with Dataset.open(found.frames) as dataset:
        rows = [row.row for row in dataset.index()]
        return list(dataset.frames([rows[i] for i in spaced(len(rows), limit)]))


def _steppers(campaign: Campaign, defects: Sequence[Defect]) -> dict[str, CorrectedStepper]:
    """Corrected relaxations with the last surrogate of each defect."""
    records = read_records(campaign)
    models = {defect.label: records[defect.label].model for defect in defects}
    return {
        defect.label: CorrectedStepper(
            campaign.settings.refinement, AtCharge(load_learned(campaign, models[defect.label]), defect.charge)
        )
        for defect in defects
        if models[defect.label]
    }


def _keep(campaign: Campaign, defects: Sequence[Defect], host: Host, progress: Progress) -> None:
    """Keep the last surrogate of each charge state whose loop has converged; it has learned from all its defects."""
    records = read_records(campaign)
    last = {
        defect.charge: defect for defect in defects if records[defect.label].is_settled and records[defect.label].model
    }
    for charge, defect in last.items():
        if records[defect.label].kept_as:
            continue
        own = [other for other in defects if other.charge == charge]
        answered = [frame for other in own for frame in labelled_frames(campaign, other, host.formula)]
        frames = learnable(answered, campaign.settings.learn.tuning)
        model = campaign.folder / records[defect.label].model
        try:
            stored = keep(model, frames, host, [other.label for other in own], charge, campaign.folder)
        except (DefectscoutError, OSError) as error:
            progress.warn(f"The surrogate was not kept in the store: {error}")
            continue
        progress.message(f"The store keeps the surrogate as {stored.name} (defectscout models show {stored.name})")
        write_record(campaign, defect.label, replace(records[defect.label], kept_as=stored.name))
