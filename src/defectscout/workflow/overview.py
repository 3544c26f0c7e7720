"""What a campaign holds, for whoever looks at it: the answer so far, every relaxation step by step, and the cost.

Nothing is written and nothing is locked, so that a campaign can be looked at while its search runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from pydantic import ValidationError

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import CampaignError, DefectscoutError
from defectscout.core.frames import FloatArray, Frame, RelaxationState
from defectscout.defects.oxidation import element_oxidation_states
from defectscout.evaluation.confidence import Confidence
from defectscout.learning.frame_sampling import spaced
from defectscout.references.base import ElectronicState, ReferenceInfo
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.answer import defect_results, stored_agreements
from defectscout.workflow.campaign import LOG_NAME, RECORD_NAME, Campaign, read_campaign
from defectscout.workflow.discovery import log_seconds
from defectscout.workflow.learn.candidates import candidates_of_loop
from defectscout.workflow.learn.rounds import LearnRecord, read_records
from defectscout.workflow.record import ASK, CHECK, HOST, REFERENCE, SCOUT, Record, Task
from defectscout.workflow.results import DefectResult, RankedMinimum
from defectscout.workflow.serial import defects_from_json, host_from_json
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.candidates import DefectCandidates, read_candidates
from defectscout.workflow.stages.host import HostReport, stored_report
from defectscout.workflow.stages.reference import electronic_states, reference_info
from defectscout.workflow.stages.sampling import sampling_structures
from defectscout.workflow.stages.scout import surrogate_info

RELAXATION_STAGES = (SCOUT, REFERENCE, CHECK)
"""Stages whose tasks are relaxations of a defect, `SCOUT` on the surrogate's surface, the others on the reference's."""


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """One relaxation, step by step.

    Attributes:
        label: the sampling structure or candidate that it began from, as in the record.
        stage: `scout` (on the surrogate's surface), `reference` or `check` (on the reference's).
        state: how it stands.
        reason: why it failed or stopped short; of a merged one, the relaxation whose minimum it fell into.
        steps: shape (n,), ionic steps whose frames were kept.
        energies: shape (n,), eV, on the surface of its stage.
        calls: force calls.
        seconds: wall time.
        rank: of the minimum on the reference's surface that it ended in, 0 for the ground state; None if it ended in
            none, or on the surrogate's surface.
        final: last structure; None before the first frame.
    """

    label: str
    stage: str
    state: RelaxationState
    reason: str
    steps: tuple[int, ...]
    energies: FloatArray
    calls: int
    seconds: float
    rank: int | None
    final: Atoms | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the search of one defect took.

    Attributes:
        reference_calls: force calls of the reference, single points and checks included.
        reference_seconds: wall time of those, one after the other.
        surrogate_calls: force calls of the surrogate.
        surrogate_seconds: wall time of scouting.
        tuning_seconds: wall time of tuning the surrogate.
    """

    reference_calls: int
    reference_seconds: float
    surrogate_calls: int
    surrogate_seconds: float
    tuning_seconds: float


@dataclass(frozen=True, slots=True)
class LowerElsewhere:
    """A lower minimum that another search of the same defect has found.

    Attributes:
        folder: name of that campaign's folder.
        by: how much lower it is, eV.
    """

    folder: str
    by: float

    @property
    def sentence(self) -> str:
        """What it means here."""
        return f"This is not the ground state: the search in {self.folder} has a minimum {self.by:.2f} eV lower."


