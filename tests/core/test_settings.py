"""What is said of settings that are not there."""

from __future__ import annotations

import pytest

from defectscout.core.errors import SettingsError
from defectscout.core.settings import Settings, merge_settings


class Inner(Settings):
    force: float = 0.01
    max_steps: int = 100


class Outer(Settings):
    scouting: Inner = Inner()
    device: str = "cpu"


@pytest.mark.parametrize(
    ("values", "guess"),
    [
        ({"scouting": {"forc": 1}}, "'scouting.forc' is not a setting (did you mean 'scouting.force'?)"),
        ({"scoutin": {"force": 1}}, "'scoutin' is not a setting (did you mean 'scouting'?)"),
        ({"divice": "cuda"}, "'divice' is not a setting (did you mean 'device'?)"),
        ({"colour": "red"}, "'colour' is not a setting. All"),
    ],
)
def test_a_misspelt_setting_is_told_from_one_that_is_there(values: dict[str, object], guess: str) -> None:
    with pytest.raises(SettingsError) as caught:
        merge_settings(Outer(), values, "--set", "All are in init.")
    assert guess in str(caught.value)
