from __future__ import annotations

import numpy as np
import pytest
from ase import Atom
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import SamplingError
from defectscout.minima.alignment import aligned_positions, drift
from defectscout.minima.site import is_near_site, track_site
from minima.vacancy_cases import FCC, FCC_SKEWED, A, dimer, neighbours, vacancy

DEFECT = vacancy(FCC)
DIMER = dimer(DEFECT)
HOME = DEFECT.bulk.cell.cartesian_positions(DEFECT.site)
vectors = st.tuples(*[st.floats(-30, 30)] * 3).map(np.array)


def to_lattice(difference: np.ndarray, cell: np.ndarray) -> np.ndarray:
    fractional = difference @ np.linalg.inv(cell)
    return (fractional - fractional.round()) @ cell


def test_the_vacant_site_stays_where_it_is_when_only_its_neighbours_move() -> None:
    # The far atoms were not moved, so there is no drift to find.
    np.testing.assert_allclose(track_site(DEFECT, DIMER), HOME, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(shift=vectors, seed=st.integers(0, 1000))
def test_the_site_moves_with_the_cell_however_atoms_are_wrapped(shift: np.ndarray, seed: int) -> None:
    moved = DIMER.copy()
    images = np.random.default_rng(seed).integers(-2, 3, size=(len(moved), 3))
    moved.positions += shift + images @ moved.cell[:]
    found = track_site(DEFECT, moved)
    np.testing.assert_allclose(to_lattice(found - HOME - shift, moved.cell[:]), 0, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(shift=vectors, seed=st.integers(0, 1000))
def test_the_site_turns_with_the_cell(shift: np.ndarray, seed: int) -> None:
    turn = Rotation.random(random_state=seed).as_matrix()
    random = np.random.default_rng(seed)
    moved = DIMER.copy()
    moved.positions += shift + random.normal(scale=0.03, size=moved.positions.shape)
    turned = moved.copy()
    turned.set_cell(moved.cell[:] @ turn.T)
    turned.set_positions(moved.positions @ turn.T)
    difference = track_site(DEFECT, turned) - track_site(DEFECT, moved) @ turn.T
    np.testing.assert_allclose(to_lattice(difference, turned.cell[:]), 0, atol=1e-6)


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.4, -0.2, 1.7)])
def test_near_the_site_are_its_neighbours_also_across_the_cell(shift: tuple[float, float, float]) -> None:
    moved = DEFECT.atoms.copy()
    moved.positions += shift
    moved.wrap()
    distance = A * np.sqrt(3) / 4
    near = is_near_site(DEFECT, moved, 1.01 * distance)
    assert sorted(np.flatnonzero(near)) == sorted(neighbours(DEFECT))
    assert not is_near_site(DEFECT, moved, 0.99 * distance).any()


def test_a_few_far_atoms_that_move_do_not_drag_the_site() -> None:
    moved = DIMER.copy()
    distances = moved.get_distances(neighbours(DEFECT)[0], range(len(moved)), mic=True)
    for index in np.argsort(distances)[-4:]:
        moved.positions[index] += [1.2, -0.4, 0.3]
    assert np.linalg.norm(track_site(DEFECT, moved) - HOME) < 0.02
    # ... which a mean would not survive.
    assert np.linalg.norm((moved.positions - DIMER.positions)[np.argsort(distances)[-26:]].mean(axis=0)) > 0.15


def test_the_site_of_an_interstitial_does_not_follow_the_atom() -> None:
    bulk = DEFECT.bulk
    site = DEFECT.site + np.linalg.solve(bulk.cell[:].T, [A / 2, 0, 0])
    atoms = bulk.copy()
    atoms.append(Atom("Cd", bulk.cell.cartesian_positions(site)))
    interstitial = Defect("Cd_i", 0, DefectKind.INTERSTITIAL, atoms, bulk, site, 1, "Td", -2)
    relaxed = atoms.copy()
    relaxed.positions += [0.2, 0.1, 0.0]
    relaxed.positions[-1] += [0.9, 0.9, 0.9]
    expected = bulk.cell.cartesian_positions(site) + np.array([0.2, 0.1, 0.0])
    np.testing.assert_allclose(track_site(interstitial, relaxed), expected, atol=1e-6)


def test_aligned_positions_are_those_before_the_drift() -> None:
    moved = DIMER.copy()
    moved.positions += [0.3, -0.2, 0.1]
    np.testing.assert_allclose(drift(DEFECT, moved), [0.3, -0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(aligned_positions(DEFECT, moved), DIMER.positions, atol=1e-6)


def test_other_atoms_and_other_cells_are_refused() -> None:
    with pytest.raises(SamplingError, match="lists them in another order"):
        track_site(DEFECT, DIMER[::-1])
    with pytest.raises(SamplingError, match="lists them in another order"):
        track_site(DEFECT, DIMER[1:])
    other = DIMER.copy()
    other.set_cell(vacancy(FCC_SKEWED).atoms.cell)
    with pytest.raises(SamplingError, match="cell"):
        track_site(DEFECT, other)
