"""Train one surrogate on frames."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectscout.core.errors import MissingExtraError, TrainingError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.history import UNKNOWN, Epoch, best_epoch, epoch_of, score
from defectscout.learning.settings import TrainSettings
from defectscout.learning.targets import Target, Targets
from defectscout.learning.trainable import Trainable
from defectscout.surrogates.device import reproducible, torch_device
from defectscout.surrogates.settings import SurrogateSettings

RESUME = "training.json"
SHARES = (0.0, 0.25, 0.5, 0.75)
"""Shares of the starting weights that `average_with_start` tries."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What training gave. The trainable then holds the weights that were kept.

    Attributes:
        history: one entry for each epoch, from epoch 0, the model before training.
        kept: the epoch whose weights were kept.
        share_of_start: share of the starting weights that was mixed in at the end.
        score: what the weights were chosen by, after mixing; lower is better (`history.score`).
        seconds: wall time of this call; less than the whole after a resume.
    """

    history: tuple[Epoch, ...]
    kept: Epoch
    share_of_start: float
    score: float
    seconds: float


def fit(
    trainable: Trainable,
    train: Sequence[LabelledFrame],
    validation: Sequence[LabelledFrame],
    reference_energy: Callable[[LabelledFrame], float],
    settings: TrainSettings,
    folder: Path,
    *,
    replay: Sequence[Target] = (),
    identity: str = "",
    progress: Progress | None = None,
) -> Fit:
    """Train `trainable` in place (paper, section IV A and supplement S2 E).

    Epoch 0, the model with its new element references and untouched weights, takes part in the
    choice of the epoch that is kept. The folder receives `last.ckpt`, `best.pt`,
    `metrics.csv` and TensorBoard's events; if it holds those of a training that was cut short, that one goes on
    from its last whole epoch.

    Args:
        trainable: the force field; on return it holds the kept weights, on the CPU.
        train: frames to learn from; they are read when they are needed.
        validation: frames that choose the epoch.
        reference_energy: sum of the elements' reference energies of a frame, eV.
        settings: everything else.
        folder: where checkpoints and logs go; made if need be.
        replay: targets made by the untouched model, learned from beside `train`.
        identity: what the data were; a checkpoint of another identity is not resumed.
        progress: told about epochs.

    Raises:
        MissingExtraError: if Lightning is not installed.
        TrainingError: no frames, a loss that is not finite, an unreadable checkpoint, or one of other data or settings.
        SettingsError: if the device is not there.
    """
    progress = progress or SilentProgress()
    if not len(train) or not len(validation):
        raise TrainingError(
            f"There are {len(train)} training and {len(validation)} validation frames; both are needed. Build a larger "
            "dataset, or split it in other shares."
        )
    try:
        import lightning  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "lightning", "train") from error
    device = torch_device(SurrogateSettings(device=settings.device))
    folder.mkdir(parents=True, exist_ok=True)
    _check_identity(folder, settings, identity)
    began = time.monotonic()
    with _quiet_lightning(), reproducible(device):
        fitted, share, final = _train(
            trainable, train, validation, reference_energy, settings, folder, replay, device, progress
        )
    return Fit(
        history=tuple(fitted),
        kept=best_epoch(fitted, settings),
        share_of_start=share,
        score=final,
        seconds=time.monotonic() - began,
    )


def choose_parameters(trainable: Trainable, settings: TrainSettings) -> int:
    """Let training change the parameters that `settings.train` names; returns how many numbers they are."""
    module = trainable.module
    if settings.train in ("all", "scratch"):
        module.requires_grad_(True)
    else:
        module.requires_grad_(False)
        for parameter in trainable.last_layers(1 if settings.train == "last" else 2):
            parameter.requires_grad_(True)
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _train(
    trainable: Trainable,
    train: Sequence[LabelledFrame],
    validation: Sequence[LabelledFrame],
    reference_energy: Callable[[LabelledFrame], float],
    settings: TrainSettings,
    folder: Path,
    replay: Sequence[Target],
    device: str,
    progress: Progress,
) -> tuple[list[Epoch], float, float]:
    import lightning
    import torch

    from defectscout.learning import loop

    choose_parameters(trainable, settings)
    trainable.module.train()  # Lightning keeps the mode that it finds
    lightning.seed_everything(settings.seed, verbose=False)
    targets = _Joined(Targets(trainable, train, reference_energy), replay)
    shuffle = loop.EpochShuffle(len(targets), settings.seed)
    train_loader = loop.loader(trainable, targets, settings, sampler=shuffle)
    validation_targets = Targets(trainable, validation, reference_energy)
    validation_loader = loop.loader(trainable, validation_targets, settings, sampler=None)
    module = loop.ForceFieldTraining(trainable, settings)
    bookkeeping = loop.Bookkeeping(folder, settings, len(train_loader), progress)
    trainer = _trainer(folder, settings, device, [bookkeeping])
    progress.stage(loop.STAGE, settings.epochs * len(train_loader))
    checkpoint = folder / loop.LAST
    if checkpoint.exists():
        progress.message(f"Going on from {checkpoint}")
    else:
        trainer.validate(module, validation_loader, verbose=False)
        module.history = [epoch_of(0, 0.0, UNKNOWN, module.validated(), 0.0)]
        loop.save_atomically(module.final_weights(), folder / loop.BEST)
        loop.write_log(module.history, folder)
    start = {name: value.cpu() for name, value in module.start.items()}
    passed = _history(checkpoint) if checkpoint.exists() else module.history
    if not _is_over(passed, settings):
        trainer.fit(
            module,
            train_loader,
            validation_loader,
            ckpt_path=str(checkpoint) if checkpoint.exists() else None,
            weights_only=False,  # written by us in this folder
        )
    else:
        module.history = passed
    progress.finish(loop.STAGE)
    best = torch.load(folder / loop.BEST, map_location="cpu", weights_only=True)
    trainable.module.cpu()
    trainable.module.load_state_dict(best)
    kept = best_epoch(module.history, settings)
    share, final = 0.0, score(kept.val_loss, kept.val_spearman, settings)
    if settings.average_with_start:
        share, final = _average_with_start(trainable, module, trainer, validation_loader, start, best, settings)
    trainable.module.cpu()
    trainable.module.eval()
    return module.history, share, final


def _trainer(folder: Path, settings: TrainSettings, device: str, callbacks: list[Any]) -> Any:
    import lightning
    from lightning.pytorch.loggers import TensorBoardLogger

    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(device, device),
        devices=1,
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip,
        logger=TensorBoardLogger(folder, name="tensorboard", version=0),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
        log_every_n_steps=1_000_000,
    )


def _average_with_start(
    trainable: Trainable,
    module: Any,
    trainer: Any,
    loader: Any,
    start: dict[str, Any],
    best: dict[str, Any],
    settings: TrainSettings,
) -> tuple[float, float]:
    """Mix starting and kept weights by the share that validates best; the smallest of equals."""
    found: list[tuple[float, float]] = []
    module.settings = settings.model_copy(update={"ema": None})  # what is loaded is validated, not the average
    for share in SHARES:
        trainable.module.load_state_dict(_mixed(start, best, share))
        trainer.validate(module, loader, verbose=False)
        errors = module.validated()
        found.append((score(errors.loss, errors.spearman, settings), share))
    final, share = min(found)
    trainable.module.load_state_dict(_mixed(start, best, share))
    return share, final


def _mixed(start: dict[str, Any], best: dict[str, Any], share: float) -> dict[str, Any]:
    return best | {name: share * value + (1 - share) * best[name] for name, value in start.items()}


def _is_over(history: Sequence[Epoch], settings: TrainSettings) -> bool:
    """Whether a training has nothing left to do."""
    passed = history[-1].epoch
    return passed >= settings.epochs or passed - best_epoch(history, settings).epoch >= settings.patience


def _history(checkpoint: Path) -> list[Epoch]:
    """The epochs that a checkpoint has passed."""
    import torch

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=False)
        history = [Epoch(**epoch) for epoch in content["defectscout"]["history"]]
        history[-1]  # epoch 0 at the least
    except Exception as error:  # whatever a damaged file makes torch raise
        raise TrainingError(
            f"The checkpoint {checkpoint} cannot be read ({type(error).__name__}: {error}). Delete its folder to "
            "train from the beginning, or restore the file."
        ) from error
    return history


def _check_identity(folder: Path, settings: TrainSettings, identity: str) -> None:
    """Refuse to go on with other data or settings than those that the folder was begun with."""
    now = {"identity": identity, "settings": json.loads(settings.model_dump_json())}
    file = folder / RESUME
    if not file.exists():
        file.write_text(json.dumps(now, indent=1))
        return
    try:
        before = json.loads(file.read_text())
        earlier = before["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{file} is damaged ({error}). Delete its folder to train from the beginning.") from error
    if before == now:
        return
    changed = [name for name, value in now["settings"].items() if earlier.get(name) != value]
    what = f"other settings ({', '.join(changed)})" if changed else "other data"
    raise TrainingError(
        f"The folder {folder} holds a training with {what}. Give another folder with -o, or delete this one."
    )


class _Joined(Sequence[Target]):
    """Training targets and, after them, replayed ones."""

    def __init__(self, targets: Targets, replay: Sequence[Target]) -> None:
        self._targets = targets
        self._replay = replay

    def __len__(self) -> int:
        return len(self._targets) + len(self._replay)

    def __getitem__(self, index: Any) -> Any:
        return self._targets[index] if index < len(self._targets) else self._replay[index - len(self._targets)]


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning says what hardware it sees, and gives advice that does not hold here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
