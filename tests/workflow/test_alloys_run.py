"""Going on with a study, what it refuses, and where its lattices come from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from pymatgen.core import Structure

from conftest import model
from defectscout.core.errors import (
    AlloyError,
    CampaignError,
    DefectscoutError,
    NothingFoundError,
    SettingsError,
    UnsupportedElementError,
)
from defectscout.core.progress import SilentProgress
from defectscout.hosts.substitution import occupation
from defectscout.workflow.alloys.lattices import end_members, settled_lattice
from defectscout.workflow.alloys.run import AlloyResult, check_outcomes, member_settings, prepare_alloy, search_alloy
from defectscout.workflow.alloys.settings import AlloySettings, compositions
from defectscout.workflow.alloys.study import read_study
from defectscout.workflow.campaign import RECORD_NAME, read_campaign
from defectscout.workflow.record import Record
from defectscout.workflow.serial import host_from_json
from defectscout.workflow.settings import SearchSettings, read_toml
from listening import Listening
from workflow.alloy_parents import quick, write_parent
from workflow.killing import run_and_kill

EIGHTH = {"substitute": ("S:Se",), "x": (0.125,)}


def alloy(**settings: Any) -> AlloySettings:
    return AlloySettings.model_validate({**EIGHTH, **settings})


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return write_parent(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> AlloyResult:
    """A study of one composition, which tests look at and copy."""
    folder = tmp_path_factory.mktemp("finished")
    return search_alloy(write_parent(folder), folder / "study", alloy(), quick())


@pytest.fixture
def study(finished: AlloyResult, tmp_path: Path) -> Path:
    shutil.copytree(finished.folder, tmp_path / "study")
    return tmp_path / "study"


def calls(folder: Path) -> dict[str, int]:
    """Force calls that each campaign of a study has recorded."""
    counted = {}
    for path in sorted(folder.rglob(RECORD_NAME)):
        record = Record(path)
        tasks = [task for stage in ("host", "scout", "reference") for task in record.tasks(stage)]
        counted[path.parent.name] = sum(task.evaluations for task in tasks)
    return counted


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "defectscout.log"
    }


def test_compositions_and_realisations_are_added(parent: Path, study: Path) -> None:
    before = calls(study)
    manifest = read_study(study)
    progress = Listening()
    result = search_alloy(parent, study, alloy(x=(0.25, 0.125), realisations=2), quick(), progress)
    check_outcomes(result)
    names = [item.supercell.name for item in result.outcomes]
    assert len(names) == len(set(names)) >= 3
    assert set(before) - {"MgS", "MgSe"} < set(names)
    assert {name: number for name, number in calls(study).items() if name in before} == before
    (old,) = manifest.supercells
    assert next(item for item in read_study(study).supercells if item.name == old.name) == old
    assert not any("relaxing its lattice" in text for text in progress.messages)


def test_the_same_again_spends_nothing(parent: Path, study: Path) -> None:
    before, spent = contents(study), calls(study)
    result = search_alloy(parent, study, alloy(substitute=(" S : Se ",)), quick(reference={"workers": 2}))
    check_outcomes(result)
    assert calls(study) == spent
    changed = {name for name, content in contents(study).items() if before.get(name) != content}
    assert {Path(name).name for name in changed} <= {"alloy.json", "summary.json", "settings.toml", RECORD_NAME}


def test_a_study_is_moved_with_its_host(finished: AlloyResult, study: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = study.rename(elsewhere / "other-name")
    spent = calls(moved)
    search_alloy(write_parent(elsewhere), moved, alloy(), quick())
    assert calls(moved) == spent


@pytest.mark.parametrize(
    ("settings", "search", "message"),
    [
        ({"x": (0.25,)}, {}, r"has supercells that are not asked for now: Mg8Se1S7-1\. Nothing was changed"),
        ({"seed": 7}, {}, r"was started with other settings: alloy\.seed"),
        ({"shells": 2}, {}, r"other settings: alloy\.shells"),
        ({"sites": "all"}, {}, r"other settings: alloy\.sites"),
        ({"lattice": "vegard"}, {}, r"other settings: alloy\.lattice"),
        ({"substitute": ("S:Te",)}, {}, r"other settings: alloy\.substitute"),
        ({"substitute": ("S:Se", "Mg:Ca=0.5")}, {}, r"other settings: alloy\.substitute"),
        ({}, {"defects": {"select": ("v_S",)}}, r"other settings: defects\.select"),
        ({}, {"refinement": {"force": 0.02}}, r"other settings: refinement\.force"),
        ({}, {"reference": {"name": model("surrogate")}}, r"other settings: reference\.name"),
    ],
)
def test_other_settings_are_refused(
    parent: Path, study: Path, settings: dict[str, Any], search: dict[str, Any], message: str
) -> None:
    before = contents(study)
    with pytest.raises(CampaignError, match=message):
        search_alloy(parent, study, alloy(**settings), quick(**search))
    assert contents(study) == before


def test_another_host_is_refused(parent: Path, study: Path) -> None:
    write(parent, bulk("MgS", "rocksalt", a=5.9))
    with pytest.raises(CampaignError, match="holds a study of another host"):
        search_alloy(parent, study, alloy(), quick())


def test_supercells_of_other_versions_are_refused(parent: Path, study: Path) -> None:
    """A random number generator or a finder of neighbours may change; the old sites must not be mixed with new ones."""
    path = study / "alloy.json"
    text = path.read_text()
    path.write_text(text.replace('"sites": 6', '"sites": 5', 1))
    assert path.read_text() != text
    with pytest.raises(CampaignError, match=r"Mg8Se1S7-1 of the study in .* have other sites than the same settings"):
        search_alloy(parent, study, alloy(), quick())


def test_a_folder_of_something_else(parent: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CampaignError, match=r"not empty and holds no study of an alloy \(no alloy\.json\)"):
        search_alloy(parent, folder, alloy(), quick())
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    with pytest.raises(CampaignError, match="is a file"):
        search_alloy(parent, folder / "notes.txt", alloy(), quick())


def fails_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search in one supercell fails as one does whose reference gives nothing."""
    from defectscout.workflow.alloys import run

    real = run.search

    def search(host: Path, folder: Path, *arguments: Any, **options: Any) -> Any:
        if folder.name == name:
            raise NothingFoundError("No reference relaxation has given a structure.")
        return real(host, folder, *arguments, **options)

    monkeypatch.setattr(run, "search", search)


