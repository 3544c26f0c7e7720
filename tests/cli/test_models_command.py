"""`defectscout models` as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.core import Structure
from typer.testing import CliRunner, Result

from defectscout.cli.main import app
from defectscout.learning.dataset import Dataset
from stored_models import chalcopyrite, frames_of, model_folder, zincblende

NAME = "CdTe-gfn1-xtb-q0-1"


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(
        app, ["models", *(str(argument) for argument in arguments)], env={"COLUMNS": "200"}, terminal_width=200
    )
    assert "Traceback" not in result.output
    return result


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error: " in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEFECTSCOUT_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def cif(folder: Path, name: str, structure: Structure) -> Path:
    path = folder / f"{name}.cif"
    structure.to(filename=str(path))
    return path


@pytest.fixture
def cdte(tmp_path: Path) -> Path:
    return cif(tmp_path, "CdTe", zincblende("Cd", "Te"))


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "data.db"
    with Dataset.create(path) as dataset:
        dataset.add(frames_of("CdTe"))
    return path


def test_empty_store(store: Path, cdte: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert f"The store {store} is empty. It fills when a search with --learn ends" in text
    assert "is empty" in run("list", "--for", cdte).stdout
    assert json.loads(run("list", "--json").stdout) == {"folder": str(store), "models": [], "damaged": []}
    assert not store.exists()


def test_add_list_show_remove(tmp_path: Path, cdte: Path, frames: Path, store: Path) -> None:
    result = run("add", model_folder(tmp_path / "model"), "--host", cdte, "--frames", frames)
    assert result.exit_code == 0, result.output
    assert f"Stored as {NAME}. Use it with: --surrogate {store / NAME / 'model'}" in result.stdout
    listed = run("list").stdout
    assert NAME in listed
    assert "v_Cd_0" in listed
    (model,) = json.loads(run("list", "--json").stdout)["models"]
    assert model == json.loads(run("show", NAME, "--json").stdout)
    assert (model["n_frames"], model["defects"], model["charge"]) == (10, ["v_Cd_0"], 0)
    shown = run("show", NAME).stdout
    assert "Better on 2 unseen defects." in shown
    assert "M3GNet-MP-2021.2.8-PES" in shown
    assert run("remove", NAME).stdout == f"Removed {NAME}.\n"
    assert "is empty" in run("list").stdout
    assert refused("remove", NAME).endswith("It is empty.")


def test_offers_for_a_host(tmp_path: Path, cdte: Path, frames: Path) -> None:
    run("add", model_folder(tmp_path / "m1"), "--host", cdte, "--frames", frames)
    other = cif(tmp_path, "GaCuS2", chalcopyrite("Ga", "Cu", "S"))
    assert run("add", model_folder(tmp_path / "m2", ("GaCuS2",)), "--host", other).exit_code == 0
    cdse = cif(tmp_path, "CdSe", zincblende("Cd", "Se"))
    text = " ".join(run("list", "--for", cdse).stdout.split())
    assert "For CdSe, nearest first:" in text
    assert f"{NAME} was tuned on v_Cd of CdTe" in text
    assert "not offered, GaCuS2 (I-III-VI2) is of another family than CdSe (II-VI)" in text
    content = json.loads(run("list", "--for", cdse, "--json").stdout)
    assert content["host"] == "CdSe"
    assert [offer["against"] == "" for offer in content["offers"]] == [True, False]
    assert "No stored model is near enough" in run("list", "--for", cdse, "--charge", "-1").stdout
    assert "No stored model is near enough" in run("list", "--for", cdse, "--reference", "gfn2-xtb").stdout


def test_damaged_entries_are_listed(tmp_path: Path, cdte: Path, store: Path) -> None:
    run("add", model_folder(tmp_path / "model"), "--host", cdte)
    (store / NAME / "host.cif").unlink()
    for arguments in (("list",), ("list", "--for", cdte)):
        assert f"The stored model {NAME} cannot be used" in " ".join(run(*arguments).stdout.split())
    assert json.loads(run("list", "--json").stdout)["damaged"][0]["name"] == NAME
    assert f"models remove {NAME}" in refused("show", NAME)
    assert run("remove", NAME).exit_code == 0


def test_bad_input(tmp_path: Path, cdte: Path, frames: Path, store: Path) -> None:
    model = model_folder(tmp_path / "model")
    broken = tmp_path / "broken.cif"
    broken.write_text("data_nothing\n")
    assert "no such file" in refused("list", "--for", tmp_path / "none.cif")
    assert "broken.cif" in refused("list", "--for", broken)
    assert "would be ignored" in refused("list", "--charge", "0")
    assert "There is no model 'x'" in refused("show", "x")
    assert "has no defectscout-model.json" in refused("add", tmp_path, "--host", cdte)
    assert "does not exist" in refused("add", tmp_path / "none", "--host", cdte)
    assert "broken.cif" in refused("add", model, "--host", broken)
    assert "not trained on charge state 1" in refused("add", model, "--host", cdte, "--charge", "1")
    several = model_folder(tmp_path / "several", charges=(-1, 0))
    assert "charge states: -1, 0" in refused("add", several, "--host", cdte)
    assert "There is no dataset" in refused("add", model, "--host", cdte, "--frames", tmp_path / "none.db")
    cdse = cif(tmp_path, "CdSe", zincblende("Cd", "Se"))
    assert "holds no defect of CdSe" in refused("add", model, "--host", cdse, "--frames", frames)
    assert not store.exists()
    store.write_text("")
    assert "cannot be read" in refused("list")
    assert "DEFECTSCOUT_STORE" in refused("add", model, "--host", cdte)
