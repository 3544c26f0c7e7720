"""What the loop records of each round, so that it goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ConfigDict, TypeAdapter

from defectscout.core.frames import Frame
from defectscout.evaluation.trust import Ending
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.record import ASK, CHECK, REFERENCE, Task

ANSWERING_STAGES = (ASK, REFERENCE, CHECK)

DOCUMENT = "learn"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as recorded.

    Attributes:
        stage, task: the task in the record that answers it.
        label: the sampling structure or relaxation that it came from.
        members: sampling structures that led the surrogate to this structure.
        kind: how it is answered.
        reason: why it was asked.
        predicted: energy that the surrogate predicted before it was asked, on the reference's scale, eV; None if it
            was not trusted with one.
        spread: how unsure the surrogate was of its forces there, eV/Å; None if that is not known.
        calls_before: force calls that the task had taken when it was asked.
        max_calls: force calls that it may take in this round.
    """

    stage: str
    task: str
    label: str
    members: tuple[str, ...]
    kind: Kind
    reason: str
    predicted: float | None
    spread: float | None
    calls_before: int
    max_calls: int


@dataclass(frozen=True, slots=True)
class Predicted:
    """A minimum of the surrogate in a round, in short.

    Attributes:
        label: its representative.
        members: structures that led to it.
        energy: on the reference's scale, eV.
        bonds: its new bonds.
        known_as: the relaxation that found it on the reference's surface; empty if none has.
    """

    label: str
    members: tuple[str, ...]
    energy: float
    bonds: tuple[str, ...]
    known_as: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        number: from 0, which asks sampling structures.
        model: folder of the surrogate that scouted, inside the campaign's; the surrogate's name if it was not tuned.
        surrogate_calls: force calls of scouting.
        predicted: minima of that surrogate, lowest first.
        asked: the questions.
        lowest_before: lowest energy that the reference had given before, eV; None before the first answer.
        answered: whether all of them have their answer.
        news: whether an answer was lower than everything before it; of a check, whether it found a new minimum
            within the window of the lowest; of a confirmation, whether it has left the lowest.
        of_check: whether it only checks or confirms the answer.
        surprises: relaxations of a check that found a minimum that the loop had not.
        cut: whether the budget cut the first round short, or a check has not come to its end, or not begun yet.
        tuning_seconds, scouting_seconds, asking_seconds: wall time.
    """

    number: int
    model: str
    surrogate_calls: int
    predicted: tuple[Predicted, ...]
    asked: tuple[Asked, ...]
    lowest_before: float | None = None
    answered: bool = False
    news: bool = False
    of_check: bool = False
    surprises: tuple[str, ...] = ()
    cut: bool = False
    tuning_seconds: float = 0.0
    scouting_seconds: float = 0.0
    asking_seconds: float = 0.0

    @property
    def checking(self) -> tuple[Asked, ...]:
        """Questions of a check, without what comes before them: a confirmation, or a probe of the lowest minimum."""
        return tuple(one for one in self.asked if not one.kind.is_of_lowest)

    @property
    def confirming(self) -> Asked | None:
        """The confirmation of the lowest minimum before a check, or what leads off it if it is a saddle point."""
        return next((one for one in self.asked if one.kind.goes_on), None)

    @property
    def probing(self) -> Asked | None:
        """The probe of the lowest minimum before a check."""
        return next((one for one in self.asked if one.kind is Kind.PROBE), None)


@dataclass(frozen=True, slots=True)
class LearnRecord:
    """The loop of one defect.

    Attributes:
        rounds: in order.
        ending: why the loop ended; None while it goes on.
        model: folder of the last tuned surrogate inside the campaign's; empty if none was tuned.
        started_from: the surrogate that the first round scouted or tuned from.
        kept_as: name under which the store keeps the last surrogate; empty if it does not.
    """

    rounds: tuple[Round, ...] = ()
    ending: Ending | None = None
    model: str = ""
    started_from: str = ""
    kept_as: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether the loop ended because there was no more to learn, and not with its budget."""
        return self.ending in (Ending.QUIET, Ending.NOTHING_LEFT)

    @property
    def scouting_rounds(self) -> tuple[Round, ...]:
        """Rounds in which the surrogate scouted: neither the first nor a check."""
        return tuple(item for item in self.rounds if item.number > 0 and not item.of_check)

    @property
    def last_predicted(self) -> tuple[Predicted, ...]:
        """Minima of the last surrogate that had some."""
        return next((item.predicted for item in reversed(self.rounds) if item.predicted), ())

    @property
    def quiet_rounds(self) -> int:
        """Rounds at the end that brought nothing new and lower; rounds before the surrogate scouted do not count."""
        count = 0
        for item in reversed(self.rounds):
            if item.news or item.number == 0:
                break
            count += not item.of_check
        return count

    @property
    def is_first_cut(self) -> bool:
        """Whether the budget has left questions of the first round unasked."""
        return len(self.rounds) == 1 and self.rounds[0].cut

    @property
    def is_checked(self) -> bool:
        """Whether a whole check has followed the last news."""
        last = self.rounds[-1] if self.rounds else None
        return last is not None and last.of_check and not last.news and not last.cut

    @property
    def is_half_checked(self) -> bool:
        """Whether the last round began a check, or went on with one, that has not come to its end, or comes next."""
        last = self.rounds[-1] if self.rounds else None
        return last is not None and last.of_check and last.cut and not last.news

    @property
    def last_checked(self) -> frozenset[str]:
        """Relaxations that check the answer, since the last round that did anything else or had news."""
        labels: set[str] = set()
        for item in reversed(self.rounds):
            if not item.of_check or item.news:
                break
            labels.update(one.task for one in item.checking)
        return frozenset(labels)

    @property
    def seconds(self) -> float:
        """Wall time, without what was lost by interruptions."""
        return sum(item.tuning_seconds + item.scouting_seconds + item.asking_seconds for item in self.rounds)

    @property
    def surrogate_calls(self) -> int:
        """Force calls of scouting in all rounds."""
        return sum(item.surrogate_calls for item in self.rounds)

    def with_round(self, item: Round) -> LearnRecord:
        """The record with a round added, or replaced by one of its number."""
        kept = tuple(one for one in self.rounds if one.number != item.number)
        return replace(self, rounds=(*kept, item))


_RECORDS = TypeAdapter(dict[str, LearnRecord], config=ConfigDict(ser_json_inf_nan="constants"))


def read_records(campaign: Campaign) -> dict[str, LearnRecord]:
    """What the loop has recorded, by the defect's label; empty before it has begun."""
    stored = campaign.record.read_document(DOCUMENT)
    return _RECORDS.validate_json(stored) if stored is not None else {}


def write_record(campaign: Campaign, label: str, record: LearnRecord) -> None:
    """Store the loop of one defect."""
    records: Mapping[str, LearnRecord] = read_records(campaign) | {label: record}
    campaign.record.write_document(DOCUMENT, _RECORDS.dump_json(dict(records)).decode())


def tasks_of(campaign: Campaign, defect: str, stages: Sequence[str] = ANSWERING_STAGES) -> list[Task]:
    """Every task that the reference has been given for a defect."""
    return [task for stage in stages for task in campaign.record.tasks(stage, defect)]


def frames_of(campaign: Campaign, tasks: Sequence[Task]) -> list[tuple[Task, Frame]]:
    """Every frame that the reference has evaluated for these tasks."""
    return [(task, frame) for task in tasks for frame in campaign.record.frames(task.key)]


def calls_of(tasks: Sequence[Task]) -> int:
    """Force calls of tasks."""
    return sum(task.evaluations for task in tasks)
