"""Points along scouting relaxations at which the surrogate is least sure, no two of them alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from defectscout.core.frames import FloatArray, Frame
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.strategies.situation import FAR_ABOVE, Situation
from defectscout.workflow.learn.strategies.wording import free_label

MOST_FRAMES: Final = 48
"""Frames of which the spread is asked in a round: each is evaluated by every network."""
FAR_APART: Final = 10.0
"""Times the threshold of one minimum; farther apart, structures are as different as need be."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    label: str
    frame: Frame


def unsure_points(
    view: RoundView, state: Situation, apart: MinimaSettings, count: int, sure: float, asked: Sequence[Question]
) -> list[Question]:
    """Single points along this round's trajectories.

    Of each distinct outcome (a predicted minimum, known ones too: a surrogate that undoes a bond does so on
    the way to a minimum that is known) the trajectories of its members are thinned to frames evenly
    spaced along the path. Left out are the sampling structures themselves, which have their own round,
    frames that lie far above the lowest minimum, and ends that are known or were asked.
    The frames are picked one by one, each time the one with the largest product of spread and of the distance to
    the nearest structure that was answered or picked; never one that has the fingerprint of such a structure.

    Args:
        view: the round.
        state: what energies are compared with.
        apart: how structures are told apart.
        count: how many points at most.
        sure: frames with a spread up to this are not asked, eV/Å. A spread that is not known (not-a-number)
            counts as the largest that is, or as one.
        asked: the questions of this round so far.
    """
    if count <= 0:
        return []
    candidates = list(_candidates(view, state))
    if not candidates:
        return []
    spreads = np.asarray(view.spread([candidate.frame.atoms for candidate in candidates]), dtype=float)
    unsure = [i for i, spread in enumerate(spreads) if not spread <= sure]
    if not unsure:
        return []
    measured = spreads[np.isfinite(spreads)]
    weights = np.where(np.isfinite(spreads), spreads, measured.max() if len(measured) else 1.0)[unsure]
    kept = [candidates[i] for i in unsure]
    others = [frame.atoms for frame in view.answered] + [question.atoms for question in asked]
    structures = [candidate.frame.atoms for candidate in kept] + others
    distances = fingerprint_distances(view.defect, structures, apart)
    points: list[Question] = []
    taken = {question.label for question in asked} | view.unfinished.keys()
    for i in _greedy(weights, distances, apart.threshold, count):
        label = free_label([f"{kept[i].label}_step_{kept[i].frame.step}"], taken)
        taken.add(label)
        spread = spreads[unsure[i]]
        doubt = f"by {spread:.2f} eV/Å" if np.isfinite(spread) else "by an unknown amount"
        reason = f"surrogate unsure {doubt} on the way from {kept[i].label}"
        points.append(Question(label, kept[i].frame.atoms, Kind.POINT, 1, reason))
    return points


def thinned(frames: Sequence[Frame], count: int) -> tuple[Frame, ...]:
    """At most `count` frames, evenly spaced along the path of all atoms; the last one, and never the first.

    Steps grow and shrink in a relaxation by a factor of hundreds, so that evenly spaced steps would lie in one place.
    """
    if len(frames) < 2 or count < 1:
        return ()
    moves = [np.linalg.norm(b.atoms.positions - a.atoms.positions) for a, b in pairwise(frames)]
    path = np.concatenate([[0.0], np.cumsum(moves)])
    marks = np.linspace(0.0, path[-1], count + 1)[1:]
    nearest = {1 + int(np.abs(path[1:] - mark).argmin()) for mark in marks[:-1]} | {len(frames) - 1}
    return tuple(frames[i] for i in sorted(nearest))


def _candidates(view: RoundView, state: Situation) -> Iterator[_Candidate]:
    outcomes = [predicted for predicted in view.predicted if not state.is_far(predicted)]
    share = max(2, MOST_FRAMES // max(1, len(outcomes)))
    for predicted in outcomes[:MOST_FRAMES]:
        members = [label for label in predicted.minimum.members if view.trajectories.get(label)]
        each = max(2, share // max(1, len(members)))
        for label in members[: max(1, share // each)]:
            for frame in _frames(view.trajectories[label], each, predicted, state):
                yield _Candidate(label, frame)


def _frames(trajectory: Sequence[Frame], count: int, predicted: PredictedMinimum, state: Situation) -> Iterator[Frame]:
    last = trajectory[-1]
    for frame in thinned(trajectory, count):
        if frame is last and (predicted.known_as or predicted.asked):
            continue
        # Relative to the end of its own trajectory, since only minima are on the scale of the reference.
        energy = predicted.minimum.energy + frame.prediction.energy - last.prediction.energy
        if energy <= state.lowest + FAR_ABOVE:
            yield frame


def _greedy(weights: FloatArray, distances: FloatArray, threshold: float, count: int) -> list[int]:
    """Indices of the picks among the first `len(weights)` rows; the other columns are structures to keep away from."""
    n = len(weights)
    nearest = distances[:n, n:].min(axis=1, initial=np.inf)
    picks: list[int] = []
    while len(picks) < min(count, n):
        # Distances of fingerprints grow with the square of displacements.
        scores = weights * np.sqrt(np.minimum(nearest, FAR_APART * threshold))
        scores[nearest <= threshold] = -np.inf
        best = int(scores.argmax())
        if not np.isfinite(scores[best]):
            break
        picks.append(best)
        nearest = np.minimum(nearest, distances[:n, best])
    return picks
