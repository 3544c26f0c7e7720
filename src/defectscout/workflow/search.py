"""The main job: from a host crystal to the ground states of its defects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import CampaignError, InputFileError, NothingFoundError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.evaluation.trust import verdict
from defectscout.workflow.answer import answer
from defectscout.workflow.campaign import (
    RECORD_NAME,
    Campaign,
    Source,
    fork_campaign,
    open_campaign,
    reopen_campaign,
    source_of,
)
from defectscout.workflow.collect import collect
from defectscout.workflow.exports import SUMMARY_NAME, export_layout, export_result
from defectscout.workflow.handwork import inputs_folder
from defectscout.workflow.inputs import INPUTS_FOLDER, InputChoices, InputsWritten, write_inputs
from defectscout.workflow.learn.campaign import learn_all
from defectscout.workflow.results import SearchResult
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.settling import settled
from defectscout.workflow.stages.candidates import DefectCandidates, choose_candidates
from defectscout.workflow.stages.defects import make_defects, prepare_defects
from defectscout.workflow.stages.host import HostReport, prepare_host, read_host, why_kept
from defectscout.workflow.stages.other_charges import check_charge_states, relax_borrowed
from defectscout.workflow.stages.reference import candidate_steppers, electronic_states, relax_candidates
from defectscout.workflow.stages.sampling import prepare_sampling
from defectscout.workflow.stages.scout import (
    load_checked_surrogate,
    scout,
    warn_of_unfamiliar,
)

if TYPE_CHECKING:
    from defectscout.workflow.learn.by_hand import HandRound


class Until(StrEnum):
    """The stage after which a search stops."""

    SAMPLING = "sampling"
    SCOUTING = "scouting"
    CANDIDATES = "candidates"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What stands before anything is relaxed: host, its report and its defects."""

    host: Host
    report: HostReport
    defects: tuple[Defect, ...]


def search(
    host: str | Path,
    output: str | Path,
    settings: SearchSettings | None = None,
    *,
    baseline: str | Path | None = None,
    fork: bool = False,
    until: Until = Until.ANSWER,
    progress: Progress | None = None,
) -> SearchResult:
    """Find the ground-state structures of a host's defects; go on where an earlier run stopped.

    Args:
        host: CIF, POSCAR or any structure file, a Materials Project id, or a JSON
            file of doped's with the defects in it.
        output: campaign folder; one that holds this search already is gone on with.
        settings: all settings; the defaults are those of `defectscout init`.
        baseline: campaign folder of a reference-only search of the same host, to say
            how many force calls were saved.
        fork: with settings that differ from the campaign's in `output`, start a new
            campaign beside it that keeps the stages that they do not touch.
        until: the stage to stop after.
        progress: told where the work stands; the default says nothing.

    Returns:
        The answer, with what is known after the stage `until`.

    Raises:
        NothingFoundError: if no defect has an answer, because every relaxation failed.
        DefectscoutError: of the kind that tells what was wrong; see `core.errors`.
    """
    progress = progress or SilentProgress()
    folder, source = Path(output), source_of(str(host))
    settings = settled(settings or SearchSettings(), source, folder, until is Until.ANSWER, progress)
    if fork or not (folder / RECORD_NAME).exists():
        check_input(source, settings, progress)
    calls = baseline_calls(Path(baseline), settings.reference.name) if baseline is not None else {}
    if fork:
        folder = fork_campaign(folder, settings, source)
        progress.message(f"The fork is {folder}.")
    with open_campaign(folder, settings, source) as campaign:
        return run_stages(campaign, calls, until, progress)


def check_input(source: Source, settings: SearchSettings, progress: Progress) -> None:
    """Find every mistake in the input of a new campaign before anything is written or spent.

    What the surrogate was not trained for is no mistake; `progress` is told of it.

    Raises:
        DefectscoutError: what the search itself would have raised later on.
    """
    from defectscout.sampling.folder import check_folder
    from defectscout.sampling.sample import sample

    host = read_host(source.name, settings)
    defects = make_defects(source.name, host, settings.defects, SilentProgress())
    _check_methods(settings, host, defects, progress)
    if settings.defects.cross_charges:
        check_charge_states(defects)
    if settings.sampling.folder is not None and not why_kept(source.name, settings):
        for defect in defects:
            check_folder(settings.sampling.folder, defect)
        return  # whether these fit is known only once the cell has relaxed
    for defect in defects:
        sample(defect, settings.sampling)


