"""Whether a structure at rest is a minimum: the lowest curvature of the reference, from few force calls.

Small forces end a relaxation on a saddle point as they do in a minimum. Davidson's method
(DOI 10.1016/0021-9991(75)90065-0) finds the lowest eigenvalue of the Hessian from products with it, each of which is
one force call at a displaced structure. What the reference has said of structures near by gives the first products for
nothing, and a surrogate's Hessian, which costs no call, says where to look next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.frames import FloatArray, Frame
from defectscout.surrogates.base import Surrogate

NEAR: Final = 0.06
"""Å. Frames no atom of which is farther away than this tell of the Hessian. From up to 0.15 Å the sides of a well look
like a ridge between them."""

PROBE_STEP: Final = 0.03
"""Å. How far a probe moves the atom that moves most."""

LEAST_PART: Final = 0.3
"""Fraction of a frame's displacement that has to be new for it to tell something new, and"""

LEAST_LENGTH: Final = 0.02
"""Å, how long that has to be. Noise of the forces is divided by it."""

SHIFT: Final = 0.6
"""eV/Å². Added to the surrogate's Hessian, which may have negative eigenvalues where the reference's has none."""

INNER_STEPS: Final = 5
"""Conjugate-gradient steps for a direction; thirty saved at most one force call of eight (V_Cd in CdSe, GFN1-xTB)."""

SURROGATE_STEP: Final = 0.01
"""Å. Of finite differences on the surrogate's surface, for the atom that moves most."""

AROUND: Final = 5.0
"""Å. The first probe moves the atoms within this distance of the site,"""

LEAST_ATOMS: Final = 4
"""and the nearest so many in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Orthonormal directions and the Hessian's products with them.

    Attributes:
        directions: shape (m, 3n), without a common translation of all atoms.
        products: shape (m, 3n), eV/Å².
    """

    directions: FloatArray
    products: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """The lowest curvature found so far.

    Attributes:
        value: eV/Å²; the lowest eigenvalue of the Hessian is no higher.
        residual: length of what the Hessian's product with the direction has besides that, eV/Å²: the Hessian has an
            eigenvalue no farther from `value` than this.
        direction: unit vector, shape (n, 3).
    """

    value: float
    residual: float
    direction: FloatArray


def products_of(origin: Frame, frames: Sequence[Frame]) -> Products:
    """What frames near by say of the Hessian at `origin`, the nearest first.

    Args:
        origin: the structure at rest.
        frames: of the same atoms in the same order and cell; those that are not near, or say nothing new, are left out.
    """
    n = len(origin.atoms)
    directions, products = np.zeros((0, 3 * n)), np.zeros((0, 3 * n))
    moves = [frame.atoms.positions - origin.atoms.positions for frame in frames]
    near = [k for k, move in enumerate(moves) if 0 < np.linalg.norm(move, axis=1).max() <= NEAR]
    for k in sorted(near, key=lambda k: float(np.linalg.norm(moves[k]))):
        move = _untranslated(moves[k])
        change = _untranslated(origin.prediction.forces - frames[k].prediction.forces)
        known = directions @ move
        new, length = move - known @ directions, float(np.linalg.norm(move))
        part = float(np.linalg.norm(new))
        if part < max(LEAST_LENGTH, LEAST_PART * length):
            continue
        directions = np.vstack([directions, new / part])
        products = np.vstack([products, (change - known @ products) / part])
    return Products(directions, products)


def lowest_curvature(known: Products) -> Curvature | None:
    """The lowest eigenvalue of the Hessian within the directions that are known; None without any."""
    if not len(known.directions):
        return None
    within = known.directions @ known.products.T
    values, vectors = np.linalg.eigh((within + within.T) / 2)
    direction, product = vectors[:, 0] @ known.directions, vectors[:, 0] @ known.products
    residual = float(np.linalg.norm(product - values[0] * direction))
    return Curvature(float(values[0]), residual, direction.reshape(-1, 3))


