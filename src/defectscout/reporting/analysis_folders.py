"""Folders that are analysed: campaigns, and studies of alloys, which are campaigns of several supercells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from defectscout.analysis.acceleration import one_for_each_host
from defectscout.core.errors import CampaignError, NothingFoundError, SettingsError
from defectscout.workflow.alloys.overview import AlloyOverview, read_alloy
from defectscout.workflow.alloys.study import StudiedSupercell, is_study, read_study
from defectscout.workflow.overview import Overview, read_overview


@dataclass(frozen=True, slots=True)
class Folders:
    """What lies in some folders.

    Attributes:
        overviews: the campaigns, those of studies among them.
        studies: the studies of alloys.
        notes: which campaigns of a study cannot be shown yet, and why.
    """

    overviews: tuple[Overview, ...] = ()
    studies: tuple[AlloyOverview, ...] = ()
    notes: tuple[str, ...] = ()


def read_folders(folders: Sequence[Path]) -> Folders:
    """Read campaigns and studies, finished or not, without touching them.

    Hosts are told apart by their formula. Further realisations of a composition have their number behind it,
    `Cd27Te14Se13 (2)`: they are other crystals.

    Raises:
        SettingsError: a campaign is given twice.
        CampaignError: a folder holds neither a campaign nor a study, or one that cannot be read.
        NothingFoundError: no campaign of any study has come to its defects.
    """
    overviews: list[Overview] = []
    studies: list[AlloyOverview] = []
    notes: list[str] = []
    _once(folders)
    for folder in folders:
        if not is_study(folder):
            overviews.append(_numbered(read_overview(folder), _supercell_of(folder)))
            continue
        study = read_alloy(folder)
        studies.append(study)
        notes += [f"{folder}: {note}" for note in study.notes]
        by_name = {item.name: item for item in study.study.supercells}
        overviews += [_numbered(overview, by_name[name]) for name, overview in study.campaigns.items()]
    _once([overview.folder for overview in overviews])
    if folders and not overviews:
        raise NothingFoundError(
            f"There is no defect to analyse yet. {' '.join(notes)} Go on with the study first: the command that "
            "started it continues it."
        )
    return Folders(tuple(overviews), tuple(studies), tuple(notes))


def check_reference_only(given: Folders) -> None:
    """Refuse what is given to compare with and is no reference-only search.

    Raises:
        SettingsError: naming the first one.
    """
    chosen = [(study.folder, study.study.search.strategy) for study in given.studies]
    chosen += [(overview.folder, overview.settings.strategy) for overview in given.overviews]
    for folder, strategy in chosen:
        if strategy != "reference-only":
            raise SettingsError(
                f"--reference-only {folder}: its strategy is {strategy}, so that it is no reference-only search. Make "
                "one with: defectscout search HOST --reference-only"
            )


def baselines(overviews: Sequence[Overview], given: Sequence[Overview]) -> Mapping[str, Overview]:
    """Reference-only campaigns by the formula of their host; those that were given as such win.

    Raises:
        SettingsError: two of one host were given.
    """
    among = [overview for overview in overviews if overview.is_reference_only]
    return {overview.formula: overview for overview in reversed(among)} | one_for_each_host(given)


def _once(folders: Sequence[Path]) -> None:
    for place, times in Counter(folder.resolve() for folder in folders).items():
        if times > 1:
            raise SettingsError(f"{place} is given {times} times, and would be counted as often: once.")


def _supercell_of(folder: Path) -> StudiedSupercell | None:
    """What a study says of one of its campaigns; None if the campaign belongs to none, or its study is damaged."""
    place = folder.resolve()
    if not is_study(place.parent):
        return None
    try:
        supercells = read_study(place.parent).supercells
    except CampaignError:  # the campaign can be looked at all the same
        return None
    return next((item for item in supercells if item.name == place.name), None)


def _numbered(overview: Overview, supercell: StudiedSupercell | None) -> Overview:
    if supercell is None or supercell.realisation == 1:
        return overview
    formula = f"{overview.formula} ({supercell.realisation})"
    return replace(overview, host=replace(overview.host, formula=formula))
