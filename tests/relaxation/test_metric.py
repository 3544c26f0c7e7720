from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from defectscout.core.frames import FloatArray
from defectscout.relaxation.metric import ACROSS, FREE, STIFFEST, Metric, bond_metric


def crystal(seed: int = 0) -> Atoms:
    atoms: Atoms = bulk("CdTe", "zincblende", a=6.6, cubic=True) * (2, 1, 1)
    atoms.rattle(0.2, seed=seed)
    return atoms


def moves(n: int, seed: int = 1) -> FloatArray:
    return np.asarray(np.random.default_rng(seed).normal(size=(n, 3)))


def length(metric: Metric, move: FloatArray) -> float:
    return float(np.linalg.norm(metric.points(move.ravel())))


def dimer(distance: float) -> Atoms:
    return Atoms("Te2", [[0, 0, 0], [distance, 0, 0]], cell=[20, 20, 20], pbc=True)


def test_gradients_change_as_the_coordinates_do() -> None:
    metric = bond_metric(crystal())
    move, gradient = moves(16).ravel(), moves(16, 2).ravel()
    assert metric.points(move) @ metric.gradients(gradient) == pytest.approx(move @ gradient)
    np.testing.assert_allclose(metric.gradients_back(metric.gradients(gradient)), gradient, atol=1e-12)
    both = np.stack([gradient, move])
    np.testing.assert_allclose(metric.gradients(both)[1], metric.gradients(move))


def test_it_turns_with_the_crystal_and_does_not_see_where_it_stands() -> None:
    atoms, move = crystal(), moves(16)
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T + [1.0, -2.0, 0.5]
    turned.wrap()
    assert length(bond_metric(turned), move @ turn.T) == pytest.approx(length(bond_metric(atoms), move))


def test_the_order_of_the_atoms_does_not_matter() -> None:
    atoms, move = crystal(), moves(16)
    order = np.random.default_rng(3).permutation(16)
    assert length(bond_metric(atoms[order]), move[order]) == pytest.approx(length(bond_metric(atoms), move))


def test_a_supercell_counts_every_atom_once() -> None:
    atoms, move = crystal(), moves(16)
    twice = length(bond_metric(atoms * (1, 2, 1)), np.tile(move, (2, 1)))
    assert twice == pytest.approx(np.sqrt(2) * length(bond_metric(atoms), move))


def test_a_bond_is_stiff_along_it_softer_across_it_and_free_to_move_as_a_whole() -> None:
    metric = bond_metric(dimer(2 * 1.38))  # the sum of the covalent radii
    along, across = np.array([[-1.0, 0, 0], [1, 0, 0]]), np.array([[0, -1.0, 0], [0, 1, 0]])
    assert length(metric, along) ** 2 == pytest.approx(4 + 2 * FREE)
    assert length(metric, across) ** 2 == pytest.approx(4 * ACROSS + 2 * FREE)
    assert length(metric, np.abs(along)) ** 2 == pytest.approx(2 * FREE)


def test_shorter_bonds_are_stiffer_up_to_a_limit_and_far_atoms_do_not_know_each_other() -> None:
    along = np.array([[-1.0, 0, 0], [1, 0, 0]])
    stiffness = [(length(bond_metric(dimer(d)), along) ** 2 - 2 * FREE) / 4 for d in (0.05, 0.5, 2.5, 2.8, 3.3, 4.5)]
    assert stiffness[:2] == pytest.approx([STIFFEST, STIFFEST])
    assert np.all(np.diff(stiffness[1:]) < 0)
    assert stiffness[-1] == pytest.approx(0)


def test_atoms_in_one_place_and_atoms_alone_have_one_too() -> None:
    assert np.isfinite(bond_metric(dimer(0.0)).root).all()
    assert length(bond_metric(Atoms("He", cell=[9, 9, 9], pbc=True)), np.ones((1, 3))) ** 2 == pytest.approx(3 * FREE)


def test_images_of_an_atom_do_not_hold_it() -> None:
    """In a cell of one atom all of it moves together."""
    assert length(bond_metric(bulk("Cu")), np.ones((1, 3))) ** 2 == pytest.approx(3 * FREE)
