"""Submitting a campaign to AiiDA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiida import orm
from aiida.engine import submit as submit_process
from ase import Atoms

from defectscout.core.errors import CampaignError, SettingsError
from defectscout.core.progress import Progress
from defectscout.references.engines.base import RunnableEngine
from defectscout.references.engines.registry import available_engines
from defectscout.workflow.aiida.data import folder_node
from defectscout.workflow.aiida.fetching import MARK
from defectscout.workflow.aiida.host_supercells import host_node
from defectscout.workflow.aiida.options import default_options
from defectscout.workflow.aiida.profiles import check_daemon, find_code, full_label, open_profile
from defectscout.workflow.aiida.record import Submission, read_submission, write_submission
from defectscout.workflow.aiida.restarts import DEFAULT_ITERATIONS
from defectscout.workflow.aiida.rounds import LearningWorkChain
from defectscout.workflow.aiida.search import SearchWorkChain
from defectscout.workflow.aiida.snapshots import FILES, Method, check_campaign, open_tasks, place_of
from defectscout.workflow.aiida.tasks import RelaxationTask, read_preset, runnable_engine, write_task
from defectscout.workflow.aiida.weights import weights_of
from defectscout.workflow.campaign import Campaign, reopen_campaign
from defectscout.workflow.handwork import INPUTS_FOLDER, InputsRecord, read_inputs_record, write_inputs_record
from defectscout.workflow.inputs import chosen_preset
from defectscout.workflow.record import SCOUT
from defectscout.workflow.search import prepare
from defectscout.workflow.settling import NO_EXTRA, why_not_tunable


@dataclass(frozen=True, slots=True)
class Choices:
    """How a campaign is submitted.

    Attributes:
        code: the DFT code in AiiDA, `label@computer` or `label`.
        computer: its computer, where `code` does not say; empty if it does.
        engine: which program it is; empty to tell from what the code is called.
        preset: its settings; empty for those that inputs were written with, else the engine's first.
        scouting_code: defectscout itself on a computer; empty if the campaign is scouted.
        options: of the DFT code's jobs, as AiiDA takes them.
        scouting_options: of the jobs that scout.
        max_concurrent: relaxations at once.
        max_iterations: jobs that one relaxation may take.
        profile: AiiDA's; empty for the default.
        rounds: rounds of learning at most; 0 for none.
    """

    code: str
    computer: str = ""
    engine: str = ""
    preset: str = ""
    scouting_code: str = ""
    options: Mapping[str, Any] = field(default_factory=default_options)
    scouting_options: Mapping[str, Any] = field(default_factory=default_options)
    max_concurrent: int = 50
    max_iterations: int = DEFAULT_ITERATIONS
    profile: str = ""
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was submitted.

    Attributes:
        submission: as the campaign remembers it.
        pk: AiiDA's number of the work chain.
        process: what AiiDA calls it.
        what: what is done there, in words.
    """

    submission: Submission
    pk: int
    process: str
    what: str


def submit(folder: Path, choices: Choices, progress: Progress) -> Submitted:
    """Submit the campaign in `folder`: what is left of it is relaxed, and scouted before if need be.

    Raises:
        SettingsError: profile, computer, code, engine or preset are not there, or the daemon does not run.
        CampaignError: the campaign is submitted already, has a reference of its own, or is done; or its scouting has
            not come to its end and there is no `scouting_code`.
    """
    with reopen_campaign(folder) as campaign:
        check_campaign(campaign)
        profile = open_profile(choices.profile)
        check_ended(folder)
        code = find_code(choices.code, choices.computer)
        engine = runnable_engine(_engine_name(choices, code))
        method = _method(campaign, choices, engine)
        scouting_code = find_code(choices.scouting_code, "") if choices.scouting_code else None
        if choices.rounds:
            _check_learns(campaign, scouting_code)
        check_daemon(progress)
        inputs, n_candidates = _inputs(campaign, method, scouting_code, choices, progress)
        if choices.rounds:
            inputs["max_rounds"] = orm.Int(choices.rounds)
        node = submit_process(
            LearningWorkChain if choices.rounds else SearchWorkChain,
            code=code,
            settings=orm.Dict(
                {
                    "engine": method.engine,
                    "preset": method.preset,
                    "preset_text": method.preset_text,
                    "max_concurrent": choices.max_concurrent,
                    "max_iterations": choices.max_iterations,
                }
            ),
            options=orm.Dict(dict(choices.options)),
            metadata={"label": f"defectscout {folder.resolve().name}"[:255]},
            **inputs,
        )
        done = Submission(profile, node.uuid, method.engine, method.preset, full_label(code))
        write_submission(campaign, done)
        place = str((campaign.folder / INPUTS_FOLDER).resolve())
        write_inputs_record(campaign, InputsRecord(method.engine, method.preset, place))
    what = "its scouting, then its candidates" if n_candidates is None else f"{n_candidates} candidates"
    return Submitted(done, node.pk, node.process_label, what)


def _check_learns(campaign: Campaign, scouting_code: orm.AbstractCode | None) -> None:
    """Check that rounds of learning can run.

    Raises:
        SettingsError: there is nothing that tunes, or the surrogate cannot be tuned.
    """
    if scouting_code is None:
        raise SettingsError(
            "--rounds needs a code that tunes the surrogate and scouts with it: --scout-code defectscout@NAME."
        )
    reason = "there is no surrogate (reference-only)" if campaign.settings.strategy == "reference-only" else ""
    reason = reason or why_not_tunable(campaign.settings.surrogate.name)
    if reason and reason != NO_EXTRA:  # that is asked for where it runs
        raise SettingsError(f"--rounds: the campaign in {campaign.folder} cannot learn: {reason}.")


