"""Leakage: found where it is, quiet where it is not, expected where the split lets it be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.frames import Prediction
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import FrameOrigin, IndexRow, LabelledFrame
from defectscout.learning.leakage import Leak, check_leakage
from defectscout.learning.settings import SplitSettings
from defectscout.learning.splits import TEST, TRAIN, VALIDATION, split


class Memory:
    """A dataset in memory that notes which configurations were read."""

    def __init__(self) -> None:
        self.stored: list[LabelledFrame] = []
        self.read: list[int] = []

    def add(self, atoms: Atoms, energy: float, name: str, start: str, step: int, charge: int = 0) -> int:
        host, defect = name.split("/")
        origin = FrameOrigin(host, defect, charge, start, step, "xtb", "file")
        prediction = Prediction(energy, np.zeros((len(atoms), 3)), np.zeros(6))
        self.stored.append(LabelledFrame(atoms, prediction, origin))
        return len(self.stored) - 1

    def index(self) -> tuple[IndexRow, ...]:
        return tuple(
            IndexRow(
                row,
                frame.origin,
                frame.prediction.energy,
                0.0,
                tuple(sorted(frame.atoms.symbols.formula.count().items())),
                None,
                "",
                True,
            )
            for row, frame in enumerate(self.stored)
        )

    def frames(self, rows: Sequence[int]) -> Iterator[LabelledFrame]:
        for row in rows:
            self.read.append(row)
            yield self.stored[row]


def crystal(host: str, seed: int) -> Atoms:
    atoms = bulk(host, "zincblende", a=6.5, cubic=True)
    atoms.rattle(0.1, seed=seed)
    del atoms[0]
    return atoms


@pytest.fixture
def dataset() -> Memory:
    memory = Memory()
    for number, name in enumerate(["CdTe/v_Cd", "CdSe/v_Cd", "ZnTe/v_Zn", "InP/v_In"]):
        for start in range(3):
            for step in range(4):
                seed = 100 * number + 10 * start + step
                memory.add(crystal(name.split("/")[0], seed), -20.0 - 0.01 * seed, name, f"start{start}", step)
    return memory


def found(leaks: Sequence[Leak]) -> dict[tuple[str, str], tuple[int, bool]]:
    return {(leak.kind, leak.where): (leak.count, leak.expected) for leak in leaks}


PURE = SplitSettings(augment_validation=0.0)


def test_a_clean_split_leaks_nothing_and_reads_nothing(dataset: Memory) -> None:
    assert check_leakage(dataset, split(dataset.index(), PURE), PURE) == ()
    assert dataset.read == []


def test_augmentation_is_expected(dataset: Memory) -> None:
    settings = SplitSettings(augment_validation=0.1)
    leaks = found(check_leakage(dataset, split(dataset.index(), settings), settings))
    assert set(leaks) == {("relaxation", "train/validation"), ("host", "train/validation")}
    assert all(expected for _, expected in leaks.values())


def test_a_host_and_a_relaxation_in_train_and_test(dataset: Memory) -> None:
    subsets = dict(split(dataset.index(), PURE))
    row = next(row for row, subset in subsets.items() if subset == TRAIN)
    subsets[row] = TEST
    leaks = check_leakage(dataset, subsets, PURE)
    assert found(leaks) == {("relaxation", "train/test"): (1, False), ("host", "train/test"): (1, False)}
    host = dataset.stored[row].origin.host
    assert all(host in leak.sentence for leak in leaks)
    assert "1 host is in train and in test" in leaks[1].sentence


def test_charge_states_apart() -> None:
    memory = Memory()
    for charge in (0, -1):
        memory.add(crystal("CdTe", charge + 5), -20.0 + charge, "CdTe/v_Cd", "Unperturbed", 0, charge)
    memory.add(crystal("CdTe", 9), -30.0, "CdTe/v_Te", "Unperturbed", 0)
    subsets = {0: TRAIN, 1: TEST, 2: TRAIN}
    by_defect = SplitSettings(by="defect", augment_validation=0.0)
    assert found(check_leakage(memory, subsets, by_defect)) == {
        ("charge-states", "train/test"): (1, False),
        ("host", "train/test"): (1, True),
    }
    named = SplitSettings(by="host-list", test_hosts=("CdTe/v_Cd_-1",))
    assert all(leak.expected for leak in check_leakage(memory, split(memory.index(), named), named))


def test_near_identical_frames_however_numbered_and_moved(dataset: Memory) -> None:
    subsets = dict(split(dataset.index(), PURE))
    row = next(row for row, subset in subsets.items() if subset == TRAIN)
    frame = dataset.stored[row]
    moved = frame.atoms[::-1]
    moved.positions += [0.3, 1.7, -0.4]
    moved.wrap()
    moved.rattle(1e-4, seed=1)
    host = frame.origin.host
    twin = dataset.add(moved, frame.prediction.energy + 5e-5, f"{host}/v_other", "copy", 0)
    distinct = dataset.add(crystal(host, 999), frame.prediction.energy - 5e-5, f"{host}/v_third", "other", 0)
    subsets |= {twin: VALIDATION, distinct: VALIDATION}
    leaks = {leak.kind: leak for leak in check_leakage(dataset, subsets, SplitSettings(by="defect"))}
    assert leaks["near-identical"].count == 1
    assert leaks["near-identical"].where == "train/validation"
    assert f"{host} v_other_0 (1)" in leaks["near-identical"].sentence
    # Of all configurations only those of the same composition and energy were read.
    assert sorted(dataset.read) == [row, twin, distinct]


def test_two_starts_that_end_in_one_minimum(dataset: Memory) -> None:
    relaxed = crystal("CdTe", 7)
    rows = [dataset.add(relaxed, -50.0, "CdTe/v_Cd", f"end{i}", 0) for i in range(3)]
    settings = SplitSettings(by="relaxation")
    subsets = dict.fromkeys(range(len(dataset.stored)), TRAIN) | {rows[1]: TEST, rows[2]: TEST}
    leaks = found(check_leakage(dataset, subsets, settings))
    assert leaks["near-identical", "train/test"] == (2, True)
    unexpected = found(check_leakage(dataset, subsets, PURE))
    assert unexpected["near-identical", "train/test"] == (2, False)


def test_unexpected_leaks_come_first_and_random_expects_everything(dataset: Memory) -> None:
    settings = SplitSettings(by="random")
    leaks = check_leakage(dataset, split(dataset.index(), settings), settings)
    assert leaks
    assert all(leak.expected for leak in leaks)
    both = check_leakage(dataset, split(dataset.index(), settings), SplitSettings())
    order = [leak.expected for leak in both]
    assert order == sorted(order)
    assert set(order) == {False, True}


def test_a_stored_dataset(dataset: Memory, tmp_path: Path) -> None:
    relaxed = crystal("CdTe", 7)
    for start in ("end0", "end1"):
        dataset.add(relaxed, -50.0, "CdTe/v_Cd", start, 0)
    settings = SplitSettings(by="random")
    with Dataset.create(tmp_path / "data.db") as stored:
        stored.add(dataset.stored)
        rows = [row.row for row in stored.index()]
        stored.mark_selected(rows)
        subsets = dict.fromkeys(rows, TRAIN) | {rows[-1]: TEST}
        stored.write_subsets(subsets)
        leaks = found(check_leakage(stored, stored.subsets(), settings))
    assert leaks["near-identical", "train/test"] == (1, True)
