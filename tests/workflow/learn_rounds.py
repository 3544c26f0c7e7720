"""Rounds of a loop, and what the reference has answered in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms
from hypothesis import strategies as st

from defectscout.core.defect import Defect
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.rounds import Asked, LearnRecord, Round
from defectscout.workflow.record import TaskKey


def asked(stage: str, task: str, kind: Kind = Kind.CORRECTED, **more: object) -> Asked:
    plain = Asked(stage, task, task.rpartition("/")[2], (task,), kind, "asked", None, None, 0, 12)
    return replace(plain, **more)  # type: ignore[arg-type]


def rounds(kinds: str) -> tuple[Round, ...]:
    """A letter for each round: first, news, quiet, empty (nothing to ask), check, surprise, half a check (cut)."""
    one = (asked("ask", "r01/Dimer", Kind.POINT),)
    made = []
    for number, kind in enumerate(kinds):
        made.append(
            Round(
                number=number,
                model="" if kind == "f" else f"learn/v_Cd_0/round-{number:02d}",
                surrogate_calls=0,
                predicted=(),
                asked=() if kind == "e" else one,
                answered=True,
                news=kind in "fns",
                of_check=kind in "csh",
                cut=kind == "h",
            )
        )
    return tuple(made)


def record(kinds: str) -> LearnRecord:
    return LearnRecord(rounds=rounds(kinds))


LOOPS = st.text("nqecsh", max_size=8).map(lambda text: "f" + text)


def frame(atoms: Atoms, energy: float, force: float = 0.01, step: int = 0) -> Frame:
    forces = np.zeros((len(atoms), 3))
    forces[0, 0] = force
    return Frame(atoms, Prediction(energy, forces), step)


def answered(
    campaign: Campaign,
    defect: Defect,
    stage: str,
    label: str,
    end: Atoms,
    energy: float,
    state: RelaxationState = RelaxationState.CONVERGED,
    reason: str = "",
    force: float = 0.01,
) -> None:
    """A task with one frame, at rest by default."""
    answered_with(campaign, defect, stage, label, frame(end, energy, force), state, reason)


def answered_with(
    campaign: Campaign,
    defect: Defect,
    stage: str,
    label: str,
    end: Frame,
    state: RelaxationState = RelaxationState.CONVERGED,
    reason: str = "",
) -> None:
    """A task with this frame, its only one; without any if it failed."""
    key = TaskKey(stage, defect.label, label)
    campaign.record.add_tasks(stage, defect.label, [(label, end.atoms)])
    if state is not RelaxationState.FAILED:
        optimiser = FireState(np.zeros((len(end.atoms), 3)), 0.1, 0.1, 0)
        campaign.record.write_steps([(key, Checkpoint(end, optimiser, end.prediction.energy))], seconds=0.0)
    if state.is_finished:
        campaign.record.finish(key, state, reason, 1)
