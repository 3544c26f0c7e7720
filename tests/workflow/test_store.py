"""The store of models: nothing is lost, nothing half written is met, nothing damaged goes unsaid."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from defectscout.core.errors import DatasetError, InputFileError, ModelFileError, SettingsError
from defectscout.learning.dataset import Dataset
from defectscout.surrogates.model_folder import member_path, read_manifest
from defectscout.workflow.nearest import same_structure_type
from defectscout.workflow.store import (
    Damaged,
    StoredModel,
    forget,
    keep,
    read_store,
    store_folder,
    stored,
    stored_models,
)
from stored_models import chalcopyrite, frames_of, model_folder, zincblende

CDTE = zincblende("Cd", "Te")


def kept(tmp_path: Path, name: str = "a", store: Path | None = None) -> StoredModel:
    return keep(
        model_folder(tmp_path / f"model-{name}"), frames_of("CdTe"), CDTE, ["v_Cd_0"], 0, tmp_path / "campaign",
        store or tmp_path / "store",
    )  # fmt: skip


def test_where_the_store_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEFECTSCOUT_STORE", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_folder() == tmp_path / ".local" / "share" / "defectscout" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, by the specification
    assert store_folder() == tmp_path / ".local" / "share" / "defectscout" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store_folder() == tmp_path / "data" / "defectscout" / "models"
    monkeypatch.setenv("DEFECTSCOUT_STORE", "~/mine")
    assert store_folder() == tmp_path / "mine"


def test_a_kept_model_is_whole_and_independent_of_its_source(tmp_path: Path) -> None:
    model = kept(tmp_path)
    shutil.rmtree(tmp_path / "model-a")
    assert model == stored("CdTe-gfn1-xtb-q0-1", tmp_path / "store")
    assert model == stored_models(tmp_path / "store")[0]
    assert (model.formula, model.charge, model.method, model.defects) == ("CdTe", 0, "gfn1-xtb", ("v_Cd_0",))
    assert (model.n_frames, model.verdict, model.elements) == (10, "better", ("Cd", "Te"))
    assert model.campaign == str(tmp_path / "campaign")
    manifest = read_manifest(model.model)
    assert member_path(model.model, manifest.members[0]).is_dir()  # its digest is checked
    assert not list(model.model.rglob("last.ckpt"))
    assert same_structure_type(model.host(), CDTE)
    assert model.host().volume == pytest.approx(CDTE.volume, rel=1e-9)
    assert model.frames is not None
    with Dataset.open(model.frames) as dataset:
        assert [row.energy for row in dataset.index()] == [f.prediction.energy for f in frames_of("CdTe")]
        assert all(row.selected for row in dataset.index())


def test_names_are_unique_and_readable(tmp_path: Path) -> None:
    store = tmp_path / "store"
    names = [kept(tmp_path, name).name for name in "ab"]
    charged = model_folder(tmp_path / "charged", charges=(-2,), method="ase:/home/x/my calculators.py:hse")
    names.append(keep(charged, None, CDTE, [], -2, tmp_path, store).name)
    assert names == ["CdTe-gfn1-xtb-q0-1", "CdTe-gfn1-xtb-q0-2", "CdTe-my-calculators.py-hse-q-2-1"]
    forget(names[0], store)
    assert kept(tmp_path, "c").name == "CdTe-gfn1-xtb-q0-3"  # an old campaign must not find another model by its name


def test_the_same_weights_are_kept_once(tmp_path: Path) -> None:
    first = kept(tmp_path)
    again = keep(tmp_path / "model-a", None, CDTE, [], 0, tmp_path / "other", tmp_path / "store")
    assert again == first
    other_host = keep(tmp_path / "model-a", None, zincblende("Cd", "Se"), [], 0, tmp_path, tmp_path / "store")
    assert other_host.name == "CdSe-gfn1-xtb-q0-1"


def test_campaigns_that_end_at_once_are_all_kept(tmp_path: Path) -> None:
    models = [model_folder(tmp_path / f"model-{n}") for n in range(8)]
    store = tmp_path / "store"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda model: keep(model, frames_of("CdTe"), CDTE, [], 0, model, store), models))
    assert len({model.name for model in found}) == 8
    assert {model.campaign for model in stored_models(store)} == {str(model) for model in models}
    assert not list(store.glob(".*"))


def test_nothing_remains_of_what_failed_or_was_killed(tmp_path: Path) -> None:
    store = tmp_path / "store"

    def broken():  # type: ignore[no-untyped-def]
        yield from frames_of("CdTe")
        raise DatasetError("the source is gone")

    with pytest.raises(DatasetError, match="the source is gone"):
        keep(model_folder(tmp_path / "m"), broken(), CDTE, [], 0, tmp_path, store)
    assert list(store.iterdir()) == []
    old, young = store / ".old.part", store / ".young.part"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    assert read_store(store).damaged == ()
    kept(tmp_path)
    assert not old.exists()
    assert young.exists()  # another campaign may be writing it


def test_frames_from_a_dataset_are_the_selected_ones(tmp_path: Path) -> None:
    source = tmp_path / "data.db"
    with Dataset.create(source) as dataset:
        dataset.add(frames_of("CdTe"))
        dataset.mark_dropped([1], "duplicate")
    store = tmp_path / "store"
    assert keep(model_folder(tmp_path / "a"), source, CDTE, [], 0, tmp_path, store).n_frames == 9
    with Dataset.open(source) as dataset:
        dataset.mark_selected([2, 5, 7])
    assert keep(model_folder(tmp_path / "b"), source, CDTE, [], 0, tmp_path, store).n_frames == 3


def test_a_model_without_frames(tmp_path: Path) -> None:
    model = keep(model_folder(tmp_path / "m"), None, CDTE, [], 0, tmp_path, tmp_path / "store")
    assert (model.n_frames, model.frames) == (0, None)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "entry.json").unlink(), "entry.json is missing"),
        (lambda folder: (folder / "entry.json").write_text("{"), "entry.json cannot be read"),
        (lambda folder: (folder / "entry.json").write_text("[]"), "entry.json cannot be read"),
        (lambda folder: _edit(folder, format=9), "format 9"),
        (lambda folder: _edit(folder, formula="Xx2"), "Xx2"),
        (lambda folder: _edit(folder, n_frames="many"), "no proper n_frames"),
        (lambda folder: (folder / "host.cif").unlink(), "host.cif"),
        (lambda folder: (folder / "frames.db").unlink(), "10 frames"),
        (lambda folder: shutil.rmtree(folder / "model"), "defectscout-model.json"),
        (lambda folder: (folder / "model" / "defectscout-model.json").write_text("{"), "damaged"),
        (lambda folder: shutil.rmtree(folder / "model" / "member-0"), "weights"),
    ],
)
def test_damage_is_reported_and_can_be_removed(tmp_path: Path, damage, reason: str) -> None:  # type: ignore[no-untyped-def]
    whole, broken = kept(tmp_path, "a"), kept(tmp_path, "b")
    damage(broken.folder)
    store = read_store(tmp_path / "store")
    assert store.models == (whole,)
    (found,) = store.damaged
    assert isinstance(found, Damaged)
    assert found.name == broken.name
    assert reason in found.reason
    with pytest.raises(ModelFileError, match="models remove CdTe-gfn1-xtb-q0-2"):
        stored(broken.name, tmp_path / "store")
    forget(broken.name, tmp_path / "store")
    assert read_store(tmp_path / "store").damaged == ()


def _edit(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "entry.json").read_text())
    (folder / "entry.json").write_text(json.dumps(content | changes))


def test_unknown_names(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(ModelFileError, match="It is empty"):
        stored("CdTe", store)
    kept(tmp_path)
    for name in ("CdTe", "..", "", "CdTe-gfn1-xtb-q0-1/model", str(tmp_path)):
        with pytest.raises(ModelFileError, match="It has: CdTe-gfn1-xtb-q0-1"):
            forget(name, store)
    assert len(stored_models(store)) == 1


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"

    def refuse(model: Path, charge: int = 0) -> str:
        with pytest.raises((ModelFileError, SettingsError)) as caught:
            keep(model, None, CDTE, [], charge, tmp_path, store)
        assert not store.exists()
        return str(caught.value)

    assert "does not exist" in refuse(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "has no defectscout-model.json" in refuse(tmp_path / "empty")
    assert "not trained on charge state 0 (but on: -2, -1)" in refuse(model_folder(tmp_path / "q", charges=(-2, -1)))
    changed = model_folder(tmp_path / "changed")
    (changed / "member-0" / "weights" / "model.json").write_text("other")
    assert "not those that were trained" in refuse(changed)
    outside = model_folder(tmp_path / "outside")
    manifest = outside / "defectscout-model.json"
    manifest.write_text(manifest.read_text().replace("member-0/weights", "../changed/member-0/weights"))
    assert "outside itself" in refuse(outside)
    assert "which reference" in refuse(model_folder(tmp_path / "m", method=""))


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("")
    with pytest.raises(InputFileError, match="DEFECTSCOUT_STORE"):
        read_store(store)
    with pytest.raises(InputFileError, match="DEFECTSCOUT_STORE"):
        kept(tmp_path)
    with pytest.raises(InputFileError, match="cannot be written"):
        kept(tmp_path, "b", store=tmp_path / "nowhere" / ".." / "store" / "deeper")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_without_permission(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir(mode=0o500)
    with pytest.raises(InputFileError, match="cannot be written"):
        kept(tmp_path)


def test_hosts_survive_the_round_trip(tmp_path: Path) -> None:
    for number, host in enumerate((CDTE, chalcopyrite("Ga", "Cu", "S"))):
        formula = str(host.composition.reduced_formula)
        model = keep(model_folder(tmp_path / str(number), (formula,)), None, host, [], 0, tmp_path, tmp_path / "store")
        assert model.host().composition == host.composition
        assert model.host().matches(host, primitive_cell=False, scale=False)
