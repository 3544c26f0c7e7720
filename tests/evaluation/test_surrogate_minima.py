"""Surrogates judged by finished searches of the model crystal: a perfect one, a near one and a blind one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell

from conftest import model
from defectscout.core.defect import Defect, DefectKind, Minimum
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.evaluation.nearness import SiteOperations, deviation, site_operations
from defectscout.evaluation.reference_searches import FinishedSearches, ReferenceSearch, reference_searches
from defectscout.evaluation.surrogate_minima import POINT_GROUP_ORDERS, judge_minima, match_minima
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import BULK, FrameOrigin, LabelledFrame, SiteRecord
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.symmetry import SCHOENFLIES
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from minima.vacancy_cases import CUBIC, PAIRS, breathing, dimer, under_operation, vacancy

A = 5.74
RELAXATION = RelaxationSettings(force=0.05, max_steps=300)
SETTINGS = MinimaSettings()


def surrogate(name: str) -> Surrogate:
    return load_surrogate(SurrogateSettings(name=model(name)))


def host() -> Atoms:
    return make_supercell(bulk("MgS", "rocksalt", a=A), np.array(CUBIC))


def starts() -> dict[str, Atoms]:
    """v_Mg as it is, rattled, and with two of its six neighbours pushed together."""
    pristine = host()
    vacant = 0
    vectors = pristine.get_distances(vacant, range(len(pristine)), mic=True, vector=True)
    shell = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")[1:7]
    pair = next((i, j) for i, j in itertools.combinations(shell, 2) if np.linalg.norm(vectors[i] - vectors[j]) < 5)
    random = np.random.default_rng(0)
    made = {"Unperturbed": [], "Rattled": [], "Dimer": [pair]}
    found = {}
    for label, pairs in made.items():
        atoms = pristine.copy()
        for i, j in pairs:
            along = vectors[j] - vectors[i]
            along *= 0.5 * (1 - 2.2 / np.linalg.norm(along))
            atoms.positions[i] += along
            atoms.positions[j] -= along
        del atoms[vacant]
        if label != "Unperturbed":
            atoms.positions += random.normal(0, 0.03, atoms.positions.shape)
        found[label] = atoms
    return found


@pytest.fixture(scope="module")
def frames() -> list[LabelledFrame]:
    """A reference search of the model crystal, every ionic step, and its pristine cell."""
    reference = surrogate("reference")
    pristine = bulk("MgS", "rocksalt", a=A, cubic=True).repeat(2)
    (prediction,) = reference.predict([pristine])
    kept = [LabelledFrame(pristine, prediction, FrameOrigin("MgS", BULK, 0, "bulk", 0, "model", "bulk"))]

    def keep(step: object) -> None:
        for label, checkpoint in step:
            frame = checkpoint.frame
            origin = FrameOrigin("MgS", "v_Mg", 0, label, frame.step, "model", "search")
            kept.append(LabelledFrame(frame.atoms, frame.prediction, origin))

    ends = relax_batch(reference, [Start(label, atoms) for label, atoms in starts().items()], RELAXATION, keep)
    assert all(end.state is RelaxationState.CONVERGED for end in ends)
    return kept


def finished(path: Path, frames: list[LabelledFrame]) -> FinishedSearches:
    with Dataset.create(path) as dataset:
        dataset.add(frames)
        return reference_searches(dataset)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory, frames: list[LabelledFrame]) -> ReferenceSearch:
    found = finished(tmp_path_factory.mktemp("dataset") / "data.db", frames)
    assert not found.skipped
    (only,) = found.searches
    return only


def test_a_dataset_gives_its_searches(search: ReferenceSearch, frames: list[LabelledFrame]) -> None:
    assert search.label == "MgS v_Mg_0 (63 atoms)"
    assert search.defect.kind is DefectKind.VACANCY
    assert search.defect.site_symmetry == "Oh"
    assert {start.label for start in search.starts} == set(starts())
    assert [start.label for start in search.starts] == [end.label for end in search.relaxed]
    assert not search.left_out
    for end in search.relaxed:
        last = [frame for frame in frames if frame.origin.start == end.label][-1]
        assert end.final is not None
        assert end.final.prediction.energy == pytest.approx(last.prediction.energy)
        # The frame in its place is the frame: the reference gives it the same energy and forces.
        (again,) = surrogate("reference").predict([end.final.atoms])
        assert again.energy == pytest.approx(last.prediction.energy, abs=1e-6)
        assert np.allclose(again.forces, end.final.prediction.forces, atol=1e-5)


def test_dropped_and_unselected_frames_count(tmp_path: Path, frames: list[LabelledFrame]) -> None:
    with Dataset.create(tmp_path / "data.db") as dataset:
        dataset.add(frames)
        dataset.mark_dropped([row.row for row in dataset.index() if row.origin.step == 0], "positive_energies")
        dataset.mark_selected([dataset.index()[-1].row])
        (found,) = reference_searches(dataset).searches
        assert len(found.starts) == 3
        assert not reference_searches(dataset, lambda defect_id: defect_id.defect == "v_S").searches


def test_unfinished_relaxations_are_said(tmp_path: Path, frames: list[LabelledFrame]) -> None:
    cut = [f for f in frames if f.origin.start != "Dimer" or f.origin.step < 4]
    cut = [f for f in cut if f.origin.start != "Rattled" or f.origin.step < 1]
    (found,) = finished(tmp_path / "data.db", cut).searches
    assert [(item.label, "only one frame" in item.reason) for item in found.left_out] == [("Rattled", True)]
    states = {end.label: end.state for end in found.relaxed}
    assert states.pop("Dimer") is RelaxationState.UNCONVERGED
    assert set(states.values()) == {RelaxationState.CONVERGED}
    (verdict,) = judge_minima(surrogate("failing"), [found], RELAXATION)
    # The surrogate relaxes it all the same, but it is no minimum of the reference.
    assert verdict.n_starts == 2
    assert "Dimer" not in {label for match in verdict.matches for label in match.reference.members}
    assert {item.label for item in verdict.left_out} == {"Rattled", "Dimer"}
    assert any("eV/Å" in item.reason for item in verdict.left_out)


def test_a_defect_that_cannot_be_told_is_skipped(tmp_path: Path, frames: list[LabelledFrame]) -> None:
    single = [f for f in frames if f.origin.is_bulk or f.origin.step == 0]
    found = finished(tmp_path / "data.db", single)
    assert not found.searches
    (skipped,) = found.skipped
    assert skipped.label == "MgS v_Mg_0 (63 atoms)"
    assert "more than one frame" in skipped.reason


def test_two_sizes_are_two_searches(tmp_path: Path, frames: list[LabelledFrame]) -> None:
    half = make_supercell(bulk("MgS", "rocksalt", a=A), np.diag([3, 3, 3]))[1:]
    (prediction,) = surrogate("reference").predict([half])
    extra = [
        LabelledFrame(half, prediction, FrameOrigin("MgS", "v_Mg", 0, "Unperturbed", step, "model", "search"))
        for step in range(2)
    ]
    path = tmp_path / "data.db"
    # A recorded site fits one supercell at most, nobody knows which: the sites are found.
    with Dataset.create(path) as dataset:
        dataset.write_site(SiteRecord(extra[0].origin.defect_id, "vacancy", (0.1, 0.1, 0.1)))
        dataset.add([*frames, *extra])
        found = reference_searches(dataset)
    assert not found.skipped
    assert sorted(search.label for search in found.searches) == ["MgS v_Mg_0 (53 atoms)", "MgS v_Mg_0 (63 atoms)"]


def test_a_perfect_surrogate(search: ReferenceSearch) -> None:
    (verdict,) = judge_minima(surrogate("reference"), [search], RELAXATION)
    assert verdict.n_found == verdict.n_reference_minima == 2
    assert verdict.ground_state_found
    assert verdict.ground_state_rank == 1
    assert verdict.symmetry_broken
    assert verdict.surrogate_symmetry == verdict.reference_symmetry
    assert verdict.n_candidates == verdict.n_reference_minima
    assert verdict.share_saved == pytest.approx(1 - verdict.n_candidates / 3)
    assert verdict.energy_mae == pytest.approx(0, abs=1e-3)
    assert verdict.force_calls == verdict.reference_calls
    for match in verdict.matches:
        assert match.deviation is not None
        assert match.deviation.largest < 0.01
        assert match.distance < 1e-6
    assert not verdict.flagged
    assert not verdict.left_out


def test_a_near_surrogate_finds_the_ground_state_a_little_off(search: ReferenceSearch) -> None:
    (verdict,) = judge_minima(surrogate("surrogate"), [search], RELAXATION)
    assert verdict.ground_state_found
    ground = verdict.matches[0]
    assert ground.deviation is not None
    assert 0.01 < ground.deviation.rmsd < ground.deviation.largest < 0.3
    assert verdict.energy_mae > 0.01


def test_a_blind_surrogate_loses_the_bonds(search: ReferenceSearch) -> None:
    (verdict,) = judge_minima(surrogate("blind_surrogate"), [search], RELAXATION)
    assert verdict.ground_state_found is False
    assert verdict.ground_state_rank is None
    assert verdict.matches[0].deviation is None
    assert np.isfinite(verdict.matches[0].distance)
    assert verdict.symmetry_broken  # the reference's: that the surrogate keeps it is the trouble
    assert verdict.surrogate_symmetry == ""
    assert np.isnan(verdict.energy_mae)


def test_a_failing_surrogate_finds_nothing(search: ReferenceSearch) -> None:
    (verdict,) = judge_minima(surrogate("failing"), [search], RELAXATION)
    assert (verdict.n_found, verdict.n_candidates) == (0, 0)
    assert len(verdict.flagged) == 3
    assert all(np.isnan(match.distance) for match in verdict.matches)
    assert np.isnan(verdict.share_saved)


def test_progress_is_told(search: ReferenceSearch) -> None:
    class Listener(SilentProgress):
        calls: list[object] = []  # noqa: RUF012

        def stage(self, name: str, total: int) -> None:
            self.calls.append(total)

        def advance(self, name: str, done: float, detail: str = "") -> None:
            self.calls.append((done, detail))

    two = replace(search, starts=search.starts[:1], relaxed=search.relaxed[:1])
    judge_minima(surrogate("failing"), [two, two], RELAXATION, progress=Listener())
    assert Listener.calls == [2, (0, search.label), (1, search.label)]


# Matching, on structures made by hand.


def minimum(atoms: Atoms, energy: float = 0.0) -> Minimum:
    return Minimum("made", ("made",), atoms, energy)


def match(reference: list[Atoms], other: list[Atoms], threshold: float = 2e-3) -> tuple[int | None, ...]:
    defect = vacancy()
    minima = [[minimum(atoms) for atoms in side] for side in (reference, other)]
    return match_minima(defect, *minima, SETTINGS, threshold)[0]


def test_equivalent_copies_match() -> None:
    defect = vacancy()
    for pair in PAIRS:
        assert match([dimer(defect, (0, 1)), defect.atoms], [defect.atoms, dimer(defect, pair)]) == (1, 0)


def test_bonds_decide_before_distances() -> None:
    defect = vacancy()
    # 3.4 Å is no Te–Te bond (limit 3.17 Å): near as it may lie, it does not stand for a dimer.
    assert match([dimer(defect)], [dimer(defect, length=3.4)], threshold=1.0) == (None,)
    # 3.25 Å is a little too long for one: the other structure says what it is.
    assert match([dimer(defect)], [dimer(defect, length=3.25)], threshold=1.0) == (0,)
    assert match([dimer(defect, length=3.25)], [defect.atoms], threshold=1.0) == (0,)
    assert match([dimer(defect)], [dimer(defect, length=2.85)], threshold=1.0) == (0,)


def test_the_nearest_stands_for_a_minimum() -> None:
    defect = vacancy()
    assert match([dimer(defect)], [dimer(defect, length=2.95), dimer(defect, length=2.8)], threshold=1.0) == (1,)
    # Each minimum of the surrogate stands for one of the reference at most.
    assert match([breathing(defect, -0.02), breathing(defect, 0.1)], [breathing(defect, 0.09)], 1.0) == (None, 0)


def test_too_far_is_no_match() -> None:
    defect = vacancy()
    assert match([defect.atoms], [breathing(defect, -0.3)]) == (None,)
    assert match([defect.atoms], []) == (None,)
    assert match([], [defect.atoms]) == ()


def test_deviation_is_blind_to_copies_and_drift_and_sees_displacements() -> None:
    defect = vacancy()
    operations = site_operations(defect)
    assert len(operations.rotations) == 24
    first = dimer(defect)
    for pair in PAIRS:
        other = dimer(defect, pair)
        other.positions += [0.3, -0.2, 1.0]
        other.wrap()
        found = deviation(defect, operations, first, other)
        assert found.largest < 1e-6
    longer = deviation(defect, operations, first, dimer(defect, length=2.95))
    assert longer.largest == pytest.approx(0.1, abs=1e-6)
    assert longer.rmsd == pytest.approx(np.sqrt(2 * 0.1**2 / longer.n_atoms), abs=1e-6)
    assert 10 < longer.n_atoms < 40


def test_deviation_is_blind_to_a_defect_that_has_moved() -> None:
    defect = vacancy()
    operations = site_operations(defect)
    assert len(operations.moves) == 12 * 24
    rotation, vector = operations.moves[40]
    first, longer = dimer(defect), dimer(defect, length=2.95)
    there = under_operation(defect, longer, rotation, defect.site + vector - rotation @ defect.site)
    found = deviation(defect, operations, first, there)
    assert found.largest == pytest.approx(deviation(defect, operations, first, longer).largest, abs=0.02)
    assert deviation(defect, SiteOperations(operations.rotations, ()), first, there).rmsd > 0.2


def test_deviation_is_symmetric_enough_to_be_a_distance() -> None:
    defect: Defect = vacancy()
    operations = site_operations(defect)
    one, other = dimer(defect), breathing(defect, -0.1)
    there, back = deviation(defect, operations, one, other), deviation(defect, operations, other, one)
    assert there.largest == pytest.approx(back.largest, rel=0.2)


def test_orders_of_all_point_groups() -> None:
    assert set(POINT_GROUP_ORDERS) == set(SCHOENFLIES.values())
    assert POINT_GROUP_ORDERS["Oh"] == 48
    assert all(48 % order == 0 or order in (12, 24) for order in POINT_GROUP_ORDERS.values())


def test_real_search(shared_data: Path, tmp_path: Path) -> None:
    """GFN1-xTB's minima of v_Cd in CdTe come out of the frames as its summary has them."""
    from ase.io import read

    from defectscout.core.frames import Prediction

    folder = shared_data / "gfn1-xtb" / "CdTe_v_Cd_0"
    frames = []
    for label in ("bulk", "Unperturbed", "Dimer", *(f"Bond_Distortion_{n}.0pc" for n in (-40, 30, 60))):
        steps = read(folder / f"{label}.extxyz.gz", ":")
        for step in (0, len(steps) - 1):
            atoms = steps[step]
            origin = FrameOrigin("CdTe", BULK if label == "bulk" else "v_Cd", 0, label, step, "gfn1-xtb", "shared")
            prediction = Prediction(atoms.get_potential_energy(), atoms.get_forces())
            frames.append(LabelledFrame(Atoms(atoms), prediction, origin))
    (found,) = finished(tmp_path / "data.db", frames).searches
    verdict = judge_minima(surrogate("failing"), [found], RELAXATION)[0]
    assert verdict.unperturbed_symmetry == "Td"
    ground = verdict.matches[0].reference
    assert [round(bond.length, 2) for bond in ground.new_bonds] == [2.72, 2.72]
    assert verdict.matches[-1].relative_energy == pytest.approx(2.15, abs=0.03)
    assert verdict.n_reference_minima == 5