def test_one_that_fails_does_not_stop_the_others(parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_in("Mg8Se1S7-1", monkeypatch)
    progress = Listening()
    result = search_alloy(parent, tmp_path / "study", alloy(x=(0.125, 0.25)), quick(), progress)
    first, second = result.outcomes
    assert first.result is None
    assert isinstance(first.error, NothingFoundError)
    assert second.result is not None
    assert second.error is None
    assert any(text.startswith("Mg8Se1S7-1: No reference relaxation") for text in progress.warnings)
    with pytest.raises(NothingFoundError, match=r"1 of 2 supercells are without the answer.*Mg8Se1S7-1: No reference"):
        check_outcomes(result)
    monkeypatch.undo()
    monkeypatch.setenv("DEFECTSCOUT_STORE", str(tmp_path / "store"))
    check_outcomes(search_alloy(parent, tmp_path / "study", alloy(x=(0.125, 0.25)), quick()))


def test_an_end_member_that_fails_stops_the_study(parent: Path, tmp_path: Path) -> None:
    failing = quick(reference={"name": model("failing")})
    with pytest.raises(DefectscoutError, match=r"The host MgS \(16 atoms\) could not be relaxed"):
        search_alloy(parent, tmp_path / "study", alloy(), failing)


CODE = """
from pathlib import Path
from workflow.alloy_parents import quick
from defectscout.workflow.alloys.run import search_alloy
from defectscout.workflow.alloys.settings import AlloySettings
if __name__ == '__main__':
    search_alloy({host!r}, {folder!r}, AlloySettings(substitute=('S:Se',), x=(0.125,)), quick())
"""


@pytest.mark.parametrize(
    ("campaign", "where", "number"),
    [("end-members/MgSe", "stage = 'host'", 2), ("Mg8Se1S7-1", "stage = 'reference'", 3)],
)
def test_killed_and_run_again(
    parent: Path, finished: AlloyResult, tmp_path: Path, campaign: str, where: str, number: int
) -> None:
    folder = tmp_path / "study"
    code = CODE.format(host=str(parent), folder=str(folder))
    run_and_kill(code, folder / campaign, where, number, delay=0.2)
    result = search_alloy(parent, folder, alloy(), quick())
    check_outcomes(result)
    # No step was taken twice.
    assert calls(folder) == calls(finished.folder)
    assert lowest_energies(result) == pytest.approx(lowest_energies(finished), abs=1e-9)


def lowest_energies(result: AlloyResult) -> list[float]:
    found = [outcome.result for outcome in result.outcomes if outcome.result is not None]
    return [defect.minima[0].minimum.energy for item in found for defect in item.defects.values()]


# Lattices


def relaxed(campaign: Path) -> Structure:
    stored = Record(campaign / RECORD_NAME).read_document("host")
    assert stored is not None
    return host_from_json(stored).supercell


def started(folder: Path, name: str) -> Structure:
    return Structure.from_file(folder / "supercells" / f"{name}.vasp")


def test_a_supercell_is_relaxed_from_vegards_law(finished: AlloyResult) -> None:
    """Atoms keep their order and their sites on the way through file, campaign and relaxation."""
    (outcome,) = finished.outcomes
    name = outcome.supercell.name
    parent, (member,) = prepare_alloy(finished.study.source.name, finished.study.alloy, quick(), SilentProgress())
    start, end = started(finished.folder, name), relaxed(finished.folder / name)
    assert [s.specie.symbol for s in start] == [s.specie.symbol for s in member.alloy.structure]
    assert [s.specie.symbol for s in end] == [s.specie.symbol for s in start]
    difference = start.frac_coords - member.alloy.structure.frac_coords
    np.testing.assert_allclose(difference - np.round(difference), 0.0, atol=1e-12)
    difference = end.frac_coords - start.frac_coords
    assert 1e-4 < np.abs(difference - np.round(difference)).max() < 0.03
    assert end.volume != pytest.approx(start.volume, rel=1e-6)
    ends = end_members(finished.folder, parent, (), finished.study.alloy, quick(), SilentProgress())
    assert ends == ()


def test_kept_at_vegards_law(parent: Path, tmp_path: Path) -> None:
    result = search_alloy(parent, tmp_path / "study", alloy(lattice="vegard"), quick())
    check_outcomes(result)
    name = result.outcomes[0].supercell.name
    start, end = started(result.folder, name), relaxed(result.folder / name)
    np.testing.assert_allclose(end.lattice.matrix, start.lattice.matrix, atol=1e-12)
    assert np.abs(end.frac_coords - start.frac_coords).max() > 1e-4
    settings, _ = read_campaign(result.folder / name)
    assert settings.host.fixed_cell
    small, large = (relaxed(result.folder / "end-members" / item).lattice.matrix for item in ("MgS", "MgSe"))
    np.testing.assert_allclose(start.lattice.matrix, 0.875 * small + 0.125 * large, atol=1e-12)


def test_relaxed_with_the_surrogate(parent: Path, tmp_path: Path) -> None:
    own = quick(strategy="scout", surrogate={"name": model("reference")})
    result = search_alloy(parent, tmp_path / "study", alloy(lattice="surrogate"), own)
    check_outcomes(result)
    assert not (result.folder / "end-members").exists()
    name = result.outcomes[0].supercell.name
    start, end = started(result.folder, name), relaxed(result.folder / name)
    np.testing.assert_allclose(end.lattice.matrix, start.lattice.matrix, atol=1e-12)
    # The reference is the same model here, so that nothing is left to relax.
    np.testing.assert_allclose(end.frac_coords, start.frac_coords, atol=1e-3)


def test_without_a_reference(parent: Path, tmp_path: Path) -> None:
    """Positions by the surrogate, in the lattice of the user's end members; inputs are written."""
    files = []
    for formula, length in (("MgS", 5.9), ("MgSe", 6.1)):
        files.append(tmp_path / f"{formula}.vasp")
        write(files[-1], bulk(formula, "rocksalt", a=length), format="vasp")
    own = quick(strategy="scout", surrogate={"name": model("reference")}, reference={"name": "none"})
    result = search_alloy(parent, tmp_path / "study", alloy(end_members=tuple(files)), own)
    assert [item.error for item in result.outcomes] == [None]
    name = result.outcomes[0].supercell.name
    start, end = started(result.folder, name), relaxed(result.folder / name)
    length = (0.875 * 5.9 + 0.125 * 6.1) * np.sqrt(2)
    assert start.lattice.abc == pytest.approx((length,) * 3, abs=1e-6)
    np.testing.assert_allclose(end.frac_coords, start.frac_coords, atol=1e-9)
    ideal = prepare_alloy(parent, alloy(end_members=tuple(files)), own, SilentProgress())[1][0].alloy.structure
    assert np.abs(start.frac_coords - ideal.frac_coords).max() > 1e-4
    assert list((result.folder / name / "inputs").rglob("POSCAR"))


def test_files_of_end_members_are_checked_before_anything_is_written(parent: Path, tmp_path: Path) -> None:
    only = tmp_path / "MgS.vasp"
    write(only, bulk("MgS", "rocksalt", a=5.9), format="vasp")
    with pytest.raises(DefectscoutError, match="MgSe"):
        search_alloy(parent, tmp_path / "study", alloy(end_members=(only,)), quick())
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("settings", "search", "expected"),
    [
        ({}, {}, "reference"),
        ({"lattice": "vegard"}, {}, "vegard"),
        ({"lattice": "surrogate"}, {"strategy": "scout"}, "surrogate"),
        ({"end_members": ("a.cif",)}, {}, "reference"),
        ({"end_members": ("a.cif",)}, {"strategy": "scout", "reference": {"name": "none"}}, "vegard"),
        ({"lattice": "surrogate"}, {"strategy": "scout", "reference": {"name": "none"}}, "surrogate"),
    ],
)
def test_where_the_lattice_comes_from(settings: dict[str, Any], search: dict[str, Any], expected: str) -> None:
    assert settled_lattice(alloy(**settings), quick(**search)) == expected


