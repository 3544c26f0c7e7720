"""Bad values are refused with a reason."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from defectscout.defects.settings import DefectSettings


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"select": ()}, "at least 1"),
        ({"select": ("v_Cd", " ")}, "blank"),
        ({"charges": ()}, "no charge state"),
        ({"charges": (0, 1, 0)}, "twice"),
        ({"charges": (0.5,)}, "integer"),
        ({"extrinsic": ("Xx",)}, "'Xx' is no chemical element"),
        ({"extrinsic": ("As", "As")}, "twice"),
        ({"oxidation_states": {"cd": 2}}, "'cd' is no chemical element"),
        ({"oxidation_states": {}}, "no element"),
        ({"chargez": (0,)}, "not permitted"),
    ],
)
def test_bad_values(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        DefectSettings(**values)  # type: ignore[arg-type]


def test_good_values() -> None:
    settings = DefectSettings(select=(" v_Cd ",), charges=None, extrinsic=("As",), oxidation_states={"Cd": 2})
    assert settings.select == ("v_Cd",)
    assert DefectSettings().select == ("cation-vacancies",)
    assert DefectSettings().charges == (0,)
