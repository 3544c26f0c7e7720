"""Maps of structures: what is the same lies at the same place, whatever way it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from analysis.overviews import defect_overview, descent, overview
from defectscout.analysis import structure_map as module
from defectscout.analysis.structure_map import ElementCoverage, MapPoint, element_coverage, structure_map
from defectscout.core.defect import Defect
from defectscout.core.errors import CampaignError, NothingFoundError, SettingsError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Source, open_campaign
from defectscout.workflow.overview import Overview
from defectscout.workflow.record import TaskKey
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import FCC, A, breathing, dimer, neighbours, vacancy

DEFECT = vacancy()

Recorded = Mapping[tuple[str, str], Sequence[tuple[Atoms, float]]]
"""Structures and energies (eV) of each relaxation, by stage and label."""


def campaign(folder: Path, defect: Defect, recorded: Recorded, formula: str = "CdTe", surrogate: str = "") -> Overview:
    """A campaign folder with these frames, and what would be read of it."""
    strategy = "scout" if surrogate else "reference-only"
    chosen = {"strategy": strategy} | ({"surrogate": {"name": surrogate, "device": "cpu"}} if surrogate else {})
    settings = merge(SearchSettings(), chosen, "test")
    with open_campaign(folder, settings, Source("mp-406", "")) as opened:
        for (stage, label), frames in recorded.items():
            key = TaskKey(stage, defect.label, label)
            opened.record.add_tasks(stage, defect.label, [(label, frames[0][0])])
            for step, (atoms, energy) in enumerate(frames):
                zeros = np.zeros((len(atoms), 3))
                frame = Frame(atoms, Prediction(energy, zeros), step)
                opened.record.write_steps([(key, Checkpoint(frame, FireState(zeros, 0.1, 0.1, 0), energy))], 0.0)
            opened.record.finish(key, RelaxationState.CONVERGED, "", len(frames))
    descents = [descent(label, [energy for _, energy in frames], stage) for (stage, label), frames in recorded.items()]
    seen = overview(
        formula, [defect_overview(defect, [], descents)], strategy=strategy, folder=folder, settings=settings
    )
    return replace(seen, surrogate=None)


def path(start: Atoms, end: Atoms, count: int = 6) -> list[tuple[Atoms, float]]:
    """On the way from one structure to another, 1 eV down."""
    frames = []
    for share in np.linspace(0, 1, count):
        atoms = start.copy()
        atoms.positions += share * (end.positions - start.positions)
        frames.append((atoms, -10.0 - float(share)))
    return frames


def turned(atoms: Atoms, seed: int) -> Atoms:
    """The same crystal, cell and all."""
    rotation = Rotation.random(random_state=seed).as_matrix()
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ rotation.T)
    moved.positions = atoms.positions @ rotation.T
    return moved


def shifted(atoms: Atoms) -> Atoms:
    """Drifted as a whole, and wrapped back into the cell."""
    moved = atoms.copy()
    moved.positions += (0.31, -0.2, 0.17)
    moved.wrap()
    return moved


def exchanged(atoms: Atoms) -> Atoms:
    """The two atoms of the dimer change names."""
    first, second, *_ = neighbours(DEFECT)
    moved = atoms.copy()
    moved.positions[[first, second]] = atoms.positions[[second, first]]
    return moved


def distances(points: Sequence[MapPoint], of: str) -> tuple[float, float]:
    """Largest distance on the map between points of the same step, and the size of the map."""
    places = np.array([getattr(point, of) for point in points])
    steps = np.array([point.step for point in points])
    same = max(float(np.ptp(places[steps == step], axis=0).max()) for step in set(steps.tolist()))
    return same, float(np.ptp(places, axis=0).max())


@pytest.fixture(scope="module")
def descents() -> dict[str, list[tuple[Atoms, float]]]:
    return {
        "dimer": path(breathing(DEFECT, 0.05), dimer(DEFECT)),
        "other pair": path(breathing(DEFECT, 0.05), dimer(DEFECT, (2, 3))),
        "symmetric": path(dimer(DEFECT, (1, 2), 3.4), breathing(DEFECT)),
    }


def test_the_same_structure_lies_at_the_same_place(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path
) -> None:
    """Turned, moved, wrapped, with atoms exchanged, or with the dimer between two other neighbours."""
    down = descents["dimer"]
    ways = {
        ("reference", "as it is"): down,
        ("reference", "other pair"): descents["other pair"],
        ("reference", "turned"): [(turned(atoms, 3), energy) for atoms, energy in down],
        ("reference", "moved"): [(shifted(atoms), energy) for atoms, energy in down],
        ("reference", "exchanged"): [(exchanged(atoms), energy) for atoms, energy in down],
    }
    found = structure_map([campaign(tmp_path / "ways", DEFECT, ways)])
    assert len(found.points) == 5 * 6
    same, size = distances(found.points, "pca")
    assert same < 1e-5 * size
    same, size = distances(found.points, "tsne")
    assert same < 0.05 * size
    assert 0.5 < sum(found.explained) <= 1 + 1e-9
    assert found.explained[0] >= found.explained[1] >= 0


def test_the_order_of_the_atoms_of_the_defect_does_not_matter(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path
) -> None:
    order = np.random.default_rng(0).permutation(len(DEFECT.atoms))
    other = replace(DEFECT, atoms=DEFECT.atoms[order])
    first = campaign(tmp_path / "first", DEFECT, {("reference", "a"): descents["dimer"]})
    mixed = [(atoms[order], energy) for atoms, energy in descents["dimer"]]
    second = campaign(tmp_path / "second", other, {("reference", "a"): mixed})
    found = structure_map([first, second])
    same, size = distances(found.points, "pca")
    assert same < 1e-5 * size
    assert [point.campaign for point in found.points] == [0] * 6 + [1] * 6


def test_the_same_campaigns_give_the_same_map(descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path) -> None:
    seen = campaign(tmp_path / "a", DEFECT, {("reference", label): frames for label, frames in descents.items()})
    first = structure_map([seen])
    assert structure_map([seen]) == first
    assert {point.pca for point in structure_map([seen], seed=5).points} == {point.pca for point in first.points}
    farthest = np.array([point.pca for point in first.points])
    assert (farthest[np.abs(farthest).argmax(axis=0), [0, 1]] > 0).all()
    assert first.features == "SOAP fingerprint of the defect site"


def test_points_know_where_they_come_from(descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path) -> None:
    scouted = [(atoms, energy + 7.0) for atoms, energy in descents["symmetric"]]
    recorded = {
        ("scout", "Dimer"): scouted,
        ("reference", "Dimer"): descents["dimer"],
        ("check", "Rattled"): [(atoms, energy + 0.5) for atoms, energy in descents["symmetric"]],
    }
    found = structure_map([campaign(tmp_path / "a", DEFECT, recorded)], frames=3)
    assert [(point.stage, point.label, point.step) for point in found.points] == [
        (stage, label, step) for stage, label in recorded for step in (0, 2, 5)
    ]
    assert [point.last for point in found.points] == [False, False, True] * 3
    assert [point.energy for point in found.points] == pytest.approx([1, 0.6, 0, 1, 0.6, 0, 1.5, 1.1, 0.5])
    assert {(point.host, point.defect, point.campaign) for point in found.points} == {("CdTe", "v_Cd_0", 0)}


def test_a_reconstruction_lies_apart_from_the_symmetric_structure(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    recorded = {}
    for number in range(12):
        atoms = dimer(DEFECT) if number % 2 else breathing(DEFECT)
        atoms.positions += rng.normal(scale=0.01, size=atoms.positions.shape)
        recorded["reference", f"{'dimer' if number % 2 else 'symmetric'} {number}"] = [(atoms, 0.0)]
    found = structure_map([campaign(tmp_path / "a", DEFECT, recorded)])
    for of in ("pca", "tsne"):
        places = np.array([getattr(point, of) for point in found.points])
        is_dimer = np.array(["dimer" in point.label for point in found.points])
        for place, own in zip(places, is_dimer, strict=True):
            others = np.linalg.norm(places - place, axis=1)
            nearest = np.argsort(others)[1:6]
            assert (is_dimer[nearest] == own).all(), of


def test_hosts_of_different_elements_share_one_map(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path
) -> None:
    def selenide(atoms: Atoms) -> Atoms:
        other = atoms.copy()
        other.numbers = np.where(atoms.numbers == 52, 34, atoms.numbers)
        other.set_cell(atoms.cell.array * 6.1 / A, scale_atoms=True)
        return other

    defect = replace(DEFECT, atoms=selenide(DEFECT.atoms), bulk=selenide(DEFECT.bulk))
    frames = {("reference", "a"): [(selenide(atoms), energy) for atoms, energy in descents["dimer"]]}
    found = structure_map(
        [
            campaign(tmp_path / "CdTe", DEFECT, {("reference", "a"): descents["dimer"]}),
            campaign(tmp_path / "CdSe", defect, frames, "CdSe"),
        ]
    )
    first = np.array([point.pca[0] for point in found.points])
    assert [point.host for point in found.points] == ["CdTe"] * 6 + ["CdSe"] * 6
    assert np.sign(first[:6]).tolist() == [np.sign(first[0])] * 6  # hosts differ more than structures of one do
    assert np.sign(first[6:]).tolist() == [-np.sign(first[0])] * 6


def test_identical_structures_are_one_point(tmp_path: Path) -> None:
    still = [(dimer(DEFECT), -10.0)] * 4
    found = structure_map([campaign(tmp_path / "a", DEFECT, {("reference", "a"): still})])
    assert found.explained == (0.0, 0.0)
    assert {point.pca for point in found.points} == {point.tsne for point in found.points} == {(0.0, 0.0)}


def test_three_structures_are_enough_and_two_are_not(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path
) -> None:
    three = campaign(tmp_path / "three", DEFECT, {("reference", "a"): descents["dimer"]})
    found = structure_map([three], frames=3)
    assert np.isfinite([[*point.pca, *point.tsne] for point in found.points]).all()
    with pytest.raises(NothingFoundError, match=r"at least 3 structures, and 2 .*three"):
        structure_map([three], frames=2)
    with pytest.raises(NothingFoundError, match="no campaign"):
        structure_map([])


def test_large_campaigns_show_fewer_frames_of_each_relaxation_and_every_end(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = campaign(tmp_path / "a", DEFECT, {("reference", label): frames for label, frames in descents.items()})
    monkeypatch.setattr(module, "MOST_STRUCTURES", 6)
    assert [point.step for point in structure_map([seen]).points] == [0, 5] * 3
    monkeypatch.setattr(module, "MOST_STRUCTURES", 2)
    monkeypatch.setattr(module, "EXACT_UP_TO", 2)
    assert [point.step for point in structure_map([seen]).points] == [5] * 3


def test_both_solvers_agree(
    descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = campaign(tmp_path / "a", DEFECT, {("reference", label): frames for label, frames in descents.items()})
    exact = structure_map([seen])
    monkeypatch.setattr(module, "EXACT_UP_TO", 2)
    iterated = structure_map([seen])
    assert np.array([point.pca for point in iterated.points]) == pytest.approx(
        np.array([point.pca for point in exact.points]), abs=1e-8
    )


def test_features_of_the_surrogate(descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path) -> None:
    """Campaigns without one are mapped with that of the others."""
    pytest.importorskip("chgnet")
    first = campaign(tmp_path / "a", DEFECT, {("scout", "a"): descents["dimer"][::5]}, surrogate="chgnet")
    second = [(turned(atoms, 1), energy) for atoms, energy in descents["dimer"][::5]]
    found = structure_map([first, campaign(tmp_path / "b", DEFECT, {("reference", "a"): second})], "surrogate")
    assert found.features == "mean atomic features of chgnet"
    same, size = distances(found.points, "pca")
    assert same < 0.01 * size


def test_a_map_by_features_needs_one_surrogate(descents: dict[str, list[tuple[Atoms, float]]], tmp_path: Path) -> None:
    frames = {("reference", "a"): descents["dimer"]}
    alone = campaign(tmp_path / "alone", DEFECT, frames)
    with pytest.raises(SettingsError, match=r"have 0: none.*soap"):
        structure_map([alone], "surrogate")
    first = campaign(tmp_path / "first", DEFECT, frames, surrogate="chgnet")
    second = campaign(tmp_path / "second", DEFECT, frames, surrogate="m3gnet:somewhere")
    with pytest.raises(SettingsError, match=r"have 2: chgnet; m3gnet:somewhere.*soap"):
        structure_map([first, second], "surrogate")
    gone = campaign(tmp_path / "gone", DEFECT, frames, surrogate=str(tmp_path / "no model"))
    with pytest.raises(CampaignError, match=r"cannot be had any more.*soap"):
        structure_map([gone], "surrogate")
    learned = campaign(tmp_path / "learned", DEFECT, frames)
    settings = merge(learned.settings, {"strategy": "learn"}, "test")
    with pytest.raises(CampaignError, match=r"has tuned no surrogate on v_Cd_0.*soap"):
        structure_map([replace(learned, settings=settings)], "surrogate")


def test_elements_are_counted_once_for_each_host() -> None:
    relaxed = [descent("a", [0.0] * 10)]
    small = vacancy(FCC)
    doped = replace(small, name="Se_Te", atoms=small.atoms.copy())
    doped.atoms.symbols[-1] = "Se"
    first = overview("CdTe", [defect_overview(small, [], relaxed), defect_overview(doped, [], relaxed)], host_calls=5)
    again = overview("CdTe", [defect_overview(small, [], relaxed)], host_calls=5)
    other = overview("CdTe", [defect_overview(small, [], relaxed)], host_calls=5, space_group="P6_3mc")
    assert element_coverage([first, again, other]) == (
        ElementCoverage("Se", hosts=0, defects=1, configurations=10),
        ElementCoverage("Cd", hosts=2, defects=3, configurations=5 + 20 + 5 + 10 + 5 + 10),
        ElementCoverage("Te", hosts=2, defects=3, configurations=55),
    )
    assert element_coverage([]) == ()
