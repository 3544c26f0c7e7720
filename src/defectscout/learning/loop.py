"""The training loop: one Lightning module for every model family.

Importing this module imports Lightning; `fit` does so when it is called.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from defectscout.core.errors import TrainingError
from defectscout.core.files import write_atomically
from defectscout.core.progress import Progress
from defectscout.learning.history import Epoch, Errors, best_epoch, epoch_of, to_csv
from defectscout.learning.loss import energy_loss, losses
from defectscout.learning.ranking import mean_spearman, without_constants
from defectscout.learning.schedules import learning_rate_factor
from defectscout.learning.settings import TrainSettings
from defectscout.learning.targets import TargetBatch, collate, to_device
from defectscout.learning.trainable import Trainable

LAST = "last.ckpt"
BEST = "best.pt"
LOG = "metrics.csv"
STAGE = "train"


class EpochShuffle(Sampler[int]):
    """All indices in an order that depends on seed and epoch alone, so that a resumed training repeats it."""

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Told by Lightning before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        return iter(torch.randperm(self._length, generator=generator).tolist())


class _Tally:
    """Sums over the batches of one pass."""

    def __init__(self, settings: TrainSettings) -> None:
        self._settings = settings
        self._rows: list[tuple[float, ...]] = []
        self._defects: list[Any] = []
        self._n_atoms: list[np.ndarray] = []
        self._expected: list[np.ndarray] = []
        self._predicted: list[np.ndarray] = []

    def add(self, batch: TargetBatch, found: Any, energies: torch.Tensor) -> None:
        n_with_stress = int(batch.has_stress.sum())
        values = [float(x) for x in (found.rest, found.force, found.stress)]
        self._rows.append((len(batch.defects), n_with_stress, *values))
        self._defects += batch.defects
        self._n_atoms.append(batch.n_atoms.cpu().numpy().astype(float))
        self._expected.append(batch.energies.cpu().numpy().astype(float))
        self._predicted.append(energies.detach().cpu().numpy().astype(float))

    def errors(self) -> Errors:
        rows = np.array(self._rows, dtype=float)
        counts, with_stress = rows[:, 0], rows[:, 1]
        rest, force = (float(np.average(rows[:, column], weights=counts)) for column in (2, 3))
        has = with_stress > 0
        stress = float(np.average(rows[has, 4], weights=with_stress[has])) if has.any() else math.nan
        n_atoms, expected, predicted = (
            np.concatenate(parts) for parts in (self._n_atoms, self._expected, self._predicted)
        )
        error = predicted - expected
        if self._settings.energy_zero == "defect":
            error = without_constants(self._defects, n_atoms, error)
        per_atom = torch.tensor(error / n_atoms)
        loss = rest + float(energy_loss(per_atom, self._settings))
        spearman = mean_spearman(self._defects, n_atoms, expected, predicted)
        return Errors(loss, float(per_atom.abs().mean()), force, stress, spearman)


class ForceFieldTraining(lightning.LightningModule):
    """Trains one network on energies, forces and stresses."""

    def __init__(self, trainable: Trainable, settings: TrainSettings) -> None:
        super().__init__()
        self.trainable = trainable
        self.network = trainable.module
        self.settings = settings
        self.history: list[Epoch] = []
        self.start = {name: value.detach().clone() for name, value in self._trained()}
        self.average = {name: value.clone() for name, value in self.start.items()} if settings.ema else {}
        self._kept_raw: dict[str, torch.Tensor] = {}
        self._train_tally = _Tally(self.settings)
        self._validation_tally = _Tally(self.settings)
        self.validation: Errors | None = None
        self._began = time.monotonic()

    def _trained(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]

    def configure_optimizers(self) -> Any:
        """Adam, and the schedule of the settings, stepped once an epoch."""
        optimiser = torch.optim.Adam([value for _, value in self._trained()], lr=self.settings.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda e: learning_rate_factor(self.settings, e))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    def transfer_batch_to_device(self, batch: TargetBatch, device: Any, dataloader_idx: int) -> TargetBatch:
        """Lightning does not know how to move our batches."""
        return to_device(self.trainable, batch, str(device))

    def on_train_epoch_start(self) -> None:
        """A new pass."""
        self._train_tally = _Tally(self.settings)
        self._began = time.monotonic()

    def training_step(self, batch: TargetBatch, batch_idx: int) -> torch.Tensor:
        """Loss of one batch."""
        outputs = self.trainable.outputs(batch.graphs)
        found = losses(outputs, batch, self.settings)
        if not torch.isfinite(found.total):
            raise TrainingError(
                f"The loss became {float(found.total)} in epoch {self.current_epoch + 1}, step {batch_idx + 1}. "
                "Lower learning_rate, keep gradient_clip, and look for absurd energies or forces with "
                "'defectscout dataset inspect'."
            )
        self._train_tally.add(batch, found, outputs.energies)
        total = found.total
        if self.settings.towards_start:
            total = total + self.settings.towards_start * self._distance_from_start()
        return total

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Without the gradients by edges and positions, which nothing asks for: 3 to 9 % faster."""
        loss.backward(inputs=[value for _, value in self._trained()])

    def _distance_from_start(self) -> torch.Tensor:
        parts = [((value - self.start[name].to(value.device)) ** 2).sum() for name, value in self._trained()]
        return torch.stack(parts).sum()

    def on_train_batch_end(self, outputs: Any, batch: TargetBatch, batch_idx: int) -> None:
        """Keep the moving average of the weights up to date."""
        if self.settings.ema:
            # A short warm-up, so that the starting weights do not stay in the average of a short training.
            decay = min(self.settings.ema, (1 + self.global_step) / (10 + self.global_step))
            for name, value in self._trained():
                self.average[name] = self.average[name].to(value.device)
                self.average[name].lerp_(value.detach(), 1 - decay)

    def on_validation_start(self) -> None:
        """Validate the average, where there is one."""
        self._validation_tally = _Tally(self.settings)
        if self.settings.ema:
            self._kept_raw = {name: value.detach().clone() for name, value in self._trained()}
            self._load(self.average)

    def validation_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """Errors of one batch; forces need gradients, which Lightning switches off here."""
        with torch.enable_grad():
            outputs = self.trainable.outputs(batch.graphs)
            found = losses(outputs, batch, self.settings)
        self._validation_tally.add(batch, found, outputs.energies)

    def on_validation_end(self) -> None:
        """Sum up, and go back to the weights that are trained; `final_weights` gives those that were validated."""
        self.validation = self._validation_tally.errors()
        if self._kept_raw:
            self._load(self._kept_raw)
            self._kept_raw = {}

    def _load(self, weights: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._trained():
                value.copy_(weights[name].to(value.device))

    def final_weights(self) -> dict[str, torch.Tensor]:
        """State of the network with the weights that are validated and shipped."""
        state = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        return state | {name: value.detach().cpu().clone() for name, value in self.average.items()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not know of."""
        checkpoint["defectscout"] = {
            "history": [asdict(epoch) for epoch in self.history],
            "average": self.average,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        kept = checkpoint["defectscout"]
        self.history = [Epoch(**epoch) for epoch in kept["history"]]
        self.average = kept["average"]

    def validated(self) -> Errors:
        """Errors of the last validation."""
        if self.validation is None:
            raise RuntimeError("Lightning has not validated")
        return self.validation

    def train_errors(self) -> Errors:
        """Errors while training, over the pass that has just ended."""
        return self._train_tally.errors()

    def seconds(self) -> float:
        """Since the pass began."""
        return time.monotonic() - self._began


class Bookkeeping(lightning.Callback):
    """After each epoch: log it, keep the best weights and the way to go on, and stop when nothing improves."""

    def __init__(self, folder: Path, settings: TrainSettings, steps: int, progress: Progress) -> None:
        self._folder = folder
        self._settings = settings
        self._steps = steps
        self._progress = progress

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: TargetBatch, batch_idx: int
    ) -> None:
        """Tell how far it is."""
        last = pl_module.history[-1]
        self._progress.advance(
            STAGE, pl_module.current_epoch * self._steps + batch_idx + 1, f"validation loss {last.val_loss:.3g}"
        )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Everything that happens once an epoch; validation has run before."""
        rate = self._settings.learning_rate * learning_rate_factor(self._settings, pl_module.current_epoch)
        epoch = epoch_of(
            pl_module.current_epoch + 1, rate, pl_module.train_errors(), pl_module.validated(), pl_module.seconds()
        )
        pl_module.history.append(epoch)
        kept = best_epoch(pl_module.history, self._settings)
        if kept.epoch == epoch.epoch:
            save_atomically(pl_module.final_weights(), self._folder / BEST)
        if trainer.logger is not None:
            values = {name: value for name, value in asdict(epoch).items() if name != "epoch"}
            trainer.logger.log_metrics(values, step=epoch.epoch)
        write_log(pl_module.history, self._folder)
        if epoch.epoch - kept.epoch >= self._settings.patience:
            trainer.should_stop = True
        keep_checkpoint(trainer, self._folder)


def keep_checkpoint(trainer: Any, folder: Path) -> None:
    """Write the checkpoint to go on from, so that a kill while it is written leaves the one before."""
    partial = folder / f"{LAST}.part"
    trainer.save_checkpoint(partial)
    partial.replace(folder / LAST)


def save_atomically(content: object, path: Path) -> None:
    """`torch.save`, so that a kill leaves the file as it was or complete."""
    partial = path.with_name(f"{path.name}.part")
    torch.save(content, partial)
    partial.replace(path)


def write_log(history: Sequence[Epoch], folder: Path) -> None:
    """The log as CSV."""
    write_atomically(folder / LOG, to_csv(history))


def loader(trainable: Trainable, targets: Any, settings: TrainSettings, *, sampler: Sampler[int] | None) -> Any:
    """Batches of targets; in their order without a sampler."""
    return DataLoader(
        targets,
        batch_size=settings.batch_size,
        sampler=sampler,
        collate_fn=lambda items: collate(trainable, items),
        num_workers=0,
    )
