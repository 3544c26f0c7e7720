import dataclasses

import numpy as np
import pytest

from defectscout.core.defect import Defect
from defectscout.sampling.geometry import minimum_image, site_index
from defectscout.sampling.sample import Sampling, sample
from defectscout.sampling.seeds import rattle_seed
from defectscout.sampling.settings import SamplingSettings
from sampling.defect_examples import antisite, cdte, interstitial, vacancy


def labels(sampling: Sampling) -> list[str]:
    return [structure.label for structure in sampling.structures]


def positions(sampling: Sampling) -> dict[str, np.ndarray]:
    return {structure.label: structure.atoms.get_positions() for structure in sampling.structures}


def distances_to_site(defect: Defect, coordinates: np.ndarray) -> np.ndarray:
    origin = defect.site @ np.array(defect.atoms.cell)
    return np.linalg.norm(minimum_image(coordinates - origin, defect.atoms), axis=1)


@pytest.fixture(scope="module")
def neutral() -> tuple[Defect, Sampling]:
    defect = vacancy()
    return defect, sample(defect, SamplingSettings())


def test_fifteen_structures_of_a_vacancy(neutral: tuple[Defect, Sampling]) -> None:
    defect, sampling = neutral
    percents = [f"{10.0 * step}" for step in range(-6, 7)]
    assert labels(sampling) == ["Unperturbed", *(f"Bond_Distortion_{p}%" for p in percents), "Dimer"]
    for structure in sampling.structures:
        assert structure.atoms.get_chemical_symbols() == defect.atoms.get_chemical_symbols()
        assert np.array_equal(structure.atoms.cell, defect.atoms.cell)
        assert structure.atoms.pbc.all()
        assert structure.atoms.calc is None
    assert np.array_equal(sampling.structures[0].atoms.positions, defect.atoms.positions)
    assert sampling.metadata.n_distorted_neighbours == 2
    assert sampling.metadata.rattle == pytest.approx(0.1 * np.sqrt(3) / 4 * 6.62)
    assert sampling.metadata.omissions == ()


def test_bonds_are_scaled_and_everything_else_rattled(neutral: tuple[Defect, Sampling]) -> None:
    defect, sampling = neutral
    found = positions(sampling)
    before = distances_to_site(defect, defect.atoms.positions)
    distorted = [index for index, _ in sampling.metadata.distorted_atoms or ()]
    assert len(distorted) == 2
    assert np.allclose(before[distorted], before.min())
    for step in range(-6, 7):
        moved = found[f"Bond_Distortion_{10.0 * step}%"]
        after = distances_to_site(defect, moved)
        assert after[distorted] == pytest.approx(before[distorted] * (1 + step / 10), abs=1e-9)
        others = np.setdiff1d(np.arange(len(before)), distorted)
        displacements = (moved - defect.atoms.positions)[others]
        assert np.abs(displacements).max() < 2.0
        # One Monte-Carlo sweep: about the standard deviation that was asked for.
        assert displacements.std() == pytest.approx(sampling.metadata.rattle, rel=0.25)


def test_dimer(neutral: tuple[Defect, Sampling]) -> None:
    from shakenbreak.distortions import get_dimer_bond_length

    _, sampling = neutral
    atoms = sampling.structures[-1].atoms
    anions = [i for i, symbol in enumerate(atoms.get_chemical_symbols()) if symbol == "Te"]
    dimer = min(atoms.get_distance(i, j, mic=True) for i in anions for j in anions if i < j)
    assert dimer == pytest.approx(get_dimer_bond_length("Te", "Te"), abs=1e-9)


def test_same_input_same_structures_bit_for_bit(neutral: tuple[Defect, Sampling]) -> None:
    _, sampling = neutral
    again = positions(sample(vacancy(), SamplingSettings()))
    assert all(np.array_equal(again[label], found) for label, found in positions(sampling).items())


def test_a_structure_does_not_depend_on_the_others(neutral: tuple[Defect, Sampling]) -> None:
    _, sampling = neutral
    few = positions(sample(vacancy(), SamplingSettings(distortions=(0.3, -0.4))))
    assert list(few) == ["Unperturbed", "Bond_Distortion_30.0%", "Bond_Distortion_-40.0%"]
    for label, found in few.items():
        assert np.array_equal(found, positions(sampling)[label])


def test_doped_may_rename_the_defect(neutral: tuple[Defect, Sampling]) -> None:
    defect, sampling = neutral
    renamed = dataclasses.replace(defect, name="v_Cd_Td")
    few = positions(sample(renamed, SamplingSettings(distortions=(-0.4,))))
    assert np.array_equal(few["Bond_Distortion_-40.0%"], positions(sampling)["Bond_Distortion_-40.0%"])


def test_rattles_are_independent(neutral: tuple[Defect, Sampling]) -> None:
    defect, sampling = neutral
    distorted = {index for index, _ in sampling.metadata.distorted_atoms or ()}
    # The dimer may be made of other atoms than the distorted ones.
    distorted |= set(np.flatnonzero(distances_to_site(defect, defect.atoms.positions) < 3.0).tolist())
    others = np.setdiff1d(np.arange(len(defect.atoms)), sorted(distorted))
    rattles = [
        (structure.atoms.positions - defect.atoms.positions)[others].ravel() for structure in sampling.structures[1:]
    ]
    correlations = np.corrcoef(rattles)[np.triu_indices(len(rattles), k=1)]
    # 177 numbers each: a correlation of independent ones has a spread of 0.075.
    assert np.abs(correlations).max() < 0.3