def resume(folder: Path, until: Until, progress: Progress) -> SearchResult:
    """Go on with the campaign in `folder`, with its own settings, up to a stage."""
    with reopen_campaign(folder) as campaign:
        return run_stages(campaign, {}, until, progress)


def prepare(campaign: Campaign, progress: Progress) -> Prepared:
    """The host and its defects, and their sampling structures."""
    host, report = prepare_host(campaign, progress)
    defects = prepare_defects(campaign, host, progress)
    prepare_sampling(campaign, host, defects, progress)
    return Prepared(host, report, defects)


def run_stages(campaign: Campaign, calls: Mapping[str, int], until: Until, progress: Progress) -> SearchResult:
    """Run what is missing, stage by stage, and give the answer as far as it goes."""
    prepared = prepare(campaign, progress)
    _say_defects(campaign, prepared, progress)
    if until is not Until.SAMPLING:
        _run_calculations(campaign, prepared, until, progress)
    result = answer(campaign, prepared.host, prepared.report, prepared.defects, calls, progress)
    if until is Until.ANSWER:
        export_result(campaign, result)
        if not any(item.minima for item in result.defects.values()):
            check_answered(result)
    else:
        export_layout(campaign, prepared.defects)
    return result


def _run_calculations(campaign: Campaign, prepared: Prepared, until: Until, progress: Progress) -> None:
    defects = prepared.defects
    if campaign.settings.strategy == "learn":
        _learn(campaign, prepared, until, progress)
        return
    if campaign.settings.strategy == "scout":
        scout(campaign, defects, progress)
    if until is Until.SCOUTING:
        return
    candidates = choose_candidates(campaign, defects, progress)
    if until is Until.CANDIDATES:
        return
    if campaign.settings.reference.name == "none":
        _write_inputs(campaign, defects, candidates, progress)
        return
    steppers = candidate_steppers(campaign, defects)
    relax_candidates(campaign, defects, candidates, progress, steppers)
    if campaign.settings.defects.cross_charges:
        relax_borrowed(campaign, defects, candidates, progress, steppers)


def _learn(campaign: Campaign, prepared: Prepared, until: Until, progress: Progress) -> None:
    if until is not Until.ANSWER:
        raise CampaignError(
            f"The campaign in {campaign.folder} learns: it scouts, asks the reference and scouts again, and has no "
            f"stage to stop after. Go on with it: defectscout resume {campaign.folder}; or start one that scouts once "
            "with: defectscout search HOST --no-learn"
        )
    learn_all(campaign, prepared.defects, prepared.host, progress)


def _write_inputs(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    progress: Progress,
) -> None:
    folder = campaign.folder / INPUTS_FOLDER
    _say_notes(write_inputs(campaign, defects, candidates, folder), progress)
    progress.message(
        f"DFT inputs of the candidates are in {folder}. When they have run: defectscout collect {campaign.folder}"
    )


def _say_notes(written: InputsWritten, progress: Progress) -> None:
    for note in written.notes:
        progress.warn(note)
    if written.kept:
        progress.warn(
            f"{len(written.kept)} folders hold calculations and were left as they are, such as {written.kept[0]}."
        )


def inputs(folder: Path, target: Path | None, progress: Progress, choices: InputChoices | None = None) -> InputsWritten:
    """Write DFT inputs of the candidates of the campaign in `folder`; see `inputs.write_inputs`.

    Raises:
        CampaignError: if the scouting has not come to its end, or calculations of another method have run there.
    """
    with reopen_campaign(folder) as campaign:
        prepared = prepare(campaign, progress)
        written = write_inputs(
            campaign,
            prepared.defects,
            choose_candidates(campaign, prepared.defects, progress),
            target or campaign.folder / INPUTS_FOLDER,
            choices,
        )
        _say_notes(written, progress)
        return written


def learn_by_hand(folder: Path, progress: Progress) -> HandRound:
    """Tune the surrogate of the campaign in `folder` on what was collected, and scout again.

    Raises:
        DefectscoutError: see `by_hand.further_round`.
    """
    from defectscout.workflow.learn.by_hand import further_round

    with reopen_campaign(folder) as campaign:
        prepared = prepare(campaign, progress)
        return further_round(campaign, prepared.defects, prepared.host.formula, progress)


