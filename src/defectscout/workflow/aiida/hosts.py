"""The host's own relaxation through AiiDA."""

from __future__ import annotations

from pathlib import Path

from aiida import orm
from aiida.engine import submit as submit_process
from ase import Atoms

from defectscout.core.errors import CampaignError, SettingsError
from defectscout.core.progress import Progress
from defectscout.references.engines.base import Purpose, RunState
from defectscout.workflow.aiida.data import to_node
from defectscout.workflow.aiida.fetching import MARK, fetch_one
from defectscout.workflow.aiida.follow import notes_of, search_node, sentence_of, standing_of
from defectscout.workflow.aiida.graph import relaxations_in
from defectscout.workflow.aiida.profiles import check_daemon, find_code, full_label, open_profile
from defectscout.workflow.aiida.record import Submission, write_host_submission
from defectscout.workflow.aiida.restarts import RelaxationWorkChain
from defectscout.workflow.aiida.submission import Choices, Submitted, check_ended, engine_of_code, written_once
from defectscout.workflow.aiida.tasks import RelaxationTask, read_preset, runnable_engine, task_to_dict
from defectscout.workflow.host_runs import RUN_FOLDER, HostRun, formula_of, host_run, start_of
from defectscout.workflow.inputs import chosen_preset
from defectscout.workflow.status import CampaignStatus


def submit_host(folder: Path, choices: Choices, progress: Progress) -> Submitted:
    """Submit the relaxation of a host that `relax-host` has written. Its input is written anew.

    Raises:
        SettingsError: profile, computer, code or daemon are not there, the code is another program than inputs were
            written for, or what was asked for belongs to a search.
        CampaignError: it was submitted already, or has run by hand.
    """
    if choices.scouting_code or choices.rounds:
        raise SettingsError(f"{folder} holds the relaxation of a host: --scout-code and --rounds are for a search.")
    run = host_run(folder)
    profile = open_profile(choices.profile)
    check_ended(folder)
    code = find_code(choices.code, choices.computer)
    _check_same_method(folder, run, choices, code)
    _check_not_by_hand(folder, run)
    atoms = start_of(folder)
    task = _task(run, atoms)
    for note in written_once(task, atoms):
        progress.warn(note)
    check_daemon(progress)
    node = submit_process(
        RelaxationWorkChain,
        structure=to_node(atoms, task.title),
        task=orm.Dict(task_to_dict(task)),
        code=code,
        options=orm.Dict(dict(choices.options)),
        max_iterations=orm.Int(choices.max_iterations),
        metadata={"label": f"defectscout {task.title}"[:255]},
    )
    done = Submission(profile, node.uuid, run.engine, run.preset, full_label(code))
    write_host_submission(folder, done)
    return Submitted(done, node.pk, node.process_label, "the relaxation of the host")


def _check_same_method(folder: Path, run: HostRun, choices: Choices, code: orm.AbstractCode) -> None:
    engine = choices.engine or engine_of_code(code) or run.engine
    preset = run.preset
    if engine == run.engine:
        preset = chosen_preset(runnable_engine(engine), choices.preset, run.preset)
    for what, asked, written in (("program", engine, run.engine), ("preset", preset, run.preset)):
        if asked != written:
            raise SettingsError(
                f"The {what} is {asked}, and the input in {folder} was written for {written}. Write another one with: "
                f"defectscout relax-host {run.source} --engine {engine} -o ANOTHER_FOLDER"
            )


def _check_not_by_hand(folder: Path, run: HostRun) -> None:
    place = folder / RUN_FOLDER
    if not (place / MARK).exists() and runnable_engine(run.engine).diagnose(place).state is not RunState.NOT_RUN:
        raise CampaignError(
            f"{place} holds a calculation that was run by hand: see how it stands with: defectscout collect {folder}; "
            "to submit, write the input into another folder with: defectscout relax-host"
        )


def _task(run: HostRun, atoms: Atoms) -> RelaxationTask:
    state = runnable_engine(run.engine).electronic_state(atoms, 0)
    return RelaxationTask(
        engine=run.engine,
        preset=run.preset,
        title=f"{formula_of(atoms)} {RUN_FOLDER}",
        charge=0,
        multiplicity=state.multiplicity,
        purpose=Purpose.HOST,
        preset_text=read_preset(run.preset),
    )


def host_status(folder: Path, profile: str = "") -> CampaignStatus:
    """How the submitted relaxation of a host stands, as AiiDA has it.

    Raises:
        CampaignError, SettingsError: see `search_node`.
    """
    submission, node = search_node(folder, profile)
    runs = tuple(standing_of(RUN_FOLDER, item) for item, _ in relaxations_in(node))
    return CampaignStatus(runs, sentence_of(submission, node), notes_of(node))


def fetch_host(folder: Path, progress: Progress, profile: str = "") -> orm.WorkChainNode:
    """Write what has come of a host's relaxation into its folder, as a run by hand would have left it.

    Returns:
        What was submitted.

    Raises:
        CampaignError, SettingsError: see `search_node`.
    """
    _, node = search_node(folder, profile)
    for item, _ in relaxations_in(node):
        if fetch_one(item, folder / RUN_FOLDER):
            progress.message(f"Fetched what has come of the relaxation into {folder / RUN_FOLDER}.")
    return node
