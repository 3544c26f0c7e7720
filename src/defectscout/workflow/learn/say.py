"""What the loop tells the reader while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from defectscout.workflow.learn.learner import Learner
from defectscout.workflow.learn.probing import probed
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.rounds import LearnRecord, Round, read_records
from defectscout.workflow.learn.view import Answers

_KINDS = {
    Kind.POINT: ("a single point", "{} single points"),
    Kind.CORRECTED: ("a corrected relaxation", "{} corrected relaxations"),
    Kind.ALONE: ("a relaxation by the reference alone", "{} relaxations by the reference alone"),
}


def round_begins(learner: Learner, item: Round) -> None:
    """What the surrogate has found, and what is asked."""
    head = f"{learner.defect.label} round {item.number}"
    if item.confirming is not None:
        learner.progress.message(f"{head} goes on from {item.confirming.label}: {item.confirming.reason}")
        return
    if item.probing is not None:
        learner.progress.message(f"{head}, {item.probing.label}: {item.probing.reason}")
        return
    if item.of_check and not learner.campaign.settings.learn.checks:
        return  # there was but the curvature to be asked about
    if item.of_check:
        labels = ", ".join(one.label for one in item.asked) or "nothing: no sampling structure is left"
        alone = all(one.kind is Kind.ALONE for one in item.asked)
        how = "the reference alone relaxes" if alone else "with a surrogate that has learned from it goes on"
        learner.progress.message(f"{head}, a check on surprise: {how} {labels}")
        return
    counts = Counter(one.kind for one in item.asked)
    asks = ", ".join(_KINDS[kind][0] if count == 1 else _KINDS[kind][1].format(count) for kind, count in counts.items())
    new = sum(not one.known_as for one in item.predicted)
    found = f"{len(item.predicted)} surrogate minima, {new} of them new; " if item.number else ""
    learner.progress.message(f"{head}: {found}asks for {asks or 'nothing'}")


def not_relaxed(learner: Learner, flagged: Sequence[tuple[str, str]]) -> None:
    """Relaxations with the surrogate that led to no minimum of this defect."""
    if not flagged:
        return
    what = "a relaxation" if len(flagged) == 1 else f"{len(flagged)} relaxations"
    told = "; ".join(f"{label}: {reason}" for label, reason in flagged)
    learner.progress.message(f"{learner.defect.label}: {what} with the surrogate led to no minimum ({told})")


def round_answered(learner: Learner, item: Round, after: Answers) -> None:
    """What the answers have brought."""
    if after.lowest is None or (item.of_check and not item.asked):
        return
    if item.lowest_before is None:
        text = f"lowest energy so far {after.lowest:.3f} eV"
    elif item.news:
        text = f"lower by {item.lowest_before - after.lowest:.3f} eV" if not item.of_check else "a new minimum"
    else:
        text = "nothing lower" if not item.of_check else "no surprise near the ground state"
        text = "the check goes on" if item.of_check and item.cut else text
    if item.confirming is not None and item.lowest_before is not None:
        fall = item.lowest_before - after.lowest
        text = f"lower by {fall:.3f} eV" if fall > 0 else "nothing lower"
    if item.probing is not None:
        known = probed(learner.campaign, learner.defect, read_records(learner.campaign)[learner.defect.label], after)
        lowest = "not known" if known is None or known.lowest is None else f"{known.lowest.value:.2f} eV/Å²"
        text = f"lowest curvature so far {lowest}"
    learner.progress.message(
        f"{learner.defect.label} round {item.number}: {text}; {len(after.found)} minima, {after.calls} force calls"
    )


def loop_ended(learner: Learner, record: LearnRecord) -> None:
    """That the loop has ended; the answer says how far it is to be trusted."""
    if record.is_settled:
        learner.progress.message(f"{learner.defect.label}: the loop ends, since nothing new and lower came")
    else:
        learner.progress.warn(f"{learner.defect.label}: the loop ends with its budget, not with an answer that stood")
