"""L-BFGS as two functions over one small state, for the host only.

Near the minimum of a crystal the energy is a parabola, and there curvature pays: the
lattice of a host needs 3 to 15 evaluations instead of FIRE's 30 to 100. Defects start
far from any parabola and relax with FIRE.

Nocedal's two-loop recursion (DOI 10.1090/S0025-5718-1980-0572855-7) with a diagonal
first guess, a limit on the step, and pairs of negative curvature left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.core.frames import FloatArray

MEMORY: Final = 20
"""Pairs of steps and gradient changes that are kept."""

MAX_MOVE: Final = 0.15
"""Å. Largest step of one row of coordinates, at full trust."""


@dataclass(frozen=True, slots=True, eq=False)
class LbfgsState:
    """What the optimiser remembers from one step to the next; k rows of three coordinates, Å.

    Attributes:
        steps: shape (m, k, 3), past steps, oldest first.
        changes: shape (m, k, 3), changes of the gradient along them, eV/Å.
        step: shape (k, 3), the last step; zero before the first.
        gradient: shape (k, 3), gradient before that step, eV/Å.
        energy: energy before that step, eV.
        trust: fraction of `MAX_MOVE` that is allowed at the moment.
    """

    steps: FloatArray
    changes: FloatArray
    step: FloatArray
    gradient: FloatArray
    energy: float
    trust: float


def lbfgs_init(n: int) -> LbfgsState:
    """State before the first step in `n` rows of coordinates."""
    none = np.zeros((0, n, 3))
    return LbfgsState(none, none, np.zeros((n, 3)), np.zeros((n, 3)), np.inf, 1.0)


def lbfgs_step(
    state: LbfgsState, energy: float, gradient: FloatArray, stiffness: FloatArray
) -> tuple[FloatArray, LbfgsState]:
    """One step downhill.

    Args:
        state: from `lbfgs_init` or the step before.
        energy: at the present coordinates, eV.
        gradient: shape (k, 3), there, eV/Å.
        stiffness: shape (k, 1), first guess of the second derivatives, eV/Å²; the same in every call.

    Returns:
        The step, shape (k, 3), Å, and the state for the next one.
    """
    steps, changes, trust = state.steps, state.changes, state.trust
    if state.step.any():
        steps, changes = _remember(steps, changes, state.step, gradient - state.gradient)
        # A step that went uphill was too long for the parabola that it was based on.
        trust = min(1.0, 1.5 * trust) if energy <= state.energy else max(0.1, 0.5 * trust)
    step = -_inverse_hessian(steps, changes, gradient, stiffness)
    longest = float(np.linalg.norm(step, axis=1).max())
    if longest > trust * MAX_MOVE:
        step = step * (trust * MAX_MOVE / longest)
    return step, LbfgsState(steps, changes, step, gradient, energy, trust)


def _remember(
    steps: FloatArray, changes: FloatArray, step: FloatArray, change: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The memory with one pair more, unless the curvature along it is not positive."""
    if np.vdot(step, change) <= 1e-6 * np.linalg.norm(step) * np.linalg.norm(change):
        return steps, changes
    return np.concatenate([steps, step[None]])[-MEMORY:], np.concatenate([changes, change[None]])[-MEMORY:]


def _inverse_hessian(steps: FloatArray, changes: FloatArray, gradient: FloatArray, stiffness: FloatArray) -> FloatArray:
    """The approximate inverse Hessian, times `gradient`."""
    weights = [1.0 / float(np.vdot(s, y)) for s, y in zip(steps, changes, strict=True)]
    result = gradient.copy()
    projections = []
    for s, y, w in reversed(list(zip(steps, changes, weights, strict=True))):
        projection = w * float(np.vdot(s, result))
        projections.append(projection)
        result -= projection * y
    result /= stiffness
    for s, y, w, projection in zip(steps, changes, weights, reversed(projections), strict=True):
        result += (projection - w * float(np.vdot(y, result))) * s
    return result
