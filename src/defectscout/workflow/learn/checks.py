"""Which sampling structures the reference relaxes alone at the end, as a check on surprise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from defectscout.core.defect import SamplingStructure
from defectscout.core.frames import Frame
from defectscout.relaxation.checks import is_crowded
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steps import is_met
from defectscout.workflow.learn.rounds import LearnRecord

TIGHT: Final = 0.75
"""Atoms this near to each other, as a fraction of the sum of their covalent radii. Relaxations of neighbours drawn in
by 60 % (0.68 in CdTe, 0.73 in CdSe; 0.79 in all other sampling structures) took 26 to 39 force calls, others 15 to
28."""


def was_at_rest(frames: Sequence[Frame], settings: RelaxationSettings) -> bool:
    """Whether forces were small enough for an end at one of these frames."""
    return any(is_met(frame.prediction, settings) for frame in frames)


def was_led(frames: Sequence[Frame], settings: RelaxationSettings) -> bool:
    """Whether a check with these frames went on from where it was at rest, as a surrogate led it."""
    return was_at_rest(frames[:-1], settings)


def by_doubt(record: LearnRecord, starts: Sequence[SamplingStructure]) -> list[SamplingStructure]:
    """Starts in the order in which a check may tell the most.

    First those that the last surrogate leads to a minimum that the reference has not relaxed; then by the spread of
    the energies that the surrogates of different rounds led them to, largest first. Starts in which atoms are drawn
    near to each other come last: they take the most force calls, and how they come apart is up to the optimiser.
    """
    confirmed = {label for minimum in record.last_predicted if minimum.known_as for label in minimum.members}
    ends: dict[str, list[float]] = {start.label: [] for start in starts}
    for item in record.rounds:
        for minimum in item.predicted:
            for label in minimum.members:
                if label in ends:
                    ends[label].append(minimum.energy)
    doubt = {label: float(np.std(energies)) if len(energies) > 1 else 0.0 for label, energies in ends.items()}
    crowded = {start.label for start in starts if is_crowded(start.atoms, TIGHT)}
    return sorted(
        starts,
        key=lambda start: (start.label in crowded, start.label in confirmed, -doubt[start.label], start.label),
    )
