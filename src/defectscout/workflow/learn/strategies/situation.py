"""What every strategy works out first: how low the known minima are, what is new, what has been begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import PredictedMinimum, RoundView

FAR_ABOVE: Final = 3.0
"""A predicted minimum this far above the lowest known is asked last, eV: early surrogates err by 1 to 2 eV."""
SURE: Final = 0.1
"""A spread of the force up to this counts as small, eV/Å; three times the force at which relaxations end."""
_MARGIN: Final = (0.05, 0.2)
"""Least and largest allowance for the surrogate's error of an energy, eV."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A round as strategies see it.

    Attributes:
        lowest: lowest energy known, of minima found and of relaxations begun, eV; before there are any, the
            lowest that is predicted.
        reach: energy up to which a predicted minimum may, within the surrogate's error, belong to the
            window above the lowest, eV.
        new: predicted minima that are neither known nor the end of a relaxation that has been begun, lowest first.
        going_on: labels of the relaxations that are worth going on with, lowest first.
    """

    lowest: float
    reach: float
    new: tuple[PredictedMinimum, ...]
    going_on: tuple[str, ...]

    def is_far(self, predicted: PredictedMinimum) -> bool:
        """Whether a predicted minimum lies so high that it is asked last."""
        return predicted.minimum.energy > self.lowest + FAR_ABOVE

    def is_within(self, predicted: PredictedMinimum) -> bool:
        """Whether a predicted minimum may belong to the window above the lowest."""
        return predicted.minimum.energy <= self.reach

    def height(self, energy: float) -> str:
        """An energy in words, relative to the lowest known."""
        difference = energy - self.lowest
        return f"{abs(difference):.2f} eV {'below' if difference < 0 else 'above'} the lowest known"


def situation(view: RoundView, apart: MinimaSettings) -> Situation:
    """Work out what a strategy goes by.

    A relaxation is worth going on with if its last reference energy lies within the window above the
    lowest, or if the surrogate has a minimum there that may (its end, which lies lower than where it stands).

    Args:
        view: the round.
        apart: how structures are told apart; by the fingerprint only, since energies are of two surfaces.
    """
    new = tuple(sorted((p for p in view.predicted if not p.known_as), key=lambda p: p.minimum.energy))
    begun = _begun(view, new, apart)
    untouched = tuple(predicted for i, predicted in enumerate(new) if i not in begun)
    standing = {label: frame.prediction.energy for label, frame in view.unfinished.items()}
    known = [minimum.energy for minimum in view.found] + list(standing.values())
    lowest = min(known) if known else min((p.minimum.energy for p in new), default=np.inf)
    reach = lowest + view.settings.window + _margin(view)
    hoped = dict(standing)
    for i, label in begun.items():
        if new[i].minimum.energy <= reach:
            hoped[label] = min(hoped[label], lowest + view.settings.window)
    worth = [label for label in standing if hoped[label] <= lowest + view.settings.window]
    return Situation(lowest, reach, untouched, tuple(sorted(worth, key=lambda label: (standing[label], label))))


def _begun(view: RoundView, new: tuple[PredictedMinimum, ...], apart: MinimaSettings) -> Mapping[int, str]:
    """For each new predicted minimum that a relaxation stands in or is on its way to, by its index, its label.

    That is: it is represented by the relaxation (the surrogate led it there from where it stands), or both have one
    fingerprint.
    """
    if not new or not view.unfinished:
        return {}
    labels = list(view.unfinished)
    structures = [p.minimum.atoms for p in new] + [view.unfinished[label].atoms for label in labels]
    distances = fingerprint_distances(view.defect, structures, apart)[: len(new), len(new) :]
    begun = {i: labels[int(row.argmin())] for i, row in enumerate(distances) if row.min() <= apart.threshold}
    named = {i: p.minimum.representative for i, p in enumerate(new) if p.minimum.representative in view.unfinished}
    return begun | named


def _margin(view: RoundView) -> float:
    """Root mean square error of the surrogate's energies where both are known, eV, within bounds."""
    found = {minimum.representative: minimum.energy for minimum in view.found}
    errors = [p.minimum.energy - found[p.known_as] for p in view.predicted if p.known_as in found]
    least, largest = _MARGIN
    return float(np.clip(np.sqrt(np.mean(np.square(errors))), least, largest)) if errors else least