@pytest.mark.parametrize(
    ("settings", "search", "error", "message"),
    [
        ({}, {"strategy": "scout", "reference": {"name": "none"}}, SettingsError, "There is no reference to relax"),
        (
            {"lattice": "reference", "end_members": ("a.cif",)},
            {"strategy": "scout", "reference": {"name": "none"}},
            SettingsError,
            "There is no reference to relax",
        ),
        ({"lattice": "surrogate"}, {}, SettingsError, "--lattice surrogate and --reference-only exclude each other"),
        (
            {"lattice": "surrogate", "end_members": ("a.cif",)},
            {"strategy": "scout"},
            SettingsError,
            "--lattice surrogate and --end-member exclude each other",
        ),
        ({}, {"host": {"keep": True}}, SettingsError, "host.keep does not go with an alloy"),
        ({}, {"host": {"fixed_cell": True}}, SettingsError, "host.fixed_cell does not go with an alloy"),
        ({}, {"supercell": {"matrix": None, "as_given": True}}, SettingsError, "supercell.as_given does not go"),
        ({}, {"strategy": "scout", "surrogate": {"name": "7net-0"}}, UnsupportedElementError, "Po"),
        ({"x": (0.01,)}, {}, AlloyError, "the nearest composition is S 1, Se 0"),
    ],
)
def test_bad_input_is_found_before_anything_is_written(
    parent: Path, tmp_path: Path, settings: dict[str, Any], search: dict[str, Any], error: type[Exception], message: str
) -> None:
    if "Po" in message:
        pytest.importorskip("sevenn")
        settings = {"substitute": ("S:Po",)}
    with pytest.raises(error, match=message):
        search_alloy(parent, tmp_path / "study", alloy(**settings), quick(**search))
    assert not (tmp_path / "study").exists()


