"""The learning loop: scout with the current surrogate, ask the reference, tune, scout again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect, SamplingStructure
from defectscout.core.frames import FloatArray
from defectscout.core.progress import Progress
from defectscout.evaluation.trust import Ending
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.uncertainty import force_spread
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn import say
from defectscout.workflow.learn.answering import add_tasks, answer_round
from defectscout.workflow.learn.asking import asked_of
from defectscout.workflow.learn.candidates import leave_unfinished, take_up_again
from defectscout.workflow.learn.checks import by_doubt, was_at_rest
from defectscout.workflow.learn.confirming import (
    confirmation,
    has_left,
    over_where_unfounded,
    paused_where_left,
    settle,
)
from defectscout.workflow.learn.ending import Spent, calls_left, decide, wanted_patience
from defectscout.workflow.learn.first import first_questions
from defectscout.workflow.learn.foreseen import Foresight, high_by_prediction
from defectscout.workflow.learn.judging import is_news, unforeseen, within_window
from defectscout.workflow.learn.known_ways import follow_merged, way_of_another, way_to_known
from defectscout.workflow.learn.learner import (
    SNAPSHOTS,
    Learner,
    is_familiar,
    load_learned,
    starting_surrogate,
    tuned_surrogate,
    untouched_surrogate,
    write_frames,
)
from defectscout.workflow.learn.low_points import with_low_point
from defectscout.workflow.learn.probing import probe
from defectscout.workflow.learn.questions import Kind, Question, RoundView
from defectscout.workflow.learn.rounds import (
    Asked,
    LearnRecord,
    Predicted,
    Round,
    calls_of,
    read_records,
    tasks_of,
    write_record,
)
from defectscout.workflow.learn.scouting import energy_offset, scout_round
from defectscout.workflow.learn.stopping import (
    MergedByPrediction,
    StopAt,
    ended_too_high,
    first_of,
    highest_that_matters,
    lowest_known,
    paused_where_wrong,
    rule_of_height,
)
from defectscout.workflow.learn.strategies import strategy
from defectscout.workflow.learn.strategies.wording import within_budget
from defectscout.workflow.learn.view import (
    Answers,
    found_before,
    is_carried_over,
    is_unfinished,
    read_answers,
    round_view,
    scouting_starts,
)
from defectscout.workflow.record import CHECK, REFERENCE, TaskKey
from defectscout.workflow.stages.sampling import read_metadata, sampling_structures


def learn(
    campaign: Campaign,
    defects: Sequence[Defect],
    formula: str,
    reused: Sequence[LabelledFrame],
    progress: Progress,
) -> None:
    """Run the loop for every defect, one after the other; what one has taught serves the next.

    Defects of one charge state share their answers. Another charge state has another surface, and only starts
    from the surrogate of the nearest one that was searched before.

    Args:
        campaign: the open campaign.
        defects: the defects.
        formula: of the host.
        reused: frames of related hosts.
        progress: told about the work.
    """
    for defect in defects:
        learner = Learner(
            campaign=campaign,
            defect=defect,
            others=tuple(one for one in defects if one is not defect and one.charge == defect.charge),
            formula=formula,
            starts=sampling_structures(campaign, defect),
            related=read_metadata(campaign)[defect.label].related,
            base=starting_surrogate(campaign, defects, defect),
            reused=tuple(frame for frame in reused if frame.origin.charge == defect.charge),
            progress=progress,
        )
        while not _has_ended(learner, defects):
            _step(learner, defects)


def _has_ended(learner: Learner, defects: Sequence[Defect]) -> bool:
    """Whether the loop has come to its end. One that ended with its budget goes on when it is given more."""
    campaign, defect = learner.campaign, learner.defect
    record = read_records(campaign).get(defect.label)
    if record is None or record.ending is None:
        return False
    if record.is_settled or _is_spent(campaign, defects, record):
        leave_unfinished(campaign, defect, record)
        return True
    take_up_again(campaign, defect, record)
    write_record(campaign, defect.label, replace(record, ending=None))
    return False


def _is_spent(campaign: Campaign, defects: Sequence[Defect], record: LearnRecord) -> bool:
    settings = campaign.settings.learn
    return decide(record, True, _spent(campaign, defects), settings.patience, settings).ending is not None


def _step(learner: Learner, defects: Sequence[Defect]) -> None:
    """Whatever comes next: answer the round that is open, or begin another, or end."""
    campaign, defect = learner.campaign, learner.defect
    record = read_records(campaign).get(defect.label, LearnRecord(started_from=learner.base))
    if record.rounds and not record.rounds[-1].answered:
        _answer(learner, record, record.rounds[-1])
        return
    settings, answers = campaign.settings.learn, read_answers(campaign, defect)
    spent = _spent(campaign, defects)
    unfinished = is_unfinished(answers, record.rounds[-1] if record.rounds else None, settings.window)
    patience = wanted_patience(is_carried_over(answers, learner.related), settings)
    decision = decide(record, unfinished, spent, patience, settings)
    if decision.ending is not None:
        _close(learner, record, decision.ending)
    elif decision.check:
        _begin_check(learner, record, answers, calls_left(spent, settings))
    elif not record.rounds or record.is_first_cut:
        _begin_first(learner, record, answers, calls_left(spent, settings))
    else:
        _begin_round(learner, record, answers, calls_left(spent, settings))


def _spent(campaign: Campaign, defects: Sequence[Defect]) -> Spent:
    records = read_records(campaign)
    calls = sum(calls_of(tasks_of(campaign, defect.label)) for defect in defects)
    return Spent(calls, sum(record.seconds for record in records.values()) / 3600)


def _begin_first(learner: Learner, record: LearnRecord, answers: Answers, budget: int | None) -> None:
    """Ask what an untouched surrogate is not trusted with: sampling structures as they stand."""
    familiar = is_familiar(learner, record.started_from)
    questions = first_questions(
        learner.defect, learner.starts, learner.related, learner.campaign.settings.learn, familiar=familiar
    )
    before = record.rounds[0] if record.rounds else Round(0, "", 0, (), ())
    tasks = tasks_of(learner.campaign, learner.defect.label)
    finished = {(task.key.stage, task.key.label) for task in tasks if task.state.is_finished}
    kept = tuple(one for one in before.asked if (one.stage, one.task) in finished)
    left = [question for question in questions if question.label not in {one.label for one in kept}]
    allowed = within_budget(left, budget)
    asked = (*kept, *asked_of(learner, record, allowed, 0, None))
    item = replace(before, asked=asked, lowest_before=answers.lowest, answered=False, cut=len(allowed) < len(left))
    say.round_begins(learner, item)
    _store(learner, record, item, questions)


def _begin_round(learner: Learner, record: LearnRecord, answers: Answers, budget: int | None) -> None:
    """Tune, scout, and choose what to ask."""
    campaign, defect = learner.campaign, learner.defect
    number = len(record.rounds)
    clock = time.monotonic()
    model = tuned_surrogate(learner, record, f"round-{number:02d}", number)
    tuned = time.monotonic()
    scouts = model or record.started_from
    surrogate = load_learned(learner.campaign, scouts)
    scouted = scout_round(
        surrogate,
        defect,
        scouting_starts(learner.starts, answers),
        energy_offset(surrogate, defect, answers.frames),
        campaign.settings.scouting,
        campaign.settings.minima,
    )
    snapshots = [surrogate, *_earlier(learner, record, scouts)]

    def spread(structures: Sequence[Atoms]) -> FloatArray:
        return force_spread(snapshots, [with_charge(atoms, defect.charge) for atoms in structures])

    carried_over = is_carried_over(answers, learner.related)
    view = round_view(campaign, defect, number, scouted, answers, spread, budget, carried_over=carried_over)
    chosen = strategy(campaign.settings.learn.ask, campaign.settings.minima).questions(view)
    questions = with_low_point(view, chosen, answers.low_point, record, learner.starts, campaign.settings.minima)
    item = Round(
        number=number,
        model=scouts,
        surrogate_calls=scouted.calls,
        predicted=_in_short(view),
        asked=asked_of(learner, record, questions, number, view),
        lowest_before=answers.lowest,
        tuning_seconds=tuned - clock,
        scouting_seconds=time.monotonic() - tuned,
    )
    say.round_begins(learner, item)
    say.not_relaxed(learner, scouted.flagged)
    _store(learner, replace(record, model=model), item, questions)


def _earlier(learner: Learner, record: LearnRecord, current: str) -> list[Surrogate]:
    """Surrogates of the rounds before, newest first; the one that the loop started from, if there are no others."""
    models = dict.fromkeys(item.model for item in reversed(record.rounds) if item.model)
    names = list(models)[:SNAPSHOTS] or [record.started_from]
    return [load_learned(learner.campaign, model) for model in names if model != current]


def _begin_check(learner: Learner, record: LearnRecord, answers: Answers, budget: int | None) -> None:
    """Have the reference alone relax those sampling structures whose outcome changed the most between rounds.

    A check that paused at rest goes on like the loop's own relaxations, with a surrogate that learns from it between
    rounds. Before the check the lowest minimum is confirmed, where the surrogate promises something lower around it,
    and if that is asked for the curvature of the reference around it is probed.
    """
    campaign = learner.campaign
    tasks = tasks_of(campaign, learner.defect.label, (REFERENCE, CHECK))
    done = {task.key.label for task in tasks if task.state.is_finished or task.key.stage == REFERENCE}
    order = by_doubt(record, [start for start in learner.starts if start.label not in done])
    wanted = campaign.settings.learn.checks - len(record.last_checked & done)
    begun = [task.key for task in tasks if task.key.stage == CHECK and not task.state.is_finished]
    rested = {key.label for key in begun if was_at_rest(campaign.record.frames(key), campaign.settings.refinement)}
    checks = [_check_of(learner, start, rested=start.label in rested) for start in order[:wanted]]
    number = len(record.rounds)
    clock = time.monotonic()
    goes_on = any(question.label in rested for question in checks)
    model = tuned_surrogate(learner, record, f"round-{number:02d}", number) if goes_on else record.model
    surrogate = load_learned(campaign, model or record.started_from)
    tuned = replace(record, model=model)
    # Before the checks: if something much lower comes of it, they would have checked nothing.
    first = confirmation(campaign, learner.defect, tuned, answers, surrogate)
    first = first or probe(campaign, learner.defect, tuned, answers, surrogate)
    if first is not None and first.kind is Kind.DESCEND:  # by one that has learned from the probes
        model = tuned_surrogate(learner, record, f"round-{number:02d}", number)
    questions = checks if first is None else [first]
    asked = asked_of(learner, record, within_budget(questions, budget), number, None, of_check=True)
    item = Round(
        number=number,
        model=model,
        surrogate_calls=0,
        predicted=(),
        asked=asked,
        lowest_before=answers.lowest,
        of_check=True,
        cut=len(asked) < len(questions) or first is not None,
        tuning_seconds=time.monotonic() - clock,
    )
    say.round_begins(learner, item)
    _store(learner, replace(record, model=model), item, questions)


def _check_of(learner: Learner, start: SamplingStructure, *, rested: bool) -> Question:
    settings = learner.campaign.settings
    kind, calls = Kind.ALONE, settings.refinement.max_steps + 1
    if rested:
        kind, calls = Kind.CORRECTED, settings.learn.relaxation_calls
    return Question(start.label, start.atoms, kind, calls, "a check on surprise")


def _in_short(view: RoundView) -> tuple[Predicted, ...]:
    return tuple(
        Predicted(
            label=one.minimum.representative,
            members=one.minimum.members,
            energy=one.minimum.energy,
            bonds=tuple(str(bond) for bond in one.minimum.new_bonds),
            known_as=one.known_as,
        )
        for one in view.predicted
    )


def _store(learner: Learner, record: LearnRecord, item: Round, questions: Sequence[Question]) -> None:
    """Tasks first, then the round: a kill between the two leaves tasks that the same round adds again."""
    structures = {question.label: question.atoms for question in questions}
    add_tasks(learner.campaign, learner.defect, item.asked, structures)
    write_record(learner.campaign, learner.defect.label, record.with_round(item))


def _answer(learner: Learner, record: LearnRecord, item: Round) -> None:
    """Have the questions of a round answered, and note whether there is news."""
    campaign, defect = learner.campaign, learner.defect
    clock = time.monotonic()
    minima, window = campaign.settings.minima, campaign.settings.learn.window
    known = found_before(campaign, defect, item)
    lowest = lowest_known(item, known)
    surrogate = load_learned(learner.campaign, item.model or record.started_from)

    def stop(one: Asked) -> StopAt | None:
        if one.kind.is_one_call:
            return None
        frames = campaign.record.frames(TaskKey(one.stage, defect.label, one.task))
        before = frames[max(0, one.calls_before - 1) : -1]  # of this round, where an interruption came in between
        highest = highest_that_matters(one, lowest, window)
        others = [minimum for minimum in known if not one.kind.goes_on or one.label not in minimum.members]
        merged = MergedByPrediction(surrogate, defect, others, highest, campaign.settings.scouting, minima, before)
        height = rule_of_height(item, one, lowest, window, before)
        rules: list[StopAt] = [merged] if height is None else [merged, height]
        if one.kind.goes_on:
            rules += [paused_where_left(lowest), over_where_unfounded(lowest, before)]
        elif item.of_check:
            foresight = Foresight(surrogate, defect.charge, campaign.settings.scouting)
            rules += [
                high_by_prediction(foresight, highest, before),
                way_to_known(campaign, defect, known, highest, before),
                ended_too_high(highest, campaign.settings.refinement),
            ]
            if not one.calls_before:
                rules.append(paused_where_wrong(surrogate, defect.charge, campaign.settings.refinement))
        elif item.number and one.label != UNPERTURBED:
            rules.append(way_of_another(campaign, defect, one.task, before))
        return first_of(*rules)

    def proposes(one: Asked) -> Surrogate:
        unlearned = one.label == UNPERTURBED and not one.kind.goes_on
        return untouched_surrogate(learner, record.started_from) if unlearned else surrogate

    answer_round(campaign, defect, item, proposes, stop, learner.progress)
    settle(campaign, defect, record)
    follow_merged(campaign, defect)
    after = read_answers(campaign, defect)
    surprises = unforeseen(defect, item, after.found, minima) if item.of_check else ()
    missed = within_window(surprises, after.found, window)
    done = replace(
        item,
        answered=True,
        news=bool(missed) or has_left(campaign, defect, item)
        if item.of_check
        else is_news(campaign, defect, item, after.lowest),
        surprises=tuple(minimum.representative for minimum in surprises),
        cut=item.cut or (item.of_check and not _are_finished(campaign, defect, item)),
        asking_seconds=item.asking_seconds + time.monotonic() - clock,
    )
    say.round_answered(learner, done, after)
    write_record(campaign, defect.label, record.with_round(done))


def _are_finished(campaign: Campaign, defect: Defect, item: Round) -> bool:
    asked = {(one.stage, one.task) for one in item.asked}
    tasks = tasks_of(campaign, defect.label)
    return all(task.state.is_finished for task in tasks if (task.key.stage, task.key.label) in asked)


def _close(learner: Learner, record: LearnRecord, ending: Ending) -> None:
    """Learn from the last answers, too, so that the surrogate that is kept knows everything; then end."""
    campaign = learner.campaign
    model = record.model
    if tasks_of(campaign, learner.defect.label):
        number = len(record.rounds)
        model = tuned_surrogate(learner, record, f"final-{number:02d}", number)
        if model:
            write_frames(learner, campaign.folder / model)
    closed = replace(record, ending=ending, model=model)
    write_record(campaign, learner.defect.label, closed)
    say.loop_ended(learner, closed)
