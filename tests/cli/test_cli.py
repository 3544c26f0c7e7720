"""The command line as its user sees it: exit codes, messages, outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import model
from defectscout import __version__
from defectscout.cli.main import app
from defectscout.cli.options import assignments, charges, fractions
from defectscout.core.errors import SettingsError

QUICK = ["--surrogate", model("surrogate"), "--reference", model("reference"), "--distortions", "-0.6,0.3"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_names_every_command_and_exit_code() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in ("search", "sample", "scout", "candidates", "inputs", "collect", "init", "compare", "resume"):
        assert word in result.output
    assert "Exit codes" in result.output


def test_the_package_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "defectscout", "--version"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == f"defectscout {__version__}"


def test_search_prints_the_answer(model_host: Path, tmp_path: Path) -> None:
    result = run("search", model_host, "-o", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    assert "ground state" in result.stdout
    assert "S–S 2.1" in result.stdout
    assert "How sure" in result.stdout
    assert "→" in result.stdout
    assert (tmp_path / "out" / "defectscout.log").read_text()
    again = run("search", model_host, "-o", tmp_path / "out", *QUICK, "--json", "--quiet")
    answer = json.loads(again.stdout)
    assert answer["defects"]["v_Mg_0"]["minima"][0]["energy_lowering_eV"] < -0.5


def test_dry_run_writes_nothing(model_host: Path, tmp_path: Path) -> None:
    result = run("search", model_host, "-o", tmp_path / "out", *QUICK, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "v_Mg_0" in result.stdout
    assert "force calls" in result.stdout
    assert not (tmp_path / "out").exists()


def test_init_writes_settings_that_search_takes(model_host: Path, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    assert run("init", path).exit_code == 0
    assert run("init", path).exit_code == 2
    assert run("init", path, "--force", "--preset", "paper").exit_code == 0
    result = run("search", model_host, "--config", path, "--dry-run", *QUICK)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "no.cif"], "no.cif"),
        (["search", "{host}", "--charge", "two"], "--charge two"),
        (["search", "{host}", "--charge", "0..-2"], "lower charge first"),
        (["search", "{host}", "--distortions", "big"], "--distortions big"),
        (["search", "{host}", "--distortions", "-1.5"], "sampling.distortions"),
        (["search", "{host}", "--set", "scouting.forse=1"], "scouting.forse"),
        (["search", "{host}", "--set", "scouting"], "section.name=value"),
        (["search", "{host}", "--preset", "papr"], "papr"),
        (["search", "{host}", "--surrogate", "chgnett"], "chgnet"),
        (["search", "{host}", "--reference", "gfn3"], "gfn1-xtb"),
        (["search", "{host}", "--config", "no.toml"], "no.toml"),
        (["search", "{host}", "--min-image-distance", "-3"], "supercell.min_image_distance"),
        (["search", "{host}", "--baseline", "nowhere"], "nowhere"),
        (["scout", "nowhere"], "no campaign"),
        (["collect", "nowhere"], "no campaign"),
        (["compare", "here", "there"], "no campaign"),
        (["search", "{host}", "--defct", "v_Mg"], "--def"),
    ],
)
def test_bad_input_is_a_paragraph_and_exit_code_2(
    arguments: list[str], words: str, model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.replace("{host}", str(model_host)) for argument in arguments]
    result = run(*filled)
    assert result.exit_code == 2, result.output
    assert words in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["MgS.cif"]


def test_charges() -> None:
    assert charges(["-2..0", "1"]) == (-2, -1, 0, 1)
    assert charges(["+1"]) == (1,)
    assert charges(["all"]) is None


def test_numbers_and_assignments() -> None:
    assert fractions("-0.6,0.3") == (-0.6, 0.3)
    assert assignments(["scouting.force=0.05", "surrogate.name=chgnet"]) == {
        "scouting": {"force": 0.05},
        "surrogate": {"name": "chgnet"},
    }
    with pytest.raises(SettingsError):
        assignments(["=1"])