def test_the_settings_of_a_campaign_are_written_as_toml(finished: AlloyResult) -> None:
    folder = finished.folder / finished.outcomes[0].supercell.name
    settings, _ = read_campaign(folder)
    assert len(settings.defects.sites) == 2
    assert read_toml(folder / "settings.toml", SearchSettings()) == settings


def test_vegards_law_of_three_species_and_two_sublattices(parent: Path) -> None:
    """Against the sum over all end members, written out."""
    from defectscout.hosts.vegard import vegard_lattice, weights
    from defectscout.workflow.alloys.settings import corners

    settings = AlloySettings(substitute=("S:Se=0.25,Te=0.25", "Mg:Ca=0.5"))
    host, (member,) = prepare_alloy(parent, settings, quick(defects={"select": ("cation-vacancies",)}), Listening())
    (substitutions,) = compositions(settings)
    held = tuple(occupation(host.supercell, item) for item in substitutions)
    assert member.alloy.occupations == held
    ends = corners(held)
    assert len(ends) == 6
    shares = weights(held, ends)
    assert shares.sum() == pytest.approx(1.0)
    size = {"S": 5.2, "Se": 5.5, "Te": 6.0, "Mg": 0.0, "Ca": 0.4}
    lattices = [np.eye(3) * (size[end["S"]] + size[end["Mg"]]) for end in ends]
    expected = 0.5 * 5.2 + 0.25 * 5.5 + 0.25 * 6.0 + 0.5 * 0.4
    np.testing.assert_allclose(vegard_lattice(lattices, shares), np.eye(3) * expected, atol=1e-12)


def test_the_settings_of_a_member(parent: Path) -> None:
    settings = quick()
    _, (member,) = prepare_alloy(parent, alloy(), settings, SilentProgress())
    own = member_settings(member, alloy(), settings)
    assert own.supercell.as_given
    assert own.supercell.matrix is None
    assert not own.host.fixed_cell
    assert own.defects.sites == member.sites
    assert SearchSettings.model_validate(own.model_dump()) == own  # what a campaign records can be read back
    assert own.reference == settings.reference
