"""`defectscout analyse` as its user sees it, on campaigns of the model crystal."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import model
from defectscout.cli.main import app
from defectscout.hosts.substitution import Occupation
from defectscout.reporting.analysis_names import ALL, names_of
from defectscout.reporting.analysis_names import AnalysisName as What
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.alloys.study import SearchedSite, StudiedSupercell, Study, write_study
from defectscout.workflow.campaign import read_campaign
from defectscout.workflow.settings import merge

TABLES = {
    What.BONDS: "Excess charge and the bonds that it makes",
    What.MOTIFS: "Reconstruction motifs",
    What.LOWERINGS: "Energy lowering of each defect",
    What.DISTORTIONS: "Where the starts led",
    What.MAP: "Structures on the map",
    What.ELEMENTS: "Element coverage",
    What.FUNNEL: "The search funnel",
    What.PATHS: "Relaxations",
}


def run(*arguments: str | Path, columns: int = 120) -> Result:
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)}, terminal_width=columns
    )
    assert "Traceback" not in result.output
    return result


def analyse(*arguments: str | Path, columns: int = 120) -> Result:
    result = run("analyse", *arguments, columns=columns)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: str | Path, code: int = 2) -> str:
    result = run("analyse", *arguments)
    assert result.exit_code == code, result.output
    assert "Error: " in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ase.build import bulk
    from ase.io import write

    path = tmp_path_factory.mktemp("host") / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path


def succeeded(*arguments: str | Path) -> None:
    result = run(*arguments, "-q")
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def campaigns(host: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that the surrogate has scouted and whose reference has not been asked, and one that went on from there."""
    folder = tmp_path_factory.mktemp("campaigns")
    unfinished, scouted = folder / "unfinished", folder / "scouted"
    models = ["--surrogate", model("surrogate"), "--reference", model("reference")]
    succeeded("sample", host, "-o", unfinished, "--distortions", "-0.6", *models)
    succeeded("scout", unfinished)
    shutil.copytree(unfinished, scouted)
    succeeded("resume", scouted)
    return unfinished, scouted


@pytest.fixture(scope="module")
def unfinished(campaigns: tuple[Path, Path]) -> Path:
    return campaigns[0]


@pytest.fixture(scope="module")
def scouted(campaigns: tuple[Path, Path]) -> Path:
    return campaigns[1]


@pytest.fixture(scope="module")
def reference_only(host: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaigns") / "only"
    options = ["--reference-only", "--reference", model("reference"), "--distortions", "-0.6"]
    succeeded("search", host, "-o", folder, *options)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_analysis_has_its_name() -> None:
    assert set(TABLES) == set(What) - {What.ALLOY}  # which takes no campaigns, see below
    assert names_of(ALL) == tuple(What)
    assert all(names_of(name.value) == (name,) for name in What)
    words = run("analyse", "--help", columns=200).stdout
    assert all(f"{name.value}: " in words for name in What)


@pytest.mark.parametrize("what", TABLES)
def test_each_analysis_is_printed_and_the_campaign_left_alone(what: What, scouted: Path) -> None:
    if what is What.MAP:
        pytest.importorskip("sklearn")
    before = contents(scouted)
    printed = analyse(what.value, scouted).stdout
    assert TABLES[what] in printed
    assert "Wrote" not in printed
    assert "not finished" not in printed
    assert contents(scouted) == before


def test_lowerings_say_the_energy_that_the_search_found(scouted: Path) -> None:
    answer = json.loads((scouted / "summary.json").read_text())["defects"]["v_Mg_0"]
    (row,) = json.loads(analyse("lowerings", scouted, "--json").stdout)["tables"]["lowerings"]
    assert row["lowering_eV"] == pytest.approx(answer["minima"][0]["energy_lowering_eV"], abs=1e-4)
    assert (row["host"], row["defect"], row["finished"]) == ("MgS", "v_Mg_0", True)


def test_csv_is_one_table_on_standard_output(scouted: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(analyse("distortions", scouted, "--csv").stdout)))
    assert [row["start"] for row in rows] == ["Bond_Distortion_-60.0%", "Unperturbed"]
    assert float(rows[0]["distortion_percent"]) == -60.0


