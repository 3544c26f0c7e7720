from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import DatasetError, ModelFileError, TrainingError, UnsupportedElementError
from defectscout.evaluation.guard import Judgement
from defectscout.learning.dataset import Dataset
from defectscout.learning.settings import PAPER_TRAINING, ReplaySettings
from defectscout.surrogates.model_folder import MANIFEST, read_manifest
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.training import train
from defectscout.workflow.training_data import training_data
from trained_on_toys import toy_dataset

SETTINGS = PAPER_TRAINING.model_copy(
    update={
        "base": "chgnet",
        "epochs": 3,
        "learning_rate": 1e-3,
        "train": "last2",
        "device": "cpu",
        "energy_zero": "defect",
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_dataset(tmp_path_factory.mktemp("data") / "data.db")


def data_of(path: Path, **more):  # type: ignore[no-untyped-def]
    return training_data(path, **({"charge": None, "any_charge": False, "method": None} | more))


def test_a_trained_folder_is_a_surrogate_that_reloads_bit_for_bit(dataset: Path, tmp_path: Path) -> None:
    data = data_of(dataset)
    trained = train(data, SETTINGS, tmp_path / "model", keep_worse=True)
    frames = list(data.frames(data.test))
    first, second = (load_surrogate(SurrogateSettings(name=str(tmp_path / "model"), device="cpu")) for _ in range(2))
    one, other = (surrogate.predict([frame.atoms for frame in frames]) for surrogate in (first, second))
    for a, b in zip(one, other, strict=True):
        assert a.energy == b.energy
        assert np.array_equal(a.forces, b.forces)
    assert first.info.tuned
    assert first.info.trained_on is not None
    assert first.info.trained_on.hosts == ("MgS",)
    assert first.info.trained_on.elements == ("Mg", "S")
    assert first.info.trained_on.method == "toy"
    # Element references take the offset away: the untouched model is some eV/atom off the toy's scale.
    errors = [abs(p.energy - f.prediction.energy) / len(f.atoms) for p, f in zip(one, frames, strict=True)]
    assert np.mean(errors) < 0.5
    assert trained.errors["test"].overall.n_frames == 8
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert trained.judgement.sentence in card
    assert "| test | 8 | 1 |" in card


def test_training_lowers_the_validation_loss(dataset: Path, tmp_path: Path) -> None:
    trained = train(data_of(dataset), SETTINGS, tmp_path / "model", keep_worse=True)
    (fit,) = trained.fits
    assert fit.kept.val_loss < 0.9 * fit.history[0].val_loss
    assert fit.kept.epoch > 0


def test_an_ensemble_is_the_mean_of_different_members(dataset: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"ensemble": 2, "epochs": 1})
    train(data_of(dataset), settings, tmp_path / "model", keep_worse=True)
    surrogate = load_surrogate(SurrogateSettings(name=str(tmp_path / "model"), device="cpu"))
    atoms = next(iter(Dataset.open(dataset).frames([1]))).atoms
    (spread,) = surrogate.spread([atoms])  # type: ignore[attr-defined]
    assert spread.energy > 0
    assert len(read_manifest(tmp_path / "model").members) == 2


def test_a_worse_model_is_not_made_unless_asked_for(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Judgement("worse", "WORSE than the untouched model on 1 unseen defect: ρ 0.65 → -0.32.")
    monkeypatch.setattr("defectscout.workflow.training.judge", lambda before, after, what: found)
    settings = SETTINGS.model_copy(update={"epochs": 1})
    data = data_of(dataset)
    with pytest.raises(TrainingError, match=r"WORSE than the untouched model on 1 unseen defect.*No model was made"):
        train(data, settings, tmp_path / "model")
    assert not (tmp_path / "model" / MANIFEST).exists()
    train(data, settings, tmp_path / "model", keep_worse=True)
    assert read_manifest(tmp_path / "model").trained_on.verdict == "worse"


def test_a_training_that_learned_nothing_makes_no_model(dataset: Path, tmp_path: Path) -> None:
    idle = SETTINGS.model_copy(update={"learning_rate": 1e-12, "epochs": 1, "select_by": "ranking"})
    with pytest.raises(TrainingError, match=r"No epoch of training was better .* No model was made"):
        train(data_of(dataset), idle, tmp_path / "model")
    assert not (tmp_path / "model" / MANIFEST).exists()
    trained = train(data_of(dataset), idle, tmp_path / "model", keep_worse=True)
    assert trained.manifest.trained_on.verdict == "worse"  # a search then counts it as untouched


def test_replay_and_the_model_trained_before_as_base(dataset: Path, tmp_path: Path) -> None:
    data = data_of(dataset)
    first = SETTINGS.model_copy(update={"epochs": 1, "replay": ReplaySettings(frames=4)})
    train(data, first, tmp_path / "first", keep_worse=True)
    second = SETTINGS.model_copy(update={"epochs": 1, "base": str(tmp_path / "first")})
    trained = train(data, second, tmp_path / "second", keep_worse=True)
    assert trained.manifest.base == str(tmp_path / "first")
    assert trained.manifest.untouched == SETTINGS.base
    assert trained.manifest.family == "chgnet"


def test_changed_weights_are_not_loaded(dataset: Path, tmp_path: Path) -> None:
    trained = train(data_of(dataset), SETTINGS.model_copy(update={"epochs": 1}), tmp_path / "model", keep_worse=True)
    weights = tmp_path / "model" / trained.manifest.members[0].weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFileError, match="are not those that were trained"):
        load_surrogate(SurrogateSettings(name=str(tmp_path / "model"), device="cpu"))


def test_charge_states_are_kept_apart(tmp_path: Path) -> None:
    path = toy_dataset(tmp_path / "charged.db", charges=(0, -1))
    with pytest.raises(DatasetError, match=r"several charge states \(\+0 .*-1 .*--charge Q"):
        data_of(path)
    chosen = data_of(path, charge=-1)
    assert chosen.charges == (-1,)
    assert any(row.origin.is_bulk for row in chosen.train)
    assert data_of(path, any_charge=True).charges == (-1, 0)
    with pytest.raises(DatasetError, match=r"no defect in charge state \+2"):
        data_of(path, charge=2)


def test_methods_are_kept_apart(tmp_path: Path) -> None:
    path = toy_dataset(tmp_path / "methods.db", methods=("one", "other"))
    with pytest.raises(DatasetError, match=r"several methods .*different scales"):
        data_of(path)
    assert data_of(path, method="other").method == "other"


def test_unseen_defects_judge_the_model(dataset: Path) -> None:
    rows, what = data_of(dataset).judging()
    assert {row.origin.defect for row in rows} == {"S_Mg"}
    assert what == "1 unseen defect of the test set"


def test_without_an_unseen_defect_held_out_relaxations_do(tmp_path: Path) -> None:
    path = toy_dataset(tmp_path / "data.db")
    dataset = Dataset.open(path)
    dataset.write_subsets(
        {row.row: "validation" if row.origin.start == "start-1" else "train" for row in dataset.index()}
    )
    rows, what = data_of(path).judging()
    assert {row.origin.start for row in rows} == {"start-1"}
    assert what.startswith("4 held-out relaxations of defects that it was trained on")


def test_a_dataset_without_a_split_is_split_for_the_training(tmp_path: Path) -> None:
    path = toy_dataset(tmp_path / "data.db")
    Dataset.open(path).write_subsets({})
    data = data_of(path)
    assert data.train
    assert data.validation
    assert data.notes
    assert Dataset.open(path).subsets() == {}


def test_an_element_that_the_model_cannot_take(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from defectscout.learning.models.chgnet import load

    class Narrow:
        def __init__(self, inner):  # type: ignore[no-untyped-def]
            self._inner = inner
            self.elements = ("Mg",)

        def __getattr__(self, name):  # type: ignore[no-untyped-def]
            return getattr(self._inner, name)

    monkeypatch.setattr(
        "defectscout.workflow.training.load_trainable", lambda settings: Narrow(load("chgnet", settings))
    )
    with pytest.raises(UnsupportedElementError, match="S"):
        train(data_of(dataset), SETTINGS, tmp_path / "model")


def test_manifest_is_plain_json(dataset: Path, tmp_path: Path) -> None:
    train(data_of(dataset), SETTINGS.model_copy(update={"epochs": 1}), tmp_path / "model", keep_worse=True)
    content = json.loads((tmp_path / "model" / MANIFEST).read_text())
    assert content["format"] == 1
    assert content["settings"]["base"] == "chgnet"
    assert set(content["references"]) == {"Mg", "S"}
    assert content["dataset"].startswith("sha256:")
