"""One relaxation, one step at a time: shared by batched and reference relaxations."""

from __future__ import annotations

from ase import Atoms

from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.relaxation.checks import finite, hopeless
from defectscout.relaxation.fire import FireState, fire_init, fire_step
from defectscout.relaxation.records import Checkpoint, OptimiserState, Start
from defectscout.relaxation.settings import RelaxationSettings


def next_configuration(start: Start, settings: RelaxationSettings) -> tuple[Atoms, FireState]:
    """The structure to evaluate next, and the optimiser's state that goes with it.

    Positions are never wrapped, so that displacements stay plain differences.
    """
    checkpoint = start.checkpoint
    if checkpoint is None:
        return bare(start.atoms), fire_init(len(start.atoms), settings.fire)
    if not isinstance(checkpoint.optimiser, FireState):
        raise TypeError("a relaxation of positions goes on from a FireState")
    displacement, state = fire_step(checkpoint.optimiser, checkpoint.frame.prediction.forces, settings.fire)
    atoms = checkpoint.frame.atoms.copy()
    atoms.positions += displacement
    return atoms, state


def bare(atoms: Atoms) -> Atoms:
    """A copy without calculator and constraints: every atom relaxes."""
    copy = atoms.copy()
    copy.set_constraint()
    return copy


def record(start: Start, atoms: Atoms, state: OptimiserState, prediction: Prediction) -> Start:
    """The relaxation after `atoms` was evaluated.

    Raises:
        ValueError: if energy, forces or stress are not finite; the text says which.
    """
    reason = finite(prediction)
    if reason:
        raise ValueError(reason)
    step = 0 if start.checkpoint is None else start.checkpoint.frame.step + 1
    initial = prediction.energy if start.checkpoint is None else start.checkpoint.initial_energy
    return Start(start.label, start.atoms, Checkpoint(Frame(atoms, prediction, step), state, initial))


def ended(start: Start, settings: RelaxationSettings) -> Relaxation | None:
    """The relaxation's end if its last frame is the last one; None if it goes on."""
    checkpoint = start.checkpoint
    if checkpoint is None:
        return None
    frame = checkpoint.frame
    # Before convergence: a hole in a surrogate can have vanishing forces at its bottom.
    reason = hopeless(frame, start.atoms, checkpoint.initial_energy)
    if reason:
        return finish(start, RelaxationState.FAILED, reason)
    if is_met(frame.prediction, settings):
        return finish(start, RelaxationState.CONVERGED, "")
    if frame.step >= settings.max_steps:
        return finish(
            start,
            RelaxationState.UNCONVERGED,
            f"{settings.criterion} is {residual(frame.prediction, settings):.2g} eV/Å "
            f"after the limit of {settings.max_steps} steps",
        )
    return None


def is_met(prediction: Prediction, settings: RelaxationSettings) -> bool:
    """Whether forces are small enough for an end."""
    return residual(prediction, settings) < settings.force


def residual(prediction: Prediction, settings: RelaxationSettings) -> float:
    """What is compared with `settings.force`, eV/Å."""
    return prediction.fmax if settings.criterion == "fmax" else prediction.fmean


def finish(start: Start, state: RelaxationState, reason: str, wasted: int = 0) -> Relaxation:
    """The relaxation as it stands, in `state`.

    Args:
        start: the relaxation.
        state: how it ended.
        reason: why it failed or stopped short.
        wasted: force calls that gave no frame, such as the one that failed.
    """
    if start.checkpoint is None:
        return Relaxation(start.label, None, None, state, reason, wasted)
    checkpoint = start.checkpoint
    n = checkpoint.frame.step + 1 + wasted
    return Relaxation(start.label, checkpoint.frame, checkpoint.initial_energy, state, reason, n)
