"""Datasets: what is written is read back to the last digit, as our own dataset and as an `ase.db`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect

from defectscout.core.errors import DatasetError
from defectscout.core.frames import Prediction
from defectscout.learning.dataset import BATCH, Dataset, is_dataset
from defectscout.learning.frames import DefectId, LabelledFrame, SiteRecord, Unreadable
from learning.toy_relaxations import CRYSTAL, frame, origin


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.create(tmp_path / "data.db")


def _assert_same(read: LabelledFrame, written: LabelledFrame) -> None:
    np.testing.assert_array_equal(read.atoms.numbers, written.atoms.numbers)
    np.testing.assert_array_equal(read.atoms.positions, written.atoms.positions)
    np.testing.assert_array_equal(read.atoms.cell.array, written.atoms.cell.array)
    assert read.atoms.pbc.all()
    assert read.atoms.calc is None
    assert read.prediction.energy == written.prediction.energy
    np.testing.assert_array_equal(read.prediction.forces, written.prediction.forces)
    np.testing.assert_array_equal(read.prediction.stress, written.prediction.stress)
    assert read.origin == written.origin
    assert read.scf_converged is written.scf_converged


def test_frames_come_back_bit_for_bit_in_the_order_asked(dataset: Dataset) -> None:
    written = [frame(origin(step, charge=-1), scf_converged=scf) for step, scf in enumerate((None, True, False))]
    assert dataset.add(written) == 3
    index = Dataset.open(dataset.path).index()
    assert [row.origin.step for row in index] == [0, 1, 2]
    order = [2, 0, 1, 0]
    for read, i in zip(dataset.frames([index[i].row for i in order]), order, strict=True):
        _assert_same(read, written[i])


def test_the_index_knows_energy_force_and_composition(dataset: Dataset) -> None:
    written = frame(origin(), atoms=CRYSTAL[:7], scf_converged=False)
    dataset.add([written])
    (row,) = dataset.index()
    assert row.energy == written.prediction.energy
    assert row.fmax == pytest.approx(written.prediction.fmax)
    assert row.composition == (("Cd", 4), ("Te", 3))
    assert row.n_atoms == 7
    assert (row.scf_converged, row.dropped, row.selected) == (False, "", False)


def test_a_frame_without_stress_stays_without(dataset: Dataset) -> None:
    one = frame(origin())
    dataset.add([replace(one, prediction=Prediction(one.prediction.energy, one.prediction.forces))])
    (read,) = dataset.frames([1])
    assert read.prediction.stress is None


def test_it_is_an_ase_database(dataset: Dataset) -> None:
    charged = frame(origin(step=3, charge=-2, start="Bond_Distortion_-60.0%"))
    dataset.add([charged, frame(origin()), frame(origin(start="1", host="CdSe"))])
    database = connect(dataset.path)
    (found,) = database.select(charge=-2)
    assert found.charge == pytest.approx(-2)
    assert (found.host, found.defect, found.start, found.step, found.method) == (
        "CdTe", "v_Cd", "Bond_Distortion_-60.0%", 3, "toy",
    )  # fmt: skip
    atoms = found.toatoms()
    assert atoms.get_potential_energy() == charged.prediction.energy
    np.testing.assert_array_equal(atoms.get_forces(), charged.prediction.forces)
    np.testing.assert_array_equal(atoms.get_stress(), charged.prediction.stress)
    assert database.count("host=CdTe,defect=v_Cd") == 2
    assert database.count("host=CdTe,charge=0") == 1


def test_starts_that_read_like_numbers_are_kept(dataset: Dataset) -> None:
    dataset.add([frame(origin(start="1")), frame(origin(start="True"))])
    assert [row.origin.start for row in dataset.index()] == ["1", "True"]


def _flawed() -> list[tuple[LabelledFrame, str]]:
    good = frame(origin(), atoms=CRYSTAL)
    forces = good.prediction.forces.copy()
    forces[0, 0] = np.nan
    stress = np.full(6, np.inf)
    energy, stress_of_good = good.prediction.energy, good.prediction.stress
    positions = CRYSTAL.copy()
    positions.positions[3] = np.inf
    return [
        (replace(good, prediction=Prediction(np.nan, good.prediction.forces)), "energy"),
        (replace(good, prediction=Prediction(energy, forces, stress_of_good)), "forces"),
        (replace(good, prediction=Prediction(energy, good.prediction.forces, stress)), "stress"),
        (replace(good, prediction=Prediction(energy, good.prediction.forces[:-1])), "shape"),
        (replace(good, atoms=positions), "positions"),
        (replace(good, atoms=Atoms(CRYSTAL.numbers, CRYSTAL.positions)), "no cell"),
        (replace(good, atoms=Atoms(CRYSTAL.numbers, CRYSTAL.positions, cell=CRYSTAL.cell)), "not periodic"),
    ]


@pytest.mark.parametrize(("flawed", "reason"), _flawed())
def test_flawed_frames_are_listed_and_not_stored(dataset: Dataset, flawed: LabelledFrame, reason: str) -> None:
    assert dataset.add([frame(origin(1)), flawed]) == 1
    assert len(dataset.index()) == 1
    (item,) = dataset.unreadable()
    assert item.source == "toy.extxyz"
    assert reason in item.reason
    assert "CdTe v_Cd_0 Unperturbed" in item.reason


def test_a_broken_relaxation_is_one_line_with_its_count(dataset: Dataset) -> None:
    nan = np.full((8, 3), np.nan)
    bad = [replace(frame(origin(step)), prediction=Prediction(-1.0, nan)) for step in range(2 * BATCH)]
    assert dataset.add(bad) == 0
    (item,) = dataset.unreadable()
    assert f"{2 * BATCH} frames (steps 0, 1, 2, 3, 4, ...)" in item.reason


def test_frames_are_taken_from_the_stream_in_batches(dataset: Dataset) -> None:
    taken = 0

    def stream() -> Iterator[LabelledFrame]:
        nonlocal taken
        for step in range(3 * BATCH):
            taken += 1
            if step == 2 * BATCH:
                # What came before is written by now; nothing waits for the end of the stream.
                assert len(Dataset.open(dataset.path).index()) == 2 * BATCH
            yield frame(origin(step), atoms=CRYSTAL[:2])

    assert dataset.add(stream()) == 3 * BATCH == taken
    read = dataset.frames([row.row for row in dataset.index()])
    assert next(read).origin.step == 0
    dataset.mark_dropped([1], "meanwhile")  # reading leaves the file open to writers
    assert sum(1 for _ in read) == 3 * BATCH - 1


def test_marks(dataset: Dataset) -> None:
    dataset.add(frame(origin(step)) for step in range(4))
    dataset.mark_selected([1, 2])
    dataset.mark_selected([2, 3])
    assert [row.row for row in dataset.index() if row.selected] == [2, 3]
    dataset.mark_dropped([2], "large force")
    row = dataset.index()[1]
    assert (row.row, row.dropped, row.selected) == (2, "large force", False)
    with pytest.raises(DatasetError, match="cannot be selected"):
        dataset.mark_selected([2])
    dataset.mark_dropped([2], "")
    dataset.mark_selected([2])
    assert [row.row for row in dataset.index() if row.selected] == [2]


def test_subsets_sites_and_documents(dataset: Dataset) -> None:
    dataset.add(frame(origin(step)) for step in range(3))
    assert dataset.subsets() == {}
    dataset.write_subsets({1: "train", 2: "test"})
    dataset.write_subsets({3: "validation", 1: "train"})
    assert Dataset.open(dataset.path).subsets() == {1: "train", 3: "validation"}
    for wrong in ({1: "training"}, {9: "train"}):
        with pytest.raises(DatasetError):
            dataset.write_subsets(wrong)
    assert dataset.subsets() == {1: "train", 3: "validation"}
    site = SiteRecord(DefectId("CdTe", "v_Cd", 0, "toy"), "vacancy", (0.1, 0.2, 1 / 3))
    dataset.write_site(replace(site, kind="interstitial"))
    dataset.write_site(site)
    assert dataset.sites() == {site.defect_id: site}
    assert dataset.read_document("note") is None
    dataset.write_document("note", "one")
    dataset.write_document("note", "two")
    assert dataset.read_document("note") == "two"
    dataset.add_unreadable([Unreadable("OUTCAR", "empty")])
    assert dataset.unreadable() == (Unreadable("OUTCAR", "empty"),)


def test_digest_is_of_the_selected_contents(tmp_path: Path) -> None:
    frames = [frame(origin(step)) for step in range(4)]

    def digest(name: str, order: list[LabelledFrame], selected: int) -> str:
        with Dataset.create(tmp_path / name) as dataset:
            dataset.add(order)
            dataset.mark_selected([row.row for row in dataset.index() if row.origin.step < selected])
            return dataset.digest()

    first = digest("a.db", frames, 3)
    assert first.startswith("sha256:")
    assert digest("b.db", frames[::-1], 3) == first
    elsewhere = [replace(item, origin=replace(item.origin, source="elsewhere")) for item in frames]
    assert digest("c.db", elsewhere, 3) == first
    assert digest("d.db", frames, 4) != first
    charged = [replace(item, origin=replace(item.origin, charge=1)) for item in frames]
    assert digest("e.db", charged, 3) != first
    frames[1].atoms.positions[0, 0] += 1e-12
    assert digest("f.db", frames, 3) != first


def test_missing_and_existing_files(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    with pytest.raises(DatasetError, match="no dataset"):
        Dataset.open(path)
    Dataset.create(path)
    assert Dataset.open(path).index() == ()
    with pytest.raises(DatasetError, match="exists already"):
        Dataset.create(path)
    with pytest.raises(DatasetError, match="unable to open"):
        Dataset.create(tmp_path / "nowhere" / "data.db")


def test_files_that_are_no_dataset(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("Cd Te\n" * 100)
    with pytest.raises(DatasetError, match=r"text.db cannot be used as a dataset"):
        Dataset.open(text)
    database = tmp_path / "ase.db"
    connect(database).write(CRYSTAL)
    with pytest.raises(DatasetError, match="no dataset of defectscout"):
        Dataset.open(database)
    dataset = Dataset.create(tmp_path / "data.db")
    dataset.write_document("version", "2")
    with pytest.raises(DatasetError, match="Update defectscout"):
        Dataset.open(dataset.path)
    assert [is_dataset(path) for path in (text, database, dataset.path, tmp_path, tmp_path / "none")] == [
        False, False, True, False, False,
    ]  # fmt: skip


def test_a_damaged_file_is_an_error_and_no_traceback(dataset: Dataset) -> None:
    dataset.add(frame(origin(step)) for step in range(200))
    with dataset.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 60_000)
    with pytest.raises(DatasetError, match="damaged"):
        list(Dataset.open(dataset.path).frames(range(1, 201)))


def test_unknown_rows(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no frame number 7"):
        list(dataset.frames([7]))


def test_a_failed_batch_leaves_no_half_frames(dataset: Dataset) -> None:
    dataset.add([frame(origin())])
    broken = frame(origin(1))
    with pytest.raises(ValueError, match="boom"):
        dataset.add(_then_fail([broken]))
    assert len(dataset.index()) == 1
    assert connect(dataset.path).count() == 1


def _then_fail(frames: list[LabelledFrame]) -> Iterator[LabelledFrame]:
    yield from frames
    raise ValueError("boom")
