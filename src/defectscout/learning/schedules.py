"""How the learning rate falls (paper, table S5)."""

from __future__ import annotations

import math

from defectscout.learning.settings import TrainSettings


def learning_rate_factor(settings: TrainSettings, epoch: int) -> float:
    """Learning rate in an epoch, counted from 0, as a fraction of the first.

    exponential and cosine reach `final_learning_rate` in the last epoch; time-based falls as
    1 / (1 + epoch / 10), whatever the number of epochs.
    """
    progress = epoch / max(settings.epochs - 1, 1)
    final = settings.final_learning_rate
    if settings.schedule == "exponential":
        return float(final**progress)
    if settings.schedule == "cosine":
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
    if settings.schedule == "time":
        return 1 / (1 + epoch / 10)
    return 1.0
