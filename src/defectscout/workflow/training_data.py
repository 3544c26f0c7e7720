"""Which frames of a dataset a training uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import DatasetError
from defectscout.learning.dataset import Dataset
from defectscout.learning.dataset_frames import DatasetFrames
from defectscout.learning.frames import IndexRow
from defectscout.learning.leakage import check_leakage
from defectscout.learning.splits import TEST, TRAIN, VALIDATION, default_split, split


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Frames for training, for choosing the epoch, and for judging the result.

    Attributes:
        path: the dataset.
        digest: of its selected frames.
        train, validation, test: what is known of the frames of each subset.
        method: the reference that they come from.
        notes: what was decided by default, for the reader.
    """

    path: Path
    digest: str
    train: tuple[IndexRow, ...]
    validation: tuple[IndexRow, ...]
    test: tuple[IndexRow, ...]
    method: str
    notes: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted({row.origin.host for row in self.train}))

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(sorted({symbol for row in self.train for symbol, _ in row.composition}))

    @property
    def charges(self) -> tuple[int, ...]:
        return tuple(sorted({row.origin.charge for row in self.train if not row.origin.is_bulk}))

    @property
    def held_out(self) -> dict[str, tuple[IndexRow, ...]]:
        """The subsets that are not trained on, as far as they have frames."""
        return {name: rows for name, rows in ((VALIDATION, self.validation), (TEST, self.test)) if rows}

    def frames(self, rows: Sequence[IndexRow]) -> DatasetFrames:
        """The frames of some rows, read when they are asked for."""
        return DatasetFrames(Dataset.open(self.path), [row.row for row in rows])

    def judging(self) -> tuple[tuple[IndexRow, ...], str]:
        """Frames to judge the trained model on, and what they are in words.

        Defects that no training frame is of, from the test set, else from the validation set; without
        any, the relaxations that were held out.
        """
        trained = {(row.origin.host, row.origin.defect) for row in self.train if not row.origin.is_bulk}
        for rows, name in ((self.test, TEST), (self.validation, VALIDATION)):
            unseen = tuple(
                row for row in rows if not row.origin.is_bulk and (row.origin.host, row.origin.defect) not in trained
            )
            if unseen:
                defects = {(row.origin.defect_id, row.composition) for row in unseen}
                return unseen, f"{len(defects)} unseen {_plural('defect', len(defects))} of the {name} set"
        held_out = tuple(row for row in (self.test or self.validation) if not row.origin.is_bulk)
        relaxations = len({row.origin.relaxation for row in held_out})
        return held_out, (
            f"{relaxations} held-out {_plural('relaxation', relaxations)} of defects that it was trained on "
            "(no unseen defect is there to judge it by)"
        )


def training_data(path: Path, *, charge: int | None, any_charge: bool, method: str | None) -> TrainingData:
    """The selected frames of a dataset, in their subsets.

    A dataset that was not split is split by `learning.splits.default_split`, for this training only.

    Args:
        path: the dataset.
        charge: defects of this charge state only; None for all.
        any_charge: several charge states may be trained on together, because the network is told the charge or
            because the user asked for it.
        method: frames of this reference only; None if all are of one.

    Raises:
        DatasetError: no selected frame is left, or methods or charge states are mixed without a word on it.
    """
    dataset = Dataset.open(path)
    rows = [row for row in dataset.index() if row.selected]
    rows = _of_method(rows, method, path)
    rows = _of_charge(rows, charge, any_charge, path)
    if not rows:
        raise DatasetError(f"{path} has no selected frame. Build it with frames: defectscout dataset build --help")
    subsets = dataset.subsets()
    notes: list[str] = []
    if not subsets:
        choice = default_split(rows)
        subsets = split(rows, choice.settings)
        notes.append(choice.sentence)
        notes += [leak.sentence for leak in check_leakage(dataset, subsets, choice.settings) if not leak.expected]
    of = {name: tuple(row for row in rows if subsets.get(row.row) == name) for name in (TRAIN, VALIDATION, TEST)}
    outside = sum(row.row not in subsets for row in rows)
    if outside:
        notes.append(f"{outside} selected frames are in no subset of the split and are not used.")
    return TrainingData(
        path=path,
        digest=dataset.digest(),
        train=of[TRAIN],
        validation=of[VALIDATION],
        test=of[TEST],
        method=rows[0].origin.method,
        notes=tuple(notes),
    )


def _of_method(rows: list[IndexRow], method: str | None, path: Path) -> list[IndexRow]:
    there = Counter(row.origin.method for row in rows)
    if method is not None:
        if method not in there:
            raise DatasetError(f"{path} has no frames of the method '{method}'. There are: {_counted(there)}.")
        return [row for row in rows if row.origin.method == method]
    if len(there) > 1:
        raise DatasetError(
            f"{path} holds frames of several methods ({_counted(there)}), whose energies are on different scales. "
            "Choose one with --method."
        )
    return rows


def _of_charge(rows: list[IndexRow], charge: int | None, any_charge: bool, path: Path) -> list[IndexRow]:
    there = Counter(row.origin.charge for row in rows if not row.origin.is_bulk)
    if charge is not None:
        if charge not in there:
            raise DatasetError(
                f"{path} has no defect in charge state {charge:+d}. There are: {_counted(_signed(there))}."
            )
        return [row for row in rows if row.origin.is_bulk or row.origin.charge == charge]
    if len(there) > 1 and not any_charge:
        raise DatasetError(
            f"{path} holds several charge states ({_counted(_signed(there))}). One structure has another energy in "
            "each, which a model that sees only the structure cannot learn. Train one model for each with --charge Q, "
            "give the charge to the network with --charge-as-input (M3GNet from scratch), or say --any-charge "
            "to train on all of them as they are."
        )
    return rows


def _signed(charges: Counter[int]) -> Counter[str]:
    return Counter({f"{charge:+d}": count for charge, count in charges.items()})


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count} frames)" for name, count in sorted(counts.items()))


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"
