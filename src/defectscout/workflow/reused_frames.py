"""Frames of related hosts, from the store, to learn from beside those of a new host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from defectscout.core.defect import Host
from defectscout.learning.families import family_of
from defectscout.learning.frame_sampling import spaced
from defectscout.learning.frames import DefectId, FrameOrigin, IndexRow, LabelledFrame
from defectscout.workflow.nearest import Offer, nearest
from defectscout.workflow.store_entry import StoredModel

if TYPE_CHECKING:
    from pymatgen.core import Structure

_Key = tuple[DefectId, str, int, float]


def reused_frames(
    models: Sequence[StoredModel], host: Host | Structure, charge: int, method: str, limit: int
) -> tuple[LabelledFrame, ...]:
    """Frames of all models that are offered for a host (see `nearest`), evenly spread over their relaxations.

    Every model gives the same share, and the nearest ones what is left over or what others cannot give. A frame that
    several models learned from is taken once. Frames of another reference, of another charge state (but for the
    pristine host), or of a host of another family that the same dataset held, are left out.

    Args:
        models: of the store.
        host: the new host, or its primitive cell.
        charge: charge state of its defects.
        method: the reference, such as `gfn1-xtb`.
        limit: largest number of frames; 0 for none.

    Returns:
        Frames of the nearest model first, in the order of their relaxations.

    Raises:
        DatasetError: if the frames of a stored model cannot be read.
    """
    if limit <= 0:
        return ()
    primitive = host.primitive if isinstance(host, Host) else host
    formula = str(primitive.composition.reduced_formula)
    seen: set[_Key] = set()
    usable = [
        (offer.model, _usable(offer, formula, seen))
        for offer in nearest(models, primitive, charge, method)
        if offer.is_offered and offer.model.frames is not None
    ]
    frames: list[LabelledFrame] = []
    for (model, rows), share in zip(usable, shares([len(rows) for _, rows in usable], limit), strict=True):
        if share:
            with model.open_frames() as dataset:
                frames += dataset.frames([rows[i].row for i in spaced(len(rows), share)])
    return tuple(frames)


def shares(available: Sequence[int], limit: int) -> tuple[int, ...]:
    """How many of `limit` items each of several supplies gives: equal shares, the rest to the first that have more.

    >>> shares([100, 3, 100], 40)
    (19, 3, 18)
    """
    taken = [0] * len(available)
    left = min(limit, sum(available))
    while left:
        open_ones = [i for i, count in enumerate(available) if taken[i] < count]
        each = left // len(open_ones)
        for i in open_ones if each else open_ones[:left]:
            more = min(max(each, 1), available[i] - taken[i])
            taken[i] += more
            left -= more
    return tuple(taken)


def _usable(offer: Offer, formula: str, seen: set[_Key]) -> list[IndexRow]:
    """Index rows that may be learned from and are not in `seen`, to which they are added, relaxation by relaxation."""
    model = offer.model
    with model.open_frames() as dataset:
        index = dataset.index()
    family = family_of(formula)
    rows = []
    for row in index:
        origin = row.origin
        if row.dropped or origin.method != model.method or not _fits(origin, model.charge):
            continue
        if offer.same_family and family_of(origin.host) != family:
            continue
        key = (origin.defect_id, origin.start, origin.step, round(row.energy, 6))
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return sorted(rows, key=lambda row: (str(row.origin.relaxation), row.origin.source, row.origin.step, row.row))


def _fits(origin: FrameOrigin, charge: int) -> bool:
    return origin.is_bulk or origin.charge == charge
