"""Datasets from relaxations: read, clean, sample frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from defectscout import __version__
from defectscout.core.errors import DatasetError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.learning.cleaning import CleaningReport, clean
from defectscout.learning.dataset import BATCH, Dataset, is_dataset
from defectscout.learning.features import Floats, soap_features, surrogate_features
from defectscout.learning.frame_sampling import Featurise, sample_frames
from defectscout.learning.frames import IndexRow, LabelledFrame, SiteRecord, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.learning.settings import CleaningSettings, FrameSamplingSettings
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.campaign_frames import is_campaign, read_campaign
from defectscout.workflow.dataset_summary import DatasetSummary, inspect_dataset
from defectscout.workflow.dataset_warnings import build_warnings
from defectscout.workflow.whole_files import whole_or_nothing

SETTINGS_DOCUMENT: Final = "settings"
"""How a dataset was built: sources, settings, defaults, version; JSON."""
CLEANING_DOCUMENT: Final = "cleaning"
"""What each cleaning rule took from which defect; JSON."""

Item = LabelledFrame | SiteRecord | Unreadable


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made.

    Attributes:
        summary: what the dataset holds.
        cleaning: what each rule took from which defect.
        warnings: what a reader must not miss.
    """

    summary: DatasetSummary
    cleaning: CleaningReport
    warnings: tuple[str, ...]


def build_dataset(
    sources: Sequence[Path],
    out: Path,
    cleaning: CleaningSettings,
    sampling: FrameSamplingSettings,
    defaults: SourceDefaults,
    progress: Progress | None = None,
    surrogate: SurrogateSettings | None = None,
) -> BuildReport:
    """Read relaxations, clean them, choose frames, and write one dataset; all of it or nothing.

    Args:
        sources: files, folders, campaigns, or other datasets, whose frames are cleaned and sampled anew.
        out: the file to write.
        cleaning: what is taken out.
        sampling: which frames are kept.
        defaults: what frames are of, where their source does not say.
        progress: told about the stages.
        surrogate: gives the features of DIRECT, with `direct_features = surrogate`; CHGNet if none is named.

    Raises:
        DatasetError: if `out` exists, a source is given twice, or no frame was found or is left.
        InputFileError: if a source is missing.
        SettingsError: if the surrogate does not give features.
    """
    progress = progress or SilentProgress()
    surrogate = surrogate or SurrogateSettings()
    _check_sources(sources)
    with whole_or_nothing(out) as temporary:
        with Dataset.create(temporary) as dataset:
            _read(dataset, sources, defaults, progress)
            report = _clean(dataset, cleaning, progress)
            _sample(dataset, sampling, surrogate, progress)
            dataset.write_document(SETTINGS_DOCUMENT, _settings_text(sources, cleaning, sampling, defaults, surrogate))
            dataset.write_document(CLEANING_DOCUMENT, json.dumps([asdict(item) for item in report.removals], indent=1))
        summary = replace(inspect_dataset(temporary), path=out)
    return BuildReport(summary, report, build_warnings(summary, report, sampling))


def _check_sources(sources: Sequence[Path]) -> None:
    if not sources:
        raise DatasetError("No source was given. Name at least one file or folder with relaxations.")
    seen: set[Path] = set()
    for source in sources:
        resolved = Path(source).resolve()
        inside = next((other for other in seen if resolved == other or other in resolved.parents), None)
        around = next((other for other in seen if resolved in other.parents), None)
        if inside or around:
            raise DatasetError(
                f"The source {source} overlaps with {inside or around}, so that its frames would be read twice. "
                "Name each folder once."
            )
        seen.add(resolved)


def _read(dataset: Dataset, sources: Sequence[Path], defaults: SourceDefaults, progress: Progress) -> None:
    name = "Reading frames"
    progress.stage(name, 0)
    sites: list[SiteRecord] = []
    unreadable: list[Unreadable] = []
    done = 0

    def frames() -> Iterator[LabelledFrame]:
        nonlocal done
        for source in sources:
            for item in _items(source, defaults):
                if isinstance(item, LabelledFrame):
                    yield item
                    done += 1
                    if done % BATCH == 0:
                        progress.advance(name, done, f"{done} frames, {source.name}")
                elif isinstance(item, SiteRecord):
                    sites.append(item)
                else:
                    unreadable.append(item)

    stored = dataset.add(frames())
    dataset.add_unreadable(unreadable)
    for site in sites:
        dataset.write_site(site)
    progress.finish(name)
    if not stored:
        raise DatasetError(_nothing_read(sources, dataset.unreadable()))