def test_the_reference_only_search_is_compared_with(scouted: Path, reference_only: Path) -> None:
    alone = json.loads(analyse("funnel", scouted, "--json").stdout)["tables"]
    assert alone["times"][0]["estimated"] is True
    assert alone["funnel"][0]["ground_state_found"] is None
    beside = json.loads(analyse("funnel", scouted, "--reference-only", reference_only, "--json").stdout)["tables"]
    assert len(beside["funnel"]) == 1  # what is compared with is not analysed itself
    assert beside["times"][0]["estimated"] is False
    assert beside["funnel"][0]["ground_state_found"] is True
    assert beside["funnel"][0]["difference_eV"] < 0.02
    among = json.loads(analyse("funnel", scouted, reference_only, "--json").stdout)["tables"]
    assert len(among["funnel"]) == 2
    assert among["times"] == [beside["times"][0] | {"host": "MgS (scouted)"}]
    series = json.loads(analyse("distortions", scouted, "--reference-only", reference_only, "--json").stdout)
    assert {row["search"] for row in series["tables"]["distortions"]} == {"scouted, then reference", "reference only"}


def test_campaigns_of_one_host_are_told_apart(scouted: Path, reference_only: Path) -> None:
    answer = json.loads(analyse("lowerings", scouted, reference_only, "--json").stdout)
    assert {row["host"] for row in answer["tables"]["lowerings"]} == {"MgS (scouted)", "MgS (only)"}
    assert any("MgS is the host of 2 campaigns" in note for note in answer["notes"])
    elements = json.loads(analyse("elements", scouted, reference_only, "--json").stdout)["tables"]["elements"]
    assert {row["element"]: row["hosts"] for row in elements} == {"Mg": 1, "S": 1}


