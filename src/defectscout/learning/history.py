"""What is logged of each epoch, and which epoch is kept."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

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


def score(epoch: Epoch, settings: TrainSettings) -> float:
    """What the kept epoch is lowest in: validation loss, or one less Spearman's ρ.

    An epoch whose ρ is unknown, or whose loss is not finite, is never better than another one.
    """
    value = epoch.val_loss if settings.select_by == "loss" else 1 - epoch.val_spearman
    return value if math.isfinite(value) else math.inf


def best_epoch(history: Sequence[Epoch], settings: TrainSettings) -> Epoch:
    """The epoch that is kept; the earliest of equals, so that training which gains nothing changes nothing."""
    return min(history, key=lambda epoch: (score(epoch, settings), epoch.epoch))


def to_csv(history: Sequence[Epoch]) -> str:
    """One line for each epoch."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for epoch in history:
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in asdict(epoch).items()})
    return buffer.getvalue()