def _items(source: Path, defaults: SourceDefaults) -> Iterator[Item]:
    if is_dataset(source):
        return _with_method(_from_dataset(source), defaults.method)
    if is_campaign(source):
        return _with_method(read_campaign(source), defaults.method)
    return read_source(source, defaults)


def _from_dataset(source: Path) -> Iterator[Item]:
    with Dataset.open(source) as dataset:
        yield from dataset.frames([row.row for row in dataset.index()])
        yield from dataset.sites().values()
        yield from dataset.unreadable()


def _with_method(items: Iterable[Item], method: str | None) -> Iterator[Item]:
    """Items with another name of the method, where one was given."""
    for item in items:
        if method is None or isinstance(item, Unreadable):
            yield item
        elif isinstance(item, SiteRecord):
            yield replace(item, defect_id=replace(item.defect_id, method=method))
        else:
            yield replace(item, origin=replace(item.origin, method=method))


def _nothing_read(sources: Sequence[Path], unreadable: Sequence[Unreadable]) -> str:
    where = ", ".join(str(source) for source in sources)
    first = "; ".join(f"{item.source}: {item.reason}" for item in unreadable[:3])
    more = f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
    nothing = "There is no file of a known format there."
    found = f"What could not be read: {first.rstrip('.')}{more}." if unreadable else nothing
    return f"No frame was found in {where}. {found}"


def _clean(dataset: Dataset, settings: CleaningSettings, progress: Progress) -> CleaningReport:
    name = "Cleaning"
    progress.stage(name, 0)
    index = dataset.index()
    report = clean(index, settings, dataset.frames)
    for rule in dict.fromkeys(report.rules.values()):
        dataset.mark_dropped(report.rows(rule), rule)
    progress.finish(name)
    if len(report.rules) == len(index):
        counts = ", ".join(f"{item.frames} of {item.defect_id} for {item.rule}" for item in report.removals[:5])
        raise DatasetError(
            f"Cleaning took out all {len(index)} frames ({counts}). Check energies and units of the sources, "
            "or loosen the rules: see `defectscout dataset build --help`."
        )
    return report


def _sample(
    dataset: Dataset, settings: FrameSamplingSettings, surrogate: SurrogateSettings, progress: Progress
) -> None:
    dataset.mark_selected(sample_frames(dataset.index(), settings, featuriser(dataset, settings, surrogate, progress)))


def featuriser(
    dataset: Dataset, settings: FrameSamplingSettings, surrogate: SurrogateSettings, progress: Progress
) -> Featurise:
    """What gives DIRECT the features of frames, by their row numbers, when it asks."""
    name = "Sampling frames"

    def featurise(rows: Sequence[int]) -> Floats:
        progress.stage(name, len(rows))
        frames = _counted(dataset.frames(rows), name, progress)
        if settings.direct_features == "surrogate":
            features = surrogate_features(frames, len(rows), load_surrogate(surrogate))
        else:
            features = soap_features(frames, len(rows), _elements(dataset.index()))
        progress.finish(name)
        return features

    return featurise


def _elements(index: Iterable[IndexRow]) -> tuple[str, ...]:
    return tuple(sorted({symbol for row in index for symbol, _ in row.composition}))


def _counted(frames: Iterator[LabelledFrame], name: str, progress: Progress) -> Iterator[LabelledFrame]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress.advance(name, done, str(frame.origin.defect_id))


def _settings_text(
    sources: Sequence[Path],
    cleaning: CleaningSettings,
    sampling: FrameSamplingSettings,
    defaults: SourceDefaults,
    surrogate: SurrogateSettings,
) -> str:
    record = {
        "defectscout": __version__,
        "sources": [str(source) for source in sources],
        "cleaning": cleaning.model_dump(),
        "sampling": sampling.model_dump(),
        "defaults": asdict(defaults),
        "surrogate": surrogate.name if sampling.direct_features == "surrogate" else None,
    }
    return json.dumps(record, indent=1)
