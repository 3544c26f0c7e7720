"""Model folders: what is written comes back, and what is damaged is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.model_folder import (
    MANIFEST,
    Manifest,
    Member,
    TrainedOn,
    is_model_folder,
    member_path,
    read_manifest,
    untouched_of,
    weights_digest,
    write_manifest,
)

SEEN = TrainedOn(("CdSe", "CdTe"), ("Cd", "Se", "Te"), (-1, 0), "HSE06", "mixed", "ρ 0.41 → 0.74; forces 104 meV/Å.")
MADE = Manifest(
    family="m3gnet",
    base="m3gnet:M3GNet-MP-2021.2.8-PES",
    members=(Member("member-0/weights", "sha256:00"), Member("member-1/weights", "sha256:11")),
    trained_on=SEEN,
    references={"Cd": -0.5, "Te": -3.25},
    dataset="sha256:22",
    settings={"epochs": 10, "ema": None, "architecture": {"cutoff": 5.0}},
    packages={"matgl": "4.1.2"},
    errors={"test": {"frames": 8, "spearman": 0.5}},
    charge_as_input=True,
    untouched="m3gnet:M3GNet-MP-2021.2.8-PES",
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def test_round_trip(tmp_path: Path) -> None:
    assert not is_model_folder(tmp_path)
    write_manifest(tmp_path, MADE)
    assert is_model_folder(tmp_path)
    assert read_manifest(tmp_path) == MADE
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_what_a_surrogate_was_before_any_training(tmp_path: Path) -> None:
    assert untouched_of("chgnet") == "chgnet"
    write_manifest(tmp_path, replace(MADE, base="/the/round/before"))
    assert untouched_of(str(tmp_path)) == MADE.untouched
    content = json.loads((tmp_path / MANIFEST).read_text())
    del content["untouched"]  # as written before it was recorded
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    assert untouched_of(str(tmp_path)) == ""


@given(
    trained_on=st.builds(
        TrainedOn,
        hosts=st.lists(TEXT).map(tuple),
        elements=st.lists(TEXT).map(tuple),
        charges=st.lists(st.integers(-9, 9)).map(tuple),
        method=TEXT,
        verdict=st.sampled_from(["better", "mixed", "worse", "not judged"]),
        finding=TEXT,
    ),
    references=st.dictionaries(TEXT, st.floats(allow_nan=False)),
)
def test_any_content_comes_back(
    trained_on: TrainedOn, references: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    manifest = replace(MADE, trained_on=trained_on, references=references)
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def test_errors_that_are_not_known_come_back_as_that(tmp_path: Path) -> None:
    write_manifest(tmp_path, replace(MADE, errors={"validation": {"spearman": float("nan")}}))
    value = read_manifest(tmp_path).errors["validation"]["spearman"]
    assert value != value


def test_a_manifest_that_was_cut_short(tmp_path: Path) -> None:
    write_manifest(tmp_path, MADE)
    text = (tmp_path / MANIFEST).read_text()
    for length in range(0, len(text) - 1, 7):
        (tmp_path / MANIFEST).write_text(text[:length])
        with pytest.raises(ModelFileError, match="is damaged"):
            read_manifest(tmp_path)


@pytest.mark.parametrize("key", ["format", "family", "members", "trained_on", "references"])
def test_a_manifest_that_lacks_something(tmp_path: Path, key: str) -> None:
    write_manifest(tmp_path, MADE)
    content = json.loads((tmp_path / MANIFEST).read_text())
    del content[key]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=rf"{tmp_path}.* is damaged .*{key}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("trained_on", []), ("members", [{"file": "x"}]), ("members", 3), ("new", 1)]
)
def test_a_manifest_of_another_shape(tmp_path: Path, key: str, value: object) -> None:
    write_manifest(tmp_path, MADE)
    content = json.loads((tmp_path / MANIFEST).read_text()) | {key: value}
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match="is damaged"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(ModelFileError, match="is damaged"):
        read_manifest(tmp_path)


def test_a_newer_format(tmp_path: Path) -> None:
    """Said as what it is, whatever else the newer version has changed."""
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 2, "networks": []}))
    with pytest.raises(ModelFileError, match="has format 2, and this version of defectscout reads 1"):
        read_manifest(tmp_path)


def test_weights_that_are_gone(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="lacks its weights member-0/weights"):
        member_path(tmp_path, MADE.members[0])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_weights_that_changed(tmp_path: Path, kind: str) -> None:
    weights = tmp_path / "weights"
    file = weights if kind == "file" else weights / "state.pt"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"1234")
    if kind == "folder":
        (weights / "model.json").write_text("{}")
    member = Member("weights", weights_digest(weights))
    assert member_path(tmp_path, member) == weights
    file.write_bytes(b"1235")
    with pytest.raises(ModelFileError, match="not those that were trained"):
        member_path(tmp_path, member)


def test_the_digest_is_of_contents_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "b").write_text("second")
        (tmp_path / name / "deep" / "a").write_text("third")
        (tmp_path / name / "a").write_text("first")
    first, second = (weights_digest(tmp_path / name) for name in ("one", "other"))
    assert first == second
    (tmp_path / "one" / "c").write_text("more")
    assert weights_digest(tmp_path / "one") != second
