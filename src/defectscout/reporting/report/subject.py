"""What a report is of: campaigns, studies of alloys, and the reference-only searches to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import SettingsError
from defectscout.workflow.alloys.overview import AlloyOverview, read_alloy
from defectscout.workflow.alloys.study import END_MEMBERS_FOLDER, MANIFEST_NAME, campaign_folders, is_study, read_study
from defectscout.workflow.campaign import RECORD_NAME, read_campaign
from defectscout.workflow.overview import Overview, read_overview


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a report is of.

    Attributes:
        campaigns: those that were given one by one.
        studies: of alloys.
        reference_only: campaigns to compare with.
        coarse: studies to compare with.
    """

    campaigns: tuple[Overview, ...] = ()
    studies: tuple[AlloyOverview, ...] = ()
    reference_only: tuple[Overview, ...] = ()
    coarse: tuple[AlloyOverview, ...] = ()

    @property
    def overviews(self) -> tuple[Overview, ...]:
        """All campaigns that are reported on: those given one by one, then those of the studies."""
        return (*self.campaigns, *(item for study in self.studies for item in study.campaigns.values()))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do, supercells that have not been begun included."""
        known = all(overview.finished for overview in self.overviews)
        return bool(self.overviews) and known and not any(missing(study) for study in self.studies)


def missing(study: AlloyOverview) -> int:
    """Supercells of a study that have not come to their defects."""
    return len(study.study.supercells) - len(study.campaigns)


def read_subject(folders: Sequence[Path], reference_only: Sequence[Path]) -> Subject:
    """Read what lies in some folders, campaigns or studies, without touching it.

    Raises:
        CampaignError: see `read_overview` and `read_alloy`.
        SettingsError: if a campaign is given twice, alone or with its study.
    """
    for given in (folders, reference_only):
        _check_once(given)
    return Subject(
        campaigns=tuple(read_overview(folder) for folder in folders if not is_study(folder)),
        studies=tuple(read_alloy(folder) for folder in folders if is_study(folder)),
        reference_only=tuple(read_overview(folder) for folder in reference_only if not is_study(folder)),
        coarse=tuple(read_alloy(folder) for folder in reference_only if is_study(folder)),
    )


def check_folders(folders: Sequence[Path], reference_only: Sequence[Path]) -> None:
    """Check that folders are those of campaigns or studies, each given once.

    Raises:
        CampaignError: if one is neither, or cannot be read.
        SettingsError: as `read_subject`.
    """
    for given in (folders, reference_only):
        for folder in given:
            if not is_study(folder):
                read_campaign(folder)
        _check_once(given)


def campaigns_in(folder: Path) -> tuple[Path, ...]:
    """Folders of the campaigns that a folder stands for: itself, or those of a study that have been begun.

    Raises:
        CampaignError: the manifest of a study cannot be read.
    """
    return campaign_folders(folder, read_study(folder).supercells) if is_study(folder) else (folder,)


def end_members_in(folder: Path) -> tuple[Path, ...]:
    """Folders of the end members whose lattices a study has relaxed, or begun to."""
    return tuple(sorted(path.parent for path in (folder / END_MEMBERS_FOLDER).glob(f"*/{RECORD_NAME}")))


def files_of(folder: Path) -> tuple[Path, ...]:
    """Files that change when a campaign, or anything of a study, goes on; some of them may not be there.

    Raises:
        CampaignError: the manifest of a study cannot be read.
    """
    records = [place / name for place in campaigns_in(folder) for name in (RECORD_NAME, f"{RECORD_NAME}-wal")]
    return (folder / MANIFEST_NAME, *records) if is_study(folder) else tuple(records)


def _check_once(folders: Sequence[Path]) -> None:
    places = [place.resolve() for folder in folders for place in {folder, *campaigns_in(folder)}]
    for place in places:
        if places.count(place) > 1:
            raise SettingsError(
                f"{place} is given {places.count(place)} times, and would be shown as often: give it once, alone or "
                "with its study."
            )
