from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.frames import FloatArray
from defectscout.relaxation.residual import CONSTANT, ENERGY_NOISE, GRADIENT_NOISE, SLOPE, Residual, fit_residual


def bowl(seed: int, k: int) -> tuple[FloatArray, float]:
    """A random symmetric Hessian and a strength of what is not harmonic."""
    matrix = np.random.default_rng(seed).normal(size=(k, k))
    return matrix + matrix.T, 0.3


def difference(x: FloatArray, seed: int = 0) -> tuple[float, FloatArray]:
    hessian, cubic = bowl(seed, len(x))
    return 0.5 * float(x @ hessian @ x) + cubic * float((x**3).sum()) / 3, hessian @ x + cubic * x**2


def fitted(points: FloatArray, length: float = 2.0, shift: float = 0.0) -> Residual:
    values = [difference(x) for x in points]
    return fit_residual(
        points, np.array([value for value, _ in values]) + shift, np.array([slope for _, slope in values]), length
    )


def points(m: int, k: int, seed: int = 1, spread: float = 0.2) -> FloatArray:
    return spread * np.random.default_rng(seed).normal(size=(m, k))


@settings(max_examples=20, deadline=None)
@given(m=st.integers(1, 6), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_what_is_known_is_reproduced(m: int, k: int, seed: int) -> None:
    known = points(m, k, seed)
    residual = fitted(known)
    first = residual.at(known[0])[0] - difference(known[0])[0]
    for x in known:
        value, slope = residual.at(x)
        expected, gradient = difference(x)
        assert value - expected == pytest.approx(first, abs=5 * ENERGY_NOISE)  # up to a constant
        np.testing.assert_allclose(slope, gradient, atol=5 * GRADIENT_NOISE)


def test_the_gradient_is_that_of_the_energy() -> None:
    residual = fitted(points(5, 7))
    x = points(1, 7, seed=5)[0]
    h = 1e-5
    numerical = [(residual.at(x + h * e)[0] - residual.at(x - h * e)[0]) / (2 * h) for e in np.eye(7)]
    np.testing.assert_allclose(residual.at(x)[1], numerical, atol=1e-7)


def test_it_is_the_gaussian_process_with_all_derivatives() -> None:
    """The split into what lies along and across the differences changes nothing."""
    m, k, length = 4, 9, 1.7
    known = points(m, k)
    observed = np.array([np.concatenate([[value], slope]) for value, slope in map(difference, known)])
    scale = SLOPE * length
    matrix = np.zeros((m, 1 + k, m, 1 + k))
    for i in range(m):
        for j in range(m):
            away = (known[i] - known[j]) / length
            kernel = np.exp(-0.5 * away @ away)
            block = np.zeros((1 + k, 1 + k))
            block[0, 0] = kernel + CONSTANT**2
            block[0, 1:], block[1:, 0] = kernel * away / length, -kernel * away / length
            block[1:, 1:] = kernel * (np.eye(k) - np.outer(away, away)) / length**2
            matrix[i, :, j, :] = scale**2 * block
    flat = matrix.reshape(m * (1 + k), -1)
    flat += np.diag(np.tile([ENERGY_NOISE**2] + [GRADIENT_NOISE**2] * k, m))
    observed[:, 0] -= observed[-1, 0]
    weights = np.linalg.solve(flat, observed.ravel()).reshape(m, 1 + k)
    x = points(1, k, seed=9)[0]
    away = (x - known) / length
    kernel = np.exp(-0.5 * (away**2).sum(axis=1))
    value = scale**2 * float(kernel @ (weights[:, 0] + (away * weights[:, 1:]).sum(axis=1) / length))
    assert fitted(known, length).at(x)[0] == pytest.approx(value, abs=1e-6)


def test_a_constant_has_no_effect() -> None:
    x = points(1, 6, seed=3)[0]
    plain, shifted = fitted(points(4, 6)), fitted(points(4, 6), shift=-3460.0)
    np.testing.assert_allclose(shifted.at(x)[1], plain.at(x)[1], atol=1e-9)


def test_far_away_it_is_forgotten() -> None:
    value, slope = fitted(points(4, 6)).at(np.full(6, 20.0))
    assert abs(value) < 1e-12
    assert np.abs(slope).max() < 1e-12


def test_a_point_that_is_there_twice_is_no_trouble() -> None:
    known = np.repeat(points(3, 6), 2, axis=0)
    for x in known:
        np.testing.assert_allclose(fitted(known).at(x)[1], difference(x)[1], atol=5 * GRADIENT_NOISE)
