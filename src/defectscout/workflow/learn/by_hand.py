"""A further round where the reference runs by hand: tune on what was collected, scout again, add new candidates.

The loop of `loop.py` asks for single force calls, which no queue is made for. Here a question is a whole relaxation of
a minimum that the tuned surrogate predicts and that no relaxation has come to or set out for.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.errors import CampaignError, MissingExtraError, SettingsError
from defectscout.core.frames import FloatArray
from defectscout.core.progress import Progress
from defectscout.learning.frame_sampling import spaced
from defectscout.learning.frames import DefectId, LabelledFrame
from defectscout.surrogates.base import Surrogate
from defectscout.workflow.campaign import LEARNING_FOLDER, Campaign
from defectscout.workflow.campaign_frames import labelled
from defectscout.workflow.handwork import read_method
from defectscout.workflow.learn.first import by_bonds, middle
from defectscout.workflow.learn.learner import load_learned, path_of
from defectscout.workflow.learn.questions import PredictedMinimum
from defectscout.workflow.learn.scouting import energy_offset, nearest_fingerprint, scout_round
from defectscout.workflow.learn.tuning import learnable, not_learned_from, tune
from defectscout.workflow.learn.view import Answers, read_answers, round_view, sampling_members, scouting_starts
from defectscout.workflow.record import REFERENCE, Record
from defectscout.workflow.settling import NO_EXTRA, why_not_tunable
from defectscout.workflow.stages.candidates import Candidate, Origin, read_candidates, write_candidates
from defectscout.workflow.stages.sampling import sampling_structures

FRAMES_PER_RELAXATION: Final = 10
"""Evenly spaced, first and last among them (paper, section IV B)."""

_DOCUMENT: Final = "rounds-by-hand"


@dataclass(frozen=True, slots=True)
class DefectRound:
    """What a round found of one defect.

    Attributes:
        defect: its label.
        predicted: minima of the tuned surrogate.
        known: those that a relaxation has come to, has passed through, or is on its way from.
        high: those too far above the lowest known minimum to matter.
        new: labels of the candidates that were added.
    """

    defect: str
    predicted: int
    known: int
    high: int
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandRound:
    """One round.

    Attributes:
        number: from 1.
        frames: that the surrogate was tuned on.
        models: folders of the tuned surrogates inside the campaign's, by charge state.
        defects: what was found of each.
    """

    number: int
    frames: int
    models: tuple[tuple[int, str], ...]
    defects: tuple[DefectRound, ...]

    @property
    def new(self) -> int:
        """Candidates that were added."""
        return sum(len(item.new) for item in self.defects)


_ROUNDS: Final = TypeAdapter(tuple[HandRound, ...])


def read_rounds(campaign: Campaign) -> tuple[HandRound, ...]:
    """The rounds so far."""
    return rounds_in(campaign.record)


def rounds_in(record: Record) -> tuple[HandRound, ...]:
    """The same, of a record that is only read."""
    stored = record.read_document(_DOCUMENT)
    return _ROUNDS.validate_json(stored) if stored is not None else ()


def further_round(campaign: Campaign, defects: Sequence[Defect], formula: str, progress: Progress) -> HandRound:
    """Tune the surrogate on the collected relaxations, scout with it, and add its new minima to the candidates.

    There is one surrogate for each charge state; it goes on from that of the round before. What has not finished yet
    is learned from as far as it has come, and is not asked for again.

    Args:
        campaign: the open campaign, whose relaxations have been collected.
        defects: its defects.
        formula: of the host.
        progress: told about the work.

    Raises:
        CampaignError: the campaign has a reference of its own, did not scout, or nothing has been collected.
        SettingsError: its surrogate cannot be tuned.
        MissingExtraError: what trains is not installed.
    """
    _check(campaign)
    rounds = read_rounds(campaign)
    number = len(rounds) + 1
    before = dict(rounds[-1].models) if rounds else {}
    answers = {defect.label: _apart_from_starts(read_answers(campaign, defect)) for defect in defects}
    frames = {defect.label: _frames(campaign, defect, formula) for defect in defects}
    if not any(frames.values()):
        raise CampaignError(
            f"No relaxation of {campaign.folder} has been collected, so that there is nothing to learn from. Run some "
            f"of its inputs first, then: defectscout collect {campaign.folder}"
        )
    models: dict[int, str] = {}
    found: list[DefectRound] = []
    for charge in dict.fromkeys(defect.charge for defect in defects):
        own = [defect for defect in defects if defect.charge == charge]
        collected = [frame for defect in own for frame in frames[defect.label]]
        taught = learnable(collected, campaign.settings.learn.tuning)
        if left_out := not_learned_from(collected, campaign.settings.learn.tuning):
            progress.message(f"Charge state {charge:+d}: {left_out}")
        if not taught:
            found += [DefectRound(defect.label, 0, 0, 0, ()) for defect in own]
            nothing = "Nothing that can be learned from" if collected else "Nothing"
            progress.warn(f"{nothing} of charge state {charge:+d} has been collected: it waits for a later round.")
            continue
        models[charge] = _tuned(campaign, before.get(charge, ""), taught, number, charge, len(own), progress)
        surrogate = load_learned(campaign, models[charge])
        for defect in own:
            found.append(_scouted(campaign, defect, surrogate, answers[defect.label], number, progress))
    done = HandRound(number, sum(map(len, frames.values())), tuple((before | models).items()), tuple(found))
    campaign.record.write_document(_DOCUMENT, _ROUNDS.dump_json((*rounds, done)).decode())
    return done


def _check(campaign: Campaign) -> None:
    settings = campaign.settings
    if settings.reference.name != "none":
        raise CampaignError(
            f"The campaign in {campaign.folder} has the reference {settings.reference.name} and asks it by itself: go "
            f"on with it (defectscout resume {campaign.folder}); a search that learns is started with: defectscout "
            "search HOST --learn"
        )
    if settings.strategy == "reference-only":
        raise CampaignError(f"The campaign in {campaign.folder} has no surrogate that could learn (reference-only).")
    reason = why_not_tunable(settings.surrogate.name)
    if reason == NO_EXTRA:
        raise MissingExtraError("Learning from relaxations", "lightning", "train")
    if reason:
        raise SettingsError(f"The campaign cannot learn: {reason}.")


def _frames(campaign: Campaign, defect: Defect, formula: str) -> list[LabelledFrame]:
    identity = DefectId(formula, defect.name, defect.charge, read_method(campaign.record))
    chosen = []
    for task in campaign.record.tasks(REFERENCE, defect.label):
        frames = campaign.record.frames(task.key)
        picks = spaced(len(frames), FRAMES_PER_RELAXATION)
        chosen += [labelled(frames[pick], task.key, identity, str(campaign.folder)) for pick in picks]
    return chosen


def _tuned(
    campaign: Campaign,
    before: str,
    frames: Sequence[LabelledFrame],
    number: int,
    charge: int,
    n_defects: int,
    progress: Progress,
) -> str:
    """Folder of the surrogate tuned on `frames`, inside the campaign's; one that a killed round has left is gone on
    with, as long as its frames are the same."""
    settings = campaign.settings.learn.tuning
    folder = campaign.folder / LEARNING_FOLDER / f"by-hand-{charge:+d}" / f"round-{number:02d}-{len(frames)}"
    progress.message(f"Round {number}: tuning the surrogate on {len(frames)} frames of charge state {charge:+d}.")
    # What a round passes is set for one defect.
    seen = {"seed": settings.seed + 1000 * number, "frames_seen": settings.frames_seen * n_defects}
    tune(
        path_of(campaign, before or campaign.settings.surrogate.name),
        frames,
        folder,
        settings.model_copy(update=seen),
        campaign.settings.surrogate.device,
        progress,
    )
    return folder.relative_to(campaign.folder).as_posix()


def _scouted(
    campaign: Campaign, defect: Defect, surrogate: Surrogate, answers: Answers, number: int, progress: Progress
) -> DefectRound:
    """Scout one defect again and record its new candidates."""
    settings, starts = campaign.settings, sampling_structures(campaign, defect)
    scouted = scout_round(
        surrogate,
        defect,
        scouting_starts(starts, answers),
        energy_offset(surrogate, defect, answers.frames),
        settings.scouting,
        settings.minima,
    )
    for label, reason in scouted.flagged:
        progress.warn(f"{defect.label} {label}: set aside: {reason}")
    predicted = round_view(campaign, defect, number, scouted, answers, _no_spread, None).predicted
    fresh = [item for item in predicted if not item.known_as and not item.asked]
    fresh = _not_on_their_way(campaign, defect, fresh, answers)
    lowest = answers.lowest_relaxed
    within = [item for item in fresh if lowest is None or item.minimum.energy <= lowest + settings.learn.window]
    labels = _add(campaign, defect, [*_as_sampled(campaign, defect, answers), *_of_round(within, number)])
    counts = DefectRound(defect.label, len(predicted), len(predicted) - len(fresh), len(fresh) - len(within), labels)
    progress.message(
        f"{defect.label} round {number}: {counts.predicted} surrogate minima, {counts.known} of them known or on their "
        f"way, {counts.high} too high; {len(labels)} new"
    )
    return counts


def _apart_from_starts(answers: Answers) -> Answers:
    """Answers whose labels are none of a sampling structure.

    A candidate bears the label of a sampling structure and starts from what the surrogate made of it: where the
    sampling structure itself leads is another question.
    """
    return replace(
        answers,
        found=tuple(replace(one, representative=_relaxed(one.representative)) for one in answers.found),
        unfinished={_relaxed(label): frame for label, frame in answers.unfinished.items()},
        ended={_relaxed(label): start for label, start in answers.ended.items()},
    )


def _relaxed(label: str) -> str:
    return f"relaxed_{label}"


def _no_spread(structures: Sequence[Atoms]) -> FloatArray:
    """Nothing here asks how unsure the surrogate is."""
    return np.zeros(len(structures))


def _not_on_their_way(
    campaign: Campaign, defect: Defect, items: Sequence[PredictedMinimum], answers: Answers
) -> list[PredictedMinimum]:
    """Those that no candidate starts from whose relaxation has not come to an end."""
    tasks = campaign.record.tasks(REFERENCE, defect.label)
    waiting = [task.start for task in tasks if not task.state.is_finished]
    waiting += [frame.atoms for frame in answers.unfinished.values()]
    settings = campaign.settings.minima
    distances, _ = nearest_fingerprint(defect, [item.minimum.atoms for item in items], waiting, settings)
    return [item for item, distance in zip(items, distances, strict=True) if distance > settings.threshold]


@dataclass(frozen=True, slots=True, eq=False)
class _New:
    """A candidate that is to be added."""

    label: str
    members: tuple[str, ...]
    atoms: Atoms


def _of_round(items: Sequence[PredictedMinimum], number: int) -> list[_New]:
    minima = [item.minimum for item in items]
    return [_New(f"Round_{number}_{minimum.members[0]}", minimum.members, minimum.atoms) for minimum in minima]


def _as_sampled(campaign: Campaign, defect: Defect, answers: Answers) -> list[_New]:
    """Sampling structures near a new bond, as they stand, where the first surrogate undid every such bond.

    A surrogate has nothing to learn of bonds from relaxations that none of them is in (see `first.first_questions`).
    """
    chosen = read_candidates(campaign)[defect.label]
    if not chosen.erased_bonds or any(minimum.new_bonds for minimum in answers.found):
        return []
    starts = [start for start in sampling_structures(campaign, defect) if start.label != UNPERTURBED]
    bonded = by_bonds(defect, starts)
    picks = [bonded[k] for k in middle(len(bonded), campaign.settings.learn.first_relaxations)]
    taken = {candidate.label for candidate in chosen.candidates}
    new = [_New(f"Sampled_{start.label}", (start.label,), start.atoms) for start in picks]
    return [item for item in new if item.label not in taken]


def _add(campaign: Campaign, defect: Defect, items: Sequence[_New]) -> tuple[str, ...]:
    """Record candidates of a round; their structures are kept as the starts of their relaxations."""
    starts = sampling_structures(campaign, defect)
    chosen = read_candidates(campaign)
    own = chosen[defect.label]
    structures: dict[str, Atoms] = {}
    added: list[Candidate] = []
    for item in items:
        label = _free_label(item.label, {candidate.label for candidate in (*own.candidates, *added)})
        structures[label] = item.atoms
        members = sampling_members(item.members, starts) or (label,)
        # A minimum's energy is on another scale than those of the surrogate that chose the first candidates.
        added.append(Candidate(label, members, Origin.FURTHER, surrogate_energy=None))
    if added:
        campaign.record.add_tasks(REFERENCE, defect.label, list(structures.items()))
        write_candidates(campaign, {**chosen, defect.label: replace(own, candidates=(*own.candidates, *added))})
    return tuple(structures)


def _free_label(label: str, taken: Set[str]) -> str:
    """The label, numbered if a relaxation that goes on from another round bears it."""
    number, free = 2, label
    while free in taken:
        free, number = f"{label}_{number}", number + 1
    return free