def test_other_seed_other_rattle() -> None:
    settings = SamplingSettings(distortions=(-0.4,))
    one = positions(sample(vacancy(), settings))
    two = positions(sample(vacancy(), settings.model_copy(update={"seed": 43})))
    assert not np.allclose(one["Bond_Distortion_-40.0%"], two["Bond_Distortion_-40.0%"])
    assert np.array_equal(one["Unperturbed"], two["Unperturbed"])


@pytest.mark.parametrize("distortion", [-0.6, 0.0, 0.3])
def test_parity_with_shakenbreak(distortion: float) -> None:
    from pymatgen.core import Structure
    from shakenbreak.input import Distortions

    defect = vacancy()
    (_, ours) = sample(defect, SamplingSettings(distortions=(distortion,))).structures
    theirs, metadata = Distortions.from_structures(
        [(Structure.from_ase_atoms(defect.atoms), defect.site.tolist())],
        bulk=Structure.from_ase_atoms(defect.bulk),
        oxidation_states={"Cd": 2, "Te": -2},
        bond_distortions=[distortion],
        stdev=0.1 * np.sqrt(3) / 4 * 6.62,
        seed=rattle_seed(42, defect, ours.label),
    ).apply_distortions(verbose=False)
    (name,) = theirs
    structure = theirs[name]["charges"][0]["structures"]["distortions"][ours.label]
    difference = minimum_image(ours.atoms.positions - structure.cart_coords, defect.atoms)
    assert np.abs(difference).max() < 1e-9
    assert metadata["defects"][name]["charges"][0]["num_nearest_neighbours"] == 2


def test_without_rattle_only_the_neighbours_move() -> None:
    defect = vacancy()
    sampling = sample(defect, SamplingSettings(distortions=(-0.4,), rattle=0))
    moved = np.abs(sampling.structures[1].atoms.positions - defect.atoms.positions).max(axis=1) > 1e-9
    assert set(np.flatnonzero(moved)) == {index for index, _ in sampling.metadata.distorted_atoms or ()}


def test_no_excess_charge() -> None:
    sampling = sample(vacancy(charge=-2), SamplingSettings())
    assert labels(sampling) == ["Unperturbed", "Rattled", "Dimer"]
    assert sampling.metadata.n_distorted_neighbours == 0
    assert sampling.metadata.omissions == ()


def test_distortions_without_excess_charge_are_said_to_be_left_out() -> None:
    sampling = sample(vacancy(charge=-2), SamplingSettings(distortions=(-0.4, 0.2)))
    assert labels(sampling) == ["Unperturbed", "Rattled"]
    assert [omission.label for omission in sampling.metadata.omissions] == [
        "Bond_Distortion_-40.0%",
        "Bond_Distortion_20.0%",
    ]
    assert "no excess charge" in sampling.metadata.omissions[0].reason


def test_only_unperturbed() -> None:
    assert labels(sample(vacancy(), SamplingSettings(none=True))) == ["Unperturbed"]


def test_atoms_too_close_are_said_to_be_left_out() -> None:
    sampling = sample(vacancy(), SamplingSettings(distortions=(-0.9, -0.4)))
    assert labels(sampling) == ["Unperturbed", "Bond_Distortion_-40.0%"]
    (omission,) = sampling.metadata.omissions
    assert omission.label == "Bond_Distortion_-90.0%"
    assert "0.47 Å apart" in omission.reason


@pytest.mark.parametrize(("make", "n_neighbours"), [(antisite, 4), (interstitial, 2)])
def test_defects_with_an_atom_on_their_site(make, n_neighbours: int) -> None:  # type: ignore[no-untyped-def]
    defect = make()
    index = site_index(defect)
    assert index is not None
    assert defect.atoms[index].symbol == defect.name[:2]
    sampling = sample(defect, SamplingSettings())
    assert len(sampling.structures) == 14
    assert "Dimer" not in labels(sampling)
    found = positions(sampling)["Bond_Distortion_-30.0%"]
    assert np.array_equal(found[index], defect.atoms.positions[index])
    distorted = [i for i, _ in sampling.metadata.distorted_atoms or ()]
    assert len(distorted) == n_neighbours
    before = distances_to_site(defect, defect.atoms.positions)
    assert distances_to_site(defect, found)[distorted] == pytest.approx(0.7 * before[distorted], abs=1e-9)
    assert sampling.metadata.site_index == index


def test_the_defect_is_left_as_it_is() -> None:
    defect = vacancy()
    before = defect.atoms.copy()
    sample(defect, SamplingSettings(distortions=(-0.6,)))
    assert defect.atoms == before
    assert defect.bulk == cdte()


@pytest.mark.parametrize(("excess", "expected"), [(0, 0), (2, 2), (-3, 3), (4, 4), (5, 3), (-6, 2), (8, 0)])
def test_octet_rule(excess: int, expected: int) -> None:
    from shakenbreak.input import _calc_number_neighbours

    from defectscout.sampling.distortions import n_distorted_neighbours

    assert n_distorted_neighbours(excess) == expected == _calc_number_neighbours(excess)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    sample(vacancy(), SamplingSettings(distortions=(-0.6,)))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
