"""Defects told from frames alone: known defects, in shuffled, moved, turned and distorted frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell

from conftest import model
from defectscout.core.defect import Defect, DefectKind, SamplingStructure
from defectscout.core.errors import DatasetError, SamplingError
from defectscout.evaluation.defect_of_frames import defect_of_frames
from defectscout.evaluation.placing import Motion, equivalent_sites, lattice_operations, onto, place
from defectscout.evaluation.pristine import lattice_translations, pristine_by_majority, tiled, tolerance_of
from defectscout.learning.frames import DefectId, SiteRecord
from defectscout.minima.alignment import displacements
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from minima.vacancy_cases import CUBIC, FCC_SKEWED, A, dimer, vacancy

HOST = "CdTe"
ID = DefectId(HOST, "v_Cd", 0, "test")
TOLERANCE = 0.7


def start(label: str, atoms: Atoms) -> SamplingStructure:
    return SamplingStructure(label, atoms)


def rattled(atoms: Atoms, stdev: float, seed: int = 0) -> Atoms:
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, stdev, moved.positions.shape)
    return moved


def disguised(atoms: Atoms, seed: int = 0) -> Atoms:
    """The same structure in another orientation, at another origin, atoms in another order."""
    random = np.random.default_rng(seed)
    operations = lattice_operations(atoms.cell)
    motion = Motion(operations[random.integers(len(operations))], random.random(3))
    return motion.apply(atoms, atoms.cell)[random.permutation(len(atoms))]


def same_place(defect: Defect, one: np.ndarray, other: np.ndarray) -> bool:
    apart = one - other
    return bool(np.linalg.norm((apart - np.round(apart)) @ defect.bulk.cell.array) < 0.05)


@pytest.mark.parametrize("matrix", [CUBIC, FCC_SKEWED])
def test_translations_of_the_lattice_survive_a_defect(matrix: tuple[tuple[int, int, int], ...]) -> None:
    defect = vacancy(matrix)
    n_cells = len(defect.bulk) // 2
    for atoms in (defect.bulk, defect.atoms, dimer(defect), rattled(defect.atoms, 0.1)):
        found = lattice_translations(atoms, TOLERANCE)
        assert len(found) == n_cells
        assert np.allclose(found[0], 0)
        moved = defect.bulk.get_scaled_positions() + found[-1]
        assert onto(Atoms(numbers=defect.bulk.numbers, scaled_positions=moved, cell=defect.bulk.cell, pbc=True),
                    defect.bulk, 0.05) is not None  # fmt: skip


def test_a_random_arrangement_has_no_translations() -> None:
    atoms = vacancy().bulk
    atoms.positions = np.random.default_rng(1).random((len(atoms), 3)) @ atoms.cell.array
    assert len(lattice_translations(atoms, TOLERANCE)) == 1
    assert pristine_by_majority(atoms, TOLERANCE) is None


def test_majority_restores_the_crystal() -> None:
    defect = vacancy()
    for atoms in (defect.atoms, dimer(defect), rattled(dimer(defect), 0.1)):
        found = pristine_by_majority(atoms, TOLERANCE)
        assert found is not None
        assert found.get_chemical_formula() == defect.bulk.get_chemical_formula()
        # In place: the crystal found lies under the atoms that it was found from.
        motion = onto(found, defect.bulk, 0.25)
        assert motion is not None
        assert np.allclose(motion.rotation, np.eye(3))
        assert np.linalg.norm(motion.shift @ defect.bulk.cell.array) < 0.1


def test_too_few_cells_cannot_outvote_a_defect() -> None:
    pair = make_supercell(bulk("CdTe", "zincblende", a=A), np.diag([2, 1, 1]))
    assert pristine_by_majority(pair[1:], TOLERANCE) is None


def test_a_bulk_frame_is_repeated_and_scaled() -> None:
    defect = vacancy()
    found = tiled(bulk("CdTe", "zincblende", a=A * 1.01, cubic=True), defect.bulk.cell.array)
    assert found is not None
    assert np.allclose(found.cell.array, defect.bulk.cell.array)
    assert onto(found, defect.bulk, 0.01) is not None
    assert tiled(bulk("CdTe", "zincblende", a=A * 1.1, cubic=True), defect.bulk.cell.array) is None
    assert tiled(make_supercell(defect.bulk, np.diag([2, 1, 1])), defect.bulk.cell.array) is None


@pytest.mark.parametrize("with_bulk", [True, False])
def test_vacancy(with_bulk: bool) -> None:
    known = vacancy()
    frames = [bulk("CdTe", "zincblende", a=A, cubic=True)] if with_bulk else []
    starts = [start("Bond_Distortion_-60.0%", rattled(dimer(known), 0.05)), start("Unperturbed", known.atoms)]
    found = defect_of_frames(ID, None, starts, [], frames)
    assert found.kind is DefectKind.VACANCY
    assert found.site_symmetry == "Td"
    assert same_place(found, found.site, known.site)
    assert (
        displacements(found, place(known.atoms, found.atoms, found.bulk, (), TOLERANCE).apply(known.atoms)).max() < 0.05
    )


def test_vacancy_from_distorted_starts_alone() -> None:
    known = vacancy()
    starts = [start(f"start {seed}", rattled(dimer(known), 0.1, seed)) for seed in range(3)]
    found = defect_of_frames(ID, None, starts, [], [])
    assert found.site_symmetry == "Td"
    apart = found.site - known.site
    assert np.linalg.norm((apart - np.round(apart)) @ found.bulk.cell.array) < 0.15


def test_antisite() -> None:
    known = vacancy()
    atoms = known.bulk.copy()
    centre = int(np.argmin([known.bulk.get_distance(0, i, mic=True) for i in range(len(atoms))]))
    atoms.numbers[centre] = 52
    moved = rattled(atoms, 0.02)
    found = defect_of_frames(DefectId(HOST, "Te_Cd", 0, "test"), None, [start("Unperturbed", moved)], [], [])
    assert found.kind is DefectKind.SUBSTITUTION
    assert found.site_symmetry == "Td"
    assert same_place(found, found.site, atoms.get_scaled_positions()[centre])
    assert sorted(found.atoms.numbers) == sorted(atoms.numbers)


def test_impurity() -> None:
    known = vacancy()
    atoms = known.bulk.copy()
    atoms.numbers[3] = 12
    found = defect_of_frames(DefectId(HOST, "Mg_Cd", 0, "test"), None, [start("Unperturbed", atoms)], [], [])
    assert found.kind is DefectKind.SUBSTITUTION
    assert same_place(found, found.site, atoms.get_scaled_positions()[3])


def test_interstitial_in_the_tetrahedral_hole() -> None:
    host = vacancy().bulk
    place_of = host.positions[0] + np.array([0.5, 0, 0]) * A
    atoms = host + Atoms("Cd", positions=[place_of])
    found = defect_of_frames(DefectId(HOST, "Cd_i", 0, "test"), None, [start("Unperturbed", atoms)], [], [])
    assert found.kind is DefectKind.INTERSTITIAL
    assert found.site_symmetry == "Td"
    assert same_place(found, found.site, host.cell.scaled_positions(place_of[None])[0])


def test_split_interstitial_belongs_to_the_site_it_shares() -> None:
    host = vacancy().bulk
    atoms = host + Atoms("Cd", positions=[host.positions[0] + [0, 0, 1.3]])
    atoms.positions[0] -= [0, 0, 1.3]
    starts = [start("split", atoms)]
    found = defect_of_frames(DefectId(HOST, "Cd_i", 0, "test"), None, starts, [], [host])
    assert same_place(found, found.site, host.get_scaled_positions()[0])
    # No `Unperturbed` start: nobody knows what symmetry it could have lost.
    assert found.site_symmetry == ""


def test_divacancy_sits_between_its_sites() -> None:
    known = vacancy()
    atoms = known.atoms.copy()
    distances = np.linalg.norm(known.bulk.get_distances(0, range(len(known.bulk)), mic=True, vector=True), axis=1)
    first = 0
    second = int(np.argsort(distances)[1])
    atoms = known.bulk.copy()
    vector = known.bulk.get_distance(first, second, mic=True, vector=True)
    del atoms[[first, second]]
    found = defect_of_frames(DefectId(HOST, "vv", 0, "test"), None, [start("Unperturbed", atoms)], [], [])
    assert found.kind is DefectKind.VACANCY
    assert found.site_symmetry == "C3v"
    middle = known.bulk.cell.scaled_positions((known.bulk.positions[first] + vector / 2)[None])[0]
    assert same_place(found, found.site, middle)


def test_antisite_pair_with_the_composition_of_the_host() -> None:
    atoms = vacancy().bulk.copy()
    vectors = atoms.get_distances(0, range(len(atoms)), mic=True)
    partner = int(np.argsort(vectors)[1])
    atoms.numbers[[0, partner]] = atoms.numbers[[partner, 0]]
    found = defect_of_frames(DefectId(HOST, "aa", 0, "test"), None, [start("Unperturbed", atoms)], [], [])
    assert found.site_symmetry == "C3v"
    assert (found.atoms.numbers != found.bulk.numbers).sum() == 2


def test_recorded_site() -> None:
    known = vacancy()
    starts = [start("Unperturbed", known.atoms)]
    record = SiteRecord(ID, "vacancy", tuple(known.site))
    assert same_place(known, defect_of_frames(ID, record, starts, [], []).site, known.site)
    astray = SiteRecord(ID, "vacancy", tuple(known.site + np.array([0.125, 0, 0])))
    with pytest.raises(DatasetError, match="Å away from any site of Cd"):
        defect_of_frames(ID, astray, starts, [], [])


def test_recorded_site_of_an_interstitial() -> None:
    host = vacancy().bulk
    hole = host.positions[0] + np.array([0.5, 0, 0]) * A
    starts = [start("Unperturbed", host + Atoms("Cd", positions=[hole + np.array([0.3, 0, 0])]))]
    here, astray = (tuple(host.cell.scaled_positions((hole + np.array([x, 0, 0]))[None])[0]) for x in (0.0, 4.0))
    defect_id = DefectId(HOST, "Cd_i", 0, "test")
    found = defect_of_frames(defect_id, SiteRecord(defect_id, "interstitial", here), starts, [], [])
    assert same_place(found, found.site, np.array(here))
    with pytest.raises(DatasetError, match="away from the additional atom"):
        defect_of_frames(defect_id, SiteRecord(defect_id, "interstitial", astray), starts, [], [])


def test_frames_of_the_pristine_host_are_no_defect() -> None:
    with pytest.raises(DatasetError, match="no defect site"):
        defect_of_frames(ID, None, [start("Unperturbed", vacancy().bulk)], [], [])


def test_no_pristine_supercell() -> None:
    pair = make_supercell(bulk("CdTe", "zincblende", a=A), np.diag([2, 1, 1]))
    with pytest.raises(DatasetError, match="no bulk frame of CdTe"):
        defect_of_frames(ID, None, [start("Unperturbed", pair[1:])], [], [])
    with pytest.raises(DatasetError, match="1 bulk frames of CdTe whose cell"):
        defect_of_frames(ID, None, [start("Unperturbed", pair[1:])], [], [bulk("CdTe", "zincblende", a=7.5)])


def test_another_host_than_the_frames_show() -> None:
    with pytest.raises(DatasetError, match="cannot be told"):
        defect_of_frames(DefectId("Cd2Te", "v_Cd", 0, "test"), None, [start("Unperturbed", vacancy().atoms)], [], [])


@pytest.mark.parametrize("seed", range(4))
def test_place_undoes_every_disguise(seed: int) -> None:
    defect = vacancy()
    original = rattled(dimer(defect), 0.05, seed)
    equivalents = equivalent_sites(defect.bulk, defect.site)
    assert len(equivalents) == 32
    atoms = disguised(original, seed)
    placed = place(atoms, defect.atoms, defect.bulk, equivalents, TOLERANCE).apply(atoms)
    assert (placed.numbers == defect.atoms.numbers).all()
    # All but the two atoms of the dimer lie close to their places.
    far = displacements(defect, placed) > 0.6
    assert far.sum() == 2
    matrices = [np.sort(a.get_all_distances(mic=True), axis=None) for a in (original, placed)]
    assert np.allclose(*matrices, atol=1e-6)


def test_forces_turn_with_the_frame() -> None:
    surrogate = load_surrogate(SurrogateSettings(name=model("reference")))
    host = make_supercell(bulk("MgS", "rocksalt", a=5.8), np.array(CUBIC))
    defect = defect_of_frames(DefectId("MgS", "v_Mg", 0, "test"), None, [start("Unperturbed", host[1:])], [], [host])
    atoms = disguised(rattled(host[1:], 0.1), 3)
    placement = place(atoms, defect.atoms, defect.bulk, equivalent_sites(defect.bulk, defect.site), TOLERANCE)
    before, after = surrogate.predict([atoms, placement.apply(atoms)])
    assert after.energy == pytest.approx(before.energy)
    assert np.allclose(placement.forces(before.forces, atoms.cell), after.forces, atol=1e-8)


def test_a_structure_stays_where_it_is_if_it_fits() -> None:
    defect = vacancy()
    equivalents = equivalent_sites(defect.bulk, defect.site)
    placed = place(rattled(defect.atoms, 0.2), defect.atoms, defect.bulk, equivalents, TOLERANCE)
    assert (placed.order == np.arange(len(defect.atoms))).all()
    assert np.linalg.norm(placed.motion.shift @ defect.bulk.cell.array) < 0.1


def test_what_cannot_be_placed() -> None:
    defect = vacancy()
    wider = defect.atoms.copy()
    wider.set_cell(1.01 * wider.cell, scale_atoms=True)
    with pytest.raises(SamplingError, match="cell"):
        place(wider, defect.atoms, defect.bulk, (), TOLERANCE)
    with pytest.raises(SamplingError, match="it holds"):
        place(defect.bulk, defect.atoms, defect.bulk, (), TOLERANCE)
    molten = rattled(defect.atoms, 1.5)
    with pytest.raises(SamplingError, match="turned and translated"):
        place(molten, defect.atoms, defect.bulk, (), TOLERANCE)


def test_tolerance_is_a_quarter_of_a_bond() -> None:
    assert tolerance_of([vacancy().bulk]) == pytest.approx(0.25 * np.sqrt(3) / 4 * A)


def test_real_frames(shared_data: Path) -> None:
    """InP: no bulk frame in the supercell, no unperturbed starts, crystals turned against each other."""
    from ase.io import read

    frames = read(shared_data / "dft" / "InP_LDA_64at.extxyz.gz", ":")
    wanted = {
        "aP": (DefectKind.SUBSTITUTION, "Td"),
        "vv": (DefectKind.VACANCY, "C3v"),
        "vIn": (DefectKind.VACANCY, "Td"),
        "aa": (DefectKind.SUBSTITUTION, "C3v"),
        "iIn": (DefectKind.INTERSTITIAL, ""),
    }
    for name, (kind, symmetry) in wanted.items():
        first = {a.info["start"]: a for a in reversed(frames) if a.info["defect"] == name}
        starts = [start(label, atoms) for label, atoms in first.items()]
        found = defect_of_frames(DefectId("InP", name, 0, "LDA"), None, starts, [], [])
        assert (found.kind, found.site_symmetry) == (kind, symmetry), name
        assert len(found.bulk) == 64
        equivalents = equivalent_sites(found.bulk, found.site)
        for item in starts:
            place(item.atoms, found.atoms, found.bulk, equivalents, tolerance_of([found.bulk]))