def next_probe(origin: Frame, known: Products, surrogate: Surrogate, site: FloatArray, *, number: int) -> Atoms:
    """The structure that tells the most about the lowest curvature, for a force call of the reference.

    The first probe goes in a direction drawn at random, near the site: in a structure with symmetry all that follows
    from a displacement keeps the symmetry that this has, and would never come upon a curvature that breaks it.

    Args:
        origin: the structure at rest.
        known: what is known of its Hessian.
        surrogate: whose Hessian guides.
        site: of the defect, shape (3,), fractional.
        number: of the probe, from 0.
    """
    lowest = lowest_curvature(known)
    if number == 0 or lowest is None:
        target = _local(origin.atoms, site)
    else:
        direction = lowest.direction.ravel()
        target = (known.directions @ direction) @ known.products - lowest.value * direction
    step = _solved(_hessian_of(surrogate, origin.atoms), target)
    step = _outside(known, _untranslated(step.reshape(-1, 3)))
    if not np.linalg.norm(step) > 1e-8 * np.linalg.norm(target):
        step = _outside(known, _local(origin.atoms, site))
    return displaced(origin, step.reshape(-1, 3), PROBE_STEP)


def displaced(origin: Frame, direction: FloatArray, step: float) -> Atoms:
    """The structure moved by `step` (Å, of the atom that moves most) along a direction, downhill if there is one."""
    sense = -1.0 if float(np.sum(direction * origin.prediction.forces)) < 0 else 1.0
    atoms = origin.atoms.copy()
    atoms.calc = None
    atoms.positions = origin.atoms.positions + direction * (sense * step / np.linalg.norm(direction, axis=1).max())
    return atoms


def _untranslated(move: FloatArray) -> FloatArray:
    return np.asarray((move - move.mean(axis=0)).ravel())


def _outside(known: Products, step: FloatArray) -> FloatArray:
    for _ in range(2):  # once leaves rounding errors behind
        step = step - (known.directions @ step) @ known.directions
    return step


def _local(atoms: Atoms, site: FloatArray) -> FloatArray:
    """A direction of the atoms around a site, drawn at random and always the same."""
    away = atoms.get_scaled_positions(wrap=False) - site
    distances = np.linalg.norm((away - np.round(away)) @ atoms.cell.array, axis=1)
    move = np.random.default_rng(0).normal(size=(len(atoms), 3))
    move[distances > max(AROUND, np.sort(distances)[:LEAST_ATOMS][-1])] = 0.0
    return _untranslated(move)


def _hessian_of(surrogate: Surrogate, atoms: Atoms) -> Callable[[FloatArray], FloatArray]:
    """Products with the surrogate's Hessian, by finite differences."""

    def product(vector: FloatArray) -> FloatArray:
        direction = vector.reshape(-1, 3)
        step = SURROGATE_STEP / np.linalg.norm(direction, axis=1).max()
        ends = [atoms.copy(), atoms.copy()]
        ends[0].positions += step * direction
        ends[1].positions -= step * direction
        up, down = surrogate.predict(ends)
        return _untranslated((down.forces - up.forces) / (2 * step))

    return product


def _solved(hessian: Callable[[FloatArray], FloatArray], target: FloatArray) -> FloatArray:
    """Some steps of conjugate gradients towards (H + SHIFT) x = target; fewer where that is not positive."""
    x, rest = np.zeros_like(target), target.copy()
    search, length = rest.copy(), float(rest @ rest)
    for _ in range(INNER_STEPS):
        if length <= 1e-16:
            break
        product = hessian(search) + SHIFT * search
        curvature = float(search @ product)
        if curvature <= 0:
            break
        x = x + length / curvature * search
        rest = rest - length / curvature * product
        before, length = length, float(rest @ rest)
        search = rest + length / before * search
    return x if np.any(x) else target
