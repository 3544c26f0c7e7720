"""What the loop of one defect works with, and the surrogates that it passes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import DefectscoutError
from defectscout.core.progress import Progress
from defectscout.learning.dataset import write_dataset
from defectscout.learning.families import familiarity
from defectscout.learning.frames import DefectId, LabelledFrame
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.model_folder import untouched_of
from defectscout.surrogates.registry import load_surrogate
from defectscout.workflow.campaign import LEARNING_FOLDER, Campaign
from defectscout.workflow.campaign_frames import labelled
from defectscout.workflow.learn.rounds import LearnRecord, frames_of, read_records, tasks_of
from defectscout.workflow.learn.tuning import learnable, not_learned_from, tune
from defectscout.workflow.store_entry import FRAMES

SNAPSHOTS: Final = 2
"""Networks of earlier rounds that are compared with the newest where a spread is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """What the loop of one defect works with.

    Attributes:
        campaign: the open campaign.
        defect: which one.
        others: the campaign's other defects in the same charge state, whose answers are learned from as well.
        formula: of the host.
        starts: its sampling structures.
        related: labels of those that the same defect of a related host relaxed to, the lowest first.
        base: the surrogate that it starts from, by name or folder.
        reused: frames of related hosts that are learned from as well.
        progress: told about the work.
    """

    campaign: Campaign
    defect: Defect
    others: tuple[Defect, ...]
    formula: str
    starts: tuple[SamplingStructure, ...]
    related: tuple[str, ...]
    base: str
    reused: tuple[LabelledFrame, ...]
    progress: Progress


def load_learned(campaign: Campaign, name: str) -> Surrogate:
    """A surrogate on the campaign's device: a name, or a folder as a round records it."""
    return load_surrogate(campaign.settings.surrogate.model_copy(update={"name": path_of(campaign, name)}))


def untouched_surrogate(learner: Learner, name: str) -> Surrogate:
    """What a surrogate was before any tuning; itself where that is not known, or not here any more.

    Near the unperturbed structure it is the better guide: V_Cd in CdSe relaxed from there in 4 force calls with M3GNet
    as it comes, and in 14 with M3GNet tuned on reconstructions in CdTe.
    """
    before = untouched_of(path_of(learner.campaign, name))
    if not before:
        return load_learned(learner.campaign, name)
    try:
        return load_learned(learner.campaign, before)
    except DefectscoutError as error:
        learner.progress.message(f"The unperturbed structure is relaxed with the tuned surrogate: {error}")
        return load_learned(learner.campaign, name)


def path_of(campaign: Campaign, name: str) -> str:
    """A recorded surrogate as it is found from here: rounds record folders inside the campaign's."""
    inside = campaign.folder / name
    return str(inside) if name.startswith(f"{LEARNING_FOLDER}/") and inside.is_dir() else name


def starting_surrogate(campaign: Campaign, defects: Sequence[Defect], defect: Defect) -> str:
    """Where the loop of a defect starts: the last surrogate of an earlier defect, or the one of the settings.

    The nearest charge state comes first, and among equals the defect that was searched last.
    """
    records = read_records(campaign)
    earlier = [
        (abs(other.charge - defect.charge), -position, records[other.label].model)
        for position, other in enumerate(defects)
        if other.label != defect.label and other.label in records and records[other.label].model
    ]
    return min(earlier)[2] if earlier else campaign.settings.surrogate.name


def is_familiar(learner: Learner, base: str) -> bool:
    """Whether the surrogate was tuned on such a host in this charge state, so that its scouting can be trusted."""
    seen = load_learned(learner.campaign, base).info.trained_on
    if seen is None or learner.defect.charge not in seen.charges:
        return False
    if seen.method != learner.campaign.settings.reference.name:
        return False
    return familiarity(learner.formula, seen.elements, seen.hosts).family_known


def tuned_surrogate(learner: Learner, record: LearnRecord, name: str, seed: int) -> str:
    """The surrogate tuned on everything that the reference has said, from where the last round left it.

    Returns:
        Its folder as rounds record it; empty if there is nothing to learn from.
    """
    campaign = learner.campaign
    settings = campaign.settings.learn.tuning
    answered = _frames(learner)
    frames = learnable(answered, settings)
    if left_out := not_learned_from(answered, settings):
        learner.progress.message(f"{learner.defect.label}: {left_out}")
    if not frames:
        return ""
    folder = campaign.folder / LEARNING_FOLDER / learner.defect.label / name
    tune(
        path_of(learner.campaign, record.model or record.started_from),
        frames,
        folder,
        settings.model_copy(update={"seed": settings.seed + 1000 * seed}),
        campaign.settings.surrogate.device,
        learner.progress,
    )
    return folder.relative_to(campaign.folder).as_posix()  # so that a campaign can be moved


def write_frames(learner: Learner, folder: Path) -> None:
    """Put what the last surrogate has learned from into its folder, for searches that start from it."""
    write_dataset(folder / FRAMES, learnable(_frames(learner), learner.campaign.settings.learn.tuning))


def _frames(learner: Learner) -> list[LabelledFrame]:
    frames = [*learner.reused]
    for defect in (*learner.others, learner.defect):
        frames += labelled_frames(learner.campaign, defect, learner.formula)
    return frames


def labelled_frames(campaign: Campaign, defect: Defect, formula: str) -> list[LabelledFrame]:
    """What the reference has evaluated for a defect, as frames to learn from, in the order of the record."""
    identity = DefectId(formula, defect.name, defect.charge, campaign.settings.reference.name)
    return [
        labelled(frame, task.key, identity, str(campaign.folder))
        for task, frame in frames_of(campaign, tasks_of(campaign, defect.label))
    ]
