"""Which frames of the relaxations a model is trained and judged on (paper, section II B, tables S3 and S10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from defectscout.learning.direct import direct
from defectscout.learning.frames import DefectId, IndexRow, RelaxationId
from defectscout.learning.settings import FrameSamplingSettings

Featurise = Callable[[Sequence[int]], "np.typing.NDArray[np.float32]"]
"""Features of frames by their row numbers, shape (n_frames, n_features)."""


def sample_frames(index: Sequence[IndexRow], settings: FrameSamplingSettings, featurise: Featurise) -> tuple[int, ...]:
    """Row numbers of the frames that are kept, sorted.

    Frames that a cleaning rule took out are never among them. With every method, `bulk_frames`
    of each host come on top.

    Args:
        index: all frames.
        settings: method and numbers.
        featurise: asked for features with DIRECT alone.
    """
    free = [row for row in index if not row.dropped]
    of_defects = [row for row in free if not row.origin.is_bulk]
    if settings.method == "MS":
        chosen = evenly_spaced(of_defects, settings.frames_per_relaxation)
    elif settings.method == "all":
        chosen = [row.row for row in of_defects]
    else:
        rows = [row.row for row in of_defects]
        picked = direct(
            featurise(rows),
            threshold=settings.direct_threshold,
            clusters=settings.direct_clusters,
            per_cluster=settings.direct_per_cluster,
        )
        chosen = [rows[i] for i in picked.indices]
    bulk = bulk_frames((row for row in free if row.origin.is_bulk), settings.bulk_frames)
    return tuple(sorted([*chosen, *bulk]))


def evenly_spaced(index: Iterable[IndexRow], frames: int) -> list[int]:
    """Evenly spaced frames of each relaxation (MS): the first and the last always, all if there are no more."""
    relaxations: dict[RelaxationId, list[IndexRow]] = {}
    for row in index:
        relaxations.setdefault(row.origin.relaxation, []).append(row)
    chosen = []
    for members in relaxations.values():
        ordered = sorted(members, key=lambda row: (row.origin.step, row.row))
        chosen += [ordered[i].row for i in spaced(len(ordered), frames)]
    return chosen


def bulk_frames(index: Iterable[IndexRow], frames: int) -> list[int]:
    """Evenly spaced frames over all pristine relaxations of each host and method, one after the other."""
    hosts: dict[DefectId, list[IndexRow]] = {}
    for row in index:
        hosts.setdefault(row.origin.defect_id, []).append(row)
    chosen = []
    for members in hosts.values():
        ordered = sorted(members, key=lambda row: (row.origin.source, row.origin.start, row.origin.step, row.row))
        chosen += [ordered[i].row for i in spaced(len(ordered), frames)]
    return chosen


def spaced(available: int, wanted: int) -> tuple[int, ...]:
    """Positions of `wanted` evenly spaced items out of `available`, first and last among them.

    Of one item it is the last: the relaxed structure.

    >>> spaced(25, 5)
    (0, 6, 12, 18, 24)
    >>> spaced(3, 10)
    (0, 1, 2)
    """
    if wanted >= available:
        return tuple(range(available))
    if wanted <= 1:
        return (available - 1,) * wanted
    return tuple(int(i) for i in np.round(np.linspace(0, available - 1, wanted)))
