from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from defectscout.core.defect import Defect
from defectscout.core.errors import CalculationError
from defectscout.minima.fingerprint import cosine_distances, site_fingerprints
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from minima.vacancy_cases import (
    CUBIC,
    FCC,
    FCC_SKEWED,
    PAIRS,
    breathing,
    dimer,
    reference_search,
    vacancy,
    vectors_from_site,
)

SETTINGS = MinimaSettings()
DEFECT = vacancy(FCC)
DIMER = dimer(DEFECT)
EXACT = 1e-8  # distances of structures that are the same but for rounding


def distance(a: Atoms, centre_a: np.ndarray, b: Atoms, centre_b: np.ndarray) -> float:
    return float(cosine_distances(site_fingerprints([a, b], [centre_a, centre_b], SETTINGS))[0, 1])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rotation_translation_permutation_and_wrapping_change_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    shift = random.uniform(-20, 20, size=3)
    order = random.permutation(len(DIMER))
    centre = track_site(DEFECT, DIMER)
    other = DIMER[order]
    other.positions += shift + random.integers(-2, 3, size=(len(other), 3)) @ other.cell[:]
    other = Atoms(other.numbers, positions=other.positions @ turn.T, cell=other.cell[:] @ turn.T, pbc=True)
    assert distance(DIMER, centre, other, turn @ (centre + shift)) < EXACT


def test_reflection_changes_nothing() -> None:
    centre = track_site(DEFECT, DIMER)
    mirror = np.diag([1.0, 1.0, -1.0])
    other = Atoms(DIMER.numbers, positions=DIMER.positions @ mirror, cell=DIMER.cell[:] @ mirror, pbc=True)
    assert distance(DIMER, centre, other, centre @ mirror) < EXACT


@pytest.mark.parametrize("pair", PAIRS)
def test_dimers_between_equivalent_neighbours_coincide(pair: tuple[int, int]) -> None:
    assert fingerprint_distances(DEFECT, [DIMER, dimer(DEFECT, pair)], SETTINGS)[0, 1] < EXACT


@pytest.mark.parametrize("matrix", [FCC_SKEWED, CUBIC])
@pytest.mark.parametrize("make", [dimer, breathing])
def test_the_choice_of_supercell_changes_nothing(
    matrix: tuple[tuple[int, int, int], ...], make: Callable[[Defect], Atoms]
) -> None:
    other = vacancy(matrix)
    a, b = make(DEFECT), make(other)
    value = distance(a, track_site(DEFECT, a), b, track_site(other, b))
    # In the 64-atom cubic cell images of the vacancy lie at 13 Å, out of the fingerprint's reach.
    assert value < 1e-6


def test_different_reconstructions_are_far_apart() -> None:
    structures = [DEFECT.atoms, DIMER, dimer(DEFECT, length=3.2), breathing(DEFECT, 0.1)]
    distances = fingerprint_distances(DEFECT, structures, SETTINGS)
    assert distances[np.triu_indices(4, 1)].min() > SETTINGS.threshold


def test_noise_of_a_relaxation_stays_far_below_the_threshold() -> None:
    random = np.random.default_rng(3)
    structures = [DIMER]
    for _ in range(8):
        noisy = DIMER.copy()
        noisy.positions += random.normal(scale=0.02, size=noisy.positions.shape)
        structures.append(noisy)
    assert fingerprint_distances(DEFECT, structures, SETTINGS)[0].max() < SETTINGS.threshold / 3


def test_atoms_far_outside_the_cutoff_are_not_seen() -> None:
    moved = DIMER.copy()
    lengths = np.linalg.norm(vectors_from_site(DEFECT), axis=1)
    near, far = int((lengths > 4.5).argmax()), int(lengths.argmax())
    assert lengths[far] > 8
    values = []
    for index in (near, far):
        moved = DIMER.copy()
        moved.positions[index] += 0.3
        values.append(distance(DIMER, track_site(DEFECT, DIMER), moved, track_site(DEFECT, DIMER)))
    assert values[1] < SETTINGS.threshold / 100
    assert values[1] < values[0] / 100


def test_distances_of_a_set_of_fingerprints() -> None:
    features = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    expected = np.array([[0, 0, 1, 1 - 0.5**0.5], [0, 0, 1, 1 - 0.5**0.5], [1, 1, 0, 1 - 0.5**0.5]])
    np.testing.assert_allclose(cosine_distances(features)[:3], expected, atol=1e-12)
    assert cosine_distances(np.empty((0, 0))).shape == (0, 0)


def test_small_distances_are_not_lost_to_rounding() -> None:
    angle = 1e-7
    features = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    assert cosine_distances(features)[0, 1] == pytest.approx(angle**2 / 2, rel=1e-6)


def test_one_centre_for_each_structure_and_an_atom_near_it() -> None:
    with pytest.raises(ValueError, match="2 structures, but 1 centres"):
        site_fingerprints([DIMER, DIMER], [np.zeros(3)], SETTINGS)
    lonely = Atoms("Te", positions=[[0, 0, 0]], cell=[60, 60, 60], pbc=True)
    with pytest.raises(CalculationError, match="No atom"):
        site_fingerprints([lonely], [np.full(3, 30.0)], SETTINGS)


def test_early_and_late_frames_of_a_real_relaxation_agree(shared_data: Path) -> None:
    from ase.io import read

    folder = shared_data / "gfn1-xtb" / "CdTe_v_Cd_0"
    defect, _ = reference_search(folder)
    frames = read(folder / "Dimer.extxyz.gz", ":")
    last = [f for f in frames if np.linalg.norm(f.get_forces(), axis=1).max() < 0.08][-6:]
    assert len(last) == 6
    assert fingerprint_distances(defect, last, SETTINGS).max() < SETTINGS.threshold
