"""A study of an alloy as it stands, for whoever looks at it; nothing is written and nothing is locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.errors import CampaignError
from defectscout.workflow.alloys.study import Study, read_study
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.overview import Overview, read_overview


@dataclass(frozen=True, slots=True, eq=False)
class AlloyOverview:
    """A study as it stands.

    Attributes:
        folder: of the study.
        study: what was asked.
        campaigns: of the supercells that have come to their defects, by the supercell's name.
        notes: which supercells have not, and why.
    """

    folder: Path
    study: Study
    campaigns: Mapping[str, Overview]
    notes: tuple[str, ...] = ()


def read_alloy(folder: Path) -> AlloyOverview:
    """Read a study, finished or not, without touching it.

    Raises:
        CampaignError: there is no study in the folder, or its manifest cannot be read.
    """
    study = read_study(folder)
    campaigns: dict[str, Overview] = {}
    notes: list[str] = []
    for supercell in study.supercells:
        place = folder / supercell.name
        if not (place / RECORD_NAME).is_file():
            notes.append(f"{supercell.name} ({supercell.composition}) has not been begun.")
            continue
        try:
            campaigns[supercell.name] = read_overview(place)
        except CampaignError as error:
            notes.append(f"{supercell.name} ({supercell.composition}): {error}")
    return AlloyOverview(folder, study, campaigns, tuple(notes))
