"""The lowest curvature of a surface whose Hessian is known, and of copper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from defectscout.core.frames import FloatArray, Frame, Prediction
from defectscout.relaxation.curvature import (
    NEAR,
    PROBE_STEP,
    Curvature,
    Products,
    displaced,
    lowest_curvature,
    next_probe,
    products_of,
)
from relaxation.surfaces import Predict, Surface, copper, emt

SITE = np.full(3, 0.5)


def crystal() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 1, 1)


def hessian(*low: float, seed: int = 0) -> FloatArray:
    """With these lowest eigenvalues, others from 1 to 12 eV/Å², and none for a common translation."""
    n = len(crystal())
    random = np.random.default_rng(seed)
    whole = np.tile(np.eye(3), n) / np.sqrt(n)
    basis = random.normal(size=(3 * n, 3 * n - 3))
    basis -= whole.T @ (whole @ basis)
    vectors, _ = np.linalg.qr(basis)
    values = np.concatenate([low, np.linspace(1.0, 12.0, 3 * n - 3 - len(low))])
    return np.asarray((vectors * values) @ vectors.T)


def quadratic(matrix: FloatArray) -> Predict:
    def predict(atoms: Atoms) -> Prediction:
        move = (atoms.positions - crystal().positions).ravel()
        product = matrix @ move
        return Prediction(float(move @ product) / 2, -product.reshape(-1, 3))

    return predict


def at(predict: Predict, atoms: Atoms) -> Frame:
    return Frame(atoms, predict(atoms), 0)


def probes(
    predict: Predict,
    surrogate: Predict,
    until: Callable[[Curvature], bool],
    origin: Atoms | None = None,
    known: tuple[Atoms, ...] = (),
) -> tuple[int, Curvature]:
    """Force calls until something is known, and what that is."""
    start = at(predict, origin or crystal())
    frames = [at(predict, atoms) for atoms in known]
    for number in range(60):
        atoms = next_probe(start, products_of(start, frames), Surface(surrogate), SITE, number=number)
        frames.append(at(predict, atoms))
        lowest = lowest_curvature(products_of(start, frames))
        assert lowest is not None
        if until(lowest):
            return number + 1, lowest
    raise AssertionError("nothing became known")


def moved(k: int, by: float = 0.02) -> Atoms:
    atoms = crystal()
    atoms.positions += np.random.default_rng(k).normal(scale=by / 2, size=(len(atoms), 3))
    return atoms


def test_frames_near_by_tell_all_that_they_span() -> None:
    matrix = hessian(-0.2, 0.4)
    predict = quadratic(matrix)
    frames = [at(predict, moved(k)) for k in range(8)]
    known = products_of(at(predict, crystal()), frames)
    assert len(known.directions) == 8
    np.testing.assert_allclose(known.directions @ known.directions.T, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(known.products, known.directions @ matrix, atol=1e-10)
    lowest = lowest_curvature(known)
    assert lowest is not None
    direction = lowest.direction.ravel()
    assert lowest.value == pytest.approx(direction @ matrix @ direction)
    assert lowest.residual == pytest.approx(np.linalg.norm(matrix @ direction - lowest.value * direction))
    # An eigenvalue lies within the residual.
    assert np.abs(np.linalg.eigvalsh(matrix) - lowest.value).min() <= lowest.residual


def test_what_is_far_away_or_says_nothing_new_is_left_out() -> None:
    predict = quadratic(hessian(0.4))
    origin = at(predict, crystal())
    far, shifted, once = crystal(), crystal(), moved(1)
    far.positions[0, 0] += 1.1 * NEAR
    shifted.positions += 0.05
    twice = crystal()
    twice.positions += 1.4 * (once.positions - crystal().positions)
    frames = [at(predict, atoms) for atoms in (twice, far, shifted, once, crystal())]
    known = products_of(origin, frames)
    assert len(known.directions) == 1
    assert lowest_curvature(products_of(origin, [])) is None
    assert lowest_curvature(Products(np.zeros((0, 48)), np.zeros((0, 48)))) is None


def test_it_is_the_same_however_the_crystal_is_turned_and_its_atoms_are_ordered() -> None:
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()
    order = np.random.default_rng(5).permutation(len(crystal()))

    def other(frame: Frame) -> Frame:
        atoms = frame.atoms[order]
        atoms.set_cell(atoms.cell.array @ turn.T)
        atoms.positions = frame.atoms.positions[order] @ turn.T + [1.0, 2.0, -0.5]
        return Frame(atoms, Prediction(frame.prediction.energy, frame.prediction.forces[order] @ turn.T), 0)

    predict = quadratic(hessian(-0.2, 0.4))
    origin, frames = at(predict, crystal()), [at(predict, moved(k)) for k in range(4)]
    here = lowest_curvature(products_of(origin, frames))
    there = lowest_curvature(products_of(other(origin), [other(frame) for frame in frames]))
    assert here is not None
    assert there is not None
    assert (there.value, there.residual) == pytest.approx((here.value, here.residual))
    np.testing.assert_allclose(np.abs(np.sum(there.direction * (here.direction[order] @ turn.T))), 1.0)


def wrong(matrix: FloatArray) -> FloatArray:
    """As surrogates are: the soft direction is stiff there, and all others are a bit off."""
    values, vectors = np.linalg.eigh(matrix)
    soft = vectors[:, np.argmin(values)]
    return np.asarray(1.1 * matrix + (1.0 - 1.1 * values.min()) * np.outer(soft, soft))


def test_a_way_down_is_found_that_the_surrogate_does_not_know_of() -> None:
    """Of the 45 directions that there are."""
    matrix = hessian(-0.3, 0.3, 0.4)
    guided, lowest = probes(quadratic(matrix), quadratic(wrong(matrix)), lambda told: told.value < -0.05)
    assert lowest.value >= -0.3 - 1e-9
    assert guided <= 12
    blind, _ = probes(quadratic(matrix), quadratic(np.eye(48)), lambda told: told.value < -0.05)
    assert guided < blind


def test_around_a_minimum_the_lowest_curvature_settles() -> None:
    matrix = hessian(0.3, 0.5)
    calls, lowest = probes(quadratic(matrix), quadratic(wrong(matrix)), lambda told: told.residual < 0.1)
    assert 0.3 <= lowest.value < 0.4
    assert calls <= 12


def test_a_way_down_that_breaks_the_symmetry_is_found_from_what_keeps_it() -> None:
    """All that is known at first, and what is soft there, is the same on both sides of a mirror plane."""
    mirror = np.tile([1.0, 1.0, -1.0], 16)
    soft = np.zeros(48)
    soft[[5, 8]] = [1.0, -1.0]  # two atoms move against each other, off the plane
    matrix = np.diag(np.linspace(1.0, 8.0, 48)) - 4.0 * np.outer(soft, soft) / (soft @ soft) * 1.2

    def predict(atoms: Atoms) -> Prediction:
        move = (atoms.positions - atoms.positions.mean(axis=0) - PLANE.positions + PLANE.positions.mean(axis=0)).ravel()
        return Prediction(float(move @ matrix @ move) / 2, -(matrix @ move).reshape(-1, 3))

    kept = PLANE.copy()
    kept.positions[:, :2] += np.random.default_rng(0).normal(scale=0.015, size=(16, 2))
    known = products_of(at(predict, PLANE), [at(predict, kept)])
    np.testing.assert_allclose(known.directions * mirror, known.directions, atol=1e-12)
    assert np.linalg.eigvalsh(matrix)[0] < -0.1
    _, lowest = probes(predict, predict, lambda told: told.value < -0.05, PLANE, (kept,))
    assert abs(lowest.direction.ravel() @ soft) / np.linalg.norm(soft) > 0.5


PLANE = Atoms("Cu16", [[2.6 * (k % 4), 2.6 * (k // 4), 0.0] for k in range(16)], cell=[10.4, 10.4, 12.0], pbc=True)


def test_a_surrogate_that_is_wrong_about_everything_only_costs_calls() -> None:
    """Neither where its Hessian is not positive, nor where it has none."""
    matrix = hessian(0.5)
    for other in (-5.0 * np.eye(48), np.zeros((48, 48))):
        _, lowest = probes(quadratic(matrix), quadratic(other), lambda told: told.residual < 0.1)
        assert lowest.value >= 0.5 - 1e-9


def test_a_probe_moves_no_atom_far_and_goes_where_nothing_is_known() -> None:
    predict = quadratic(hessian(0.3))
    origin = at(predict, moved(9, by=0.01))
    known = products_of(origin, [at(predict, moved(k)) for k in range(3)])
    for number in (0, 1):
        probe = next_probe(origin, known, Surface(predict), SITE, number=number)
        move = probe.positions - origin.atoms.positions
        assert np.linalg.norm(move, axis=1).max() == pytest.approx(PROBE_STEP)
        np.testing.assert_allclose(known.directions @ move.ravel(), 0.0, atol=1e-10)
        assert np.sum(move * origin.prediction.forces) >= 0


def test_off_a_ridge_it_goes_downhill() -> None:
    predict = quadratic(hessian(-0.5))
    _, vectors = np.linalg.eigh(hessian(-0.5))
    soft = vectors[:, 0].reshape(-1, 3)
    for side in (-0.02, 0.02):
        atoms = crystal()
        atoms.positions += side * soft
        down = displaced(at(predict, atoms), soft, 0.2)
        assert np.linalg.norm(down.positions - atoms.positions, axis=1).max() == pytest.approx(0.2)
        assert predict(down).energy < predict(atoms).energy


def test_the_curvature_of_a_real_crystal() -> None:
    """Against finite differences of all its coordinates."""
    atoms = copper(stdev=0.0)
    n, step = len(atoms), 0.01
    rows = []
    for k in range(3 * n):
        ends = [atoms.copy(), atoms.copy()]
        for end, sense in zip(ends, (1, -1), strict=True):
            end.positions[k // 3, k % 3] += sense * step
        rows.append((emt(ends[1]).forces - emt(ends[0]).forces).ravel() / (2 * step))
    values = np.linalg.eigvalsh((np.array(rows) + np.array(rows).T) / 2)
    lowest_of_all = min(value for value in values if abs(value) > 1e-3)
    calls, lowest = probes(emt, emt, lambda told: told.residual < 0.1, atoms)
    assert calls <= 10
    assert lowest_of_all - 0.05 <= lowest.value <= lowest_of_all + 0.2
