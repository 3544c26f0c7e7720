"""Errors of surrogates on a dataset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from defectscout.core.errors import DatasetError, NothingFoundError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.evaluation.bootstrap import Bootstrap
from defectscout.evaluation.errors import ErrorAccumulator, FrameErrors
from defectscout.evaluation.force_sample import ForceSample, ForceSampler
from defectscout.evaluation.metrics import ErrorTable, error_table
from defectscout.evaluation.predicting import predict_frames
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import FrameOrigin, IndexRow
from defectscout.surrogates.base import Surrogate, SurrogateInfo
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

SUBSETS: Final = ("test", "validation", "train", "all")


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames of a dataset are evaluated.

    Attributes:
        subset: test, validation, train or all; None for test if the dataset is split, else all.
        defects: patterns of `HOST/DEFECT` or of `DEFECT` alone; empty for all.
        charges: charge states; empty for all.
    """

    subset: str | None = None
    defects: tuple[str, ...] = ()
    charges: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SurrogateEvaluation:
    """One surrogate on one set of frames.

    Attributes:
        info: what is recorded of the surrogate.
        errors: of each frame.
        table: their averages.
        forces: a sample of atoms with their forces, for figures.
        seconds: wall time of the predictions.
    """

    info: SurrogateInfo
    errors: FrameErrors
    table: ErrorTable
    forces: ForceSample
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationResult:
    """Surrogates side by side on the same frames.

    Attributes:
        dataset: the file.
        digest: hash of its selected frames.
        subset: which subset was evaluated.
        n_frames: frames that were asked for.
        evaluations: by the name that each surrogate was asked for by, in order.
    """

    dataset: Path
    digest: str
    subset: str
    n_frames: int
    evaluations: dict[str, SurrogateEvaluation]


def evaluate_surrogates(
    surrogates: Sequence[SurrogateSettings],
    dataset: Path,
    choice: FrameChoice | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Errors of surrogates on the frames of a dataset.

    Args:
        surrogates: evaluated one after the other; a name that comes twice counts once.
        dataset: made by `defectscout dataset build`.
        choice: which frames; the test set by default.
        bootstrap: how intervals are made; 1000 resamples by default.
        progress: is told how far it is.

    Raises:
        DatasetError: if the dataset cannot be read, is not split, or holds no such frames.
        NothingFoundError: if a surrogate can evaluate none of the frames.
        UnknownMethodError, ModelFileError, MissingExtraError: if a surrogate cannot be loaded.
    """
    progress = progress or SilentProgress()
    with Dataset.open(dataset) as opened:
        subset, rows = choose_rows(opened, choice or FrameChoice())
        loaded = {settings.name: load_surrogate(settings) for settings in surrogates}  # all, before hours of work
        evaluations = {
            name: evaluate_rows(surrogate, opened, rows, bootstrap or Bootstrap(), progress)
            for name, surrogate in loaded.items()
        }
        return EvaluationResult(dataset, opened.digest(), subset, len(rows), evaluations)


def evaluate_rows(
    surrogate: Surrogate, dataset: Dataset, rows: Sequence[int], bootstrap: Bootstrap, progress: Progress
) -> SurrogateEvaluation:
    """Errors of one loaded surrogate on the frames of the given rows, streamed.

    Raises:
        NothingFoundError: if it can evaluate none of them.
    """
    accumulator, sampler = ErrorAccumulator(), ForceSampler()
    begin = time.perf_counter()
    for frame, prediction in predict_frames(surrogate, dataset.frames(rows), progress, len(rows)):
        if accumulator.add(frame, prediction) and prediction is not None:
            sampler.add(frame, prediction)
    seconds = time.perf_counter() - begin
    errors = accumulator.result()
    if not len(errors):
        raise NothingFoundError(
            f"{surrogate.info.name} could evaluate none of the {len(rows)} frames of {dataset.path}. The warnings "
            "above say why; choose a surrogate that knows these elements, or other frames."
        )
    return SurrogateEvaluation(
        surrogate.info, errors, error_table(errors, bootstrap), sampler.result(), round(seconds, 3)
    )


def choose_rows(dataset: Dataset, choice: FrameChoice) -> tuple[str, tuple[int, ...]]:
    """The subset's name, and the rows of its frames: of the selected ones, or of all kept ones if none is selected.

    Raises:
        DatasetError: if the subset does not exist, or no frame fits.
    """
    subsets = dataset.subsets()
    subset = choice.subset or ("test" if "test" in subsets.values() else "all")
    if subset not in SUBSETS:
        raise DatasetError(f"There is no subset called '{subset}'. There are: {', '.join(SUBSETS)}.")
    if subset != "all" and subset not in subsets.values():
        raise DatasetError(
            f"{dataset.path} has no {subset} set. Split it with `defectscout dataset split {dataset.path}`, or "
            "evaluate all of its frames with --subset all."
        )
    index = [row for row in dataset.index() if not row.dropped]
    if any(row.selected for row in index):
        index = [row for row in index if row.selected]
    rows = [row for row in index if subset == "all" or subsets.get(row.row) == subset]
    found = tuple(row.row for row in rows if _fits(row.origin, choice))
    if not found:
        raise DatasetError(f"{dataset.path} holds no frame to evaluate: {_why_none(rows, choice, subset)}")
    return subset, found


def _fits(origin: FrameOrigin, choice: FrameChoice) -> bool:
    if choice.charges and origin.charge not in choice.charges:
        return False
    return not choice.defects or any(
        fnmatchcase(f"{origin.host}/{origin.defect}" if "/" in pattern else origin.defect, pattern)
        for pattern in choice.defects
    )


def _why_none(rows: Sequence[IndexRow], choice: FrameChoice, subset: str) -> str:
    if not rows:
        return f"none of its selected frames is in '{subset}'. Look at it with `defectscout dataset inspect`."
    names = sorted({f"{row.origin.host}/{row.origin.defect} {row.origin.charge:+d}" for row in rows})
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    asked = " or ".join(choice.defects) or "any defect"
    charges = ", ".join(f"{charge:+d}" for charge in choice.charges) or "any charge"
    return f"none is of {asked} with {charges}. In '{subset}' there are: {shown}."
