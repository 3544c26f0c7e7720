from pathlib import Path

import pytest
from pydantic import ValidationError

from defectscout.sampling.settings import SamplingSettings


def test_defaults_are_shakenbreaks() -> None:
    settings = SamplingSettings()
    assert settings.distortions is None
    assert settings.rattle is None
    assert not settings.pairs
    assert settings.folder is None


@pytest.mark.parametrize("value", [-1.0, -1.2, -0.9999, 1.6, float("nan"), float("inf")])
def test_impossible_distortion(value: float) -> None:
    with pytest.raises(ValidationError, match="is not possible"):
        SamplingSettings(distortions=(value,))


def test_repeated_distortion() -> None:
    with pytest.raises(ValidationError, match=r"more than once.*-0\.4"):
        SamplingSettings(distortions=(-0.4, 0.0, -0.4000001))


def test_no_distortions() -> None:
    with pytest.raises(ValidationError, match="no bond distortions"):
        SamplingSettings(distortions=())


def test_zero_has_no_sign() -> None:
    (value,) = SamplingSettings(distortions=(-0.0,)).distortions or ()
    assert str(value) == "0.0"


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"none": True, "folder": Path("x")}, "none and folder"),
        ({"none": True, "pairs": True}, "none and pairs"),
        ({"folder": Path("x"), "pairs": True}, "folder and pairs"),
        ({"none": True, "distortions": (0.1,)}, "distortions would have no effect with none"),
        ({"folder": Path("x"), "rattle": 0.1}, "rattle would have no effect with folder"),
    ],
)
def test_settings_that_exclude_each_other(chosen: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        SamplingSettings(**chosen)


@pytest.mark.parametrize("rattle", [-0.1, 1.5])
def test_impossible_rattle(rattle: float) -> None:
    with pytest.raises(ValidationError):
        SamplingSettings(rattle=rattle)
