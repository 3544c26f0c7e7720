from __future__ import annotations

import csv
from pathlib import Path

import pytest

from defectscout.core.errors import InputFileError, SettingsError
from defectscout.learning.settings import FrameSamplingSettings, TrainSettings
from defectscout.workflow import ablation as module
from defectscout.workflow.ablation import all_runs, read_ablation, run_ablation
from defectscout.workflow.paper_tables import PAPER_TABLES
from trained_on_toys import toy_dataset

COMPARISON = """
dataset = "data.db"
tables = ["S9"]

[common]
base = "chgnet"
epochs = 1
device = "cpu"

[[run]]
name = "no bulk"
table = "own"
bulk = false
train.train = "last"

[[run]]
name = "two frames of each relaxation"
table = "own"
frames = { frames_per_relaxation = 2, bulk_frames = 2 }
train = { train = "last" }
"""


def write(folder: Path, text: str = COMPARISON) -> Path:
    path = folder / "comparison.toml"
    path.write_text(text)
    return path


def test_runs_are_those_of_the_tables_and_the_users_own(tmp_path: Path) -> None:
    ablation = read_ablation(write(tmp_path))
    assert [run.name for run in all_runs(ablation)] == [
        "all layers", "last layer", "last two layers", "from scratch", "no bulk", "two frames of each relaxation",
    ]  # fmt: skip
    assert ablation.dataset == tmp_path / "data.db"


def test_the_papers_tables_are_valid_settings() -> None:
    from defectscout.core.settings import merge_settings

    assert sorted(PAPER_TABLES) == sorted(["S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10"])
    for runs in PAPER_TABLES.values():
        for changes in runs.values():
            assert set(changes) <= {"train", "frames", "bulk"}
            merge_settings(TrainSettings(), changes.get("train", {}), "table")
            merge_settings(FrameSamplingSettings(), changes.get("frames", {}), "table")


def test_trains_each_once_on_the_frames_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_dataset(tmp_path / "data.db")
    ablation = read_ablation(write(tmp_path, COMPARISON.replace('tables = ["S9"]', "")))
    rows = run_ablation(ablation, tmp_path / "out")
    frames = {row.name: row.frames for row in rows}
    # Two training defects of two relaxations with four frames, and four bulk frames.
    assert frames == {"no bulk": 16, "two frames of each relaxation": 2 * 2 * 2 + 2}
    assert [row.loss for row in rows] == sorted(row.loss for row in rows)
    for row in rows:
        assert row.loss == pytest.approx(row.val_energy / 1000 + row.val_force / 1000 + 0.1 * row.val_stress)
    with (tmp_path / "out" / "ablation.csv").open() as file:
        assert [line["name"] for line in csv.DictReader(file)] == [row.name for row in rows]

    monkeypatch.setattr(module, "train_member", lambda *a: pytest.fail("trained twice"))
    assert run_ablation(ablation, tmp_path / "out") == rows


def test_a_training_that_cannot_be_done_is_a_row_with_its_reason(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "data.db")
    text = COMPARISON.replace('tables = ["S9"]', "").replace(
        'train.train = "last"', 'train.element_references = "isolated"'
    )
    rows = run_ablation(read_ablation(write(tmp_path, text)), tmp_path / "out")
    failed = [row for row in rows if row.failure]
    assert [row.name for row in failed] == ["no bulk"]
    assert rows[-1] is failed[0] or rows[-1] == failed[0]  # what failed comes last
    assert "isolated" in failed[0].failure


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('dataset = "d"', "names no training"),
        ('dataset = "d"\ntables = ["S99"]', "no table S99"),
        ('dataset = "d"\nruns = 1', "runs"),
        ('dataset = "d"\n[[run]]\nname = "x"\ntrain.epoch = 3', "'epoch' is not a setting"),
        ('dataset = "d"\n[[run]]\nname = "x"\n[[run]]\nname = "x"', "names these trainings twice: x"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        read_ablation(write(tmp_path, text))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="Cannot read"):
        read_ablation(tmp_path / "none.toml")
    with pytest.raises(InputFileError, match="not valid TOML"):
        read_ablation(write(tmp_path, "= 3"))
