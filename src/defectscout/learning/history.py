"""What is logged of each epoch, and which epoch is kept."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from defectscout.learning.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors over a set of frames.

    Attributes:
        loss: the loss that training lowers.
        energy: mean absolute error, eV/atom.
        force: mean absolute error of the components, eV/Å.
        stress: mean absolute error of the components, GPa; not-a-number without stresses.
        spearman: Spearman's ρ of the energies of each defect's frames, averaged over defects;
            not-a-number where no defect has three frames.
    """

    loss: float
    energy: float
    force: float
    stress: float
    spearman: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training frames; epoch 0 is the model before training.

    Attributes:
        epoch: number of passes that have been made.
        learning_rate: of this pass; 0 for epoch 0.
        train_loss, train_energy_mae, train_force_mae, train_stress_mae: while training, in the units of `Errors`.
        val_loss, val_energy_mae, val_force_mae, val_stress_mae, val_spearman: on the validation frames, after it.
        seconds: wall time of the pass with its validation.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_energy_mae: float
    train_force_mae: float
    train_stress_mae: float
    val_loss: float
    val_energy_mae: float
    val_force_mae: float
    val_stress_mae: float
    val_spearman: float
    seconds: float


UNKNOWN: Final = Errors(math.nan, math.nan, math.nan, math.nan, math.nan)
"""Errors that were not measured."""


def epoch_of(number: int, learning_rate: float, train: Errors, validation: Errors, seconds: float) -> Epoch:
    """An epoch from the errors while training and those on the validation frames after it."""
    return Epoch(
        epoch=number,
        learning_rate=learning_rate,
        train_loss=train.loss,
        train_energy_mae=train.energy,
        train_force_mae=train.force,
        train_stress_mae=train.stress,
        val_loss=validation.loss,
        val_energy_mae=validation.energy,
        val_force_mae=validation.force,
        val_stress_mae=validation.stress,
        val_spearman=validation.spearman,
        seconds=seconds,
    )


def score(loss: float, spearman: float, settings: TrainSettings) -> float:
    """What the weights that are kept are lowest in: validation loss, or one less Spearman's ρ.

    Weights whose ρ is unknown, or whose loss is not finite, are never better than others.
    """
    value = 1 - spearman if settings.select_by == "ranking" else loss
    return value if math.isfinite(value) else math.inf


def best_epoch(history: Sequence[Epoch], settings: TrainSettings) -> Epoch:
    """The epoch that is kept; the earliest of equals, so that training which gains nothing changes nothing."""
    if settings.select_by == "last":
        return history[-1]
    return min(history, key=lambda epoch: (score(epoch.val_loss, epoch.val_spearman, settings), epoch.epoch))


def to_csv(history: Sequence[Epoch]) -> str:
    """One line for each epoch."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for epoch in history:
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in asdict(epoch).items()})
    return buffer.getvalue()
