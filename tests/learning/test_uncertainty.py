"""How far models disagree, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.frames import Prediction
from defectscout.learning.uncertainty import (
    calibrated,
    distance_to_frames,
    energy_spread,
    force_error,
    force_spread,
)
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.ensemble import EnsembleSurrogate

INFO = SurrogateInfo("spring", "none 0", "none", "", None)
CRYSTAL = bulk("MgS", "rocksalt", a=5.2, cubic=True)


@dataclass(frozen=True)
class Springs:
    """Every atom on a spring to its place in the crystal; energies from a zero of its own."""

    stiffness: float
    zero: float = 0.0
    info: SurrogateInfo = INFO

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        moved = [atoms.positions - CRYSTAL.positions for atoms in structures]
        return [Prediction(self.zero + self.stiffness * float((d**2).sum()) / 2, -self.stiffness * d) for d in moved]


def displaced(*lengths: float) -> list[Atoms]:
    """One atom each, by a length in Å."""
    structures = []
    for length in lengths:
        atoms = CRYSTAL.copy()
        atoms.positions[2] += length * np.array([0.6, 0.0, 0.8])
        structures.append(atoms)
    return structures


def test_force_spread_is_that_of_the_worst_atom() -> None:
    """Springs of 1, 2 and 6 eV/Å² have a standard deviation of √(14/3) eV/Å²."""
    spread = force_spread([Springs(1.0), Springs(2.0), Springs(6.0)], displaced(0.0, 0.1, 0.3))
    np.testing.assert_allclose(spread, np.sqrt(14 / 3) * np.array([0.0, 0.1, 0.3]), atol=1e-12)


def test_force_spread_of_nested_ensembles_is_that_of_their_members() -> None:
    flat = [Springs(1.0), Springs(2.0), Springs(6.0)]
    inner = EnsembleSurrogate(INFO, (flat[1],))
    nested = [EnsembleSurrogate(INFO, (flat[0], inner)), flat[2]]
    np.testing.assert_array_equal(force_spread(nested, displaced(0.2)), force_spread(flat, displaced(0.2)))


def test_force_spread_does_not_turn_with_the_crystal() -> None:
    @dataclass(frozen=True)
    class Turned(Springs):
        def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
            turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
            return [Prediction(p.energy, p.forces @ turn) for p in super().predict(structures)]

    models = [(Springs(k), Turned(k)) for k in (1.0, 3.0)]
    plain = force_spread([model for model, _ in models], displaced(0.2))
    np.testing.assert_allclose(force_spread([model for _, model in models], displaced(0.2)), plain)


def test_one_model_does_not_know_how_unsure_it_is() -> None:
    assert np.isnan(force_spread([Springs(1.0)], displaced(0.1, 0.2))).all()
    assert np.isnan(energy_spread([Springs(1.0)], displaced(0.1, 0.2))).all()
    assert np.isnan(energy_spread([Springs(1.0), Springs(2.0)], displaced(0.1))).all()
    assert force_spread([Springs(1.0), Springs(2.0)], []).shape == (0,)
    with pytest.raises(ValueError, match="no surrogate"):
        force_spread([], displaced(0.1))


def test_energy_spread_does_not_see_zeros_of_energy() -> None:
    structures = displaced(0.0, 0.2, 0.4)
    models, shifted = [Springs(1.0), Springs(3.0)], [Springs(1.0, zero=-100.0), Springs(3.0, zero=7.0)]
    energies = 0.5 * np.array([0.0, 0.2, 0.4]) ** 2
    np.testing.assert_allclose(energy_spread(models, structures), np.abs(energies - energies.mean()), atol=1e-12)
    np.testing.assert_allclose(energy_spread(shifted, structures), energy_spread(models, structures), atol=1e-12)


def test_the_force_error_is_that_of_the_worst_atom() -> None:
    (atoms,) = displaced(0.5)
    ((guess,), (truth,)) = (Springs(k).predict([atoms]) for k in (2.0, 3.0))
    assert force_error(guess, truth) == pytest.approx(0.5)


def test_few_pairs_calibrate_nothing() -> None:
    assert calibrated([]) is None
    assert calibrated([(1.0, 2.0), (0.5, 1.0)]) is None
    assert calibrated([(1.0, 2.0), (0.5, 1.0), (np.nan, 1.0)]) is None
    assert calibrated([(0.0, 1.0)] * 3) is None


@given(
    pairs=st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 10)), min_size=3, max_size=20),
    unit=st.floats(0.1, 10),
)
def test_calibrated_spreads_match_errors(pairs: list[tuple[float, float]], unit: float) -> None:
    factor = calibrated(pairs)
    assert factor is not None
    scaled, errors = np.array([(factor * spread, error) for spread, error in pairs]).T
    assert np.sqrt((scaled**2).mean()) == pytest.approx(np.sqrt((errors**2).mean()))
    assert calibrated([(unit * spread, unit * error) for spread, error in pairs]) == pytest.approx(factor)


def test_distance_to_frames() -> None:
    training = np.array([[0.0, 10.0], [2.0, 10.0], [0.0, 30.0], [2.0, 30.0]])  # deviations 1 and 10
    asked = np.array([[2.0, 30.0], [2.0, 40.0], [4.0, 10.0]])
    np.testing.assert_allclose(distance_to_frames(asked, training), [0.0, np.sqrt(1 / 2), np.sqrt(4 / 2)])


def test_distance_to_frames_has_no_unit() -> None:
    random = np.random.default_rng(1)
    asked, training = random.normal(size=(5, 3)), random.normal(size=(9, 3))
    unit = np.array([1.0, 20.0, 0.05])
    plain = distance_to_frames(asked, training)
    np.testing.assert_allclose(distance_to_frames(asked * unit, training * unit), plain)
    np.testing.assert_allclose(distance_to_frames(training, training), 0.0, atol=1e-12)


def test_a_feature_that_training_never_varied_is_noticed() -> None:
    training = np.array([[0.0, 1.0], [1.0, 1.0]])
    near, far = distance_to_frames([[0.5, 1.0], [0.5, 1.5]], training)
    assert far > 100 * near


def test_distances_need_a_scale() -> None:
    with pytest.raises(ValueError, match="all alike"):
        distance_to_frames([[1.0, 2.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="shapes"):
        distance_to_frames([[1.0, 2.0]], [[1.0], [2.0]])
