"""How unsure a surrogate is: where networks disagree, and how far a structure lies from what it was trained on.

The networks of the last rounds of learning serve as a snapshot ensemble (Huang, Li, Pleiss, Liu, Hopcroft and
Weinberger, "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017, arXiv:1704.00109): they were trained
anyway, each from the end of the one before with a learning rate that rises and falls again, so that their
disagreement costs no training. Unlike the networks of that work, each has seen a few frames more than the one
before, so that the disagreement also shows what those frames changed.

A spread is no error. `calibrated` says by what factor it must be multiplied to be one, from structures that
were asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from defectscout.core.frames import FloatArray, Prediction
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.ensemble import EnsembleSurrogate

FEWEST_PAIRS: Final = 3
"""With fewer pairs of spread and error a factor is an accident."""

_SMALLEST_DEVIATION: Final = 1e-3
"""Of the largest; a feature that hardly varies among training frames must not rule the distance by its noise."""


def force_spread(surrogates: Sequence[Surrogate], structures: Sequence[Atoms]) -> FloatArray:
    """The largest standard deviation of the force on an atom over models, for each structure, eV/Å.

    Args:
        surrogates: networks of the last rounds, or the members of an ensemble; an ensemble among
            them counts as its members.
        structures: what is asked.

    Returns:
        Shape (n_structures,). Not-a-number with a single model, which cannot disagree with itself:
        how unsure it is is unknown, not zero.

    Raises:
        ValueError: without a surrogate.
        CalculationError: as the surrogates do.
    """
    models = _members(surrogates)
    if len(models) < 2 or not structures:
        return np.full(len(structures), np.nan)
    ensemble = EnsembleSurrogate(models[0].info, models)
    return np.array([spread.forces.max() for spread in ensemble.spread(structures)])


def energy_spread(surrogates: Sequence[Surrogate], structures: Sequence[Atoms]) -> FloatArray:
    """Standard deviation of relative energies over models, for each structure, eV.

    Zeros of energy differ between models, so each model's energies are taken relative to its own mean
    over `structures`, which must therefore be of one defect in one supercell.

    Args:
        surrogates: see `force_spread`.
        structures: predicted minima of one defect.

    Returns:
        Shape (n_structures,). Not-a-number with a single model, or a single structure, which has no relative energy.

    Raises:
        ValueError: without a surrogate.
        CalculationError: as the surrogates do.
    """
    models = _members(surrogates)
    if len(models) < 2 or len(structures) < 2:
        return np.full(len(structures), np.nan)
    energies = np.array([[answer.energy for answer in model.predict(structures)] for model in models])
    return np.asarray((energies - energies.mean(axis=1, keepdims=True)).std(axis=0), dtype=float)


def force_error(predicted: Prediction, reference: Prediction) -> float:
    """The largest error of the force on an atom, eV/Å: what `force_spread` should foretell."""
    return float(np.linalg.norm(predicted.forces - reference.forces, axis=1).max())


def calibrated(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The factor that turns spreads into errors: root mean square error over root mean square spread.

    Args:
        pairs: spread before the reference was asked, and error found (see `force_error`), both in eV/Å.
            Pairs that are not finite do not count.

    Returns:
        The factor; None if fewer than three pairs count or no model ever disagreed.
    """
    values = np.array(pairs, dtype=float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < FEWEST_PAIRS:
        return None
    spread, error = np.sqrt((values**2).mean(axis=0))
    return float(error / spread) if spread > 0 else None


def distance_to_frames(features: ArrayLike, training: ArrayLike) -> FloatArray:
    """How far structures lie from the nearest training frame, in standard deviations of the training frames.

    Each feature is divided by its standard deviation over the training frames; the distance is the root
    mean square of the differences over features. Features come from `learning.features`. This needs one model
    only, where `force_spread` needs several, but knows nothing of which features matter.

    Args:
        features: of the structures, shape (n, n_features).
        training: of the training frames, shape (n_training, n_features).

    Returns:
        Shape (n,).

    Raises:
        ValueError: training frames that are all alike, or other numbers of features.
    """
    asked, seen = np.asarray(features, dtype=float), np.asarray(training, dtype=float)
    if asked.ndim != 2 or seen.ndim != 2 or asked.shape[1] != seen.shape[1]:
        raise ValueError(f"features of shapes {asked.shape} and {seen.shape} cannot be compared")
    deviations = seen.std(axis=0) if len(seen) else np.zeros(seen.shape[1])
    if not deviations.max(initial=0.0) > 0:
        raise ValueError(f"the features of the {len(seen)} training frames are all alike: there is no scale to go by")
    scale = np.maximum(deviations, _SMALLEST_DEVIATION * deviations.max()) * np.sqrt(seen.shape[1])
    return np.asarray(cdist(asked / scale, seen / scale).min(axis=1), dtype=float)


def _members(surrogates: Sequence[Surrogate]) -> tuple[Surrogate, ...]:
    if not surrogates:
        raise ValueError("no surrogate to ask")
    return tuple(_flat(surrogates))


def _flat(surrogates: Sequence[Surrogate]) -> Iterator[Surrogate]:
    for surrogate in surrogates:
        if isinstance(surrogate, EnsembleSurrogate):
            yield from _flat(surrogate.members)
        else:
            yield surrogate
