"""From the steps of a source to labelled frames whose units have been checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from defectscout.learning.frames import DefectId, FrameOrigin, LabelledFrame, RelaxationId, Unreadable
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.identity import METHOD_REMEDY, identify
from defectscout.learning.readers.names import AS_RUN, Said
from defectscout.learning.readers.plausibility import check_units
from defectscout.learning.readers.steps import Rest, Step, labelled, problem_of

_CHECKED = 200
"""Frames of a relaxation that are held at once to check their units; the verdict holds for the rest of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One step with what its source says of it.

    Attributes:
        said: what is said of this very frame.
        step: the step.
        number: its ionic step; None to count the steps of each relaxation.
    """

    said: Said
    step: Step
    number: int | None = None


def assemble(
    items: Iterable[Item | Rest],
    source: str,
    said: Said,
    defaults: SourceDefaults,
    bulk_nearby: Callable[[], str | None] = lambda: None,
) -> Iterator[LabelledFrame | Unreadable]:
    """Labelled frames of one source; what cannot be used is counted and said at the end.

    Args:
        items: its steps.
        source: its file, as it is recorded.
        said: what names of file and folder say, for frames that say nothing themselves.
        defaults: what to take where neither does.
        bulk_nearby: the host's formula from a bulk calculation in the same tree, or None.
    """
    return _checked(_frames(items, source, said, defaults, bulk_nearby))


def _frames(
    items: Iterable[Item | Rest],
    source: str,
    said: Said,
    defaults: SourceDefaults,
    bulk_nearby: Callable[[], str | None],
) -> Iterator[LabelledFrame | Unreadable]:
    refused: Counter[str] = Counter()
    counted: Counter[tuple[DefectId, str]] = Counter()
    for item in items:
        if isinstance(item, Rest):
            yield Unreadable(source, item.reason)
            continue
        everything = item.said.over(said)
        identity = identify(everything, item.step.atoms, defaults, bulk_nearby)
        if isinstance(identity, str):
            if identity == METHOD_REMEDY and not counted:
                yield Unreadable(source, f"No frame was read: {METHOD_REMEDY}.")
                return
            refused[identity] += 1
            continue
        start = everything.start or AS_RUN
        number = counted[identity, start] if item.number is None else item.number
        counted[identity, start] = number + 1
        problem = problem_of(item.step)
        if problem:
            refused[problem] += 1
            continue
        origin = FrameOrigin(
            host=identity.host,
            defect=identity.defect,
            charge=identity.charge,
            start=start,
            step=number,
            method=identity.method,
            source=source,
        )
        yield labelled(item.step, origin)
    for reason, count in refused.items():
        frames = "1 frame was" if count == 1 else f"{count} frames were"
        yield Unreadable(source, f"{frames} not read: {reason}.")


def _checked(frames: Iterator[LabelledFrame | Unreadable]) -> Iterator[LabelledFrame | Unreadable]:
    for relaxation, group in groupby(frames, key=_relaxation):
        if relaxation is None:
            yield from group
            continue
        rest = iter(group)
        first = list(islice(rest, _CHECKED))
        doubt = check_units([frame for frame in first if isinstance(frame, LabelledFrame)])
        if doubt:
            count = len(first) + sum(1 for _ in rest)
            yield Unreadable(relaxation.source, f"{count} frames of {relaxation} were not read: {doubt}")
            continue
        yield from first
        yield from rest


def _relaxation(frame: LabelledFrame | Unreadable) -> RelaxationId | None:
    return frame.origin.relaxation if isinstance(frame, LabelledFrame) else None