@dataclass(frozen=True, slots=True, eq=False)
class DefectOverview:
    """One defect of a campaign.

    Attributes:
        result: the answer as far as it goes; without minima before the reference has answered.
        descents: its relaxations, stage by stage, in the order in which they were begun.
        sampling: its sampling structures.
        cost: what was spent.
        finished: whether nothing of its search is left to do.
        step: what it waits for, in words; empty if it is finished.
        lower: a lower minimum of another search; None if there is none, or none was looked for (see
            `analysis.elsewhere`).
    """

    result: DefectResult
    descents: tuple[Descent, ...]
    sampling: tuple[SamplingStructure, ...]
    cost: Cost
    finished: bool
    step: str
    lower: LowerElsewhere | None = None

    @property
    def defect(self) -> Defect:
        return self.result.defect

    @property
    def ground_state(self) -> RankedMinimum | None:
        """The lowest minimum that this search has found; None before there is one."""
        return self.result.minima[0] if self.result.minima else None


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A campaign as it stands.

    Attributes:
        folder: where it lies.
        source: the host's file or identifier, as given.
        settings: those of the campaign.
        packages: versions that it was begun with, by package.
        host: what was found out about the host.
        bulk: pristine supercell.
        oxidation_states: mean oxidation state of each element of the host, as assigned; empty if not known.
        surrogate: what scouts; None without a surrogate, or before it was loaded.
        reference: what answers; None without a reference, or before it was first asked.
        defects: by label.
        host_calls: force calls of the reference that were spent on the host.
        seconds: wall time by the campaign's log, without pauses between runs; NaN without a log.
        finished: whether every defect is.
        notes: what could not be read or worked out, and why.
    """

    folder: Path
    source: str
    settings: SearchSettings
    packages: Mapping[str, str]
    host: HostReport
    bulk: Atoms
    oxidation_states: Mapping[str, float]
    surrogate: SurrogateInfo | None
    reference: ReferenceInfo | None
    defects: Mapping[str, DefectOverview]
    host_calls: int
    seconds: float
    finished: bool
    notes: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        return self.host.formula

    @property
    def is_reference_only(self) -> bool:
        """Whether every sampling structure goes to the reference: the baseline of every comparison."""
        return self.settings.strategy == "reference-only"


def read_overview(folder: Path, baseline_calls: Mapping[str, int] | None = None) -> Overview:
    """Read a campaign, finished or not, without touching it.

    Args:
        folder: of the campaign.
        baseline_calls: reference force calls that a reference-only search of the same defects spent, by label.

    Raises:
        CampaignError: there is no campaign in the folder, its search has not come to its defects yet, or a version
            that recorded other things has written it.
    """
    try:
        return _read(folder, baseline_calls or {})
    except ValidationError as error:
        raise CampaignError(
            f"The campaign in {folder} was written by a version of defectscout that recorded other things "
            f"({error.error_count()} entries of {error.title} do not fit). Look at it with the version that wrote it, "
            "or search again in another folder."
        ) from None


def _read(folder: Path, baseline_calls: Mapping[str, int]) -> Overview:
    settings, source = read_campaign(folder)
    campaign = Campaign(folder, settings, source, Record(folder / RECORD_NAME))
    report, stored_host = stored_report(campaign), campaign.record.read_document("host")
    stored = campaign.record.read_document("defects")
    if report is None or stored_host is None or stored is None:
        raise CampaignError(
            f"The campaign in {folder} has not come to its defects yet: there is nothing to show. Go on with it: "
            f"defectscout resume {folder}"
        )
    from pymatgen.io.ase import AseAtomsAdaptor

    notes: list[str] = []
    defects = defects_from_json(stored)
    states = _electronic_states(settings, defects, notes)
    records = read_records(campaign)
    candidates = _candidates(campaign, defects, records)
    agreements = stored_agreements(campaign)
    results = defect_results(campaign, defects, candidates, states, agreements, baseline_calls, report)
    overviews = {label: _defect_overview(campaign, records.get(label), result) for label, result in results.items()}
    supercell = host_from_json(stored_host).supercell
    return Overview(
        folder=folder,
        source=source.name,
        settings=settings,
        packages=json.loads(campaign.record.read_document("campaign") or "{}").get("packages", {}),
        host=report,
        bulk=AseAtomsAdaptor.get_atoms(supercell, msonable=False),
        oxidation_states=_oxidation_states(defects, notes),
        surrogate=surrogate_info(campaign),
        reference=reference_info(campaign),
        defects=overviews,
        host_calls=sum(task.evaluations for task in campaign.record.tasks(HOST)),
        seconds=log_seconds(folder / LOG_NAME),
        finished=all(item.finished for item in overviews.values()),
        notes=tuple(dict.fromkeys(notes)),
    )


def spaced_frames(folder: Path, label: str, stage: str, number: int) -> Iterator[tuple[str, Frame]]:
    """Evenly spaced frames of each relaxation of a defect in a stage, first and last among them.

    Args:
        folder: of the campaign.
        label: of the defect.
        stage: `scout`, `reference` or `check`.
        number: frames of each relaxation, at most.

    Yields:
        Label of the relaxation, and one of its frames.

    Raises:
        CampaignError: there is no campaign in the folder.
    """
    read_campaign(folder)
    record = Record(folder / RECORD_NAME)
    for task in record.tasks(stage, label):
        frames = record.frames(task.key)
        for index in spaced(len(frames), number):
            yield task.key.label, frames[index]


def _candidates(
    campaign: Campaign, defects: Sequence[Defect], records: Mapping[str, LearnRecord]
) -> dict[str, DefectCandidates]:
    """Those that were recorded; of a loop that still runs, what it has relaxed so far."""
    known = read_candidates(campaign)
    running = {
        defect.label: candidates_of_loop(campaign, defect, records[defect.label])
        for defect in defects
        if defect.label not in known and defect.label in records
    }
    return known | running


def _electronic_states(
    settings: SearchSettings, defects: Sequence[Defect], notes: list[str]
) -> Mapping[str, ElectronicState]:
    """They are worked out by the reference's package, which a machine that only looks may lack."""
    try:
        return electronic_states(settings, defects)
    except DefectscoutError as error:
        notes.append(f"Charges and spins of the reference are not shown: {error}")
        return {}


