"""How well a surrogate agrees with the reference on one defect's own structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defectscout.core.frames import FloatArray, Frame, Prediction
from defectscout.learning.ranking import spearman


@dataclass(frozen=True, slots=True)
class Agreement:
    """Surrogate against reference on the same structures.

    Numbers that the frames do not determine are NaN.

    Attributes:
        n_frames: frames compared.
        force_mae: mean absolute error of the force components, over all atoms of all frames, eV/Å.
        force_cosine: cosine of the angle between the two force vectors of a frame (3n components),
            averaged over the frames; 1 if the surrogate pushes in the right direction everywhere.
        energy_mae_relative: mean absolute error of the energies of the cells, eV, after each set's mean was
            subtracted: a surrogate's zero of energy is its own, differences are what a search uses.
        spearman: rank correlation of the energies (Spearman's ρ), from three frames on.
        n_skipped: frames left out because an energy or a force of either method was not finite.
    """

    n_frames: int
    force_mae: float
    force_cosine: float
    energy_mae_relative: float
    spearman: float
    n_skipped: int = 0


def agreement(reference_frames: Sequence[Frame], surrogate_predictions: Sequence[Prediction]) -> Agreement:
    """Compare a surrogate with the reference.

    The frames should come from the search itself (the path of the reference
    relaxations), since that is where the surrogate has to be right. They must be of one
    defect in one supercell: energies of different compositions cannot be compared.

    Args:
        reference_frames: frames of the reference.
        surrogate_predictions: what the surrogate says of the same structures, in the same order.

    Raises:
        ValueError: unequal numbers of frames and predictions, or of atoms.
    """
    if len(reference_frames) != len(surrogate_predictions):
        raise ValueError(f"{len(reference_frames)} reference frames, but {len(surrogate_predictions)} predictions")
    pairs = [(frame.prediction, guess) for frame, guess in zip(reference_frames, surrogate_predictions, strict=True)]
    for reference, guess in pairs:
        if reference.forces.shape != guess.forces.shape:
            raise ValueError(f"forces of shapes {reference.forces.shape} and {guess.forces.shape} in one frame")
    usable = [(a, b) for a, b in pairs if _is_finite(a) and _is_finite(b)]
    skipped = len(pairs) - len(usable)
    if not usable:
        return Agreement(0, np.nan, np.nan, np.nan, np.nan, skipped)
    errors = np.concatenate([np.abs(a.forces - b.forces).ravel() for a, b in usable])
    cosines = [cosine for a, b in usable if np.isfinite(cosine := _cosine(a.forces, b.forces))]
    expected = np.array([a.energy for a, _ in usable])
    predicted = np.array([b.energy for _, b in usable])
    deviations = (predicted - predicted.mean()) - (expected - expected.mean())
    return Agreement(
        n_frames=len(usable),
        force_mae=float(errors.mean()),
        force_cosine=float(np.mean(cosines)) if cosines else np.nan,
        energy_mae_relative=float(np.abs(deviations).mean()) if len(usable) > 1 else np.nan,
        spearman=spearman(expected, predicted),
        n_skipped=skipped,
    )


def _is_finite(prediction: Prediction) -> bool:
    return bool(np.isfinite(prediction.energy) and np.isfinite(prediction.forces).all())


def _cosine(a: FloatArray, b: FloatArray) -> float:
    """Cosine between two force fields; NaN where one of them vanishes."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / norms) if norms > 0 else np.nan
