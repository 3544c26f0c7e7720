"""Campaigns as files that travel: what is read of them, and what comes back into them. AiiDA is not needed here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from defectscout.core.errors import CampaignError
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import Progress, SilentProgress
from defectscout.sampling.labels import folder_name
from defectscout.workflow.aiida.tasks import RelaxationTask, runnable_engine
from defectscout.workflow.answer import answer
from defectscout.workflow.campaign import LEARNING_FOLDER, RECORD_NAME, SETTINGS_NAME, Campaign, reopen_campaign
from defectscout.workflow.collect import CandidateRun, collect
from defectscout.workflow.handwork import InputsRecord, write_inputs_record
from defectscout.workflow.learn.by_hand import rounds_in
from defectscout.workflow.record import REFERENCE, Record
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import Prepared, prepare
from defectscout.workflow.stages.candidates import candidate_structures, choose_candidates

FILES = (RECORD_NAME, SETTINGS_NAME, LEARNING_FOLDER)
"""What a snapshot of a campaign is: its record, its settings for people, and surrogates that were tuned."""

_CAMPAIGN, _SURROGATE, _CANDIDATES = "campaign", "surrogate", "candidates"


@dataclass(frozen=True, slots=True)
class Method:
    """What relaxes the candidates.

    Attributes:
        engine: its name.
        preset: its settings, a name or the path of a TOML file.
        preset_text: content of that file; empty for a name.
    """

    engine: str
    preset: str
    preset_text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What has come of a search.

    Attributes:
        result: the answer so far.
        runs: how each candidate's relaxation stands.
    """

    result: SearchResult
    runs: tuple[CandidateRun, ...]


def is_scouted(folder: Path) -> bool:
    """Whether the candidates of the campaign in `folder` have been chosen."""
    return Record(folder / RECORD_NAME).read_document(_CANDIDATES) is not None


def n_rounds(folder: Path) -> int:
    """Rounds of learning that the campaign in `folder` has gone through."""
    return len(rounds_in(Record(folder / RECORD_NAME)))


def newest_candidates(folder: Path) -> dict[str, tuple[str, ...]]:
    """Labels of the candidates that the last round of learning has added, by the defect's label."""
    rounds = rounds_in(Record(folder / RECORD_NAME))
    return {item.defect: item.new for item in rounds[-1].defects} if rounds else {}


def defect_labels(folder: Path) -> tuple[str, ...]:
    """Labels of the defects of the campaign in `folder`, whose candidates have been chosen."""
    stored = Record(folder / RECORD_NAME).read_document(_CANDIDATES)
    return tuple(json.loads(stored)) if stored is not None else ()


def open_tasks(
    campaign: Campaign, method: Method, only: Sequence[str] = ()
) -> tuple[Prepared, list[tuple[RelaxationTask, Atoms]]]:
    """The host, and the candidates that have no finished relaxation yet, with the structures they start from.

    Args:
        campaign: the open campaign.
        method: what relaxes them.
        only: labels of defects; empty for all.

    Raises:
        CampaignError: the scouting has not come to its end.
        UnsupportedElementError: an element that the engine has nothing for.
    """
    progress = SilentProgress()
    engine = runnable_engine(method.engine)
    prepared = prepare(campaign, progress)
    candidates = choose_candidates(campaign, prepared.defects, progress)
    known = {task.key: task.state for task in campaign.record.tasks(REFERENCE)}
    done = {(key.defect, key.label) for key, state in known.items() if state is RelaxationState.CONVERGED}
    tasks = []
    for defect in prepared.defects:
        if only and defect.label not in only:
            continue
        for candidate, atoms in candidate_structures(campaign, defect, candidates[defect.label]):
            if (defect.label, candidate.label) in done:
                continue
            state = engine.electronic_state(atoms, defect.charge)
            task = RelaxationTask(
                engine=method.engine,
                preset=method.preset,
                preset_text=method.preset_text,
                title=f"{defect.label} {candidate.label}",
                charge=state.charge,
                multiplicity=state.multiplicity,
                defect=defect.label,
                candidate=candidate.label,
            )
            tasks.append((task, atoms))
    return prepared, tasks


