"""Intervals by resampling (percentile bootstrap; Efron, 10.1214/aos/1176344552)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray

IntArray = NDArray[np.int64]

FEWEST_UNITS = 5
"""Fewer defects or relaxations than this give no interval: it would be far too narrow."""

_MOST_AT_ONCE = 2_000_000
"""Numbers in one array while ranks are resampled: 16 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and where it lies with the confidence asked for; NaN where not determined."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made.

    Attributes:
        resamples: how often the units are drawn again; 0 for no intervals.
        confidence: share of the resamples that the interval holds.
        seed: of the draws.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def weights(self, n_units: int) -> FloatArray:
        """How often each unit was drawn, shape (resamples, n_units); no rows where there are too few units."""
        if n_units < FEWEST_UNITS or not self.resamples:
            return np.zeros((0, n_units))
        generator = np.random.default_rng(self.seed)
        return generator.multinomial(n_units, np.full(n_units, 1 / n_units), size=self.resamples).astype(float)

    def interval(self, value: float, resampled: FloatArray) -> Interval:
        """The value between the quantiles of what the resamples gave; NaN among those is left out."""
        known = resampled[np.isfinite(resampled)]
        if not np.isfinite(value) or not len(known):
            return Interval(value)
        low, high = np.quantile(known, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return Interval(value, float(low), float(high))


def weighted_ratio(weights: FloatArray, numerators: FloatArray, denominators: FloatArray) -> FloatArray:
    """Σ w·numerator / Σ w·denominator for each row of weights; NaN where the denominator vanishes.

    Args:
        weights: shape (n_resamples, n_units).
        numerators: shape (n_units,).
        denominators: shape (n_units,).
    """
    below = weights @ denominators
    ratio: FloatArray = np.divide(weights @ numerators, below, out=np.full(len(weights), np.nan), where=below > 0)
    return ratio


def weighted_spearman(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Spearman's ρ of samples in which element i occurs `weights[row, i]` times; ties share their mean rank.

    NaN for a row with fewer than three different elements, or with all values equal.

    Args:
        first: shape (n,).
        second: shape (n,).
        weights: shape (n_resamples, n), whole numbers.

    Returns:
        Shape (n_resamples,).
    """
    found = np.full(len(weights), np.nan)
    at_once = max(1, _MOST_AT_ONCE // max(len(first), 1))
    for start in range(0, len(weights), at_once):
        found[start : start + at_once] = _spearman(first, second, weights[start : start + at_once])
    return found


def _spearman(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum(axis=1, keepdims=True)
    total = np.where(total > 0, total, np.nan)
    one, other = _weighted_ranks(first, weights), _weighted_ranks(second, weights)
    one -= (weights * one).sum(axis=1, keepdims=True) / total
    other -= (weights * other).sum(axis=1, keepdims=True) / total
    covariance = (weights * one * other).sum(axis=1)
    spread = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    usable = (spread > 1e-9) & ((weights > 0).sum(axis=1) >= 3)
    rho: FloatArray = np.divide(covariance, spread, out=np.full(len(weights), np.nan), where=usable)
    return rho


def _weighted_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    in_group = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = np.cumsum(in_group, axis=1) - (in_group - 1) / 2
    found: FloatArray = ranks[:, group]
    return found
