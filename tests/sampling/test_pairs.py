from itertools import combinations

import numpy as np
import pytest

from defectscout.sampling.geometry import minimum_image, nearest_neighbours
from defectscout.sampling.sample import sample
from defectscout.sampling.settings import SamplingSettings
from sampling.defect_examples import cdte, interstitial, vacancy


def test_thirty_one_structures_of_a_fourfold_site() -> None:
    defect = vacancy()
    sampling = sample(defect, SamplingSettings(pairs=True))
    assert len(sampling.structures) == 31
    neighbours = nearest_neighbours(defect)
    expected = {
        f"Bond_Distortion_{percent}%_from_Te{i}-Te{j}"
        for i, j in combinations(neighbours, 2)
        for percent in (-60.0, -50.0, -40.0, -30.0, -20.0)
    }
    assert {structure.label for structure in sampling.structures[1:]} == expected
    assert sampling.metadata.n_distorted_neighbours == 2
    assert sampling.metadata.distorted_atoms == tuple((i, "Te") for i in neighbours)


def test_each_structure_distorts_its_own_pair() -> None:
    defect = vacancy()
    origin = defect.site @ np.array(defect.atoms.cell)
    neighbours = nearest_neighbours(defect)
    for structure in sample(defect, SamplingSettings(pairs=True, rattle=0, distortions=(-0.4,))).structures[1:]:
        moved = np.abs(structure.atoms.positions - defect.atoms.positions).max(axis=1) > 1e-9
        pair = tuple(np.flatnonzero(moved))
        assert set(pair) <= set(neighbours)
        assert structure.label.endswith(f"_from_Te{pair[0]}-Te{pair[1]}")
        vectors = minimum_image(structure.atoms.positions[list(pair)] - origin, defect.atoms)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(0.6 * np.sqrt(3) / 4 * 6.62)


def test_mixed_neighbours() -> None:
    """Two Te and two Se round a vacancy give the paper's six pairs of three kinds."""
    host = cdte()
    first, second = nearest_neighbours(vacancy())[:2]
    symbols = host.get_chemical_symbols()
    symbols[first + 1] = symbols[second + 1] = "Se"  # the vacancy's atom came first in the host
    host.set_chemical_symbols(symbols)
    sampling = sample(vacancy(host=host), SamplingSettings(pairs=True, distortions=(-0.3,)))
    kinds = sorted(
        "-".join(sorted(atom[:2] for atom in structure.label.split("_from_")[1].split("-")))
        for structure in sampling.structures[1:]
    )
    assert kinds == ["Se-Se", "Se-Te", "Se-Te", "Se-Te", "Se-Te", "Te-Te"]


def test_interstitial_has_neighbours() -> None:
    neighbours = nearest_neighbours(interstitial())
    assert len(neighbours) >= 4
    assert 40 not in neighbours
