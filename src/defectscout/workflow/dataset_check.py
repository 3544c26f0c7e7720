"""A dataset's labels against the method that they are said to come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import DatasetError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.learning.dataset import Dataset
from defectscout.learning.frame_sampling import spaced
from defectscout.learning.readers.finite_differences import check_against
from defectscout.references.registry import load_reference

STAGE = "Recomputing frames"


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """Frames that were recomputed.

    Attributes:
        reference: the method.
        frames: how many.
        differences: a sentence for each frame that differs.
    """

    reference: str
    frames: int
    differences: tuple[str, ...]


def check_labels(path: Path, reference: str, frames: int = 2, progress: Progress | None = None) -> LabelCheck:
    """Recompute some frames of a dataset: energies, forces, stresses, and forces against energy differences.

    Args:
        path: the dataset.
        reference: name of the method, such as `gfn1-xtb`.
        frames: how many, spread evenly over the selected ones, the smallest cells first.
        progress: told how far it is; three evaluations a frame.

    Raises:
        DatasetError: if the dataset cannot be read or has no selected frame.
        UnknownMethodError, MissingExtraError: if there is no such method.
        UnsupportedElementError, CalculationError: as the method.
    """
    progress = progress or SilentProgress()
    method = load_reference(reference)
    dataset = Dataset.open(path)
    rows = [row for row in dataset.index() if row.selected]
    if not rows:
        raise DatasetError(f"{path} has no selected frame to check.")
    smallest = min(row.n_atoms for row in rows)
    small = [row for row in rows if row.n_atoms <= smallest + 1] or rows
    chosen = [small[position].row for position in spaced(len(small), frames)]
    progress.stage(STAGE, len(chosen))
    differences = []
    for number, frame in enumerate(dataset.frames(chosen), start=1):
        difference = check_against(method, frame)
        if difference:
            differences.append(difference)
        progress.advance(STAGE, number, str(frame.origin.relaxation))
    progress.finish(STAGE)
    return LabelCheck(reference, len(chosen), tuple(differences))
