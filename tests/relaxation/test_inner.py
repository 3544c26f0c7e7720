from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray
from defectscout.relaxation.inner import minimise, within


def parabola(n: int, seed: int = 0, stretch: float = 30.0) -> tuple[FloatArray, FloatArray]:
    """A Hessian that does not see translations, and where its bottom is: n atoms."""
    rng = np.random.default_rng(seed)
    vectors, _ = np.linalg.qr(rng.normal(size=(3 * n, 3 * n)))
    hessian = vectors @ np.diag(np.geomspace(1.0, stretch, 3 * n)) @ vectors.T
    mean = np.kron(np.full((n, n), 1.0 / n), np.eye(3))
    still = np.eye(3 * n) - mean
    bottom = 0.3 * rng.normal(size=(n, 3))
    return still @ hessian @ still, bottom - bottom.mean(axis=0)


class Bowl:
    def __init__(self, n: int, seed: int = 0, fails_beyond: float = np.inf) -> None:
        self.hessian, self.bottom = parabola(n, seed)
        self.fails_beyond = fails_beyond
        self.n = 0

    def __call__(self, positions: FloatArray) -> tuple[float, FloatArray]:
        self.n += 1
        if np.linalg.norm(positions, axis=1).max() > self.fails_beyond:
            if self.n % 2:
                raise CalculationError("a hole")
            return np.nan, positions
        away = (positions - self.bottom).ravel()
        return 0.5 * float(away @ self.hessian @ away), (self.hessian @ away).reshape(-1, 3)


def test_the_bottom_is_found_if_it_is_near_enough() -> None:
    bowl = Bowl(6)
    found = minimise(bowl, np.zeros((6, 3)), 2.0, 1e-3, 200)
    np.testing.assert_allclose(found.positions, bowl.bottom, atol=2e-3)
    assert found.fall == pytest.approx(-bowl(np.zeros((6, 3)))[0], rel=1e-3)
    assert bowl.n < 60


@settings(max_examples=30, deadline=None)
@given(radius=st.floats(0.01, 0.5), seed=st.integers(0, 20))
def test_no_atom_leaves_the_region_and_the_whole_does_not_move(radius: float, seed: int) -> None:
    bowl = Bowl(5, seed)
    found = minimise(bowl, np.zeros((5, 3)), radius, 1e-3, 100)
    assert np.linalg.norm(found.positions, axis=1).max() <= radius * (1 + 1e-9)
    np.testing.assert_allclose(found.positions.mean(axis=0), 0.0, atol=1e-12)
    assert found.fall <= 0
    assert bowl.n <= 100


def test_an_atom_at_the_border_does_not_hold_the_others() -> None:
    bowl = Bowl(5)
    bowl.hessian, _ = parabola(5, stretch=1.0)
    bowl.bottom = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0.1, 0], [0, -0.1, 0], [0, 0, 0]])
    found = minimise(bowl, np.zeros((5, 3)), 0.3, 1e-4, 100)
    np.testing.assert_allclose(found.positions[:2], 0.3 * bowl.bottom[:2], atol=1e-3)
    np.testing.assert_allclose(found.positions[2:], bowl.bottom[2:], atol=1e-3)


def test_holes_shorten_the_steps() -> None:
    bowl = Bowl(5, fails_beyond=0.1)
    found = minimise(bowl, np.zeros((5, 3)), 1.0, 1e-3, 200)
    assert found.fall < 0
    assert np.linalg.norm(found.positions, axis=1).max() <= 0.1
    assert bowl.n <= 200


def test_nowhere_to_go_leaves_it_where_it_is() -> None:
    start = np.zeros((5, 3))
    bowl = Bowl(5, fails_beyond=1e-9)
    found = minimise(bowl, start, 1.0, 1e-3, 200)
    np.testing.assert_array_equal(found.positions, start)
    assert found.fall == 0.0
    assert bowl.n < 30


def test_a_surface_without_a_start_is_an_error() -> None:
    with pytest.raises(CalculationError, match="not finite"):
        minimise(lambda x: (np.nan, x), np.zeros((3, 3)), 1.0, 1e-3, 10)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.floats(-2, 2)] * 3), min_size=2, max_size=6),
    radius=st.floats(0.01, 1.0),
)
def test_within_keeps_the_mean_and_the_radius(rows: list[tuple[float, float, float]], radius: float) -> None:
    centre = np.linspace(0, 5, 3 * len(rows)).reshape(-1, 3)
    inside = within(centre + np.array(rows), centre, radius) - centre
    assert np.linalg.norm(inside, axis=1).max() <= radius * (1 + 1e-9)
    np.testing.assert_allclose(inside.mean(axis=0), 0.0, atol=1e-12)