def check_ended(folder: Path) -> None:
    """Check that nothing of a campaign, or a host's relaxation, runs through AiiDA.

    Raises:
        CampaignError: it does; or where it was submitted to is not to be found.
    """
    before = read_submission(folder)
    if before is None:
        return
    from aiida.common.exceptions import NotExistent

    try:
        node = orm.load_node(before.uuid)
    except NotExistent:
        raise CampaignError(
            f"What is in {folder} was submitted with AiiDA's profile '{before.profile}', where {before.uuid} is not to "
            "be found now. Choose that profile with --profile, or begin in another folder."
        ) from None
    if not node.is_terminated:
        raise CampaignError(
            f"What is in {folder} is submitted already, as {node.process_label}<{node.pk}>. See how it stands with: "
            f"defectscout status {folder}; end it with: defectscout abort {folder}"
        )


def _engine_name(choices: Choices, code: orm.AbstractCode) -> str:
    """As asked for; else what the code, or its default plugin, is called."""
    name = choices.engine or engine_of_code(code)
    if not name:
        raise SettingsError(
            f"Which program the code {full_label(code)} is cannot be told from its name. Say so with --engine: "
            f"{', '.join(available_engines())}."
        )
    return name


def engine_of_code(code: orm.AbstractCode) -> str:
    """Which engine a code is, by what its default plugin or itself is called; empty where that does not tell."""
    known = available_engines()
    words = (*str(code.default_calc_job_plugin or "").split("."), str(code.label))
    return next((one for word in words for one in known if word.lower().startswith(one)), "")


def _method(campaign: Campaign, choices: Choices, engine: RunnableEngine) -> Method:
    before = read_inputs_record(campaign)
    same_engine = before is not None and before.engine == engine.info.name
    preset = chosen_preset(engine, choices.preset, before.preset if before is not None and same_engine else "")
    return Method(engine.info.name, preset, read_preset(preset))


def _inputs(
    campaign: Campaign,
    method: Method,
    scouting_code: orm.AbstractCode | None,
    choices: Choices,
    progress: Progress,
) -> tuple[dict[str, Any], int | None]:
    """Snapshot, host and, where it has to be scouted, what scouts; and how many candidates there are."""
    prepared = prepare(campaign, progress)
    inputs: dict[str, Any] = {}
    count: int | None = None
    if _is_scouted(campaign):
        _, tasks = open_tasks(campaign, method)
        if not tasks:
            raise CampaignError(
                f"Every candidate of the campaign in {campaign.folder} has been relaxed: nothing is left to submit."
            )
        _try_first_of_each(campaign, tasks, progress)
        count = len(tasks)
    elif scouting_code is None:
        raise CampaignError(
            f"The campaign in {campaign.folder} has not been scouted. Do it here with: defectscout scout "
            f"{campaign.folder}; or on another computer, with --scout-code defectscout@NAME."
        )
    if scouting_code is not None and (count is None or choices.rounds):
        inputs["scouting_code"] = scouting_code
        inputs["scouting_options"] = orm.Dict(dict(choices.scouting_options))
        weights = weights_of(campaign.settings.surrogate.name)
        if weights is not None:
            inputs["surrogate"] = folder_node(weights.resolve().parent, [weights.name])
    inputs["campaign"] = folder_node(campaign.folder, FILES)
    inputs["host"] = host_node(campaign, prepared, inputs["campaign"], progress)
    return inputs, count


def _is_scouted(campaign: Campaign) -> bool:
    if campaign.settings.strategy == "reference-only":
        return True
    tasks = campaign.record.tasks(SCOUT)
    return bool(tasks) and all(task.state.is_finished for task in tasks)


def _try_first_of_each(campaign: Campaign, tasks: Any, progress: Progress) -> None:
    """Write the input of one candidate of each defect, so that what is missing is known before anything is sent.

    Raises:
        CampaignError: calculations by hand are in the place where results would go.
        SettingsError: files are missing that no run can do without.
    """
    from defectscout.references.engines.base import RunState

    notes: dict[str, None] = {}
    tried: set[str] = set()
    for task, atoms in tasks:
        place = place_of(campaign.folder / INPUTS_FOLDER, task)
        if not (place / MARK).exists() and place.is_dir() and _has_run(campaign, place, RunState.NOT_RUN):
            raise CampaignError(
                f"{place} holds a calculation that was run by hand. Read what there is with: defectscout collect "
                f"{campaign.folder}; then move {campaign.folder / INPUTS_FOLDER} away and submit what is left."
            )
        if task.defect in tried:
            continue
        tried.add(task.defect)
        notes.update(dict.fromkeys(written_once(task, atoms)))
    for note in notes:
        progress.warn(note)


def written_once(task: RelaxationTask, atoms: Atoms) -> tuple[str, ...]:
    """Write the input of a task into a folder that goes again, so that what is missing is known at once.

    Returns:
        What the engine has to say of it.

    Raises:
        SettingsError: files are missing that no run can do without.
    """
    with TemporaryDirectory(prefix="defectscout-") as name:
        said = write_task(Path(name), atoms, task)
        missing = [one for one in runnable_engine(task.engine).execution.secret if not (Path(name) / one).is_file()]
    if missing:
        raise SettingsError(f"{task.title} cannot be run: {' '.join(said)}")
    return said


def _has_run(campaign: Campaign, place: Path, nothing: object) -> bool:
    from defectscout.references.engines.registry import load_engine

    before = read_inputs_record(campaign)
    return before is not None and load_engine(before.engine).diagnose(place).state is not nothing
