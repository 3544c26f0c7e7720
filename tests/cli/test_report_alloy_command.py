"""`defectscout report` and `view` of a study of an alloy that was searched for real, in the model crystal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner, Result

from conftest import model
from defectscout.cli.main import app
from defectscout.reporting.report.live import LiveReport, version_of
from defectscout.workflow.alloys.run import search_alloy
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.settings import SearchSettings, merge

QUICK = {
    "host": {"rattle": 0.0},
    "supercell": {"min_image_distance": 8.0, "min_atoms": 30},
    "defects": {"select": ("v_Mg_S5Se", "v_Mg_S6")},
    "sampling": {"distortions": (-0.4,)},
    "reference": {"name": model("reference")},
    "refinement": {"max_steps": 3},
    "strategy": "reference-only",
}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mg(S,Se) with one Se atom and with two, each with the vacancies beside it and away from it."""
    folder = tmp_path_factory.mktemp("alloyed")
    write(folder / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    alloy = AlloySettings(substitute=("S:Se",), x=(0.0625, 0.125))
    search_alloy(folder / "MgS.cif", folder / "study", alloy, merge(SearchSettings(), QUICK, "test"))
    return folder / "study"


@pytest.fixture
def study(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "study"))


def not_begun(study: Path) -> str:
    """Take the last supercell's campaign away, as before it was begun."""
    name = json.loads((study / "alloy.json").read_text())["study"]["supercells"][-1]["name"]
    shutil.rmtree(study / name)
    return str(name)


def test_the_report_of_a_study_lies_in_its_folder(study: Path) -> None:
    result = run("report", study, "--format", "json")
    assert result.exit_code == 0, result.output
    content = json.loads((study / "report.json").read_text())
    assert content["title"].endswith("in Mg(S,Se): structures and energies")
    (alloy,) = content["alloys"]
    rows = {row["supercell"]: row for row in alloy["supercells"]["rows"]}
    assert set(rows) == {"Mg16Se1S15-1", "Mg16Se2S14-1"}
    assert rows["Mg16Se1S15-1"]["held"] == "S 0.938, Se 0.062"
    assert rows["Mg16Se1S15-1"]["lattice_change_percent"]
    assert {answer["defect"] for answer in content["answers"]} == {"v_Mg_S6_0", "v_Mg_S5Se_0"}
    assert len(alloy["tables"][-1]["rows"]) == len(content["sections"]) == 4


def test_supercells_that_were_not_begun_are_noted(study: Path) -> None:
    name = not_begun(study)
    result = run("report", study)
    assert result.exit_code == 0, result.output
    assert f"Note: {name}" in result.stderr
    assert "has not been begun" in " ".join(result.stderr.split())
    assert "1 of 2 supercells has not come to its defects." in result.stdout


def test_a_coarse_study_becomes_the_baselines_by_supercell(study: Path, template: Path, tmp_path: Path) -> None:
    """The search is compared with itself here: the same minima, nothing saved."""
    result = run("report", study, "--reference-only", template, "-o", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "r.json").read_text())
    comparison = content["alloys"][0]["tables"][0]
    assert comparison["key"].endswith("alloy-comparison")
    assert [row["fine_less_coarse_eV"] for row in comparison["rows"]] == pytest.approx([0.0] * len(content["answers"]))
    assert not any("not the ground state" in answer["sentence"] for answer in content["answers"])


def test_a_supercell_is_shown_once(study: Path, tmp_path: Path) -> None:
    inside = study / "Mg16Se1S15-1"
    result = run("report", study, inside, "-o", tmp_path / "r.md")
    assert result.exit_code == 2
    assert "is given 2 times" in " ".join(result.stderr.split())
    assert run("report", inside, "-o", tmp_path / "r.md").exit_code == 0
    result = run("view", "--no-open", study, study)
    assert result.exit_code == 2
    assert "is given 2 times" in " ".join(result.stderr.split())


def test_a_study_before_its_first_defects_says_so(study: Path) -> None:
    for name in ("Mg16Se1S15-1", "Mg16Se2S14-1"):
        shutil.rmtree(study / name)
    result = run("report", study)
    assert result.exit_code == 2
    assert "No supercell of" in " ".join(result.stderr.split())
    live = LiveReport([study])
    assert "No supercell of" in live.page()
    told = json.loads(live.progress())
    assert told["finished"] is False
    assert "2 of 2 supercells have not come to their defects" in told["lines"]


def test_a_view_goes_on_until_the_last_supercell_has_been_searched(study: Path, template: Path) -> None:
    name = not_begun(study)
    live = LiveReport([study])
    before = json.loads(live.progress())
    assert before["finished"] is False
    assert "1 of 2 supercells has not come to its defects" in before["lines"]
    assert 'id="alloys"' in live.page()
    shutil.copytree(template / name, study / name)
    assert version_of([study]) != before["version"]
    live.page()
    after = json.loads(live.progress())
    assert after["finished"] is True
    assert not any("supercells" in line for line in after["lines"])


def test_a_manifest_that_cannot_be_read_is_an_error(study: Path) -> None:
    live = LiveReport([study])
    live.page()
    (study / "alloy.json").write_text("{")
    result = run("report", study)
    assert result.exit_code == 2
    assert "cannot be read" in " ".join(result.stderr.split())
    assert "cannot be read" in live.page()
    assert json.loads(live.progress())["finished"] is False
