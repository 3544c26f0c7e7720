"""What searches cost and saved, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from defectscout.analysis.acceleration import Acceleration, TimeRow
from defectscout.reporting.wording import count, duration
from defectscout.workflow.overview import Overview

MOST_NAMED: Final = 5
"""Searches that missed a ground state and are told of one by one."""


def cost_sentences(overviews: Sequence[Overview], found: Acceleration) -> tuple[str, ...]:
    """What was spent, and what it compares to.

    Args:
        overviews: the campaigns.
        found: their funnels and times.
    """
    return (*_spent(overviews), *_compared(found.times), *_missed(found.times), *_open(found.times), *_wall(overviews))


def _spent(overviews: Sequence[Overview]) -> Iterator[str]:
    costs = [item.cost for overview in overviews for item in overview.defects.values()]
    calls = sum(cost.reference_calls for cost in costs)
    host = sum(overview.host_calls for overview in overviews)
    far = "" if all(overview.finished for overview in overviews) else " so far"
    if calls or host:
        seconds = sum(cost.reference_seconds for cost in costs)
        on_host = f", and {count(host, 'call')} on the pristine host" if host else ""
        yield (
            f"The reference took {count(calls, 'force call')}{far} on {count(len(costs), 'defect')} "
            f"({duration(seconds)}, one after the other){on_host}."
        )
    else:
        yield "The reference has not been asked."
    scouted = sum(cost.surrogate_calls for cost in costs)
    if scouted:
        took = duration(sum(cost.surrogate_seconds for cost in costs))
        tuning = sum(cost.tuning_seconds for cost in costs)
        tuned = f"; tuning it took {duration(tuning)}" if tuning else ""
        yield f"The surrogate took {count(scouted, 'force call')}{far} ({took}){tuned}."


def _compared(times: Sequence[TimeRow]) -> Iterator[str]:
    ended = [row for row in times if row.finished and row.calls and row.missed_by is None]
    run = [row for row in ended if not row.estimated]
    estimated = [row for row in ended if row.estimated]
    if run:
        spent, alone = _sums(run)
        searches = "A reference-only search" if len(run) == 1 else "Reference-only searches"
        was = "was" if len(run) == 1 else "were"
        less = f", {1 - spent / alone:.0%} saved" if spent <= alone else ", which is more"
        yield (
            f"{searches} of {count(len(run), 'defect')} {was} run, too: {count(alone, 'force call')} of the reference "
            f"there, {spent} here{less}."
        )
    if estimated:
        spent, alone = _sums(estimated)
        of = "the defect" if len(ended) == 1 else f"{len(estimated)} of {count(len(ended), 'defect')}"
        yield (
            f"By estimate only, for no such search was run: relaxing every sampling structure of {of} with the "
            f"reference would take about {alone} force calls, against {spent} here."
        )


def _missed(times: Sequence[TimeRow]) -> Iterator[str]:
    missed = [(row, row.missed_by) for row in times if row.missed_by is not None]
    if len(missed) > MOST_NAMED:
        by, calls = [lower for _, lower in missed], sum(row.calls for row, _ in missed)
        yield (
            f"{len(missed)} searches saved nothing with their {count(calls, 'force call')}: "
            f"the ground states of the reference-only searches are {min(by):.2f} to {max(by):.2f} eV lower."
        )
        return
    for row, lower in missed:
        yield (
            f"A search of {row.defect} in {row.host} saved nothing with its {count(row.calls, 'force call')}: the "
            f"ground state of the reference-only search is {lower:.2f} eV lower."
        )


def _open(times: Sequence[TimeRow]) -> Iterator[str]:
    open_ones = sum(not row.finished for row in times)
    if open_ones:
        have = "has" if open_ones == 1 else "have"
        yield f"{count(open_ones, 'search', 'searches')} {have} not ended, and nothing is said of savings there."


def _sums(rows: Sequence[TimeRow]) -> tuple[int, int]:
    return sum(row.calls for row in rows), sum(row.reference_only_calls for row in rows)


def _wall(overviews: Sequence[Overview]) -> Iterator[str]:
    seconds = [overview.seconds for overview in overviews if math.isfinite(overview.seconds)]
    if seconds:
        of = "the campaign" if len(overviews) == 1 else "all campaigns together"
        far = "" if all(overview.finished for overview in overviews) else " so far"
        yield f"By its log {of} took {duration(sum(seconds))} of wall time{far}, with relaxations side by side."
