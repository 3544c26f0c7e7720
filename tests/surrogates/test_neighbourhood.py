"""Neighbour lists against ASE's, and structures that no graph can be made of."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.errors import CalculationError
from defectscout.surrogates.neighbourhood import MIN_DISTANCE, neighbourhoods


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), cutoff=st.floats(3.5, 6.0))
def test_same_pairs_as_ase(seed: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    # Off-diagonal parts of at most 1 Å leave the cell as high as wide.
    cell = np.diag(rng.uniform(4, 8, size=3)) + rng.uniform(-1, 1, size=(3, 3))
    atoms = Atoms("CdTe3", scaled_positions=rng.uniform(-2, 2, size=(4, 3)), cell=cell, pbc=True)
    first, vectors = neighbor_list("iD", atoms, cutoff)
    distances = np.linalg.norm(vectors, axis=1)
    if len(distances) == 0 or distances.min() < MIN_DISTANCE or len(set(first)) < len(atoms):
        with pytest.raises(CalculationError):
            neighbourhoods([atoms], cutoff, "test")
        return
    found = neighbourhoods([atoms], cutoff, "test")[0]
    ours = np.column_stack([found.centres, found.vectors])
    theirs = np.column_stack([first, vectors])
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(_sorted(ours), _sorted(theirs), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), found.distances, atol=1e-8)
    np.testing.assert_allclose(found.fractional @ found.cell, atoms.positions, atol=1e-9)


def _sorted(pairs):
    return pairs[np.lexsort(np.round(pairs, 5).T)]


def _te2(distance: float, length: float = 8.0) -> Atoms:
    return Atoms("Te2", positions=[[0, 0, 0], [0, 0, distance]], cell=[length] * 3, pbc=True)


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (_te2(0.1), r"atoms 0 \(Te\) and 1 \(Te\) lie on top of each other, 0\.10 Å"),
        (_te2(0.0), "lie on top of each other, 0.00 Å"),
        (_te2(7.95), "lie on top of each other, 0.05 Å"),  # across the cell's face
        (_te2(10.0, length=20.0), r"atom 0 \(Te\) and 1 more has no neighbour within 5 Å"),
        (_te2(float("nan")), "not finite"),
        (Atoms("Te", cell=[3, 3, 0], pbc=True), "cell is flat or missing"),
        (Atoms("Te", pbc=True), "cell is flat or missing"),
        (Atoms("Te", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0.01]], pbc=True), "cell is flat or missing"),
        (Atoms("Te", cell=[3, 3, 3], pbc=[True, True, False]), "not periodic in three directions"),
        (Atoms(cell=[3, 3, 3], pbc=True), "no atoms"),
    ],
)
def test_impossible_structures_are_named(atoms: Atoms, reason: str) -> None:
    good = bulk("Cu", "fcc", a=3.6)
    with pytest.raises(CalculationError, match=rf"1 of 3 structures \(structure 1: .*{reason}"):
        neighbourhoods([good, atoms, good], 5.0, "test")


def test_all_impossible_structures_are_named() -> None:
    with pytest.raises(CalculationError, match=r"2 of 3 structures \(structure 0: .*; structure 2: "):
        neighbourhoods([_te2(0.1), bulk("Cu", "fcc", a=3.6), _te2(0.2)], 5.0, "test")


def test_strongly_shortened_bonds_are_possible() -> None:
    """A bond distortion of -60 % leaves 1.1 Å of a Cd-Te bond, and 0.44 Å of an N-N bond."""
    assert neighbourhoods([_te2(0.44)], 5.0, "test")[0].distances.min() == pytest.approx(0.44)
