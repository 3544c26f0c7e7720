"""One structure at equivalent places of the host."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import find_mic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from defectscout.minima.distinct import distinct_minima, fingerprint_distances
from defectscout.minima.fingerprint import cosine_distances, site_fingerprints
from defectscout.minima.places import equivalent_places, located, nearest_distances, place_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from defectscout.minima.symmetry import space_group_operations
from minima.vacancy_cases import CUBIC, FCC, A, breathing, dimer, relaxation, vacancy

SETTINGS = MinimaSettings()
DEFECT = vacancy(CUBIC)
ROTATIONS, TRANSLATIONS = space_group_operations(DEFECT.bulk)
HERE = equivalent_places(DEFECT.bulk, DEFECT.site, DEFECT.site, SETTINGS.cutoff)


def moved(atoms: Atoms, operation: int) -> Atoms:
    """A structure under an operation of the host, in the defect's order: some atoms have changed places."""
    scaled = atoms.get_scaled_positions() @ ROTATIONS[operation].T + TRANSLATIONS[operation]
    positions = scaled @ atoms.cell.array
    image = DEFECT.atoms.copy()
    for number in np.unique(atoms.numbers):
        mine = np.flatnonzero(atoms.numbers == number)
        vectors = positions[mine][:, None] - DEFECT.atoms.positions[mine][None]
        lengths = np.linalg.norm(find_mic(vectors.reshape(-1, 3), atoms.cell, pbc=True)[0], axis=1)
        rows, columns = linear_sum_assignment(lengths.reshape(len(mine), -1) ** 2)
        image.positions[mine[columns]] = positions[mine[rows]]
    return image


def hop(operation: int) -> float:
    """How far an operation takes the defect, Å."""
    image = ROTATIONS[operation] @ DEFECT.site + TRANSLATIONS[operation]
    return float(find_mic((image - DEFECT.site) @ DEFECT.bulk.cell.array, DEFECT.bulk.cell, pbc=True)[1])


HOPS = [k for k in range(len(ROTATIONS)) if 0.1 < hop(k) <= SETTINGS.cutoff]


@settings(max_examples=15, deadline=None)
@given(operation=st.sampled_from(HOPS), seed=st.integers(0, 99))
def test_an_operation_of_the_host_makes_no_new_minimum(operation: int, seed: int) -> None:
    relaxed = dimer(DEFECT)
    relaxed.positions += np.random.default_rng(seed).normal(scale=0.05, size=relaxed.positions.shape)
    image = moved(relaxed, operation)
    # What is left is the host's drift, which is known as well as the atoms far from the site are in place.
    assert fingerprint_distances(DEFECT, [relaxed, image], SETTINGS).max() < 0.1 * SETTINGS.threshold
    seen = site_fingerprints([relaxed, image], [track_site(DEFECT, one) for one in (relaxed, image)], SETTINGS)
    assert cosine_distances(seen).max() > 5 * SETTINGS.threshold  # from where the defect was made they differ
    ends = [relaxation("here", relaxed, -1.0), relaxation("there", image, -1.001)]
    (minimum,) = distinct_minima(DEFECT, ends, SETTINGS).minima
    assert set(minimum.members) == {"here", "there"}


@pytest.mark.parametrize("operation", HOPS[::7])
def test_other_reconstructions_elsewhere_stay_apart(operation: int) -> None:
    structures = [DEFECT.atoms, dimer(DEFECT), breathing(DEFECT, -0.2)]
    structures += [moved(one, operation) for one in structures]
    ends = [relaxation(f"{k}", atoms, 0.0) for k, atoms in enumerate(structures)]
    found = distinct_minima(DEFECT, ends, SETTINGS).minima
    assert sorted(sorted(minimum.members) for minimum in found) == [["0", "3"], ["1", "4"], ["2", "5"]]


def test_both_have_to_see_the_other() -> None:
    """From a place that the defect has left the host looks much the same, whatever it has become elsewhere."""
    far = max(HOPS, key=hop)
    structures = located(DEFECT, [moved(DEFECT.atoms, far), moved(dimer(DEFECT), far)], SETTINGS)
    one_way = nearest_distances(structures, structures, SETTINGS)
    distances = place_distances(structures, SETTINGS)
    np.testing.assert_array_equal(distances, np.maximum(one_way, one_way.T))
    assert np.diag(distances).tolist() == [0.0, 0.0]
    assert distances[0, 1] > SETTINGS.threshold


def test_places_of_a_zincblende_vacancy() -> None:
    lengths = np.linalg.norm(HERE, axis=1)
    np.testing.assert_allclose(lengths, [0.0, *[A / np.sqrt(2)] * 12], atol=1e-9)
    other = vacancy(FCC)  # another supercell, the same places
    again = equivalent_places(other.bulk, other.site, other.site, SETTINGS.cutoff)
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), lengths, atol=1e-9)


def test_places_from_elsewhere() -> None:
    """Around another site lie the places equivalent to the first, not that site's own."""
    anion = DEFECT.bulk.get_scaled_positions()[DEFECT.bulk.symbols == "Te"][0]
    vectors = equivalent_places(DEFECT.bulk, DEFECT.site, anion, 0.9 * A)
    expected = [A * np.sqrt(3) / 4] * 4 + [A * np.sqrt(11) / 4] * 12
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), expected, atol=1e-9)


def test_without_symmetry_there_is_no_other_place() -> None:
    rattled = DEFECT.bulk.copy()
    rattled.rattle(0.2, seed=1)
    assert equivalent_places(rattled, DEFECT.site, DEFECT.site, 20.0).tolist() == [[0.0, 0.0, 0.0]]


def test_nothing_to_compare() -> None:
    assert place_distances([], SETTINGS).shape == (0, 0)
