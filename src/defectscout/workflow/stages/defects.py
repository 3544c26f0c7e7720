"""Defect stage: which defects are searched."""

from __future__ import annotations

from defectscout.core.defect import Defect, Host
from defectscout.core.progress import Progress
from defectscout.defects.settings import DefectSettings
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.serial import defects_from_json, defects_to_json


def make_defects(source: str, host: Host, settings: DefectSettings, progress: Progress) -> tuple[Defect, ...]:
    """The selected defects of `host`, from doped or from a JSON file that holds them.

    Raises:
        DefectSelectionError: if the selection matches nothing.
    """
    from defectscout.defects.at_sites import defects_at_sites
    from defectscout.defects.existing import select_defects
    from defectscout.defects.from_json import read_defects
    from defectscout.defects.generate import generate_defects
    from defectscout.hosts.read import is_doped_json

    if is_doped_json(source):
        return select_defects(read_defects(source)[1], settings)
    if settings.sites:
        return defects_at_sites(host, settings, progress)
    return generate_defects(host, settings, progress)


def prepare_defects(campaign: Campaign, host: Host, progress: Progress) -> tuple[Defect, ...]:
    """The defects of this campaign, made once."""
    stored = campaign.record.read_document("defects")
    if stored is not None:
        return defects_from_json(stored)
    progress.message(f"Making the defects of {host.formula} with doped.")
    defects = make_defects(campaign.source.name, host, campaign.settings.defects, progress)
    campaign.record.write_document("defects", defects_to_json(defects))
    return defects
