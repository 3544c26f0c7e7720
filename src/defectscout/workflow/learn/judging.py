"""How far the answer of a loop is to be trusted, from its record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import RelaxationState
from defectscout.evaluation.trust import Probed, Surprise, Trust, trust
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.checks import was_led
from defectscout.workflow.learn.ending import wanted_patience
from defectscout.workflow.learn.foreseen import FORESEEN
from defectscout.workflow.learn.probing import probed
from defectscout.workflow.learn.rounds import LearnRecord, Round, read_records, tasks_of
from defectscout.workflow.learn.scouting import nearest_fingerprint
from defectscout.workflow.learn.view import LEFT, LOWER, Answers, is_carried_over, read_answers
from defectscout.workflow.record import CHECK, Task, TaskKey
from defectscout.workflow.stages.sampling import read_metadata

LAST_PART: Final = 0.2
"""eV. By how much the last part of a relaxation may fall without being news."""

VARIANT_DISTANCE: Final = 4.0
"""Times the threshold of one minimum. Three Se–Se bonds of V_Cd in CdSe tilt at no cost: relaxations of the one motif
end up to 0.01 eV and 2.8 thresholds apart; those of two motifs in GaCuS2, with and without a bond, 8 thresholds apart
and more (GFN1-xTB). What tilts is no surprise that scouting again could learn from."""

Tasks = dict[tuple[str, str], Task]
"""Tasks by stage and label."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the surrogate said of a structure before the reference was asked, and what that said.

    Attributes:
        predicted, energy: surrogate on the reference's scale, and reference, eV.
        spread, error: spread of the surrogates' forces, and largest force of the reference where the surrogate has
            none, eV/Å.
    """

    predicted: float
    energy: float
    spread: float
    error: float


def judged(campaign: Campaign, defect: Defect) -> Trust | None:
    """What the record of a loop says of its answer; None if the defect was not learned, or not to the end."""
    record = read_records(campaign).get(defect.label)
    if record is None or record.ending is None:
        return None
    answers = read_answers(campaign, defect)
    tasks = {(task.key.stage, task.key.label): task for task in tasks_of(campaign, defect.label)}
    pairs = list(predictions(campaign, record, tasks))
    made = read_metadata(campaign).get(defect.label)
    checks = [task for (stage, _), task in tasks.items() if stage == CHECK]
    return trust(
        ending=record.ending,
        rounds=len(record.scouting_rounds),
        quiet_rounds=record.quiet_rounds,
        patience=wanted_patience(is_carried_over(answers, made.related if made else ()), campaign.settings.learn),
        minima=len(answers.found),
        unfinished=_left_within(tasks, answers, campaign.settings.learn.window),
        energies=[(pair.predicted, pair.energy) for pair in pairs],
        spreads=[(pair.spread, pair.error) for pair in pairs],
        checks=sum(_has_said(task) for task in checks),
        foreseen=sum(task.reason == FORESEEN for task in checks),
        surprises=_surprises(record, answers, tasks),
        window=campaign.settings.learn.window,
        led=sum(was_led(campaign.record.frames(task.key), campaign.settings.refinement) for task in checks),
        probed=_probed(campaign, defect, record, answers),
    )


def _probed(campaign: Campaign, defect: Defect, record: LearnRecord, answers: Answers) -> Probed | None:
    if not any(item.probing for item in record.rounds):
        return None  # as most loops, whose frames need not be read for it
    known = probed(campaign, defect, record, answers)
    if known is None or known.lowest is None or not known.calls:
        return None
    return Probed(known.lowest.value, known.calls, known.is_settled and not known.is_flat, known.is_saddle)


def predictions(campaign: Campaign, record: LearnRecord, tasks: Tasks) -> Iterator[Prediction]:
    """The surrogate's predictions of all rounds that the reference has answered since."""
    for item in record.rounds:
        for one in item.asked:
            task = tasks.get((one.stage, one.task))
            if task is None or one.predicted is None or one.calls_before or task.initial_energy is None:
                continue
            first = campaign.record.frames(task.key)[0]
            spread = math.nan if one.spread is None else one.spread
            yield Prediction(one.predicted, task.initial_energy, spread, first.prediction.fmax)


def is_news(campaign: Campaign, defect: Defect, item: Round, lowest: float | None) -> bool:
    """Whether a round has brought something new and lower.

    A relaxation that held the lowest energy before, and goes on down to its end, is nothing new.

    Args:
        campaign: the campaign.
        defect: which one.
        item: the round, answered.
        lowest: lowest energy that the reference has given by now, eV.
    """
    if lowest is None or item.lowest_before is None:
        return lowest is not None
    if lowest >= item.lowest_before - LOWER:
        return False
    if lowest < item.lowest_before - LAST_PART:
        return True
    for one in item.asked:
        frames = campaign.record.frames(TaskKey(one.stage, defect.label, one.task))
        energies = [frame.prediction.energy for frame in frames]
        before = min(energies[: one.calls_before], default=math.inf)
        if before <= item.lowest_before and min(energies, default=math.inf) <= lowest:
            return False
    return True


def unforeseen(defect: Defect, check: Round, found: Sequence[Minimum], settings: MinimaSettings) -> tuple[Minimum, ...]:
    """Minima that nothing but this check has led to, and that are not a known one with its bonds tilted."""
    checked = {one.task for one in check.checking}
    alone = tuple(minimum for minimum in found if checked.issuperset(minimum.members))
    known = [minimum for minimum in found if not checked.issuperset(minimum.members)]
    return tuple(one for one in alone if not _is_variant(defect, one, known, settings))


def _is_variant(defect: Defect, one: Minimum, known: Sequence[Minimum], settings: MinimaSettings) -> bool:
    """Whether a minimum has the bonds of a known one, is near it by fingerprint and no lower or higher."""
    level = [other for other in known if abs(other.energy - one.energy) <= LOWER and _bonded(other) == _bonded(one)]
    distances, _ = nearest_fingerprint(defect, [one.atoms], [other.atoms for other in level], settings)
    return bool(distances[0] <= VARIANT_DISTANCE * settings.threshold)


def _bonded(minimum: Minimum) -> list[tuple[str, str]]:
    return sorted(bond.species for bond in minimum.new_bonds)


def within_window(some: Sequence[Minimum], found: Sequence[Minimum], window: float) -> tuple[Minimum, ...]:
    """Those of `some` that lie at most `window`, eV, above the lowest of all minima found, lowest first in `found`."""
    return tuple(minimum for minimum in some if minimum.energy <= found[0].energy + window)


def _has_said(task: Task) -> bool:
    """Whether a check came to an end that says something."""
    return task.state.is_finished and task.state is not RelaxationState.FAILED and task.reason != LEFT


def _surprises(record: LearnRecord, answers: Answers, tasks: Tasks) -> list[Surprise]:
    """What checks have found, also where the loop has come to the same minimum since."""
    ends = {label: tasks[CHECK, label].as_relaxation().final for item in record.rounds for label in item.surprises}
    lowest = answers.found[0].energy if answers.found else 0.0
    return [Surprise(label, end.prediction.energy - lowest) for label, end in ends.items() if end is not None]


def _left_within(tasks: Tasks, answers: Answers, window: float) -> int:
    """Relaxations that were left although they stand within the window, because a budget was spent; a single point
    that lies below everything relaxed is one that was not begun."""
    lowest = answers.lowest_relaxed
    ends = [task.as_relaxation().final for task in tasks.values() if task.reason == LEFT]
    left = sum(lowest is not None and end is not None and end.prediction.energy <= lowest + window for end in ends)
    return left + (answers.low_point is not None)
