from __future__ import annotations

import numpy as np
import pytest

from defectscout.core.frames import FloatArray
from defectscout.relaxation.lbfgs import MAX_MOVE, MEMORY, lbfgs_init, lbfgs_step


def parabola(n: int, stiffest: float) -> FloatArray:
    """A random positive definite matrix, shape (3 n, 3 n), eigenvalues from 1 to `stiffest`."""
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(3 * n, 3 * n)))
    return np.asarray(basis @ np.diag(np.geomspace(1.0, stiffest, 3 * n)) @ basis.T)


def test_a_parabola_is_solved_in_about_as_many_steps_as_it_has_dimensions() -> None:
    n = 3
    matrix = parabola(n, 50.0)
    x = np.random.default_rng(0).normal(scale=0.02, size=(n, 3))
    state = lbfgs_init(n)
    for _ in range(3 * 3 * n):
        gradient = (matrix @ x.ravel()).reshape(n, 3)
        step, state = lbfgs_step(state, 0.5 * float(np.vdot(x, gradient)), gradient, np.full((n, 1), 20.0))
        x = x + step
    assert np.abs(x).max() < 1e-6


def test_an_exact_first_guess_hits_the_minimum_at_once() -> None:
    stiffness = np.array([[2.0], [30.0]])
    x = np.array([[0.01, -0.02, 0.03], [0.02, 0.0, -0.01]])
    step, _ = lbfgs_step(lbfgs_init(2), 0.0, stiffness * x, stiffness)
    np.testing.assert_allclose(step, -x, atol=1e-15)


def test_steps_are_limited_and_shrink_after_going_uphill() -> None:
    gradient = np.array([[1e3, 0.0, 0.0], [0.0, 1.0, 0.0]])
    stiffness = np.ones((2, 1))
    step, state = lbfgs_step(lbfgs_init(2), 1.0, gradient, stiffness)
    assert np.linalg.norm(step, axis=1).max() == pytest.approx(MAX_MOVE)
    step, _ = lbfgs_step(state, 2.0, 3 * gradient, stiffness)  # higher than before
    assert np.linalg.norm(step, axis=1).max() == pytest.approx(MAX_MOVE / 2)


def test_steps_go_downhill_where_the_curvature_is_negative() -> None:
    # E = -x² + x⁴: starts near the maximum at 0, minima at ±0.707.
    x = np.array([[0.01, 0.0, 0.0]])
    state = lbfgs_init(1)
    energies = []
    for _ in range(40):
        energies.append(float(-(x[0, 0] ** 2) + x[0, 0] ** 4))
        gradient = -2 * x + 4 * x**3 * np.array([1.0, 0, 0])
        step, state = lbfgs_step(state, energies[-1], gradient, np.full((1, 1), 5.0))
        x = x + step
    assert x[0, 0] == pytest.approx(np.sqrt(0.5), abs=1e-4)


def test_the_memory_is_bounded() -> None:
    state = lbfgs_init(2)
    rng = np.random.default_rng(5)
    x = rng.normal(scale=0.01, size=(2, 3))
    for k in range(2 * MEMORY):
        _, state = lbfgs_step(state, -float(k), x * (1 + k), np.ones((2, 1)) * 1e4)
    assert len(state.steps) == len(state.changes) <= MEMORY
