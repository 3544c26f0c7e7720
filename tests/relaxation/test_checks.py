from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.frames import Frame, Prediction
from defectscout.relaxation.checks import GRACE_STEPS, _pairs_within, hopeless, is_crowded, overlap
from relaxation.engines import predict, vacancy


def frame(atoms: Atoms, step: int = GRACE_STEPS, **changes: object) -> Frame:
    return Frame(atoms, replace(predict(atoms), **changes), step)


def test_an_ordinary_frame_goes_on() -> None:
    atoms = vacancy()
    assert hopeless(frame(atoms), vacancy(seed=2), predict(vacancy(seed=2)).energy) == ""


@pytest.mark.parametrize("energy", [float("nan"), float("inf"), -float("inf")])
def test_energy_that_is_no_number(energy: float) -> None:
    atoms = vacancy()
    assert "energy is not a finite" in hopeless(frame(atoms, energy=energy), atoms, 0.0)


def test_force_that_is_no_number_names_the_atom() -> None:
    atoms = vacancy()
    forces = predict(atoms).forces.copy()
    forces[5, 1] = np.nan
    assert "force on atom 5" in hopeless(frame(atoms, forces=forces), atoms, 0.0)


def test_short_distances_are_allowed_at_the_start_only() -> None:
    initial = vacancy()
    atoms = initial.copy()
    atoms.positions[3] = atoms.positions[4] + [0.9, 0, 0]
    quiet = Prediction(0.0, np.zeros((len(atoms), 3)))
    assert hopeless(Frame(atoms, quiet, GRACE_STEPS - 1), initial, 0.0) == ""
    assert "on top of each other: 0.90 Å" in hopeless(Frame(atoms, quiet, GRACE_STEPS), initial, 0.0)


def test_overlap_is_seen_across_the_cell_boundary() -> None:
    atoms = Atoms("Cu2", [[0.2, 0, 0], [7.9, 0, 0]], cell=[8, 8, 8], pbc=True)
    assert "0.30 Å" in overlap(atoms)
    atoms.pbc = False
    assert overlap(atoms) == ""


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(4.0, 12.0), st.booleans())
def test_close_pairs_are_those_of_ases_neighbour_list(seed: int, size: float, periodic: bool) -> None:
    """In narrow cells and wide ones, however they are skewed, with atoms outside of them."""
    random = np.random.default_rng(seed)
    cell = size * (np.eye(3) + random.uniform(-0.4, 0.4, (3, 3)))
    atoms = Atoms("Te6Cd6", scaled_positions=random.uniform(-1, 2, (12, 3)), cell=cell, pbc=periodic)
    radii = 0.65 * covalent_radii[atoms.numbers]
    known = sorted(zip(*neighbor_list("ijd", atoms, radii.tolist()), strict=True))
    found = sorted(zip(*_pairs_within(atoms, radii), strict=True))
    assert [pair[:2] for pair in found] == [pair[:2] for pair in known]
    np.testing.assert_allclose([pair[2] for pair in found], [pair[2] for pair in known], atol=1e-9)


def test_the_shortest_real_bond_is_no_overlap() -> None:
    assert overlap(Atoms("N2", [[0, 0, 0], [1.098, 0, 0]])) == ""
    assert overlap(Atoms("H2", [[0, 0, 0], [0.741, 0, 0]])) == ""


def test_an_atom_that_flies_away() -> None:
    initial = vacancy()
    atoms = initial.copy()
    atoms.positions[2] += [0, 6.5, 0]
    assert "exploded: atom 2 (Cu)" in hopeless(Frame(atoms, predict(initial), 3), initial, 0.0)


def test_forces_may_be_large_at_the_start_only() -> None:
    atoms = vacancy()
    forces = np.full((len(atoms), 3), 200.0)
    assert hopeless(frame(atoms, 2, forces=forces), atoms, 0.0) == ""
    assert "forces exploded" in hopeless(frame(atoms, GRACE_STEPS, forces=forces), atoms, 0.0)


def test_a_hole_in_the_surface() -> None:
    atoms = vacancy()
    start = predict(atoms).energy
    assert "collapsed" in hopeless(frame(atoms, energy=start - 11.0 * len(atoms)), atoms, start)
    assert hopeless(frame(atoms, energy=start - 3.0 * len(atoms)), atoms, start) == ""


@pytest.mark.parametrize(("fraction", "falls"), [(0.1, True), (0.6, True), (0.7, False)])
def test_a_start_with_atoms_in_each_other_may_fall_deep(fraction: float, falls: bool) -> None:
    """Such as Te_Cd in CdTe with its neighbours drawn in by 50 %, 24 eV/atom up with GFN1-xTB."""
    initial, atoms = vacancy(), vacancy()
    bond = sum(covalent_radii[initial.numbers[[3, 4]]])
    initial.positions[3] = initial.positions[4] + [fraction * bond, 0, 0]
    assert is_crowded(initial) is falls
    assert (hopeless(frame(atoms, 5), initial, predict(atoms).energy + 1e5) == "") is falls


@pytest.mark.parametrize("symbol", ["Te", "Se", "S", "I"])
def test_neighbours_pushed_to_a_bond_are_not_crowded(symbol: str) -> None:
    assert not is_crowded(Atoms([symbol, symbol], [[0, 0, 0], [2.0, 0, 0]]))
