from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from defectscout.core.frames import Frame, Prediction
from defectscout.evaluation.agreement import Agreement, agreement

RANDOM = np.random.default_rng(5)
FORCES = RANDOM.normal(size=(6, 4, 3))
ENERGIES = np.array([-3.0, -5.0, -4.0, -9.0, -1.0, -2.0])


def frames(energies: np.ndarray = ENERGIES, forces: np.ndarray = FORCES) -> list[Frame]:
    return [
        Frame(Atoms(f"H{len(f)}"), Prediction(float(e), f), n)
        for n, (e, f) in enumerate(zip(energies, forces, strict=True))
    ]


def guesses(energies: np.ndarray = ENERGIES, forces: np.ndarray = FORCES) -> list[Prediction]:
    return [frame.prediction for frame in frames(energies, forces)]


def test_a_perfect_surrogate() -> None:
    found = agreement(frames(), guesses())
    assert found == Agreement(6, 0.0, pytest.approx(1.0), pytest.approx(0.0), pytest.approx(1.0), 0)


def test_its_own_zero_of_energy_is_no_error() -> None:
    assert agreement(frames(), guesses(ENERGIES + 123.4)).energy_mae_relative == pytest.approx(0, abs=1e-12)


def test_energy_error_is_of_differences() -> None:
    # Differences twice too large: the error is the mean deviation from the mean.
    found = agreement(frames(), guesses(2 * ENERGIES))
    assert found.energy_mae_relative == pytest.approx(np.abs(ENERGIES - ENERGIES.mean()).mean())
    assert found.spearman == pytest.approx(1.0)


def test_ranks_turned_round() -> None:
    assert agreement(frames(), guesses(-ENERGIES)).spearman == pytest.approx(-1.0)


def test_forces_too_soft_by_half_point_the_right_way() -> None:
    found = agreement(frames(), guesses(forces=0.5 * FORCES))
    assert found.force_cosine == pytest.approx(1.0)
    assert found.force_mae == pytest.approx(0.5 * np.abs(FORCES).mean())


def test_forces_that_point_the_other_way() -> None:
    assert agreement(frames(), guesses(forces=-FORCES)).force_cosine == pytest.approx(-1.0)


def test_the_cosine_does_not_depend_on_the_frame_of_reference() -> None:
    other = FORCES + RANDOM.normal(scale=0.5, size=FORCES.shape)
    turn = Rotation.random(random_state=1).as_matrix()
    a = agreement(frames(), guesses(forces=other))
    b = agreement(frames(forces=FORCES @ turn.T), guesses(forces=other @ turn.T))
    assert a.force_cosine == pytest.approx(b.force_cosine)
    assert 0.5 < a.force_cosine < 1


def test_every_frame_weighs_the_same_in_the_cosine() -> None:
    # One early frame with forces a thousand times larger must not hide that the others are wrong.
    scaled = FORCES * np.array([1000.0, 1, 1, 1, 1, 1])[:, None, None]
    wrong = scaled * np.array([1.0, -1, -1, -1, -1, -1])[:, None, None]
    assert agreement(frames(forces=scaled), guesses(forces=wrong)).force_cosine == pytest.approx(-4 / 6)


@pytest.mark.parametrize(("count", "known"), [(0, False), (1, False), (2, False), (3, True)])
def test_ranks_need_three_frames(count: int, known: bool) -> None:
    found = agreement(frames()[:count], guesses()[:count])
    assert found.n_frames == count
    assert np.isfinite(found.spearman) == known
    assert np.isfinite(found.energy_mae_relative) == (count > 1)
    assert np.isfinite(found.force_mae) == (count > 0)


def test_equal_energies_have_no_ranks_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert np.isnan(agreement(frames(), guesses(np.zeros(6))).spearman)
    assert np.isnan(agreement(frames(forces=0 * FORCES), guesses()).force_cosine)
    assert not recwarn.list


def test_broken_predictions_are_left_out_and_counted() -> None:
    broken = guesses()
    broken[1] = Prediction(float("nan"), FORCES[1])
    forces = FORCES[2].copy()
    forces[0, 0] = np.inf
    broken[2] = Prediction(-4.0, forces)
    found = agreement(frames(), broken)
    assert (found.n_frames, found.n_skipped) == (4, 2)
    assert all(np.isfinite(getattr(found, field.name)) for field in fields(found))


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="6 reference frames, but 5 predictions"):
        agreement(frames(), guesses()[:5])
    with pytest.raises(ValueError, match="shapes"):
        agreement(frames(), guesses(forces=FORCES[:, :3]))
