"""Energies of each defect's frames against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from defectscout.core.frames import FloatArray
from defectscout.learning.frames import DefectId

FEWEST_FRAMES = 3
"""Of two frames ρ says nothing but yes or no."""


def mean_spearman(
    defects: Sequence[DefectId | None], n_atoms: FloatArray, expected: FloatArray, predicted: FloatArray
) -> float:
    """Spearman's ρ of the energies of each defect's frames, averaged over defects (paper, section II B, note e).

    Frames of the pristine host and those of no defect do not take part, nor do defects with fewer than
    three frames or whose energies are all alike.

    Args:
        defects: the defect of each frame.
        n_atoms: number of atoms of each frame; supercells of two sizes are two landscapes.
        expected: energies by the reference, eV, shape (n,).
        predicted: energies by the model, eV, shape (n,).

    Returns:
        The average; not-a-number if no defect takes part.
    """
    frames: dict[tuple[DefectId, int], list[int]] = defaultdict(list)
    for index, defect in enumerate(defects):
        if defect is not None and not defect.is_bulk:
            frames[defect, int(n_atoms[index])].append(index)
    values = np.array([spearman(expected[rows], predicted[rows]) for rows in frames.values()])
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def spearman(expected: FloatArray, predicted: FloatArray) -> float:
    """Spearman's ρ; not-a-number for fewer than three frames or where all energies are equal."""
    if len(expected) < FEWEST_FRAMES or np.ptp(expected) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(spearmanr(expected, predicted).statistic)


def without_constants(defects: Sequence[DefectId | None], n_atoms: FloatArray, values: FloatArray) -> FloatArray:
    """Values less their mean over the frames of each defect, in each of its supercells; shape (n,).

    Replayed frames, which are of no defect, are left as they are.
    """
    found = np.array(values, dtype=float)
    groups: dict[tuple[DefectId, int], list[int]] = defaultdict(list)
    for index, defect in enumerate(defects):
        if defect is not None:
            groups[defect, int(n_atoms[index])].append(index)
    for rows in groups.values():
        found[rows] -= found[rows].mean()
    return found
