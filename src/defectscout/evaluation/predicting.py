"""What a surrogate says of a stream of labelled frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from defectscout.core.chunks import chunks
from defectscout.core.errors import CalculationError, UnsupportedElementError
from defectscout.core.frames import Prediction
from defectscout.core.progress import Progress
from defectscout.learning.frames import LabelledFrame
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge

AT_ONCE = 32
"""Frames handed to the surrogate together; it cuts them into its own batches."""

_MOST_WARNINGS = 3


def predict_frames(
    surrogate: Surrogate, frames: Iterable[LabelledFrame], progress: Progress, total: int = 0
) -> Iterator[tuple[LabelledFrame, Prediction | None]]:
    """Each frame with the surrogate's prediction, in order; None for a frame that it cannot evaluate.

    The first reasons are told to `progress`, and how many frames failed in the end. A frame's
    charge goes with its atoms, as `atoms.info["charge"]`.

    Args:
        surrogate: the model.
        frames: may be a stream; a few dozen are held at a time.
        progress: is told how far it is.
        total: number of frames; 0 if unknown.
    """
    stage = f"Evaluating {surrogate.info.name}"
    progress.stage(stage, total)
    done = failed = 0
    for batch in chunks(frames, AT_ONCE):
        for frame, prediction in zip(batch, _predict(surrogate, batch, progress, failed), strict=True):
            failed += prediction is None
            yield frame, prediction
        done += len(batch)
        progress.advance(stage, done, f"{done} frames")
    progress.finish(stage)
    if failed:
        progress.warn(f"{surrogate.info.name} could not evaluate {failed} of {done} frames; they are in no average.")


def _predict(
    surrogate: Surrogate, batch: Sequence[LabelledFrame], progress: Progress, failed_before: int
) -> list[Prediction | None]:
    structures = [with_charge(frame.atoms, frame.origin.charge) for frame in batch]
    try:
        return list(surrogate.predict(structures))
    except (CalculationError, UnsupportedElementError):
        pass  # one by one below, to find those that fail
    found: list[Prediction | None] = []
    for frame, atoms in zip(batch, structures, strict=True):
        try:
            found += surrogate.predict([atoms])
        except (CalculationError, UnsupportedElementError) as error:
            found.append(None)
            failed_before += 1
            if failed_before <= _MOST_WARNINGS:
                progress.warn(f"{frame.origin.relaxation}, step {frame.origin.step}: {error}")
    return found
