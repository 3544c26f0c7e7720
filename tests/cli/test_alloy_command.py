"""`defectscout alloy` as its user sees it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import model
from defectscout.cli.main import app


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error(result: Result) -> str:
    """The message in one line; of warnings before it nothing."""
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split()).rpartition("Error: ")[2]


METHODS = ("-s", model("surrogate"), "-r", model("reference"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--substitute", "S:Se", "--x", "1.2"), "a share of 1.2 is impossible: x lies between 0 and 1"),
        (("--substitute", "S:Se", "--x", "-0.1"), "a share of -0.1 is impossible"),
        (("--substitute", "S:Se", "--x", "half"), "expected shares separated by commas"),
        (("--substitute", "S:Se", "--x", "0.5,0.5"), "a share is given twice"),
        (("--substitute", "S:Se=1.5"), "A fraction of 1.5 for Se is impossible"),
        (("--substitute", "S:Se=0.7,Te=0.7"), "sum to 1.4"),
        (("--substitute", "S:Se"), "No share is given for Se"),
        (("--x", "0.5"), "No substitution is given|every substitution has its share"),
        (("--substitute", "S=Se", "--x", "0.5"), "'S=Se' is no substitution"),
        (("--substitute", "O:Se", "--x", "0.5"), "MgS contains no O"),
        (("--substitute", "S:Mg", "--x", "0.5"), "Mg has sites of its own in MgS"),
        (("--substitute", "S:S", "--x", "0.5"), "S cannot be substituted by itself"),
        (("--substitute", "S:Xx", "--x", "0.5"), "'Xx' is no chemical element"),
        (("--substitute", "S:Se", "--x", "0.001"), "the nearest composition is S 1, Se 0"),
        (("--substitute", "S:Se", "--x", "0.3", "--exact"), "cannot hold the composition exactly. The nearest is"),
        (("--substitute", "S:Se", "--x", "0.5", "-d", "v_S_Mg5"), "selects no defect"),
        (("--substitute", "S:Se", "--x", "0.5", "--coarse", "--set", "sampling.pairs=true"), "exclude each other"),
        (("--substitute", "S:Se", "--x", "0.5", "-r", "none"), "There is no reference to relax the alloy's lattice"),
        (("--substitute", "S:Se", "--x", "0.5", "--reference-only", "--lattice", "surrogate"), "exclude each other"),
    ],
)
def test_bad_input_is_one_paragraph_and_nothing_is_written(
    model_host: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    said = error(run("alloy", model_host, "-o", tmp_path / "out", *METHODS, *options))
    assert re.search(says, said), said
    assert not (tmp_path / "out").exists()


def test_a_surrogate_that_lacks_an_element_is_refused(model_host: Path, tmp_path: Path) -> None:
    result = run("alloy", model_host, "--substitute", "S:Se=0.5,Po=0.2", "-s", "7net-0", "-o", tmp_path / "out")
    assert "Po" in error(result)
    assert not (tmp_path / "out").exists()


def test_defects_made_elsewhere_are_no_host(tmp_path: Path) -> None:
    file = tmp_path / "defects.json"
    file.write_text('{"@module": "doped.generation", "@class": "DefectsGenerator"}')
    said = error(run("alloy", file, "--substitute", "S:Se", "--x", "0.5", "-o", tmp_path / "out", *METHODS))
    assert "holds defects that were made elsewhere" in said


def test_a_dry_run_lists_sites_and_writes_nothing(model_host: Path, tmp_path: Path) -> None:
    result = run(
        "alloy", model_host, "--substitute", "S:Se", "--x", "0.25,0.5", "-d", "v_Mg_S3Se3", "--no-learn", "--dry-run",
        "--json", "-q", "-o", tmp_path / "out", *METHODS,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [item["supercell"]["occupations"][0]["asked"] for item in found["supercells"]] == [
        [["S", 0.75], ["Se", 0.25]],
        [["S", 0.5], ["Se", 0.5]],
    ]
    # 15 pairs of six neighbours, five distortions each, and the unperturbed structure.
    sampled = {defect["sampling"] for item in found["supercells"] for defect in item["plan"]["defects"]}
    assert sampled == {76}
    assert found["sampling"] == 76 * found["sites"]
    assert not (tmp_path / "out").exists()


def test_a_study_ends_in_tables_by_site(model_host: Path, tmp_path: Path) -> None:
    arguments = (
        "alloy", model_host, "--substitute", "S:Se", "-d", "v_Mg", "--no-learn", "--coarse", "--distortions", "-0.4",
        "--set", "host.rattle=0", "-o", tmp_path / "out", *METHODS,
    )  # fmt: skip
    first = run(*arguments, "--x", "0.05")
    assert first.exit_code == 0, first.output
    with (tmp_path / "out" / "alloy-sites.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["defect"] for row in rows} >= {"v_Mg_S6_0", "v_Mg_S5Se_0"}
    assert sum(int(row["sites"]) for row in rows) == rows_of_magnesium(tmp_path / "out")
    again = run(*arguments, "--x", "0.05", "--json", "-q")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["failed"] == {}


def rows_of_magnesium(folder: Path) -> int:
    study = json.loads((folder / "alloy.json").read_text())["study"]
    formula = study["supercells"][0]["formula"]
    return int(re.match(r"Mg(\d+)", formula)[1])  # type: ignore[index]