def inputs_of_round(folder: Path, done: HandRound, progress: Progress) -> InputsWritten:
    """Write inputs of the candidates that a round has added, where those before it are.

    Raises:
        DefectscoutError: see `inputs.write_inputs`.
    """
    fresh = {item.defect: item.new for item in done.defects}
    with reopen_campaign(folder) as campaign:
        prepared = prepare(campaign, progress)
        only = {
            label: replace(chosen, candidates=tuple(one for one in chosen.candidates if one.label in fresh[label]))
            for label, chosen in choose_candidates(campaign, prepared.defects, progress).items()
        }
        written = write_inputs(campaign, prepared.defects, only, inputs_folder(campaign))
        _say_notes(written, progress)
        return written


def collect_results(folder: Path, source: Path | None, progress: Progress) -> SearchResult:
    """Read relaxations that ran elsewhere into the campaign in `folder`, and give the answer so far.

    Raises:
        CampaignError: if the campaign's reference is one that defectscout runs itself.
    """
    with reopen_campaign(folder) as campaign:
        if campaign.settings.reference.name != "none":
            raise CampaignError(
                f"The campaign in {folder} has the reference {campaign.settings.reference.name}: its energies cannot "
                "be mixed with those of another method. Start a campaign with --reference none to collect your own."
            )
        prepared = prepare(campaign, progress)
        candidates = choose_candidates(campaign, prepared.defects, progress)
        collect(campaign, prepared.defects, candidates, source or inputs_folder(campaign), progress)
        result = answer(campaign, prepared.host, prepared.report, prepared.defects, {}, progress)
        export_result(campaign, result)
        return result


def _check_methods(settings: SearchSettings, host: Host, defects: Sequence[Defect], progress: Progress) -> None:
    """Find out that an element or a package is missing, and what the surrogate was not trained for."""
    electronic_states(settings, defects)
    if settings.strategy in ("scout", "learn"):
        surrogate = load_checked_surrogate(settings, defects)
        warn_of_unfamiliar(surrogate.info, host.formula, defects, settings, progress)


def _say_defects(campaign: Campaign, prepared: Prepared, progress: Progress) -> None:
    states = electronic_states(campaign.settings, prepared.defects)
    for defect in prepared.defects:
        state = states.get(defect.label)
        note = f"; {state.note}" if state is not None and state.note else ""
        progress.message(
            f"{defect.label}: {len(defect.atoms)} atoms, site symmetry {defect.site_symmetry}, "
            f"{defect.excess_charge_in_words}{note}"
        )


def check_answered(result: SearchResult) -> None:
    """Check that every defect has an answer.

    Raises:
        NothingFoundError: if every reference relaxation of a defect failed.
    """
    if result.reference == "none":
        return
    empty = [item for item in result.defects.values() if not item.minima]
    if not empty:
        return
    reasons = sorted({reason for item in empty for _, reason in item.set_aside})
    reasons += [verdict(item.trust) for item in empty if item.trust is not None]
    raise NothingFoundError(
        f"No reference relaxation of {', '.join(item.defect.label for item in empty)} has given a structure: "
        f"{'; '.join(reasons[:4])}. What was tried is in {result.folder / SUMMARY_NAME}."
    )


def baseline_calls(folder: Path, reference: str) -> dict[str, int]:
    """Reference force calls of a finished reference-only search, by defect.

    Raises:
        InputFileError: if the folder holds no finished search.
        CampaignError: if that search used a surrogate or another reference.
    """
    path = folder / SUMMARY_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        surrogate, used = content["surrogate"], content["reference"]
        calls = {label: int(item["funnel"]["reference_calls"]) for label, item in content["defects"].items()}
    except (OSError, KeyError, ValueError) as error:
        raise InputFileError(
            f"Cannot read the baseline {path}: {error}. Give the folder of a search that was run with --reference-only."
        ) from None
    if surrogate is not None or used != reference:
        raise CampaignError(
            f"The search in {folder} is no baseline for this one: it used the surrogate {surrogate or 'none'} and the "
            f"reference {used}. Give one that was run with --reference-only and the reference {reference}."
        )
    return calls
