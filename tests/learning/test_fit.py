from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import TrainingError
from defectscout.core.frames import Prediction
from defectscout.learning.fit import fit
from defectscout.learning.labelling import network_energies, replayed
from defectscout.learning.settings import ReplaySettings, TrainSettings
from listening import InterruptError, Interrupting
from toy_trainable import PairPotential, ToyTrainable, toy_frames, toy_reference_energy

SETTINGS = TrainSettings(
    base="toy",
    energy_weight=1.0,
    stress_weight=0.1,
    final_learning_rate=0.01,
    energy_zero="elements",
    epochs=6,
    learning_rate=0.02,
    schedule="exponential",
    patience=6,
    gradient_clip=None,
    device="cpu",
)
TRAIN, VALIDATION = toy_frames(12), toy_frames(6, seed=1)


def run(folder: Path, settings: TrainSettings = SETTINGS, **more):  # type: ignore[no-untyped-def]
    trainable = ToyTrainable()
    fitted = fit(trainable, TRAIN, VALIDATION, toy_reference_energy, settings, folder, **more)
    return trainable, fitted


def weights(trainable: ToyTrainable) -> list[float]:
    return [float(value) for value in trainable.module.parameters()]


def test_learns_the_numbers_of_the_true_potential(tmp_path: Path) -> None:
    trainable, fitted = run(tmp_path, SETTINGS.model_copy(update={"epochs": 60, "patience": 60}))
    assert fitted.kept.val_loss < 0.02 * fitted.history[0].val_loss
    assert weights(trainable) == pytest.approx([0.5, 1.5, 2.6], abs=0.05)


def test_epoch_zero_is_the_model_before_training(tmp_path: Path) -> None:
    _, fitted = run(tmp_path)
    before = network_energies(ToyTrainable(), VALIDATION)
    expected = np.array([frame.prediction.energy - toy_reference_energy(frame) for frame in VALIDATION])
    assert fitted.history[0].epoch == 0
    assert fitted.history[0].val_energy_mae == pytest.approx(np.abs(before - expected).mean() / 8, rel=1e-4)


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"towards_start": 0.01}, {"average_with_start": True}])
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path: Path, more: dict[str, object]) -> None:
    settings = SETTINGS.model_copy(update=more)
    whole, fitted = run(tmp_path / "whole", settings)
    steps = 3  # of 12 frames in batches of 4
    for after in (1, 2 * steps + 2, 4 * steps + 1):  # inside epochs 1, 3 and 5
        with pytest.raises(InterruptError):
            run(tmp_path / "cut", settings, progress=Interrupting(after))
    resumed, ended = run(tmp_path / "cut", settings)
    assert weights(resumed) == weights(whole)
    assert [replace(epoch, seconds=0) for epoch in ended.history[1:]] == [
        replace(epoch, seconds=0) for epoch in fitted.history[1:]
    ]
    again, unchanged = run(tmp_path / "cut", settings)  # a finished training is not trained again
    assert weights(again) == weights(whole)
    assert len(unchanged.history) == len(fitted.history)


def test_constants_of_defects_do_not_count(tmp_path: Path) -> None:
    """With energies relative to each defect, a constant added to all energies of a defect changes no error."""
    settings = SETTINGS.model_copy(update={"energy_zero": "defect", "epochs": 1, "learning_rate": 1e-9})
    shifted = [replace(f, prediction=replace(f.prediction, energy=f.prediction.energy + 7.0)) for f in VALIDATION]
    found = [
        fit(ToyTrainable(), TRAIN, frames, toy_reference_energy, settings, tmp_path / str(n)).history[0]
        for n, frames in enumerate((VALIDATION, shifted))
    ]
    assert found[0].val_energy_mae == pytest.approx(found[1].val_energy_mae, abs=1e-6)
    assert found[0].val_loss == pytest.approx(found[1].val_loss, rel=1e-4)
    assert found[0].val_energy_mae < 0.5 * network_error()


def network_error() -> float:
    expected = np.array([frame.prediction.energy - toy_reference_energy(frame) for frame in VALIDATION])
    return float(np.abs(network_energies(ToyTrainable(), VALIDATION) - expected).mean() / 8)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a")[0], run(tmp_path / "b")[0]
    other = run(tmp_path / "c", SETTINGS.model_copy(update={"seed": 1}))[0]
    assert weights(first) == weights(second) != weights(other)


