"""Building datasets: sources in, one file out, all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from defectscout.core.errors import DatasetError, InputFileError
from defectscout.learning.cleaning import FORCE
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import DefectId, SiteRecord
from defectscout.learning.readers import SourceDefaults
from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings, SplitSettings
from defectscout.workflow.dataset import BuildReport, build_dataset, export_dataset, inspect_dataset, split_dataset
from learning.toy_relaxations import frame, origin, toy_sources, vacancy_relaxation, write_extxyz

NOTHING_SAID = SourceDefaults()
LOOSE = CleaningSettings(max_force=None, max_energy_above_ground_state=None)


def build(
    sources: list[Path],
    out: Path,
    cleaning: CleaningSettings = LOOSE,
    sampling: FrameSamplingSettings | None = None,
    defaults: SourceDefaults = NOTHING_SAID,
) -> BuildReport:
    return build_dataset(sources, out, cleaning, sampling or FrameSamplingSettings(frames_per_relaxation=4), defaults)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return toy_sources(tmp_path / "relaxations")


def test_a_folder_becomes_a_dataset(sources: Path, tmp_path: Path) -> None:
    report = build([sources], tmp_path / "data.db")
    summary = report.summary
    assert (summary.frames, summary.selected) == (22, 14)
    assert (summary.hosts, summary.elements, summary.methods) == (("MgS",), ("Mg", "S"), ("model",))
    vacancy = next(item for item in summary.defects if item.defect_id.defect == "v_Mg")
    assert (vacancy.n_atoms, vacancy.relaxations, vacancy.frames, vacancy.selected) == ((63,), 2, 16, 8)
    energies = [a.get_potential_energy() for seed in (0, 1) for a in vacancy_relaxation(seed, 8)]
    assert vacancy.energy_range == pytest.approx(max(energies) - min(energies))
    assert inspect_dataset(tmp_path / "data.db") == summary
    with Dataset.open(tmp_path / "data.db") as dataset:
        (row,) = (r for r in dataset.index() if r.origin.start == "Rattled_1" and r.origin.step == 7)
        assert row.selected
        (stored,) = dataset.frames([row.row])
        settings = json.loads(dataset.read_document("settings") or "")
    original = vacancy_relaxation(1, 8)[7]
    np.testing.assert_allclose(stored.prediction.forces, original.get_forces(), atol=1e-7)
    np.testing.assert_allclose(stored.prediction.stress, original.get_stress(), atol=1e-7)
    assert settings["sampling"]["frames_per_relaxation"] == 4
    assert settings["sources"] == [str(sources)]


def test_what_cleaning_took_is_counted_by_rule_and_defect(sources: Path, tmp_path: Path) -> None:
    forces = sorted(np.linalg.norm(a.get_forces(), axis=1).max() for s in (0, 1) for a in vacancy_relaxation(s, 8))
    cap = (forces[-3] + forces[-4]) / 2
    report = build([sources], tmp_path / "data.db", LOOSE.model_copy(update={"max_force": cap}))
    (removal,) = report.cleaning.removals
    assert (removal.rule, removal.defect_id.defect, removal.frames, removal.of) == (FORCE, "v_Mg", 3, 16)
    with Dataset.open(tmp_path / "data.db") as dataset:
        index = dataset.index()
    assert len(index) == 22  # what is out is still there, for judging minima
    assert sum(row.dropped == FORCE for row in index) == 3
    assert not any(row.selected and row.dropped for row in index)


def test_a_dataset_is_a_source_and_is_cleaned_anew(sources: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    build([sources], first, CleaningSettings(max_force=1.0))
    site = SiteRecord(DefectId("MgS", "v_Mg", 0, "model"), "vacancy", (0.0, 0.0, 0.0))
    Dataset.open(first).write_site(site)
    report = build([first], second)
    assert report.summary.frames == 22
    assert not report.summary.dropped
    assert Dataset.open(second).sites() == {site.defect_id: site}
    renamed = build([first], tmp_path / "third.db", defaults=SourceDefaults(method="other"))
    assert renamed.summary.methods == ("other",)
    assert all(item.has_site == (not item.defect_id.is_bulk) for item in renamed.summary.defects)


def test_a_second_build_has_the_same_digest(sources: Path, tmp_path: Path) -> None:
    assert (
        build([sources], tmp_path / "a.db").summary.digest == build([sources], tmp_path / "b.db").summary.digest
    )  # fmt: skip


def test_frames_with_nan_forces_are_listed(sources: Path, tmp_path: Path) -> None:
    frames = [atoms.copy() for atoms in vacancy_relaxation(0, 8)]
    for atoms, original in zip(frames, vacancy_relaxation(0, 8), strict=True):
        atoms.calc = original.calc
    text = write_extxyz(
        sources / "broken.extxyz", frames, host="MgS", defect="v_Mg", charge=0, start="Dimer", method="model"
    ).read_text()
    lines = text.splitlines()
    lines[5] = " ".join([*lines[5].split()[:-1], "nan"])
    (sources / "broken.extxyz").write_text("\n".join(lines) + "\n")
    report = build([sources], tmp_path / "data.db")
    assert report.summary.frames == 22 + 7
    (item,) = report.summary.unreadable
    assert "broken.extxyz" in item.source
    assert "finite" in item.reason
    assert any("gave no frame" in warning for warning in report.warnings)


def test_direct_covers_the_frames(sources: Path, tmp_path: Path) -> None:
    sampling = FrameSamplingSettings(
        method="DIRECT", direct_threshold=0.05, direct_clusters=4, direct_per_cluster=1, bulk_frames=1
    )
    first = build([sources], tmp_path / "a.db", sampling=sampling)
    assert first.summary.selected == 5
    assert build([sources], tmp_path / "b.db", sampling=sampling).summary.digest == first.summary.digest


def test_warnings(sources: Path, tmp_path: Path) -> None:
    write_extxyz(
        sources / "other.extxyz", vacancy_relaxation(0, 8)[:2],
        host="MgSe", defect="v_Mg", charge=0, start="Dimer", method="HSE06",
    )  # fmt: skip
    warnings = build([sources], tmp_path / "data.db").warnings
    assert any("2 methods" in warning for warning in warnings)
    assert any("pristine host for MgSe" in warning for warning in warnings)


@pytest.mark.parametrize("failing", ["nothing there", "empty", "all out", "twice", "nested"])
def test_a_failed_build_leaves_nothing_behind(failing: str, sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    cleaning = CleaningSettings(max_force=1e-9) if failing == "all out" else LOOSE
    given = {
        "nothing there": [tmp_path / "none"],
        "empty": [empty],
        "all out": [sources],
        "twice": [sources, sources],
        "nested": [sources / "bulk.extxyz", sources],
    }[failing]
    with pytest.raises((DatasetError, InputFileError)) as raised:
        build(given, out / "data.db", cleaning)
    assert len(str(raised.value)) > 40
    assert not out.exists() or not list(out.iterdir())


def test_an_existing_file_is_kept(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "data.db"
    out.write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        build([sources], out)
    assert out.read_text() == "mine"


def test_split_and_export(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    build([sources], path)
    (only,) = export_dataset(path, tmp_path / "unsplit", "extxyz")
    assert only.frames == 14
    settings = SplitSettings(by="random", train=0.5, validation=0.2, test=0.3, seed=3)
    report = split_dataset(path, settings)
    assert report.reason == ""
    counts = {item.subset: item.frames for item in report.summary.subsets}
    assert sum(counts.values()) == 14
    assert min(counts.values()) > 0
    with Dataset.open(path) as dataset:
        assert SplitSettings.model_validate_json(dataset.read_document("split") or "") == settings
        subsets = dataset.subsets()
        test = [f.prediction.energy for f in dataset.frames([r for r, s in subsets.items() if s == "test"])]
    files = export_dataset(path, tmp_path / "out", "extxyz")
    assert {file.path.name: file.frames for file in files} == {f"{name}.extxyz": n for name, n in counts.items()}
    written = read(tmp_path / "out" / "test.extxyz", ":")
    np.testing.assert_allclose([atoms.get_potential_energy() for atoms in written], test)
    with pytest.raises(DatasetError, match="exists already"):
        export_dataset(path, tmp_path / "out", "extxyz")


def test_a_split_of_its_own_choice_says_why(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    build([sources], path)
    report = split_dataset(path)
    assert report.settings.by == "relaxation"
    assert "too few" in report.reason
    assert all(leak.expected for leak in report.leaks)


def test_a_failed_split_keeps_the_earlier_one(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    build([sources], path)
    before = split_dataset(path).summary.subsets
    with pytest.raises(DatasetError):
        split_dataset(path, SplitSettings(by="host-list", test_hosts=("CdTe",)))
    assert inspect_dataset(path).subsets == before


def test_nothing_selected_is_nothing_to_export(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    Dataset.create(path).add([frame(origin())])
    with pytest.raises(DatasetError, match="no selected frames"):
        export_dataset(path, tmp_path / "out", "traj")
    assert not (tmp_path / "out").exists()
