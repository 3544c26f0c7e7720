"""One structure at equivalent places of the host."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import find_mic
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.minima.distinct import distinct_minima
from defectscout.minima.fingerprint import cosine_distances, site_fingerprints
from defectscout.minima.places import CAUTION, distances_under_operations, equivalent_places, fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from defectscout.minima.symmetry import space_group_operations
from minima.vacancy_cases import CUBIC, FCC, A, breathing, dimer, relaxation, under_operation, vacancy

SETTINGS = MinimaSettings()
DEFECT = vacancy(CUBIC)
ROTATIONS, TRANSLATIONS = space_group_operations(DEFECT.bulk)
PLACES = equivalent_places(DEFECT.bulk, DEFECT.site, SETTINGS.cutoff)


def moved(atoms: Atoms, operation: int) -> Atoms:
    return under_operation(DEFECT, atoms, ROTATIONS[operation], TRANSLATIONS[operation])


def hop(operation: int) -> float:
    """How far an operation takes the defect, Å."""
    image = ROTATIONS[operation] @ DEFECT.site + TRANSLATIONS[operation]
    return float(find_mic((image - DEFECT.site) @ DEFECT.bulk.cell.array, DEFECT.bulk.cell, pbc=True)[1])


HOPS = [k for k in range(len(ROTATIONS)) if 0.1 < hop(k) <= SETTINGS.cutoff]


@settings(max_examples=15, deadline=None)
@given(operation=st.sampled_from(HOPS), seed=st.integers(0, 99))
def test_an_operation_of_the_host_makes_no_new_minimum(operation: int, seed: int) -> None:
    relaxed = dimer(DEFECT)
    relaxed.positions += np.random.default_rng(seed).normal(scale=0.02, size=relaxed.positions.shape)
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


def test_all_views_have_to_agree() -> None:
    """From a place that both have left the host looks much the same, whatever they have become elsewhere."""
    far = max(HOPS, key=hop)
    structures = [moved(DEFECT.atoms, far), moved(dimer(DEFECT, length=4.0), far)]
    sites = [track_site(DEFECT, atoms) for atoms in structures]
    here = cosine_distances(site_fingerprints(structures, sites, SETTINGS))
    under = distances_under_operations(PLACES, structures, sites, SETTINGS)
    assert under[0, 1] > 2 * here[0, 1]
    assert np.diag(under) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(under, under.T)
    np.testing.assert_allclose(
        fingerprint_distances(DEFECT, structures, SETTINGS), np.minimum(here, CAUTION * under), atol=1e-12
    )


def test_places_of_a_zincblende_vacancy() -> None:
    lengths = np.linalg.norm(PLACES.vectors, axis=1)
    np.testing.assert_allclose(lengths, [0.0, *[A / np.sqrt(2)] * 12], atol=1e-9)
    assert len(PLACES.exchanges) == 13 * 24  # to each place by each operation of the site's group, Td
    other = vacancy(FCC)  # another supercell, the same places
    again = equivalent_places(other.bulk, other.site, SETTINGS.cutoff)
    np.testing.assert_allclose(np.linalg.norm(again.vectors, axis=1), lengths, atol=1e-9)


def test_operations_exchange_places() -> None:
    """Distances between places stay as they are."""
    cell = DEFECT.bulk.cell

    def apart(indices: np.ndarray) -> np.ndarray:
        vectors = PLACES.vectors[indices]
        return find_mic((vectors[:, None] - vectors[None]).reshape(-1, 3), cell, pbc=True)[1]

    for first, second in PLACES.exchanges:
        assert first[0] == 0
        assert len(set(second.tolist())) == len(second)
        np.testing.assert_allclose(apart(first), apart(second), atol=1e-9)


def test_without_symmetry_there_is_no_other_place() -> None:
    rattled = DEFECT.bulk.copy()
    rattled.rattle(0.2, seed=1)
    places = equivalent_places(rattled, DEFECT.site, 20.0)
    assert places.vectors.tolist() == [[0.0, 0.0, 0.0]]
    assert len(places.exchanges) == 1


def test_nothing_to_compare() -> None:
    assert fingerprint_distances(DEFECT, [], SETTINGS).shape == (0, 0)
