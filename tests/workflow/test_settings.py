"""Settings: strict about names, complete in TOML, compared by what changes results."""

from __future__ import annotations

from pathlib import Path

import pytest

from defectscout.core.errors import InputFileError, SettingsError
from defectscout.workflow.settings import (
    PRESETS,
    SearchSettings,
    changed,
    merge,
    preset,
    read_toml,
    write_toml,
)


@pytest.mark.parametrize("name", PRESETS)
def test_toml_holds_every_setting(name: str, tmp_path: Path) -> None:
    settings = merge(
        PRESETS[name],
        {"sampling": {"distortions": [-0.4, 0.2]}, "defects": {"oxidation_states": {"Cd": 2, "Te": -2}}},
        "test",
    )
    path = tmp_path / "settings.toml"
    path.write_text(write_toml(settings))
    assert read_toml(path, SearchSettings()) == settings


def test_paper_preset_is_the_papers() -> None:
    scouting = preset("paper").scouting
    assert (scouting.criterion, scouting.force, scouting.max_steps) == ("fmean", 1e-5, 1500)


def test_default_fingerprint_is_the_papers() -> None:
    minima = SearchSettings().minima
    assert (minima.cutoff, minima.n_max, minima.l_max, minima.sigma) == (5.0, 10, 10, 1.0)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"scouting": {"forse": 0.1}}, "scouting.forse"),
        ({"scoutin": {"force": 0.1}}, "scoutin"),
        ({"scouting": {"force": -1}}, "scouting.force"),
        ({"scouting": {"fire": {"dt": "fast"}}}, "scouting.fire.dt"),
        ({"strategy": "guess"}, "strategy"),
    ],
)
def test_bad_settings_are_named(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        merge(SearchSettings(), overrides, "test")


def test_bad_toml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[scouting]\nforce = = 1\n")
    with pytest.raises(InputFileError, match=r"bad\.toml.*line 2"):
        read_toml(path, SearchSettings())
    with pytest.raises(InputFileError, match=r"missing\.toml"):
        read_toml(tmp_path / "missing.toml", SearchSettings())


def test_unknown_preset() -> None:
    with pytest.raises(SettingsError, match="default, paper"):
        preset("papr")


def test_changed_names_what_changes_results_only() -> None:
    base = SearchSettings()
    other = merge(
        base, {"reference": {"workers": 2}, "surrogate": {"batch_size": 4}, "scouting": {"force": 0.1}}, "test"
    )
    assert changed(base, other) == ["scouting.force"]


def test_surrogate_settings_mean_nothing_to_a_reference_only_search() -> None:
    base = merge(SearchSettings(), {"strategy": "reference-only"}, "test")
    other = merge(base, {"scouting": {"force": 0.1}, "surrogate": {"name": "7net-0"}}, "test")
    assert changed(base, other) == []
    assert changed(base, merge(other, {"strategy": "scout"}, "test"))[0] == "surrogate.name"
