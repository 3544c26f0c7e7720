"""Minimising a cheap surface around a point, no atom farther from it than a trust radius.

Projected L-BFGS: the step of the two-loop recursion is brought back into the region by
shortening the displacement of each atom that leaves it, so that one atom at the border does
not hold the others. A step that does not go downhill is halved, and after some of these
the memory is dropped for the plain gradient.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray

Surface = Callable[[FloatArray], tuple[float, FloatArray]]
"""Energy (eV) and gradient (eV/Å), shape (n, 3), at positions, shape (n, 3); CalculationError where there are none."""

MEMORY: Final = 20
"""Pairs of steps and gradient changes that are kept."""

FIRST_SOFTNESS: Final = 0.03
"""Å²/eV. First guess of the inverse Hessian: stiffer than the bonds of semiconductors."""

MAX_MOVE: Final = 0.15
"""Å. Largest step of one atom."""

MIN_MOVE: Final = 1e-4
"""Å. A search along a direction ends when no atom moves farther."""

ARMIJO: Final = 1e-4
"""Fraction of the fall in energy that the slope promises and that a step must bring."""

ROUNDING: Final = 1e-5
"""eV. Differences of energy smaller than this are noise of a network in single precision."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point on the surface.

    Attributes:
        positions: shape (n, 3), Å.
        energy: eV.
        gradient: shape (n, 3), eV/Å.
    """

    positions: FloatArray
    energy: float
    gradient: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Lowest:
    """The lowest point found.

    Attributes:
        positions: shape (n, 3), Å.
        fall: its energy less that of the start, eV; zero if nothing lower was found.
    """

    positions: FloatArray
    fall: float


def minimise(surface: Surface, start: FloatArray, radius: float, threshold: float, max_calls: int) -> Lowest:
    """The lowest point found within `radius` of `start`; `start` itself if nothing is lower.

    Args:
        surface: what to minimise. Where it cannot be evaluated or is not finite, the step is shortened.
        start: shape (n, 3), Å; the surface must be defined there.
        radius: largest displacement of an atom, Å.
        threshold: largest residual force on an atom, as far as the region leaves it free, eV/Å.
        max_calls: of `surface`.

    Raises:
        CalculationError: if the surface is not defined at `start`.
    """
    point = _at(surface, start)
    if point is None:
        raise CalculationError("the surrogate's energy or forces are not finite")
    first = point.energy
    memory: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=MEMORY)
    calls = 1
    while calls < max_calls and _residual(point, start, radius) > threshold:
        step = _capped(-_inverse_hessian(memory, point.gradient))
        found, spent = _search(surface, point, step, start, radius, max_calls - calls)
        calls += spent
        if found is None and memory:
            memory.clear()
            continue
        if found is None:
            break
        _remember(memory, found.positions - point.positions, found.gradient - point.gradient)
        point = found
    return Lowest(point.positions, min(point.energy - first, 0.0))


def within(positions: FloatArray, centre: FloatArray, radius: float) -> FloatArray:
    """`positions` brought back so that no atom is farther than `radius` from `centre` and their mean does not move."""
    away = positions - centre
    away = away - away.mean(axis=0)
    distance = np.linalg.norm(away, axis=1)
    if float(distance.max(initial=0.0)) <= radius:
        return np.asarray(centre + away)
    away = away * np.minimum(1.0, radius / np.maximum(distance, 1e-12))[:, None]
    away -= away.mean(axis=0)
    longest = float(np.linalg.norm(away, axis=1).max())
    return np.asarray(centre + away * min(1.0, radius / max(longest, 1e-12)))


def _at(surface: Surface, positions: FloatArray) -> Point | None:
    """The point at `positions`; None where the surface is not defined."""
    try:
        energy, gradient = surface(positions)
    except CalculationError:
        return None
    if not np.isfinite(energy) or not np.isfinite(gradient).all():
        return None
    return Point(positions, energy, gradient)


def _residual(point: Point, centre: FloatArray, radius: float) -> float:
    """Largest force on an atom; of atoms at the border only what does not point out of the region."""
    away = point.positions - centre
    distance = np.linalg.norm(away, axis=1)
    outward = away / np.maximum(distance, 1e-12)[:, None]
    pull = -(point.gradient * outward).sum(axis=1)
    held = (distance > 0.999 * radius) & (pull > 0)
    free = point.gradient + np.where(held, pull, 0.0)[:, None] * outward
    return float(np.linalg.norm(free, axis=1).max())


def _search(
    surface: Surface, point: Point, step: FloatArray, centre: FloatArray, radius: float, max_calls: int
) -> tuple[Point | None, int]:
    """A lower point along `step`, shortened as often as it takes, and the calls spent; None if there is none."""
    for spent in range(1, max_calls + 1):
        positions = within(point.positions + step, centre, radius)
        moved = positions - point.positions
        slope = float(np.vdot(moved, point.gradient))
        if float(np.abs(moved).max()) < MIN_MOVE or slope >= 0:
            return None, spent - 1
        found = _at(surface, positions)
        if found is not None and found.energy <= point.energy + ARMIJO * slope + ROUNDING:
            return found, spent
        step = step * _shorter(point, found, slope)
    return None, max_calls


def _shorter(point: Point, found: Point | None, slope: float) -> float:
    """By how much to shorten a step: to the minimum of the parabola through what is known."""
    if found is None:
        return 0.25
    bend = found.energy - point.energy - slope
    return float(np.clip(-0.5 * slope / bend, 0.1, 0.5)) if bend > 0 else 0.5


def _capped(step: FloatArray) -> FloatArray:
    longest = float(np.linalg.norm(step, axis=1).max())
    return step * min(1.0, MAX_MOVE / max(longest, 1e-12))


def _remember(memory: deque[tuple[FloatArray, FloatArray]], step: FloatArray, change: FloatArray) -> None:
    """Keep a pair, unless the curvature along it is not positive."""
    if np.vdot(step, change) > 1e-6 * np.linalg.norm(step) * np.linalg.norm(change):
        memory.append((step, change))


def _inverse_hessian(memory: deque[tuple[FloatArray, FloatArray]], gradient: FloatArray) -> FloatArray:
    """The approximate inverse Hessian times `gradient`."""
    result = gradient.copy()
    projections = []
    for s, y in reversed(memory):
        projection = float(np.vdot(s, result)) / float(np.vdot(s, y))
        projections.append(projection)
        result -= projection * y
    softness = FIRST_SOFTNESS
    if memory:
        s, y = memory[-1]
        softness = float(np.vdot(s, y)) / float(np.vdot(y, y))
    result *= softness
    for (s, y), projection in zip(memory, reversed(projections), strict=True):
        result += (projection - float(np.vdot(y, result)) / float(np.vdot(s, y))) * s
    return result
