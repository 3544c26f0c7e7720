"""Searches of one defect beside each other: a lower minimum of one shows that the others miss the ground state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from defectscout.evaluation.confidence import Confidence
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE, same_supercell
from defectscout.workflow.overview import DefectOverview, LowerElsewhere, Overview
from defectscout.workflow.results import RankedMinimum


def beside_each_other(overviews: Sequence[Overview], others: Sequence[Overview] = ()) -> tuple[Overview, ...]:
    """Campaigns, each defect told of the lowest minimum of any other search of it.

    Searches compare if host, reference and supercell are the same; energies within 20 meV are. A defect that is lower
    elsewhere is of low confidence here, whatever else speaks for it.

    Args:
        overviews: campaigns.
        others: more of them, to compare with.
    """
    known = (*overviews, *others)
    return tuple(
        replace(overview, defects={label: _told(overview, label, known) for label in overview.defects})
        for overview in overviews
    )


def _told(overview: Overview, label: str, known: Sequence[Overview]) -> DefectOverview:
    item = overview.defects[label]
    lower = [
        LowerElsewhere(_name(other.folder, overview.folder), item.ground_state.minimum.energy - found.minimum.energy)
        for other in known
        if item.ground_state is not None and (found := _comparable(overview, item, other)) is not None
    ]
    lowest = max(lower, key=lambda one: one.by, default=None)
    if lowest is None or lowest.by <= GROUND_STATE_TOLERANCE:
        return item
    told = item.result.confidence
    confidence = Confidence("low", (lowest.sentence, *told.reasons))
    return replace(item, result=replace(item.result, confidence=confidence), lower=lowest)


def _name(folder: Path, own: Path) -> str:
    """A folder's name; campaigns of two studies of an alloy have the same, and the study's stands before it then."""
    place = folder.resolve()
    return place.name if place.name != own.resolve().name else f"{place.parent.name}/{place.name}"


def _comparable(overview: Overview, item: DefectOverview, other: Overview) -> RankedMinimum | None:
    """The lowest minimum of the same defect there, if its energy may be compared."""
    there = other.defects.get(item.defect.label)
    same = (
        other.folder != overview.folder
        and other.formula == overview.formula
        and other.settings.reference.name == overview.settings.reference.name
        and there is not None
        and same_supercell(item.defect, there.defect)
    )
    return there.ground_state if same and there is not None else None
