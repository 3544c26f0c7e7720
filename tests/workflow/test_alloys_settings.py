"""What the texts of --substitute and --x mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.errors import AlloyError, SettingsError
from defectscout.core.settings import validated
from defectscout.hosts.substitution import Occupation, Substitution
from defectscout.workflow.alloys.settings import AlloySettings, compositions, corners, parsed_substitutions


def alloy(*substitute: str, x: tuple[float, ...] = ()) -> AlloySettings:
    return AlloySettings(substitute=substitute, x=x)


def test_one_composition_for_each_x() -> None:
    found = compositions(alloy("Te:Se", x=(0.2, 0.5)))
    assert found == ((Substitution("Te", (("Se", 0.2),)),), (Substitution("Te", (("Se", 0.5),)),))
    assert found[0][0].species == (("Te", 0.8), ("Se", 0.2))


def test_shares_with_the_substitution() -> None:
    (found,) = compositions(alloy("Te:Se=0.3,S=0.2", "Cd:Zn=0.25"))
    assert found == (Substitution("Te", (("Se", 0.3), ("S", 0.2))), Substitution("Cd", (("Zn", 0.25),)))


def test_x_is_the_share_of_the_one_that_has_none() -> None:
    first, second = compositions(alloy("Te:Se=0.3,S", "Cd:Zn=0.25", x=(0.0, 0.5)))
    assert first[0].fractions == (("Se", 0.3), ("S", 0.0))
    assert second[0].fractions == (("Se", 0.3), ("S", 0.5))
    assert first[1] == second[1]


_SHARES = st.integers(1, 99).map(lambda percent: percent / 100)
_BLANK = st.sampled_from(["", " ", "  "])


@given(_SHARES, _SHARES, st.lists(_BLANK, min_size=7, max_size=7))
def test_blanks_mean_nothing(first: float, second: float, blanks: list[str]) -> None:
    a, b, c, d, e, f, g = blanks
    spaced = alloy(f"{a}Te{b}:{c}Se{d}={e}{first},{f}S={second}{g}")
    assert parsed_substitutions(spaced) == parsed_substitutions(alloy(f"Te:Se={first:.6f},S={second:.3e}"))


@pytest.mark.parametrize(
    "text",
    ["", "Te", "Te:", "Te=Se", ":Se", "te:Se", "Te:se", "Te:Se,", "Te:,Se", "Te:Se=", "Te:Se=half", "Te:Se=1e", "Te Se",
     "Te:Se=0.3=0.2", "Te:Se=0.3;S=0.2", "Te:Se:S", "Te:Se=.", "Te2:Se", "Te:Sel", "Te:Se=0,3"],
)  # fmt: skip
def test_texts_that_mean_nothing(text: str) -> None:
    with pytest.raises(AlloyError, match=r"is no substitution\. Write the element whose sites are shared"):
        compositions(alloy(text, x=(0.5,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (alloy(), "No substitution is given"),
        (alloy(x=(0.5,)), "No substitution is given"),
        (alloy("Te:Se"), "No share is given for Se on the sites of Te"),
        (alloy("Te:Se=0.5", x=(0.5,)), "--x is given, and every substitution has its share already"),
        (alloy("Te:Se,S", x=(0.5,)), r"2 elements stand without a share \(Se on Te, S on Te\)"),
        (alloy("Te:Se", "Cd:Zn", x=(0.5,)), r"2 elements stand without a share \(Se on Te, Zn on Cd\)"),
    ],
)
def test_shares_and_substitutions_that_do_not_fit(settings: AlloySettings, message: str) -> None:
    with pytest.raises(AlloyError, match=message):
        compositions(settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": (1.2,)}, "a share of 1.2 is impossible: x lies between 0 and 1"),
        ({"x": (float("nan"),)}, "a share of nan is impossible"),
        ({"x": (0.5, 0.2, 0.5)}, "a share is given twice in 0.5, 0.2, 0.5"),
        ({"realisations": 0}, "realisations"),
        ({"shells": 0}, "shells"),
        ({"lattice": "relaxed"}, "lattice"),
        ({"sites": "some"}, "sites"),
        ({"arrangements": "sqs"}, "arrangements"),
    ],
)
def test_impossible_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        validated(AlloySettings, values, "test")


def test_corners_are_what_stands_on_the_sites() -> None:
    """A share that is left over by rounding is no end member."""
    anions = Occupation("Te", (("Te", 1e-16), ("Se", 0.3), ("S", 0.7)), (("Te", 0), ("Se", 8), ("S", 19)))
    cations = Occupation("Cd", (("Cd", 0.5), ("Zn", 0.5)), (("Cd", 14), ("Zn", 13)))
    assert corners((anions, cations)) == (
        {"Te": "Se", "Cd": "Cd"},
        {"Te": "Se", "Cd": "Zn"},
        {"Te": "S", "Cd": "Cd"},
        {"Te": "S", "Cd": "Zn"},
    )