def place_of(inputs: Path, task: RelaxationTask) -> Path:
    """Folder of a candidate in the layout of runs by hand."""
    return inputs / task.defect / folder_name(task.candidate)


def collect_into(folder: Path, inputs: Path, method: Method, progress: Progress) -> Collected:
    """Read relaxations in the layout of runs by hand into the campaign in `folder`.

    Raises:
        InputFileError: there is no output at all.
    """
    with reopen_campaign(folder) as campaign:
        write_inputs_record(campaign, InputsRecord(method.engine, method.preset, str(inputs.resolve())))
        prepared = prepare(campaign, progress)
        candidates = choose_candidates(campaign, prepared.defects, progress)
        found = collect(campaign, prepared.defects, candidates, inputs, progress)
        result = answer(campaign, prepared.host, prepared.report, prepared.defects, {}, progress)
        return Collected(result, found.runs)


def surrogate_name(folder: Path) -> str:
    """The surrogate that the campaign in `folder` scouts with."""
    name: str = _identity(Record(folder / RECORD_NAME), folder)["settings"]["surrogate"]["name"]
    return name


def _identity(record: Record, folder: Path) -> dict[str, Any]:
    stored = record.read_document(_CAMPAIGN)
    if stored is None:
        raise CampaignError(f"The record in {folder} is empty: the campaign was interrupted before it had begun.")
    content: dict[str, Any] = json.loads(stored)
    return content


def rename_surrogate(folder: Path, name: str) -> None:
    """Have the campaign in `folder` find its surrogate by another name: on another machine, or back on this one."""
    record = Record(folder / RECORD_NAME)
    content = _identity(record, folder)
    before = content["settings"]["surrogate"]["name"]
    content["settings"]["surrogate"]["name"] = name
    record.write_document(_CAMPAIGN, json.dumps(content))
    known = record.read_document(_SURROGATE)
    if known is not None:
        info = json.loads(known)
        if info.get("name") == before:
            record.write_document(_SURROGATE, json.dumps({**info, "name": name}))


def adopt(folder: Path, scouted: Path, documents: Sequence[str]) -> None:
    """Put the record of a campaign that was scouted elsewhere in the place of that in `folder`.

    Args:
        folder: the campaign.
        scouted: folder with the newer record.
        documents: those that the campaign in `folder` keeps of its own.
    """
    with reopen_campaign(folder) as campaign:
        kept = {name: campaign.record.read_document(name) for name in documents}
        part = folder / f".{RECORD_NAME}.part"
        part.write_bytes((scouted / RECORD_NAME).read_bytes())
        if (scouted / LEARNING_FOLDER).is_dir():
            shutil.copytree(scouted / LEARNING_FOLDER, folder / LEARNING_FOLDER, dirs_exist_ok=True)
        newer = Record(part)
        for name, content in kept.items():
            if content is not None:
                newer.write_document(name, content)
        part.replace(folder / RECORD_NAME)


def runs_as_data(runs: Sequence[CandidateRun]) -> list[dict[str, Any]]:
    """How each candidate stands, as plain data."""
    return [
        {
            "name": run.name,
            "state": run.state.value,
            "steps": run.steps,
            "fmax": run.fmax,
            "reason": run.reason,
        }
        for run in runs
    ]


def check_campaign(campaign: Campaign) -> None:
    """Check that a campaign's reference is left to the user.

    Raises:
        CampaignError: it is one that defectscout runs itself, or the campaign learns.
    """
    name = campaign.settings.reference.name
    if name != "none":
        raise CampaignError(
            f"The campaign in {campaign.folder} has the reference {name}, which defectscout runs by itself: energies "
            "of two methods cannot be mixed. Start a campaign to submit with: defectscout search HOST --reference none"
        )
