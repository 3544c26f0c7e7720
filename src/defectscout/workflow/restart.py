"""Preparing candidates' relaxations that ended early, or failed, to run again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import CalculationError, CampaignError, InputFileError
from defectscout.core.progress import Progress
from defectscout.references.engines.base import Engine, RunState
from defectscout.sampling.labels import folder_name
from defectscout.workflow.campaign import Campaign, reopen_campaign
from defectscout.workflow.handwork import DEFAULT_ENGINE, InputsRecord, inputs_folder, read_inputs_record
from defectscout.workflow.stages.candidates import candidate_names

ENDED: Set[RunState] = frozenset({RunState.UNFINISHED, RunState.FAILED})
"""What is known to have ended."""

ENDED_OR_KILLED: Set[RunState] = ENDED | {RunState.RUNNING}
"""The same, and what has output without an end: to be asked for only when nothing runs any more."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """One relaxation that was to be prepared.

    Attributes:
        name: `v_Cd_0/Bond_Distortion_-60.0%`.
        folder: its folder.
        changed: what was changed; empty if nothing could be done.
        problem: why not; empty if it is prepared.
    """

    name: str
    folder: Path
    changed: str = ""
    problem: str = ""


def restart(folder: Path, source: Path | None, states: Set[RunState], progress: Progress) -> tuple[Restarted, ...]:
    """Prepare the candidates of the campaign in `folder` that ended early or failed to run again.

    Only the folders of the calculations are changed, not the campaign: `collect` reads what comes of it.

    Args:
        folder: campaign folder.
        source: where the relaxations ran; None for where the inputs were written.
        states: those to be prepared.
        progress: told about each.

    Raises:
        CampaignError: the campaign has no candidates yet.
        InputFileError: the folder with the relaxations does not exist.
    """
    from defectscout.references.engines.registry import load_engine

    with reopen_campaign(folder) as campaign:
        names = _names(campaign)
        written = read_inputs_record(campaign) or InputsRecord(DEFAULT_ENGINE)
        base = source or inputs_folder(campaign)
    if not base.is_dir():
        raise InputFileError(f"The folder {base} does not exist. Give the folder with the relaxations.")
    engine = load_engine(written.engine)
    preset = written.preset or next(iter(engine.info.presets))
    done = []
    for defect, label in names:
        target = base / defect / folder_name(label)
        if target.is_dir() and engine.diagnose(target).state in states:
            done.append(_prepare(engine, f"{defect}/{label}", target, preset, progress))
    return tuple(done)


def _names(campaign: Campaign) -> list[tuple[str, str]]:
    names = candidate_names(campaign)
    if not names:
        raise CampaignError(
            f"The campaign in {campaign.folder} has no candidates yet. Go on with: defectscout resume {campaign.folder}"
        )
    return names


def _prepare(engine: Engine, name: str, folder: Path, preset: str, progress: Progress) -> Restarted:
    try:
        changed = engine.go_on(folder, preset)
    except CalculationError as error:
        progress.warn(f"{name}: {error}")
        return Restarted(name, folder, problem=str(error))
    progress.message(f"{name}: {changed}")
    return Restarted(name, folder, changed)