def test_all_writes_every_figure_where_it_is_asked_to(
    scouted: Path, reference_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    before = contents(scouted)
    printed = analyse("all", scouted, "--reference-only", reference_only, "-o", "figures", "--by", "stage").stdout
    folder = tmp_path / "figures"
    for stem in ("bonds", "motifs", "motif-examples", "lowerings", "distortions", "structure-map", "elements", "funnel",
                 "times", "paths"):  # fmt: skip
        for suffix in (".png", ".svg", ".csv"):
            assert (folder / f"{stem}{suffix}").stat().st_size > 0
            assert f"Wrote {Path('figures') / stem}{suffix}" in printed
    for stem in ("bond-shares", "motif-counts", "lowering-shares", "relaxations"):
        assert f"Wrote {Path('figures') / stem}.csv" in printed
    assert {str(path.relative_to(tmp_path)) for path in folder.iterdir()} == {
        line.removeprefix("Wrote ") for line in printed.splitlines() if line.startswith("Wrote ")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]
    assert contents(scouted) == before
    for title in TABLES.values():
        assert title in printed
    assert "alloy" not in printed  # a campaign is none


def test_an_unfinished_campaign_is_shown_and_said_to_be(unfinished: Path, tmp_path: Path) -> None:
    for what in (What.BONDS, What.LOWERINGS, What.DISTORTIONS, What.FUNNEL, What.PATHS, What.ELEMENTS):
        printed = " ".join(analyse(what.value, unfinished).stdout.split())
        assert f"{unfinished} has not finished. It waits: v_Mg_0 for" in printed
    pytest.importorskip("matplotlib")
    answer = json.loads(analyse("funnel", unfinished, "-o", tmp_path / "out", "--json").stdout)
    assert answer["campaigns"][0]["finished"] is False
    assert answer["tables"]["times"] == []
    assert any("no acceleration to draw" in note for note in answer["notes"])
    assert (tmp_path / "out" / "funnel.png").exists()
    assert not (tmp_path / "out" / "times.png").exists()


def test_nothing_is_cut_off_on_a_narrow_terminal(scouted: Path, reference_only: Path) -> None:
    printed = analyse("funnel", scouted, "--reference-only", reference_only, columns=40).stdout
    for heading in ("structures", "candidates", "symmetry", "estimated", "scouting", "finished"):
        assert heading in printed


def test_only_what_draws_needs_matplotlib(scouted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for what in (What.BONDS, What.FUNNEL, What.PATHS):
        analyse(what.value, scouted)
    assert "defectscout[report]" in refused("bonds", scouted, "-o", tmp_path / "out")


def test_without_scikit_learn_all_says_what_is_missing(scouted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for part in ("sklearn.decomposition", "sklearn.manifold", "sklearn.preprocessing"):
        monkeypatch.setitem(sys.modules, part, None)
    assert "scikit-learn" in refused("map", scouted)
    printed = " ".join(analyse("all", scouted).stdout.split())
    assert "No map: " in printed
    assert "Relaxations" in printed


def test_two_reference_only_searches_of_one_host_are_one_too_many(
    scouted: Path, reference_only: Path, tmp_path: Path
) -> None:
    shutil.copytree(reference_only, tmp_path / "again")
    options = ["--reference-only", reference_only, "--reference-only", tmp_path / "again"]
    assert "Give one for each host" in refused("funnel", scouted, *options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bonds", "nowhere"], "no campaign"),
        (["bonds", "{scouted}", "--reference-only", "nowhere"], "no campaign"),
        (["bonds", "{scouted}", "{scouted}/../scouted"], "given 2 times"),
        (["funnel", "{scouted}", "--reference-only", "{scouted}"], "no reference-only search"),
        (["bonds", "{scouted}", "--features", "soap"], "belong to the analyses `map` and `all`"),
        (["bonds", "{scouted}", "--by", "host"], "belong to the analyses `map` and `all`"),
        (["bonds", "{scouted}", "--json", "--csv"], "exclude each other"),
        (["all", "{scouted}", "--csv"], "--csv prints one table"),
        (["map", "{scouted}", "--features", "surrogate"], "surrogate"),
        (["bonds", "{scouted}", "-o", "{scouted}/settings.toml/figures"], "Cannot write"),
    ],
)
def test_bad_input_is_a_paragraph_and_exit_code_2(
    arguments: list[str], words: str, scouted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(*(argument.replace("{scouted}", str(scouted)) for argument in arguments))
    assert not list(tmp_path.iterdir())


def test_one_folder_under_two_names_is_noticed(scouted: Path, reference_only: Path, tmp_path: Path) -> None:
    link = tmp_path / "again"
    link.symlink_to(reference_only)
    assert "given 2 times" in refused("funnel", scouted, "--reference-only", reference_only, "--reference-only", link)


def test_what_is_not_there_is_refused_by_name(scouted: Path) -> None:
    told = refused("bond", scouted)
    assert "There is no analysis 'bond'. There are: bonds, motifs" in told
    assert "alloy, and all for all of them" in told


# Studies of alloys


def made_study(folder: Path, *campaigns: Path) -> Path:
    """A study whose supercells are campaigns of the model crystal: MgS in which no Se stands on a sulfur site."""
    folder.mkdir()
    settings, source = read_campaign(campaigns[0])
    supercells = []
    for realisation, campaign in enumerate(campaigns, start=1):
        name = f"Mg32S32-{realisation}"
        shutil.copytree(campaign, folder / name)
        site = SearchedSite(0, "Mg", "S6", "S6", 32, 1.0, ("v_Mg_0",))
        held = (Occupation("S", (("S", 1.0), ("Se", 0.0)), (("S", 32), ("Se", 0))),)
        supercells.append(StudiedSupercell(name, "Mg32S32", held, realisation, (site,)))
    waiting = StudiedSupercell("Mg32S31Se1-1", "Mg32S31Se1", (Occupation("S", (("S", 31 / 32), ("Se", 1 / 32)),
                               (("S", 31), ("Se", 1))),), 1, ())  # fmt: skip
    alloy = AlloySettings(substitute=("S:Se",), x=(0.0, 1 / 32))
    write_study(folder, Study(source, alloy, merge(settings, {}, "test"), (*supercells, waiting)))
    return folder


@pytest.fixture(scope="module")
def study(scouted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("studies") / "fine", scouted)


@pytest.fixture(scope="module")
def coarse_study(reference_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("studies") / "coarse", reference_only)


def test_a_study_is_analysed_and_left_alone(study: Path) -> None:
    before = contents(study)
    printed = " ".join(analyse("alloy", study).stdout.split())
    assert "Defects of Mg(S,Se) by site" in printed
    assert "Ground states of Mg(S,Se) by environment" in printed
    assert "Coarse and fine" not in printed
    assert f"{study}: Mg32S31Se1-1 (S 0.969, Se 0.031) has not been begun." in printed
    assert printed.count("has not been begun") == 1
    assert contents(study) == before


def test_a_study_is_compared_with_a_coarse_one(study: Path, coarse_study: Path, scouted: Path) -> None:
    answer = json.loads(analyse("alloy", study, "--reference-only", coarse_study, "--json").stdout)
    (row,) = answer["tables"]["alloy-comparison"]
    (site,) = answer["tables"]["alloy-sites"]
    beside = json.loads(analyse("funnel", study, "--reference-only", coarse_study, "--json").stdout)
    (funnel,) = beside["tables"]["funnel"]
    assert row["fine_less_coarse_eV"] == pytest.approx(funnel["difference_eV"])
    assert row["verdict"] in ("same", "lower")
    assert (site["x"], site["environment"], site["supercell"]) == (0.0, "S6", "Mg32S32-1")
    summary = json.loads((scouted / "summary.json").read_text())["defects"]["v_Mg_0"]
    assert site["minima"] == len(summary["minima"])
    assert any("Mg32S31Se1-1 is not compared with" in note for note in answer["notes"])


def test_studies_are_analysed_one_at_a_time(study: Path, coarse_study: Path) -> None:
    answer = json.loads(analyse("alloy", study, coarse_study, "--json").stdout)
    assert {"alloy-sites-fine", "alloy-sites-coarse", "alloy-comparison-fine"} <= set(answer["tables"])
    assert "alloy-comparison-coarse" not in answer["tables"]  # the baseline is not measured against itself
    assert "--csv prints one table" in refused("alloy", study, coarse_study, "--csv")
    rows = list(csv.DictReader(io.StringIO(analyse("alloy", study, "--csv").stdout)))
    assert [row["environment"] for row in rows] == ["S6"]


@pytest.mark.parametrize("what", [what for what in TABLES if what is not What.MAP])
def test_every_analysis_takes_the_campaigns_of_a_study(what: What, study: Path, scouted: Path) -> None:
    def tables(folder: Path) -> object:
        return json.loads(analyse(what.value, folder, "--json").stdout)["tables"]

    assert tables(study) == tables(scouted)


def test_further_realisations_are_other_hosts(scouted: Path, reference_only: Path, tmp_path: Path) -> None:
    both = made_study(tmp_path / "both", scouted, scouted)
    rows = json.loads(analyse("lowerings", both, "--json").stdout)["tables"]["lowerings"]
    assert [row["host"] for row in rows] == ["MgS", "MgS (2)"]
    coarse = made_study(tmp_path / "coarse", reference_only, reference_only)
    times = json.loads(analyse("funnel", both, "--reference-only", coarse, "--json").stdout)["tables"]["times"]
    assert [row["estimated"] for row in times] == [False, False]
    alone = ["funnel", both / "Mg32S32-2", "--reference-only", coarse / "Mg32S32-2", "--json"]
    assert json.loads(analyse(*alone).stdout)["tables"]["times"][0]["host"] == "MgS (2)"


def test_all_of_a_study_has_its_figures(study: Path, coarse_study: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    before = contents(study)
    printed = analyse("all", study, "--reference-only", coarse_study, "-o", tmp_path / "figures").stdout
    for stem in ("alloy-sites", "alloy-environments", "alloy-comparison", "bonds", "funnel"):
        for suffix in (".png", ".svg", ".csv"):
            assert (tmp_path / "figures" / f"{stem}{suffix}").stat().st_size > 0
    assert "Coarse and fine searches of Mg(S,Se)" in printed
    assert contents(study) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alloy", "{scouted}"], "holds no study of an alloy"),
        (["alloy", "{study}", "--reference-only", "{scouted}"], "holds no study of an alloy"),
        (["alloy", "{study}", "--reference-only", "{study}"], "no reference-only search"),
        (["alloy", "{study}", "{study}"], "given 2 times"),
        (["bonds", "{study}", "{study}/Mg32S32-1"], "given 2 times"),
        (["alloy", "{study}", "--by", "host"], "belong to the analyses"),
    ],
)
def test_bad_studies_are_refused(arguments: list[str], words: str, scouted: Path, study: Path) -> None:
    folders = {"{scouted}": str(scouted), "{study}": str(study)}
    filled = []
    for argument in arguments:
        for name, folder in folders.items():
            argument = argument.replace(name, folder)
        filled.append(argument)
    assert words in refused(*filled)


def test_a_study_without_any_defect_says_how_to_go_on(study: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(study / "alloy.json", empty)
    told = refused("bonds", empty, code=3)
    assert "There is no defect to analyse yet." in told
    assert "has not been begun" in told


def test_a_campaign_of_a_damaged_study_can_be_looked_at(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "study")
    (tmp_path / "study" / "alloy.json").write_text("{")
    analyse("lowerings", tmp_path / "study" / "Mg32S32-1")
    assert "cannot be read" in refused("lowerings", tmp_path / "study")
