from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from defectscout.cli.main import app
from trained_on_toys import toy_dataset


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_dataset(tmp_path_factory.mktemp("data") / "data.db")


def test_train_prints_verdict_errors_and_what_to_do_next(dataset: Path, tmp_path: Path) -> None:
    options = ("--train", "last", "--epochs", "1", "--device", "cpu", "--keep-worse", "--quiet")
    result = run("train", dataset, "-o", tmp_path / "model", *options)
    assert result.exit_code == 0, result.output
    assert "untouched model on 1 unseen defect" in result.stdout
    assert "defectscout search HOST --surrogate" in result.stdout
    again = run("train", dataset, "-o", tmp_path / "model", *options, "--json")
    manifest = json.loads(again.stdout)
    assert manifest["trained_on"]["hosts"] == ["MgS"]
    assert manifest["settings"]["train"] == "last"


def test_settings_come_from_a_file_and_options_win(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "train.toml"
    config.write_text('epochs = 1\ntrain = "last2"\nlearning_rate = 1e-5\n')
    result = run(
        "train", dataset, "-o", tmp_path / "m", "-c", config, "--lr", "2e-4", "--set", "patience=4", "--keep-worse",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    settings = json.loads(result.stdout)["settings"]
    assert (settings["train"], settings["learning_rate"], settings["patience"]) == ("last2", 2e-4, 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--base", "nothing"), "There is no model family 'nothing'"),
        (("--train", "some"), "train = 'some'"),
        (("--epochs", "0"), "epochs = 0"),
        (("--set", "epoch=3"), "'epoch' is not a setting"),
        (("--preset", "none"), "no preset 'none'"),
        (("--charge", "3"), "no defect in charge state +3"),
        (("--method", "HSE06"), "no frames of the method 'HSE06'"),
        (("--config", "none.toml"), "Cannot read the settings file none.toml"),
        (("--charge-as-input",), "CHGNet takes no"),
        (("--element-references", "isolated"), "isolated"),
    ],
)
def test_mistakes_are_one_paragraph_with_exit_code_2(
    dataset: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    result = run("train", dataset, "-o", tmp_path / "model", *options)
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "model").exists()


def test_no_dataset(tmp_path: Path) -> None:
    result = run("train", tmp_path / "none.db", "-o", tmp_path / "model")
    assert result.exit_code == 2
    assert "There is no dataset" in result.stderr
    (tmp_path / "text.db").write_text("no database")
    result = run("train", tmp_path / "text.db", "-o", tmp_path / "model")
    assert result.exit_code == 2


def test_ablate_prints_a_table(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        f'dataset = "{dataset}"\n[common]\nepochs = 1\ntrain = "last"\ndevice = "cpu"\n[[run]]\nname = "as it is"\n'
    )
    result = run("ablate", file, "-o", tmp_path / "out", "--quiet")
    assert result.exit_code == 0, result.output
    assert "as it is" in result.stdout
    rows = json.loads(run("ablate", file, "-o", tmp_path / "out", "--json").stdout)
    assert rows[0]["frames"] == 20
    result = run("ablate", tmp_path / "none.toml")
    assert result.exit_code == 2