def _oxidation_states(defects: Sequence[Defect], notes: list[str]) -> Mapping[str, float]:
    entries = [defect.entry for defect in defects if defect.entry is not None]
    if not entries:
        return {}
    try:
        return element_oxidation_states(entries[0])
    except DefectscoutError as error:
        notes.append(str(error))
        return {}


def _defect_overview(campaign: Campaign, record: LearnRecord | None, result: DefectResult) -> DefectOverview:
    label = result.defect.label
    tasks = [task for stage in RELAXATION_STAGES for task in campaign.record.tasks(stage, label)]
    points = campaign.record.tasks(ASK, label)
    sampling = sampling_structures(campaign, result.defect)
    step = _waits_for(campaign, tasks, record, result) if sampling else "its sampling structures"
    return DefectOverview(
        result=_unsettled(result, step) if step else result,
        descents=tuple(_descents(campaign, tasks, result.minima)),
        sampling=sampling,
        cost=_cost([*tasks, *points], record, result),
        finished=not step,
        step=step,
    )


def _unsettled(result: DefectResult, step: str) -> DefectResult:
    """Whatever speaks for what a search has found so far, it may find a lower minimum yet."""
    reason = f"The search has not finished: it waits for {step}."
    return replace(result, confidence=Confidence("low", (reason, *result.confidence.reasons)))


def _descents(campaign: Campaign, tasks: Sequence[Task], minima: Sequence[RankedMinimum]) -> Iterator[Descent]:
    ranks = {label: item.rank for item in minima for label in item.candidates}
    for task in tasks:
        frames = campaign.record.frames(task.key)
        checkpoint = task.checkpoint
        # What fell into a known minimum ended where that relaxation did.
        end = task.reason if task.state is RelaxationState.MERGED else task.key.label
        yield Descent(
            label=task.key.label,
            stage=task.key.stage,
            state=task.state,
            reason=task.reason,
            steps=tuple(frame.step for frame in frames),
            energies=np.array([frame.prediction.energy for frame in frames], dtype=float),
            calls=task.evaluations,
            seconds=task.seconds,
            rank=ranks.get(end) if task.key.stage != SCOUT and task.state.is_finished else None,
            final=checkpoint.frame.atoms if checkpoint is not None else None,
        )


def _cost(tasks: Sequence[Task], record: LearnRecord | None, result: DefectResult) -> Cost:
    rounds = record.rounds if record is not None else ()
    return Cost(
        reference_calls=sum(task.evaluations for task in tasks if task.key.stage != SCOUT),
        reference_seconds=sum(task.seconds for task in tasks if task.key.stage != SCOUT),
        surrogate_calls=result.funnel.surrogate_calls,
        surrogate_seconds=sum(task.seconds for task in tasks if task.key.stage == SCOUT)
        + sum(item.scouting_seconds for item in rounds),
        tuning_seconds=sum(item.tuning_seconds for item in rounds),
    )


def _waits_for(campaign: Campaign, tasks: Sequence[Task], record: LearnRecord | None, result: DefectResult) -> str:
    """What is left to do of a defect, in words; empty if nothing is."""
    if campaign.settings.strategy == "learn":
        if record is None or not record.rounds:
            return "the first round of the learning loop"
        if record.ending is None:
            last = record.rounds[-1]
            return f"round {last.number + 1 if last.answered else last.number} of the learning loop"
    elif not result.candidates.candidates:
        return "scouting" if campaign.settings.strategy == "scout" else "its first reference relaxation"
    stages = (REFERENCE, CHECK)
    relaxed = {task.key.label for task in tasks if task.key.stage in stages and task.state.is_finished}
    open_tasks = [task for task in tasks if task.key.stage in stages and not task.state.is_finished]
    missing = len({candidate.label for candidate in result.candidates.candidates} - relaxed)
    count = max(missing, len(open_tasks))
    return f"{count} reference relaxation{'s' if count != 1 else ''}" if count else ""
