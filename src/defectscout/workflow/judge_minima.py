"""Which minima of finished reference searches surrogates have, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import NothingFoundError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.evaluation.reference_searches import FinishedSearches, Skipped, reference_searches
from defectscout.evaluation.surrogate_minima import SCOUTING, MinimaVerdict, judge_minima
from defectscout.learning.dataset import Dataset
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.evaluate import FrameChoice, choose_rows


@dataclass(frozen=True, slots=True, eq=False)
class MinimaResult:
    """Surrogates judged by the same searches.

    Attributes:
        verdicts: one for each search, by the name that each surrogate was asked for by.
        skipped: defects whose frames make up no search, and why.
    """

    verdicts: dict[str, tuple[MinimaVerdict, ...]]
    skipped: tuple[Skipped, ...]


def find_searches(dataset: Path, choice: FrameChoice | None = None) -> FinishedSearches:
    """The finished searches of the defects that have frames in the chosen subset.

    Raises:
        DatasetError: if the dataset cannot be read, is not split, or holds no such frames.
        NothingFoundError: if no defect's frames make up a search; it says why.
    """
    with Dataset.open(dataset) as opened:
        _, rows = choose_rows(opened, choice or FrameChoice())
        chosen = set(rows)
        wanted = {row.origin.defect_id for row in opened.index() if row.row in chosen}
        found = reference_searches(opened, lambda defect_id: defect_id in wanted)
    if not found.searches:
        reasons = "; ".join(f"{item.label}: {item.reason}" for item in found.skipped[:5])
        raise NothingFoundError(
            f"{dataset} holds no finished search to judge a surrogate's minima by. {reasons or 'It has no defects.'}"
        )
    return found


def judge_surrogates(
    surrogates: Sequence[SurrogateSettings],
    searches: FinishedSearches,
    relaxation: RelaxationSettings = SCOUTING,
    progress: Progress | None = None,
) -> MinimaResult:
    """Relax the sampling structures of the searches with each surrogate and compare the minima.

    Raises:
        UnsupportedElementError: an element that a surrogate was not made for.
        UnknownMethodError, ModelFileError, MissingExtraError: if a surrogate cannot be loaded.
    """
    listener = progress or SilentProgress()
    loaded = {settings.name: load_surrogate(settings) for settings in surrogates}
    verdicts = {
        name: judge_minima(surrogate, searches.searches, relaxation, progress=listener)
        for name, surrogate in loaded.items()
    }
    return MinimaResult(verdicts, searches.skipped)
