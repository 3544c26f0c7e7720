"""What was done in campaigns, asked of their records and not of their settings."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.core.frames import RelaxationState
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.record import SCOUT
from defectscout.workflow.settings import DOES_NOT_CHANGE_RESULTS, flatten

_OF_ONE_HOST = (
    "defects.",
    "supercell.",
    "host.keep",
    "host.rattle_seed",
    "sampling.folder",
    "sampling.seed",
    "learn.tuning.seed",
)
"""Settings that may differ between campaigns that were searched in one way."""


def items(overviews: Sequence[Overview]) -> list[DefectOverview]:
    """All defects."""
    return [item for overview in overviews for item in overview.defects.values()]


def scouted(overviews: Sequence[Overview]) -> bool:
    """Whether a surrogate has relaxed anything."""
    return any(item.cost.surrogate_calls for item in items(overviews))


def asked(overviews: Sequence[Overview]) -> bool:
    """Whether the campaigns' own reference has been asked about a defect."""
    return any(
        item.cost.reference_calls
        for overview in overviews
        if overview.settings.reference.name != "none"
        for item in overview.defects.values()
    )


def collected(overviews: Sequence[Overview]) -> bool:
    """Whether relaxations that ran elsewhere were read back (`defectscout collect`)."""
    return any(
        descent.stage != SCOUT and descent.state is not RelaxationState.PENDING and descent.final is not None
        for overview in overviews
        if overview.settings.reference.name == "none"
        for item in overview.defects.values()
        for descent in item.descents
    )


def reference_answered(overviews: Sequence[Overview]) -> bool:
    """Whether a minimum is known on the reference's surface."""
    return any(item.result.minima for item in items(overviews))


def learned(overviews: Sequence[Overview]) -> bool:
    """Whether a surrogate was tuned while it searched."""
    return any(item.cost.tuning_seconds for item in items(overviews))


def same_ways(overviews: Sequence[Overview]) -> list[list[Overview]]:
    """Campaigns grouped by how they were searched, whatever the host and the defects."""
    groups: dict[tuple[object, ...], list[Overview]] = {}
    for overview in overviews:
        groups.setdefault(_way(overview), []).append(overview)
    return list(groups.values())


def _way(overview: Overview) -> tuple[object, ...]:
    settings = tuple(
        (name, str(value))
        for name, value in flatten(overview.settings).items()
        if name not in DOES_NOT_CHANGE_RESULTS and not name.startswith(_OF_ONE_HOST)
    )
    done = (scouted([overview]), asked([overview]), learned([overview]), collected([overview]))
    cross = overview.settings.defects.cross_charges
    weights = overview.surrogate.weights if overview.surrogate is not None else ""
    return (settings, done, cross, weights, overview.reference, overview.settings.sampling.folder is None)
