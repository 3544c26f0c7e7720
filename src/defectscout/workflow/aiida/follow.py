"""A campaign that was submitted: how it stands, what has come of it, and its end."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from aiida import orm
from aiida.common.exceptions import NotExistent

from defectscout.core.errors import CampaignError
from defectscout.core.progress import Progress
from defectscout.workflow.aiida.data import unpacked
from defectscout.workflow.aiida.fetching import fetch_one
from defectscout.workflow.aiida.graph import RelaxationNodes, relaxations_in, scouted_campaign
from defectscout.workflow.aiida.profiles import is_daemon_running, open_profile
from defectscout.workflow.aiida.record import DOCUMENT, Submission, read_submission
from defectscout.workflow.aiida.snapshots import adopt, is_scouted, n_rounds, place_of
from defectscout.workflow.handwork import INPUTS_FOLDER
from defectscout.workflow.record import REFERENCE
from defectscout.workflow.stages.candidates import candidate_names
from defectscout.workflow.status import CampaignStatus, CandidateStatus, Standing, look_into, of_task

_PATIENCE = 120.0
"""Seconds in which all processes of a search have to end: each job has to be cancelled in its queue."""

_POLL = 1.0
"""Seconds between looks."""


def search_node(folder: Path, profile: str = "") -> tuple[Submission, orm.WorkChainNode]:
    """What was submitted of the campaign, or the host, in `folder`, and its work chain; loads its profile.

    Raises:
        CampaignError: nothing was submitted, or it is not in that profile any more.
        SettingsError: there is no such profile.
    """
    submission = read_submission(folder)
    if submission is None:
        raise CampaignError(
            f"What is in {folder} has not been submitted. Do so with: defectscout submit {folder} --code LABEL@COMPUTER"
        )
    name = open_profile(profile or submission.profile)
    try:
        node: orm.WorkChainNode = orm.load_node(submission.uuid)
    except NotExistent:
        raise CampaignError(
            f"What was submitted of {folder}, {submission.uuid}, is not in AiiDA's profile '{name}'. It was submitted "
            f"with '{submission.profile}'; if it was deleted there, submit it again."
        ) from None
    return submission, node


def aiida_status(folder: Path, profile: str = "") -> CampaignStatus:
    """How each candidate of a submitted campaign stands, as AiiDA has it.

    Raises:
        CampaignError, SettingsError: see `search_node`.
    """
    submission, node = search_node(folder, profile)
    found = {(task.defect, task.candidate): item for item, task in relaxations_in(node)}
    campaign = look_into(folder)
    known = {(task.key.defect, task.key.label): task for task in campaign.record.tasks(REFERENCE)}
    names = candidate_names(campaign)
    names += [key for key in found if key not in names]
    runs = []
    for key in names:
        name = "/".join(key)
        if key in found:
            runs.append(standing_of(name, found[key]))
        elif key in known and known[key].state.is_finished:
            runs.append(of_task(name, known[key]))  # before this submission
        else:
            runs.append(CandidateStatus(name, Standing.STOPPED if node.is_terminated else Standing.WAITING))
    return CampaignStatus(tuple(runs), sentence_of(submission, node), notes_of(node))


def standing_of(name: str, item: RelaxationNodes) -> CandidateStatus:
    """How a relaxation stands, under the name that the user knows it by."""
    last = next((one.summary for one in reversed(item.jobs) if one.summary), {})
    chain, job = item.chain, item.jobs[-1].job if item.jobs else None
    reason = ""
    if chain.is_terminated:
        standing = Standing.FINISHED if chain.is_finished_ok else Standing.FAILED
        if chain.is_killed:
            standing, reason = Standing.STOPPED, "its processes were killed"
        elif not chain.is_finished_ok:
            reason = chain.exit_message or chain.exception or "see verdi process report"
    elif job is not None and job.paused and not job.is_terminated:
        standing = Standing.PAUSED
        reason = f"AiiDA paused it ({job.process_status or 'no reason given'}): verdi process play {job.pk}"
    else:
        state = job.get_scheduler_state() if job is not None and not job.is_terminated else None
        standing = Standing.RUNNING if state is not None and state.value == "running" else Standing.QUEUED
        if len(item.jobs) > 1 and last.get("reason"):
            reason = f"its last job: {last['reason']}"
    return CandidateStatus(
        name=name,
        standing=standing,
        steps=int(last.get("steps", 0)),
        fmax=last.get("fmax"),
        attempts=len(item.jobs),
        reason=" ".join(reason.split()),
    )


def sentence_of(submission: Submission, node: orm.WorkChainNode) -> str:
    """Where something was submitted to, and how it stands as a whole."""
    if node.is_finished_ok:
        how = "has ended"
    elif node.is_terminated:
        how = (
            "was killed" if node.is_killed else f"has failed: {node.exit_message or node.exception or 'see its report'}"
        )
    else:
        how = "goes on"
        scouting = [job for job in node.called if isinstance(job, orm.CalcJobNode) and not job.is_terminated]
        if scouting:
            state = scouting[-1].get_scheduler_state()
            how = f"is being scouted ({state.value if state is not None else 'not yet in the queue'})"
    return (
        f"Submitted to {submission.code} ({submission.engine}, {submission.preset}) in profile {submission.profile} as "
        f"{node.process_label}<{node.pk}>: it {how}."
    )


def notes_of(node: orm.WorkChainNode) -> tuple[str, ...]:
    """What the user should do for it to go on."""
    if node.is_terminated or is_daemon_running():
        return ()
    return ("AiiDA's daemon is not running, so that nothing goes on: verdi daemon start",)


def fetch(folder: Path, progress: Progress, profile: str = "") -> Path:
    """Write what has come of a submitted campaign into its folder, in the layout of runs by hand.

    May be called any number of times. Each job's files are there under the numbers that going on gave them.

    Returns:
        The folder with the relaxations, for `collect`.

    Raises:
        CampaignError, SettingsError: see `search_node`; or the candidates are not known yet.
    """
    _, node = search_node(folder, profile)
    _take_over(folder, node, progress)
    inputs = folder / INPUTS_FOLDER
    count = 0
    for item, task in relaxations_in(node):
        count += fetch_one(item, place_of(inputs, task))
    inputs.mkdir(exist_ok=True)
    progress.message(f"Fetched {count} relaxations that have changed since the last time into {inputs}.")
    return inputs


def _take_over(folder: Path, node: orm.WorkChainNode, progress: Progress) -> None:
    """Bring what was scouted or learned elsewhere into the campaign, if it is newer than what is there.

    Raises:
        CampaignError: there are no candidates yet, neither here nor there.
    """
    known, scouted = is_scouted(folder), scouted_campaign(node)
    if scouted is None:
        if not known:
            raise CampaignError(f"Nothing has come back yet of the campaign in {folder}: it is still to be scouted.")
        return
    with unpacked(scouted) as newer:
        if not is_scouted(newer):
            if not known:
                raise CampaignError(f"The campaign in {folder} is still being scouted: nothing is there to collect.")
            return
        if known and n_rounds(newer) <= n_rounds(folder):
            return
        adopt(folder, newer, ("inputs", DOCUMENT))
    progress.message("Took over into the campaign what was scouted elsewhere, and its candidates.")


def abort(folder: Path, progress: Progress, profile: str = "") -> int:
    """Kill what runs of a submitted campaign or host, jobs included. What has been retrieved stays.

    Returns:
        How many relaxations had not ended.

    Raises:
        CampaignError: it has ended already, or AiiDA's daemon does not answer.
    """
    from aiida.engine.processes.control import kill_processes

    _, node = search_node(folder, profile)
    if node.is_terminated:
        raise CampaignError(f"What was submitted of {folder} has ended already: nothing runs.")
    if not is_daemon_running():
        raise CampaignError(
            "AiiDA's daemon is not running, and only it can end what it has begun. Start it with: verdi daemon start; "
            f"then: defectscout abort {folder}"
        )
    running = sum(not item.chain.is_terminated for item, _ in relaxations_in(node))
    # It complains where a daemon that is busy answers late; whether it has ended is seen below.
    logging.getLogger("aiida.process_control").setLevel(logging.CRITICAL)
    kill_processes([node], msg_text="ended with defectscout abort", timeout=_PATIENCE)
    end = time.monotonic() + _PATIENCE
    while not node.is_terminated or any(not item.chain.is_terminated for item, _ in relaxations_in(node)):
        if time.monotonic() > end:
            raise CampaignError(
                f"Not all of {node.process_label}<{node.pk}> has ended within {_PATIENCE:.0f} seconds: AiiDA's daemon "
                f"is busy, or cannot reach the computer. Look again with: defectscout status {folder}; if something "
                "stays, with: verdi process list"
            )
        time.sleep(_POLL)
    progress.message(f"To read what has come: defectscout collect {folder}")
    return running
