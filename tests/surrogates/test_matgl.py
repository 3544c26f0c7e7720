"""matgl's models: folders, the hub, and weights of older versions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.optimize import brentq

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.matgl import DEFAULTS, load, save
from defectscout.surrogates.matgl_convention import aggregation, aggregation_of
from defectscout.surrogates.settings import SurrogateSettings

pytest.importorskip("matgl")

CPU = SurrogateSettings(device="cpu")


@pytest.fixture
def old_folder(tmp_path: Path, tiny_folder) -> Path:
    """The small M3GNet, as matgl 1 or 2 would have saved it."""
    folder = tmp_path / "old"
    shutil.copytree(tiny_folder("m3gnet"), folder)
    _edit(folder, lambda record: [record["kwargs"].pop(key) for key in ("compile_model", "compile_mode")])
    return folder


def _edit(folder: Path, change) -> None:
    record = json.loads((folder / "model.json").read_text())
    change(record)
    (folder / "model.json").write_text(json.dumps(record))


def test_info(tiny_folder) -> None:
    info = load(f"m3gnet:{tiny_folder('m3gnet')}", CPU).info
    assert info.package.startswith("matgl ")
    assert info.weights.startswith("sha256:")
    assert info.citation == "10.1038/s43588-022-00349-3"
    assert info.elements == {"Na", "Cl", "Cu", "Zn", "Cd", "Te"}
    assert not info.tuned
    assert load(f"tensornet:{tiny_folder('tensornet')}", CPU).info.citation == "10.48550/arXiv.2306.06482"


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("m3gnet", f"materialyze/{DEFAULTS['m3gnet']}"),
        ("m3gnet:M3GNet-PES-MatPES-r2SCAN-2025.2", "materialyze/M3GNet-PES-MatPES-r2SCAN-2025.2"),
        ("m3gnet:someone/their-M3GNet", "someone/their-M3GNet"),
    ],
)
def test_names_are_fetched_from_the_hub(
    monkeypatch: pytest.MonkeyPatch, tiny_folder, rattled: Atoms, name: str, repository: str
) -> None:
    import huggingface_hub

    asked: list[str] = []

    def stand_in(repo_id: str, **options: object) -> str:
        asked.append(repo_id)
        return str(tiny_folder("m3gnet"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", stand_in)
    fetched = load(name, CPU)
    assert asked == [repository]
    local = load(f"m3gnet:{tiny_folder('m3gnet')}", CPU)
    assert fetched.predict([rattled])[0].energy == local.predict([rattled])[0].energy
    assert fetched.info.name == name


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def no_network(repo_id: str, **options: object) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    with pytest.raises(ModelFileError, match=r"'materialyze/NoSuchModel' could not be fetched.*no network"):
        load("m3gnet:NoSuchModel", CPU)


def test_folders_that_hold_no_model(tmp_path: Path, tiny_folder) -> None:
    with pytest.raises(ModelFileError, match="there is no folder '/no/such/folder'"):
        load("m3gnet:/no/such/folder", CPU)
    with pytest.raises(ModelFileError, match=r"lacks model\.json, model\.pt, state\.pt"):
        load(f"m3gnet:{tmp_path}", CPU)
    with pytest.raises(ModelFileError, match="holds a TensorNet model, not m3gnet"):
        load(f"m3gnet:{tiny_folder('tensornet')}", CPU)
    broken = tmp_path / "broken"
    shutil.copytree(tiny_folder("m3gnet"), broken)
    (broken / "state.pt").write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="is not a model that this version"):
        load(f"m3gnet:{broken}", CPU)
    (broken / "model.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"model\.json' is not a model"):
        load(f"m3gnet:{broken}", CPU)


def test_model_without_forces(tmp_path: Path, tiny_potential) -> None:
    tiny_potential("m3gnet").model.save(tmp_path / "bare")
    with pytest.raises(ModelFileError, match="gives no forces"):
        load(f"m3gnet:{tmp_path / 'bare'}", CPU)


def test_model_whose_energy_is_no_sum(tmp_path: Path, tiny_potential) -> None:
    tiny_potential("tensornet", is_intensive=True).save(tmp_path / "intensive")
    with pytest.raises(ModelFileError, match="does not grow with the number of atoms"):
        load(f"tensornet:{tmp_path / 'intensive'}", CPU)


def test_save_tells_what_was_done(tmp_path: Path, tiny_folder, rattled: Atoms) -> None:
    first = load(f"m3gnet:{tiny_folder('m3gnet')}", CPU)
    save(first.evaluate.model, tmp_path / "tuned", tuned=True)
    again = load(f"m3gnet:{tmp_path / 'tuned'}", CPU)
    assert again.info.tuned
    assert again.predict([rattled])[0].energy == first.predict([rattled])[0].energy


def test_old_weights_are_evaluated_as_they_were_trained(old_folder: Path, tiny_folder) -> None:
    """Where atoms are all alike the direction of messages does not matter; in a compound it does."""
    old = load(f"m3gnet:{old_folder}", CPU)
    new = load(f"m3gnet:{tiny_folder('m3gnet')}", CPU)
    assert aggregation_of(old.evaluate.model) == "destination"
    assert aggregation_of(new.evaluate.model) == "source"
    copper, compound = bulk("Cu", "fcc", a=3.6), bulk("CdTe", "zincblende", a=6.5)
    assert old.predict([copper])[0].energy == pytest.approx(new.predict([copper])[0].energy, abs=1e-5)
    assert abs(old.predict([compound])[0].energy - new.predict([compound])[0].energy) > 1e-3


def test_old_weights_stay_old_when_saved(tmp_path: Path, old_folder: Path, rattled: Atoms) -> None:
    old = load(f"m3gnet:{old_folder}", CPU)
    save(old.evaluate.model, tmp_path / "again", tuned=True)
    again = load(f"m3gnet:{tmp_path / 'again'}", CPU)
    assert aggregation_of(again.evaluate.model) == "destination"
    np.testing.assert_array_equal(again.predict([rattled])[0].forces, old.predict([rattled])[0].forces)


def test_old_tensornet_is_refused(tmp_path: Path, tiny_folder) -> None:
    folder = tmp_path / "old"
    shutil.copytree(tiny_folder("tensornet"), folder)
    _edit(folder, lambda record: record["kwargs"]["model"].update({"@model_version": 1}))
    with pytest.raises(ModelFileError, match=r"trained with matgl before 3\.0"):
        load(f"tensornet:{folder}", CPU)


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        ("matgl.models._m3gnet", {}, "destination"),  # 0.x to 2.x
        ("matgl.models._m3gnet_pyg", {}, "source"),  # 3.0
        ("matgl.models._m3gnet_pyg", {"compile_model": False}, "source"),  # 3.0.4
        ("matgl.models._m3gnet", {"compile_model": False}, "source"),  # 4.x
    ],
)
def test_versions_of_matgl_are_told_apart(module: str, arguments: dict[str, bool], expected: str) -> None:
    model = {"@class": "M3GNet", "@module": module, "@model_version": 2}
    assert aggregation({"kwargs": {"model": model, **arguments}, "metadata": None}, "test") == expected


@pytest.mark.parametrize(
    ("formula", "structure", "expected"),
    [  # lattice constants of the model card of M3GNet-MP-2021.2.8-PES, Å
        ("CdTe", "zincblende", 6.63419),
        ("GaAs", "zincblende", 5.75044),
        ("NaCl", "rocksalt", 5.69132),
        ("Si", "diamond", 5.45671),
    ],
)
def test_published_lattice_constants(shared_data: Path, formula: str, structure: str, expected: float) -> None:
    folder = shared_data.parent / "models" / "M3GNet-MP-2021.2.8-PES"
    if not folder.is_dir():
        pytest.skip(f"no model at {folder}")
    surrogate = load(f"m3gnet:{folder}", CPU)

    def pressure(length: float) -> float:
        stress = surrogate.predict([bulk(formula, structure, a=length)])[0].stress
        assert stress is not None
        return float(stress[:3].mean())

    # The card's relaxations end at forces and stresses of 0.01, good for 0.002 Å.
    assert brentq(pressure, 0.97 * expected, 1.03 * expected, xtol=1e-4) == pytest.approx(expected, abs=0.002)
