"""--charges: a defect's charge states together."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from defectscout.cli.main import app


def settings_of(host: Path, folder: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["sample", str(host), "--keep-host", "-d", "v_Mg", "-o", str(folder), *options])
    assert done.exit_code == 0, done.output
    return (folder / "settings.toml").read_text()


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    from conftest import model

    return ["--sampling", "none", "--reference", model("reference"), "--reference-only"]


def test_charges_are_searched_together(model_host: Path, tmp_path: Path, quick: list[str]) -> None:
    text = settings_of(model_host, tmp_path / "out", "--charges", "-1..0", *quick)
    assert "charges = [-1, 0]" in text
    assert "cross_charges = true" in text


def test_charge_searches_each_by_itself(model_host: Path, tmp_path: Path, quick: list[str]) -> None:
    text = settings_of(model_host, tmp_path / "out", "--charge", "-1", *quick)
    assert "charges = [-1]" in text
    assert "cross_charges = false" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--charge", "0", "--charges", "-1..0"], "--charge and --charges cannot both be given"),
        (["--charges", "0..-2"], "--charges 0..-2: the range is empty"),
        (["--charges", "some"], "--charges some is no charge state"),
    ],
)
def test_what_cannot_be_meant(model_host: Path, tmp_path: Path, options: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["search", str(model_host), "-o", str(tmp_path / "out"), *options])
    assert done.exit_code == 2
    assert says in " ".join((done.output + (done.stderr or "")).split())
    assert not (tmp_path / "out").exists()
