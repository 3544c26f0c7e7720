from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.frames import Prediction
from defectscout.evaluation.errors import measure_errors
from defectscout.evaluation.guard import judge
from defectscout.evaluation.metrics import Metrics, overall_metrics
from defectscout.learning.frames import FrameOrigin, LabelledFrame

ENERGIES = np.array([0.0, 1.0, 2.0, 3.0])


def metrics(predicted: np.ndarray, force_error: float) -> Metrics:
    """Errors on four frames of one defect whose predicted energies are given."""
    frames, predictions = [], []
    for step, (energy, answer) in enumerate(zip(ENERGIES, predicted, strict=True)):
        atoms = Atoms("MgS", positions=[[0, 0, 0], [2.6, 0, 0]], cell=[5, 5, 5], pbc=True)
        origin = FrameOrigin("MgS", "v_Mg", 0, "start", step, "toy", "memory")
        frames.append(LabelledFrame(atoms, Prediction(energy, np.zeros((2, 3))), origin))
        predictions.append(Prediction(answer, np.full((2, 3), force_error)))
    return overall_metrics(measure_errors(frames, predictions))


RIGHT, REVERSED, HALF = ENERGIES, ENERGIES[::-1], 0.5 * ENERGIES


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((HALF, 0.2), (RIGHT, 0.1), "better"),
        ((HALF, 0.2), (HALF, 0.2), "better"),  # no worse, and said so
        ((RIGHT, 0.1), (REVERSED, 0.05), "worse"),  # better forces do not make up for a lost ranking
        ((RIGHT, 0.1), (HALF, 0.05), "mixed"),  # ranked alike, energies worse, forces better
        ((HALF, 0.1), (RIGHT, 0.2), "mixed"),
    ],
)
def test_verdicts(before: tuple[np.ndarray, float], after: tuple[np.ndarray, float], verdict: str) -> None:
    found = judge(metrics(*before), metrics(*after), "1 unseen defect")
    assert found.verdict == verdict
    assert "1 unseen defect" in found.sentence


def test_the_sentence_gives_the_numbers() -> None:
    found = judge(metrics(RIGHT, 0.1), metrics(REVERSED, 0.1), "2 unseen defects")
    assert found.sentence == (
        "WORSE than the untouched model on 2 unseen defects: ρ 1.00 → -1.00; relative energies 0.000 → 3.000 eV; "
        "forces 100 → 100 meV/Å."
    )


def test_equal_models_are_called_no_worse() -> None:
    assert judge(metrics(HALF, 0.2), metrics(HALF, 0.2), "x").sentence.startswith("No worse than")


def test_what_is_only_not_worse_is_not_called_better() -> None:
    found = judge(metrics(HALF, 0.100), metrics(HALF, 0.104), "x")
    assert found.verdict == "better"
    assert found.sentence.startswith("No worse than")
