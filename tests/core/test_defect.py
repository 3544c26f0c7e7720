"""What a defect says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import Defect, DefectKind, charge_text


def _defect(charge: int, excess_charge: int) -> Defect:
    atoms = Atoms()
    return Defect("v_Cd", charge, DefectKind.VACANCY, atoms, atoms, np.zeros(3), 1, "Td", excess_charge)


@pytest.mark.parametrize(("charge", "text"), [(0, "0"), (-2, "-2"), (1, "+1")])
def test_a_charge_has_its_sign(charge: int, text: str) -> None:
    assert charge_text(charge) == text


@pytest.mark.parametrize(("charge", "label"), [(0, "v_Cd_0"), (-2, "v_Cd_-2"), (1, "v_Cd_+1")])
def test_label_is_dopeds(charge: int, label: str) -> None:
    assert _defect(charge, 0).label == label


@pytest.mark.parametrize(
    ("excess_charge", "words"),
    [(2, "2 holes"), (1, "1 hole"), (0, "no excess charge"), (-1, "1 excess electron"), (-3, "3 excess electrons")],
)
def test_excess_charge_in_words(excess_charge: int, words: str) -> None:
    assert _defect(0, excess_charge).excess_charge_in_words == words
