"""How far relaxations have come, for progress bars."""

from __future__ import annotations

import math

from defectscout.core.frames import Prediction
from defectscout.relaxation.settings import RelaxationSettings


class ConvergenceMeter:
    """Turns falling forces into a fraction of work done.

    A relaxation's force falls roughly exponentially, so its logarithm is a fair
    clock: 0 at the first frame, 1 at the threshold. The fraction never goes back.
    """

    def __init__(self, settings: RelaxationSettings) -> None:
        self._settings = settings
        self._first: dict[str, float] = {}
        self._fraction: dict[str, float] = {}

    def update(self, label: str, prediction: Prediction, step: int) -> None:
        """Take in the newest frame of a relaxation."""
        force = prediction.fmax if self._settings.criterion == "fmax" else prediction.fmean
        first = self._first.setdefault(label, max(force, self._settings.force * math.e))
        span = math.log(first / self._settings.force)
        by_force = 1 - math.log(max(force, self._settings.force) / self._settings.force) / span
        by_steps = step / self._settings.max_steps if self._settings.max_steps else 1.0
        fraction = min(1.0, max(by_force, by_steps))
        self._fraction[label] = max(self._fraction.get(label, 0.0), fraction)

    def finish(self, label: str) -> None:
        """A relaxation has ended, however."""
        self._fraction[label] = 1.0

    @property
    def done(self) -> float:
        """Sum of the fractions, in relaxations."""
        return sum(self._fraction.values())
