"""Tuning between two rounds: a force field with three numbers for what is quick, CHGNet for what is real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from defectscout.core.errors import UnsupportedElementError
from defectscout.core.frames import Prediction
from defectscout.core.progress import SilentProgress
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.settings import TrainSettings
from defectscout.surrogates.model_folder import is_model_folder, member_path, read_manifest
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.learn import tuning
from defectscout.workflow.learn.settings import TuningSettings
from defectscout.workflow.learn.tuning import element_references, frames_digest, tune
from listening import InterruptError, Interrupting
from toy_trainable import PairPotential, ToyTrainable, toy_frames

FRAMES: list[LabelledFrame] = toy_frames(5)
QUICK = TuningSettings(epochs=3, learning_rate=0.02, batch_size=2)


def load_toy(settings: TrainSettings) -> ToyTrainable:
    trainable = ToyTrainable(PairPotential())
    file = settings.base.partition(":")[2]
    if file:
        trainable.module.load_state_dict(torch.load(file, weights_only=True))
    return trainable


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "load_trainable", load_toy)


def run(base: str, folder: Path, settings: TuningSettings = QUICK, frames: Any = FRAMES, progress: Any = None) -> Path:
    tune(base, frames, folder, settings, "cpu", progress or SilentProgress())
    return folder


def numbers(folder: Path, member: int = 0) -> np.ndarray:
    manifest = read_manifest(folder)
    weights = torch.load(member_path(folder, manifest.members[member]), weights_only=True)
    return np.array([float(weights[name]) for name in ("depth", "steepness", "length")])


def shifted(frame: LabelledFrame, energy: float) -> LabelledFrame:
    said = frame.prediction
    return replace(frame, prediction=Prediction(said.energy + energy, said.forces, said.stress))


@pytest.mark.usefixtures("toy")
def test_a_folder_says_what_it_has_seen(tmp_path: Path) -> None:
    manifest = read_manifest(run("toy", tmp_path / "round-01"))
    seen = manifest.trained_on
    assert (seen.hosts, seen.elements, seen.charges, seen.method) == (("MgS",), ("Mg", "S"), (0,), "toy")
    assert seen.verdict == "not judged"
    assert (manifest.family, manifest.base, manifest.dataset) == ("toy", "toy", frames_digest(FRAMES))
    assert manifest.untouched == "toy"
    assert {path.name for path in (tmp_path / "round-01" / "member-0").iterdir()} >= {"weights"}
    assert not list(tmp_path.rglob("last.ckpt"))


@pytest.mark.usefixtures("toy")
def test_it_goes_on_from_the_round_before(tmp_path: Path) -> None:
    first = run("toy", tmp_path / "round-01")
    still = QUICK.model_copy(update={"learning_rate": 1e-12})
    np.testing.assert_allclose(numbers(run(str(first), tmp_path / "still", still)), numbers(first), atol=1e-6)
    second = run(str(first), tmp_path / "round-02")
    assert np.abs(numbers(second) - numbers(first)).max() > 1e-3
    assert (read_manifest(second).base, read_manifest(second).untouched) == (str(first), "toy")
    # The scale of one method stays, whatever the later frames are.
    later = run(str(first), tmp_path / "later", frames=[shifted(frame, 3.0) for frame in FRAMES])
    assert read_manifest(later).references == read_manifest(first).references


@pytest.mark.usefixtures("toy")
def test_a_constant_in_the_energies_teaches_nothing(tmp_path: Path) -> None:
    """Within a defect differences alone count."""
    first = run("toy", tmp_path / "first")
    one = run(str(first), tmp_path / "one")
    other = run(str(first), tmp_path / "other", frames=[shifted(frame, 7.0) for frame in FRAMES])
    np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-4)


@pytest.mark.usefixtures("toy")
def test_an_ensemble(tmp_path: Path) -> None:
    two = QUICK.model_copy(update={"ensemble": 2})
    folder = run("toy", tmp_path / "round-01", two)
    assert [member.weights for member in read_manifest(folder).members] == [
        "member-0/weights/toy.pt",
        "member-1/weights/toy.pt",
    ]
    assert np.abs(numbers(folder, 0) - numbers(folder, 1)).max() > 1e-5  # shuffled differently
    np.testing.assert_allclose(numbers(folder, 0), numbers(run("toy", tmp_path / "alone")), atol=1e-6)
    still = two.model_copy(update={"learning_rate": 1e-12})
    second = run(str(folder), tmp_path / "round-02", still)
    for member in (0, 1):
        np.testing.assert_allclose(numbers(second, member), numbers(folder, member), atol=1e-6)


@pytest.mark.usefixtures("toy")
def test_interrupted_and_gone_on_with(tmp_path: Path) -> None:
    """From the last whole epoch; a finished folder is left as it is."""
    two = QUICK.model_copy(update={"ensemble": 2})
    whole = run("toy", tmp_path / "whole", two)
    folder = tmp_path / "cut"
    for after in (1, 2):
        with pytest.raises(InterruptError):
            run("toy", folder, two, progress=Interrupting(after))
        assert not is_model_folder(folder)
    run("toy", folder, two)
    for member in (0, 1):
        np.testing.assert_allclose(numbers(folder, member), numbers(whole, member), atol=1e-6)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    tune("toy", FRAMES, folder, two, "cpu", SilentProgress())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps


@pytest.mark.usefixtures("toy")
def test_an_element_that_the_model_cannot_take(tmp_path: Path) -> None:
    odd = FRAMES[0].atoms.copy()
    odd.numbers[0] = 20
    with pytest.raises(UnsupportedElementError, match="Ca"):
        run("toy", tmp_path / "out", frames=[replace(FRAMES[0], atoms=odd)])


def test_the_digest_is_of_the_data() -> None:
    moved = FRAMES[0].atoms.copy()
    moved.positions[0, 0] += 1e-9
    said = FRAMES[0].prediction
    pulled = Prediction(said.energy, said.forces + 1e-9, said.stress)
    others = [
        FRAMES[:4],
        FRAMES[::-1],
        [shifted(FRAMES[0], 1e-9), *FRAMES[1:]],
        [replace(FRAMES[0], atoms=moved), *FRAMES[1:]],
        [replace(FRAMES[0], prediction=pulled), *FRAMES[1:]],
    ]
    digests = {frames_digest(frames) for frames in (FRAMES, list(FRAMES), *others)}
    assert len(digests) == 1 + len(others)


def test_element_references_put_the_lowest_frames_on_the_scale() -> None:
    trainable = ToyTrainable(PairPotential())
    found = element_references(trainable, FRAMES, {})
    from defectscout.learning.labelling import network_energies

    expected = np.array([frame.prediction.energy for frame in FRAMES])
    sums = np.array([sum(found[symbol] for symbol in frame.atoms.get_chemical_symbols()) for frame in FRAMES])
    left = expected - sums - network_energies(trainable, FRAMES)
    assert abs(left.mean()) < 1e-4
    assert found["Mg"] == pytest.approx(found["S"])  # one host cannot tell them apart: the least change
    assert element_references(trainable, FRAMES, {"Mg": -1.0, "S": -2.0}) == {"Mg": -1.0, "S": -2.0}


def test_a_real_network_is_reloaded_on_the_scale_of_the_reference(tmp_path: Path) -> None:
    pytest.importorskip("chgnet")
    frames = FRAMES[:3]
    settings = TuningSettings(epochs=1, batch_size=3, learning_rate=1e-5)
    folder = run("chgnet", tmp_path / "round-01", settings, frames)
    surrogate = load_surrogate(SurrogateSettings(name=str(folder), device="cpu"))
    assert surrogate.info.tuned
    assert surrogate.info.trained_on is not None
    said = [prediction.energy for prediction in surrogate.predict([frame.atoms for frame in frames])]
    differences = np.array(said) - [frame.prediction.energy for frame in frames]
    assert abs(differences.mean()) < 0.1
