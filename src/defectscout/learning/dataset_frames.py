"""Frames of a dataset as a sequence that reads each one when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import LabelledFrame


class DatasetFrames(Sequence[LabelledFrame]):
    """Rows of a dataset, read from its file one at a time: a training set never has to fit in memory."""

    def __init__(self, dataset: Dataset, rows: Sequence[int]) -> None:
        self._dataset = dataset
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> LabelledFrame: ...

    @overload
    def __getitem__(self, index: slice) -> DatasetFrames: ...

    def __getitem__(self, index: int | slice) -> LabelledFrame | DatasetFrames:
        if isinstance(index, slice):
            return DatasetFrames(self._dataset, self._rows[index])
        return next(self._dataset.frames([self._rows[index]]))
