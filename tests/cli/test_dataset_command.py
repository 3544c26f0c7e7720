"""`defectscout dataset` as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conftest import model
from defectscout.cli.dataset_options import BuildChoices, SplitChoices, build_settings, split_settings
from defectscout.cli.main import app
from defectscout.core.errors import SettingsError
from learning.toy_relaxations import toy_sources


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["dataset", *(str(argument) for argument in arguments)])


@pytest.fixture
def built(tmp_path: Path) -> Path:
    sources = toy_sources(tmp_path / "relaxations")
    path = tmp_path / "data.db"
    result = run("build", sources, "-o", path, "--frames-per-relaxation", "5", "--bulk-frames", "3", "--quiet")
    assert result.exit_code == 0, result.output
    assert "22 frames, 13 selected, not split yet" in result.stdout
    assert "v_Mg_0" in result.stdout
    return path


def test_build_inspect_split_export(built: Path, tmp_path: Path) -> None:
    result = run("split", built, "--by", "random", "--shares", "60/20/20")
    assert result.exit_code == 0, result.output
    assert "train" in result.stdout
    inspected = json.loads(run("inspect", built, "--json").stdout)
    assert inspected["selected"] == 13
    assert sum(item["frames"] for item in inspected["subsets"]) == 13
    assert inspected["defects"][0]["defect_id"]["host"] == "MgS"
    assert "train" in run("inspect", built).stdout
    result = run("export", built, tmp_path / "out", "--format", "json")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.json", "train.json", "validation.json"]


def test_split_without_options_says_why(built: Path) -> None:
    result = run("split", built, "-q")
    assert result.exit_code == 0, result.output
    assert "Split by relaxation" in result.stdout
    report = json.loads(run("split", built, "-q", "--json").stdout)
    assert report["settings"]["by"] == "relaxation"


def test_errors_are_one_paragraph_with_exit_code_2(built: Path, tmp_path: Path) -> None:
    for arguments in (
        ("inspect", tmp_path / "none.db"),
        ("build", tmp_path / "none", "-o", tmp_path / "x.db"),
        ("build", tmp_path / "relaxations", "-o", built),
        ("build", tmp_path / "relaxations", "-o", tmp_path / "x.db", "--max-force", "much"),
        ("split", built, "--by", "colour"),
        ("split", built, "--test", "CdTe"),
        ("export", built, tmp_path / "out", "--format", "xlsx"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert "Error: " in result.stderr
        assert "Traceback" not in result.output
    assert not (tmp_path / "x.db").exists()


def _choices(**given: object) -> BuildChoices:
    nothing = dict.fromkeys(BuildChoices.__dataclass_fields__) | {"keep_unconverged": False, "keep_positive": False}
    return BuildChoices(**(nothing | given))  # type: ignore[arg-type]


def test_build_options_become_settings() -> None:
    settings = build_settings(
        _choices(
            direct="0.1,1000,5", features="m3gnet:X", max_energy="none", max_force="20", duplicates="1e-4,0.01",
            keep_positive=True, assignments=["cleaning.unconverged_scf=false", "sampling.bulk_frames=5"],
        )
    )  # fmt: skip
    assert settings.sampling.method == "DIRECT"
    assert settings.sampling.direct_features == "surrogate"
    assert settings.surrogate.name == "m3gnet:X"
    assert (settings.sampling.direct_threshold, settings.sampling.direct_clusters) == (0.1, 1000)
    assert (settings.sampling.direct_per_cluster, settings.sampling.bulk_frames) == (5, 5)
    cleaning = settings.cleaning
    assert (cleaning.max_energy_above_ground_state, cleaning.max_force) == (None, 20.0)
    assert (cleaning.duplicate_energy, cleaning.duplicate_displacement) == (1e-4, 0.01)
    assert not cleaning.positive_energies
    assert not cleaning.unconverged_scf


@pytest.mark.parametrize(
    "given",
    [
        {"sampling": "MS", "direct": "0.1,10,5"},
        {"sampling": "all", "frames_per_relaxation": 5},
        {"sampling": "some"},
        {"direct": "0.1,10"},
        {"direct": "0.1,10.5,3"},
        {"max_energy": "-3"},
        {"duplicates": "1e-4"},
        {"assignments": ["cleaning.max_froce=3"]},
        {"assignments": ["training.epochs=3"]},
        {"frames_per_relaxation": 0},
    ],
)
def test_impossible_build_options(given: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        build_settings(_choices(**given))


def test_split_options_become_settings() -> None:
    assert split_settings(SplitChoices(None, None, None, None, None, None)) is None
    shares = split_settings(SplitChoices("defect", "70/10/20", None, None, 10, 4))
    assert shares is not None
    assert (shares.by, shares.train, shares.validation, shares.test) == ("defect", 0.7, 0.1, 0.2)
    assert (shares.augment_validation, shares.seed) == (0.1, 4)
    listed = split_settings(SplitChoices(None, None, ["CdSe,InP/iIn", "ZnS"], ["GaN"], None, None))
    assert listed is not None
    assert (listed.by, listed.test_hosts, listed.validation_hosts) == (
        "host-list", ("CdSe", "InP/iIn", "ZnS"), ("GaN",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "choices",
    [
        SplitChoices("defect", None, ["CdTe"], None, None, None),
        SplitChoices(None, "80/20", None, None, None, None),
        SplitChoices(None, "0.6/0.2/0.2", None, None, None, None),
        SplitChoices(None, "60/20/20", ["CdTe"], None, None, None),
        SplitChoices(None, None, None, None, 100.0, None),
    ],
)
def test_impossible_split_options(choices: SplitChoices) -> None:
    with pytest.raises(SettingsError):
        split_settings(choices)


def test_labels_are_checked_with_the_method_they_come_from(built: Path, tmp_path: Path) -> None:
    result = run("inspect", built, "--check-with", model("reference"), "-q")
    assert result.exit_code == 0, result.output
    assert "2 recomputed frames agree with ase:" in result.stdout
    result = run("inspect", built, "--check-with", model("surrogate"), "-q")
    assert result.exit_code == 2
    assert "differs from" in result.stderr
    assert "Check the units" in " ".join(result.stderr.split())
    assert run("inspect", built, "--check-with", "nothing").exit_code == 2
