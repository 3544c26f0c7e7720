"""`defectscout report` and `defectscout view` as their user sees them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner, Result

from defectscout.cli.main import app
from reporting.searched_crystal import PAIRED, begin, finish_all, relax


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    write(folder / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    return begin(folder / "MgS.cif", folder / "campaign")


@pytest.fixture
def campaign(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "campaign"))


def test_the_report_lies_in_the_campaign_and_its_path_is_printed(campaign: Path) -> None:
    finish_all(campaign)
    result = run("report", campaign)
    assert result.exit_code == 0, result.output
    path = campaign / "report.html"
    assert result.stdout == f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n"
    assert "v_Mg" in path.read_text()


@pytest.mark.parametrize("kind", ["html", "md", "pdf", "json"])
def test_every_format_is_written_beside_the_record(campaign: Path, kind: str) -> None:
    finish_all(campaign)
    assert run("report", campaign, "--format", kind).exit_code == 0
    assert (campaign / f"report.{kind}").stat().st_size > 1000


def test_the_suffix_chooses_the_format(campaign: Path, tmp_path: Path) -> None:
    finish_all(campaign)
    assert run("report", campaign, "-o", tmp_path / "all.JSON").exit_code == 0
    content = json.loads((tmp_path / "all.JSON").read_text())
    assert content["answers"][0]["defect"] == "v_Mg_0"
    assert content["answers"][0]["sentence"].startswith("Ground state:")
    assert run("report", campaign, "-o", tmp_path / "text.txt", "--format", "md").exit_code == 0
    assert (tmp_path / "text.txt").read_text().startswith("# v\\_Mg\\_0 in MgS")


def test_a_search_that_has_not_ended_is_reported_as_far_as_it_has_come(campaign: Path) -> None:
    relax(campaign, PAIRED, -1.0)
    result = run("report", campaign, "--format", "json")
    assert result.exit_code == 0, result.output
    assert "The search has not ended" in result.stdout
    content = json.loads((campaign / "report.json").read_text())
    assert content["finished"] is False
    assert content["answers"][0]["sentence"].startswith("Lowest minimum so far")


def test_several_campaigns_need_a_file(campaign: Path, template: Path, tmp_path: Path) -> None:
    result = run("report", campaign, template)
    assert result.exit_code == 2
    assert "-o report.html" in " ".join(result.stderr.split())
    result = run("report", campaign, template, "-o", tmp_path / "both.md")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "both.md").read_text()
    assert str(campaign).replace("_", "\\_") in text
    assert str(template).replace("_", "\\_") in text


def test_what_it_is_compared_with_is_named_where_it_does_not_fit(campaign: Path, template: Path) -> None:
    result = run("report", campaign, "--reference-only", template, "--format", "md")
    assert result.exit_code == 0, result.output
    assert f"The reference-only search in {template} has not ended" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "docx"], "There is no format 'docx'"),
        (["-o", "report.docx"], "does not say which format"),
        (["-o", "."], "does not say which format"),
        (["-o", ".", "--format", "md"], "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(campaign: Path, arguments: list[str], said: str) -> None:
    result = run("report", campaign, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", [["report"], ["view", "--no-open"]])
def test_a_folder_without_a_campaign_is_refused(command: list[str], tmp_path: Path) -> None:
    result = run(*command, tmp_path)
    assert result.exit_code == 2
    assert "holds no campaign" in " ".join(result.stderr.split())


def test_it_can_be_opened(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_all(campaign)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert run("report", campaign, "--open").exit_code == 0
    assert opened == [(campaign / "report.html").resolve().as_uri()]


def test_view_serves_until_it_is_interrupted(campaign: Path) -> None:
    command = [sys.executable, "-c", "from defectscout.cli.main import run; run()", "view", str(campaign), "--no-open"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = re.match(r"(http://127\.0\.0\.1:\d+/) shows the report", process.stdout.readline())
        assert url is not None
        with urllib.request.urlopen(f"{url[1]}progress.json", timeout=60) as answer:
            assert json.load(answer)["finished"] is False
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert errors == ""
    finally:
        process.kill()
        process.wait()