def test_the_epoch_before_training_is_kept_if_no_other_is_better(tmp_path: Path) -> None:
    trainable = ToyTrainable(PairPotential(0.5, 1.5, 2.6))
    fitted = fit(trainable, TRAIN, VALIDATION, toy_reference_energy, SETTINGS, tmp_path)
    assert fitted.kept.epoch == 0
    assert weights(trainable) == weights(ToyTrainable(PairPotential(0.5, 1.5, 2.6)))


def test_stops_early_when_validation_does_not_improve(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 40, "patience": 3})
    fitted = fit(
        ToyTrainable(PairPotential(0.5, 1.5, 2.6)), TRAIN, VALIDATION, toy_reference_energy, settings, tmp_path
    )
    assert len(fitted.history) == 4


@pytest.mark.parametrize(("train", "changed"), [("last", [0]), ("last2", [0, 2]), ("all", [0, 1, 2])])
def test_only_the_chosen_layers_change(tmp_path: Path, train: str, changed: list[int]) -> None:
    trainable, _ = run(tmp_path, SETTINGS.model_copy(update={"train": train}))
    start = weights(ToyTrainable())
    assert [i for i, value in enumerate(weights(trainable)) if value != start[i]] == changed


def test_staying_near_the_start_holds_the_weights_back(tmp_path: Path) -> None:
    free, _ = run(tmp_path / "free")
    held, _ = run(tmp_path / "held", SETTINGS.model_copy(update={"towards_start": 100.0}))
    start = np.array(weights(ToyTrainable()))
    distance = [np.linalg.norm(np.array(weights(trainable)) - start) for trainable in (free, held)]
    assert distance[1] < 0.7 * distance[0]


def test_mixing_with_the_start_never_validates_worse(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"average_with_start": True, "learning_rate": 0.2})
    _, fitted = run(tmp_path, settings)
    assert fitted.score <= min(epoch.val_loss for epoch in fitted.history) * (1 + 1e-5)


def test_the_average_of_the_weights_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"ema": 0.999, "epochs": 2})
    trainable, fitted = run(tmp_path, settings)
    raw, _ = run(tmp_path / "raw", settings.model_copy(update={"ema": None}))
    assert weights(trainable) != weights(raw)
    after = network_energies(trainable, VALIDATION)
    expected = np.array([frame.prediction.energy - toy_reference_energy(frame) for frame in VALIDATION])
    assert fitted.kept.val_energy_mae == pytest.approx(np.abs(after - expected).mean() / 8, rel=1e-4)


def test_replay_pulls_towards_what_the_untouched_model_says(tmp_path: Path) -> None:
    untouched = ToyTrainable()
    settings = ReplaySettings(frames=12, displacement=0.1, weight=50.0)
    targets = replayed(untouched, TRAIN, settings, seed=0)
    assert len(targets) == 12
    assert all(target.defect is None and target.weight == 50.0 for target in targets)
    assert targets[0].energy == pytest.approx(float(untouched.outputs([targets[0].graph]).energies[0]), rel=1e-6)
    free, _ = run(tmp_path / "free")
    held, _ = run(tmp_path / "held", replay=targets)
    start = np.array(weights(untouched))
    assert np.abs(np.array(weights(held)) - start).sum() < np.abs(np.array(weights(free)) - start).sum()


def test_a_corrupt_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterruptError):
        run(tmp_path, progress=Interrupting(4))
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be read .* Delete its folder"):
        run(tmp_path)


def test_other_settings_and_other_data_are_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, identity="these")
    with pytest.raises(TrainingError, match=r"other settings \(learning_rate\)"):
        run(tmp_path, SETTINGS.model_copy(update={"learning_rate": 0.5}), identity="these")
    with pytest.raises(TrainingError, match="other data"):
        run(tmp_path, identity="those")


def test_a_loss_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    frame = TRAIN[0]
    bad = replace(frame, prediction=Prediction(frame.prediction.energy, frame.prediction.forces * math.nan))
    with pytest.raises(TrainingError, match="loss became nan in epoch 1"):
        fit(ToyTrainable(), [*TRAIN, bad], VALIDATION, toy_reference_energy, SETTINGS, tmp_path)


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="0 training and 6 validation frames"):
        fit(ToyTrainable(), [], VALIDATION, toy_reference_energy, SETTINGS, tmp_path)
