"""A sample frame against the method at hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import model
from defectscout.core.frames import Prediction
from defectscout.learning.readers.finite_differences import check_against
from defectscout.references.registry import load_reference
from learning.relaxations import vacancy_relaxation

REFERENCE = model("reference")


def test_a_frame_of_the_method_agrees() -> None:
    assert check_against(load_reference(REFERENCE), vacancy_relaxation()[3]) == ""


@pytest.mark.parametrize(
    ("energy", "forces", "stress", "says"),
    [(1 / 27.2, 1, 1, "energy by"), (1, -1, 1, "random direction"), (1, 1, 160.2, "stress by")],
)
def test_wrong_units_are_said(energy: float, forces: float, stress: float, says: str) -> None:
    frame = vacancy_relaxation()[0]
    known = frame.prediction
    assert known.stress is not None
    wrong = replace(frame, prediction=Prediction(known.energy * energy, known.forces * forces, known.stress * stress))
    sentence = check_against(load_reference(REFERENCE), wrong)
    assert says in sentence
    assert "MgS v_Mg_0 Rattled" in sentence
