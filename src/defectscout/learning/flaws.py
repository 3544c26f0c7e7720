"""Frames that nothing can be learned from, and how they are listed."""

from __future__ import annotations

import numpy as np

from defectscout.learning.frames import FrameOrigin, LabelledFrame, RelaxationId, Unreadable

_MOST_STEPS = 5


def flaw_in(frame: LabelledFrame) -> str:
    """What keeps a frame out of a dataset; empty if nothing does."""
    atoms, prediction = frame.atoms, frame.prediction
    if len(atoms) == 0:
        return "no atoms"
    if not np.isfinite(atoms.positions).all():
        return "positions that are not finite"
    if not np.isfinite(atoms.cell.array).all() or abs(np.linalg.det(atoms.cell.array)) < 1e-6:
        return "no cell"
    if not all(atoms.pbc):
        return "not periodic in all three directions"
    if not np.isfinite(prediction.energy):
        return "energy that is not finite"
    if np.shape(prediction.forces) != (len(atoms), 3):
        return f"forces of shape {np.shape(prediction.forces)} for {len(atoms)} atoms"
    if not np.isfinite(prediction.forces).all():
        return "forces that are not finite"
    if prediction.stress is None:
        return ""
    if np.shape(prediction.stress) != (6,):
        return f"stress of shape {np.shape(prediction.stress)} where (6,) is meant"
    return "" if np.isfinite(prediction.stress).all() else "stress that is not finite"


class Flaws:
    """Counts flawed frames by relaxation and flaw, so that a broken file is one line and not thousands."""

    def __init__(self) -> None:
        self._steps: dict[tuple[RelaxationId, str], list[int]] = {}

    def note(self, origin: FrameOrigin, flaw: str) -> None:
        """Remember one flawed frame."""
        self._steps.setdefault((origin.relaxation, flaw), []).append(origin.step)

    def as_unreadable(self) -> tuple[Unreadable, ...]:
        """One entry for each relaxation and flaw, with the number of frames and the first steps."""
        return tuple(
            Unreadable(relaxation.source, f"{_frames(steps)} of {relaxation}: {flaw}")
            for (relaxation, flaw), steps in self._steps.items()
        )


def _frames(steps: list[int]) -> str:
    if len(steps) == 1:
        return f"1 frame (step {steps[0]})"
    listed = ", ".join(str(step) for step in steps[:_MOST_STEPS])
    return f"{len(steps)} frames (steps {listed}{', ...' if len(steps) > _MOST_STEPS else ''})"
