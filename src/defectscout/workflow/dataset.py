"""Datasets from relaxations: read, clean, sample frames; split and export them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from defectscout.core.errors import DatasetError
from defectscout.learning.dataset import SUBSETS, Dataset
from defectscout.learning.leakage import Leak, check_leakage
from defectscout.learning.settings import SplitSettings
from defectscout.learning.splits import default_split, split
from defectscout.learning.writers import Format, write_frames
from defectscout.workflow.dataset_build import BuildReport, build_dataset
from defectscout.workflow.dataset_summary import DatasetSummary, inspect_dataset
from defectscout.workflow.whole_files import whole_or_nothing

__all__ = [
    "BuildReport", "DatasetSummary", "ExportedFile", "SplitReport",
    "build_dataset", "export_dataset", "inspect_dataset", "split_dataset",
]  # fmt: skip

SPLIT_DOCUMENT: Final = "split"
"""Settings of the split, JSON of `SplitSettings`."""


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How a dataset was split.

    Attributes:
        settings: as used.
        reason: why these settings, where none were given; else empty.
        summary: what the dataset holds, with its subsets.
        leaks: what of the training set is also in validation or test.
    """

    settings: SplitSettings
    reason: str
    summary: DatasetSummary
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export, and how many frames are in it."""

    path: Path
    frames: int


def split_dataset(path: Path, settings: SplitSettings | None = None) -> SplitReport:
    """Share the selected frames among training, validation and test, and look for leaks.

    Args:
        path: a dataset; its earlier split is replaced.
        settings: how; None for what suits the number of hosts and defects.

    Raises:
        DatasetError: if it is no dataset, or cannot be split as asked.
        SettingsError: for shares or hosts that make no sense.
    """
    with Dataset.open(path) as dataset:
        index = dataset.index()
        reason = ""
        if settings is None:
            choice = default_split(index)
            settings, reason = choice.settings, choice.sentence
        subsets = split(index, settings)
        leaks = check_leakage(dataset, subsets, settings)
        dataset.write_subsets(subsets)
        dataset.write_document(SPLIT_DOCUMENT, settings.model_dump_json(indent=1))
    return SplitReport(settings, reason, inspect_dataset(path), leaks)


def export_dataset(path: Path, out: Path, file_format: Format) -> tuple[ExportedFile, ...]:
    """Write the selected frames for other programs: one file for each subset, or one if there are no subsets.

    Args:
        path: a dataset.
        out: folder that is made; `train.extxyz` and so on go into it.
        file_format: extxyz, traj, db, or json (the form of CHGNet and M3GNet).

    Raises:
        DatasetError: if it is no dataset, no frame is selected, or `out` exists.
    """
    with Dataset.open(path) as dataset:
        parts = _parts(dataset)
        if not parts:
            raise DatasetError(
                f"{path} has no selected frames to export. Build it anew with `defectscout dataset build`."
            )
        with whole_or_nothing(out) as temporary:
            temporary.mkdir()
            for name, rows in parts.items():
                write_frames(dataset.frames(rows), temporary / f"{name}.{file_format}", file_format)
    return tuple(ExportedFile(out / f"{name}.{file_format}", len(rows)) for name, rows in parts.items())


def _parts(dataset: Dataset) -> dict[str, list[int]]:
    selected = [row.row for row in dataset.index() if row.selected]
    subsets = dataset.subsets()
    if not subsets:
        return {"frames": selected} if selected else {}
    parts = {name: [row for row in selected if subsets.get(row) == name] for name in SUBSETS}
    parts["unassigned"] = [row for row in selected if row not in subsets]
    return {name: rows for name, rows in parts.items() if rows}
