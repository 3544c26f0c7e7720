"""Whether a relaxation need not go on: it has fallen into a known minimum, or cannot come near the ground state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from defectscout.core.defect import UNPERTURBED, Defect, Minimum, SamplingStructure
from defectscout.core.frames import Frame, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import AT_REST
from defectscout.relaxation.steps import is_met
from defectscout.surrogates.base import Surrogate
from defectscout.workflow.learn.places import Place, led_to, said_of, same_place
from defectscout.workflow.learn.rounds import Asked, Round

RIGHT_FORCE: Final = 0.15
"""eV/Å. Largest error of the surrogate on any atom that counts as right about where a relaxation is."""

RIGHT_FRAMES: Final = 3
"""Frames in a row on which the surrogate has to be right before it may say where a relaxation ends."""

CALM: Final = 0.7
"""eV/Å. Largest force on an atom up to which it tells how far a relaxation may still fall."""

FALL_LENGTH: Final = 7.0
"""Å. Times the largest force it is the most that a relaxation may still fall: at most 6.2 Å in 30 relaxations by FIRE
and 28 by a Gaussian process (V_Cd in CdTe and CdSe, GFN1-xTB; benchmarks/fall_to_the_minimum.py)."""

LAST_FALL: Final = 1.0
"""eV. The bound never goes below this: on a shelf forces all but vanish. With a largest force of 0.05 eV/Å relaxations
still fell by 0.4 eV in V_Cd of CdSe, and by 0.96 eV in CdTe, from where FIRE ends."""

CALM_FRAMES: Final = 2
"""Frames that have to say so."""

NEARLY_AT_REST: Final = 0.15
"""eV/Å. Largest force on an atom of a relaxation that has little left to fall."""

RESTING_FRAMES: Final = 2
"""Frames with forces below that, after which it is taken to be there."""

FAR_UP: Final = 1.0
"""eV above the lowest minimum. Relaxations from predicted minima that led somewhere began 0.0 to 0.9 eV above where
they ended (V_Cd in CdTe and CdSe, GFN1-xTB); those that began 2.0, 2.4, 2.9 and 5.0 eV above the lowest minimum took
25, 21, 7 and 25 calls to minima that were known, or 1.4 eV above it. Not all are lost: one in CdSe that began 1.1 eV
above the lowest of its time came down to the ground state in 17 more; loops that end such ones come there otherwise."""

HIGH: Final = "nearly at rest too far above the lowest minimum"
"""Reason of a relaxation that was stopped."""

ASTRAY: Final = "the surrogate was wrong: the reference finds itself far above the lowest minimum there"
"""Reason of a relaxation that ended where it began."""

NOT_THERE: Final = "what the surrogate promised beside the lowest minimum is not there"
"""Reason of a confirmation that found nothing lower."""

PAUSED: Final = "paused: at rest where the surrogate is wrong"
"""Reason of a check that goes on when the surrogate has learned from its frames."""

StopAt = Callable[[Frame], Stop | None]
"""Asked after each frame whether the relaxation ends with it; None to go on."""


def first_of(*rules: StopAt) -> StopAt:
    """Whatever one of the rules says first; each is asked of every frame up to then."""

    def ask(frame: Frame) -> Stop | None:
        told = [rule(frame) for rule in rules]
        return next((stop for stop in told if stop is not None), None)

    return ask


def furthest_fall(fmax: float) -> float:
    """The most that a relaxation may still fall from a frame with this largest force (eV/Å), eV; infinite where the
    force does not tell."""
    return max(LAST_FALL, FALL_LENGTH * fmax) if fmax < CALM else math.inf


@dataclass(slots=True, eq=False)
class AfterFrames:
    """A relaxation stops with the last of some frames that say so; any number of others may lie between them.

    Attributes:
        says: asked of each frame; how the relaxation would end, None where the frame does not say so.
        count: frames that have to say so: a single trial step may lie anywhere.
        earlier: frames of a relaxation that goes on after an interruption, without the one that it goes on from.
    """

    says: StopAt
    count: int
    earlier: Sequence[Frame] = ()
    _said: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for frame in self.earlier:
            self(frame)

    def __call__(self, frame: Frame) -> Stop | None:
        stop = self.says(frame)
        self._said += stop is not None
        return stop if self._said >= self.count else None


def far_above(highest: float, earlier: Sequence[Frame] = ()) -> AfterFrames:
    """A relaxation is stopped where its forces are too small for it to end as low as `highest`, eV.

    It looks for what lies near the ground state, `highest` being the energy of the highest minimum that would matter.
    The last, slow part of a relaxation takes half of its force calls, and would only tell at what height above that it
    ends.
    """

    def too_high(frame: Frame) -> Stop | None:
        least = frame.prediction.energy - furthest_fall(frame.prediction.fmax)
        return Stop(RelaxationState.UNCONVERGED, HIGH) if least > highest else None

    return AfterFrames(too_high, CALM_FRAMES, earlier)


def ended_too_high(highest: float, relaxation: RelaxationSettings) -> StopAt:
    """A check is over where its forces are small enough for an end above `highest`, eV.

    The reference alone would lead it no farther. Whether a surrogate might does not matter up there.
    """

    def ask(frame: Frame) -> Stop | None:
        ends = is_met(frame.prediction, relaxation) and frame.prediction.energy > highest
        return Stop(RelaxationState.UNCONVERGED, HIGH) if ends else None

    return ask


def paused_at_rest(earlier: Sequence[Frame] = ()) -> AfterFrames:
    """A relaxation of the first round pauses where it is nearly at rest.

    The last hundredths of an eV take as many force calls as the way there. In the next round they take fewer, since the
    surrogate has learned from the frames near by; and none, if the loop finds something much lower.
    """

    def nearly_at_rest(frame: Frame) -> Stop | None:
        rests = frame.prediction.fmax < NEARLY_AT_REST
        return Stop(RelaxationState.RUNNING, "paused: nearly at rest") if rests else None

    return AfterFrames(nearly_at_rest, RESTING_FRAMES, earlier)


def paused_where_wrong(surrogate: Surrogate, charge: int, relaxation: RelaxationSettings) -> StopAt:
    """A relaxation by the reference alone pauses where it is at rest and the surrogate is wrong about the forces.

    From there on the surrogate leads (see `AloneStepper`), and one that has not learned there leads badly: off a shelf
    in V_Cd of CdSe, where it was wrong by 1.2 eV/Å, it took 29 force calls from one start and 84 from another.

    Args:
        surrogate: that would lead.
        charge: of the defect, e.
        relaxation: when forces are small enough for an end.
    """

    def ask(frame: Frame) -> Stop | None:
        if not is_met(frame.prediction, relaxation) or is_right(surrogate, frame, charge):
            return None
        return Stop(RelaxationState.RUNNING, PAUSED)

    return ask


def is_right(surrogate: Surrogate, frame: Frame, charge: int) -> bool:
    """Whether a surrogate's force is right to within `RIGHT_FORCE` on every atom of a frame."""
    said = said_of(surrogate, frame.atoms, charge)
    if said is None:
        return False
    errors = np.linalg.norm(said.forces - frame.prediction.forces, axis=1)
    return bool(errors.max() <= RIGHT_FORCE)


def astray(lowest: float) -> StopAt:
    """A relaxation from a predicted minimum is over if the reference finds itself far above `lowest`, eV, there.

    The surrogate was wrong about it, and learns more from that one frame than from those of a long way down. Where the
    next one leads instead is another structure, and asked about in its turn.
    """

    def ask(frame: Frame) -> Stop | None:
        if frame.step > 0 or frame.prediction.energy <= lowest + FAR_UP:
            return None
        return Stop(RelaxationState.UNCONVERGED, ASTRAY)

    return ask


def lowest_known(item: Round, known: Sequence[Minimum]) -> float:
    """The lowest energy that was known before a round, eV; infinite before there was any minimum.

    A relaxation that waits near its end, or a single point, tells as well as a minimum how low there is something.

    Args:
        item: the round.
        known: minima that were known before, lowest first.
    """
    before = math.inf if item.lowest_before is None else item.lowest_before
    return min(known[0].energy, before) if known else math.inf


def highest_that_matters(one: Asked, lowest: float, window: float) -> float:
    """Energy of the highest minimum that a relaxation is of use for, eV; infinite where every one is.

    Args:
        one: the relaxation. Energy lowerings are measured from the unperturbed structure, however high it lies.
        lowest: the lowest energy that was known before, eV.
        window: up to where above that minima matter, eV.
    """
    return math.inf if one.label == UNPERTURBED else lowest + window


def rule_of_height(item: Round, one: Asked, lowest: float, window: float, earlier: Sequence[Frame]) -> StopAt | None:
    """Where a relaxation of a round stops because it stands too high, or may; None if it goes down to its end.

    Args:
        item: the round.
        one: the relaxation.
        lowest: the lowest energy that was known before the round, eV.
        window: up to where above that minima matter, eV.
        earlier: frames of the relaxation before an interruption of this round.
    """
    if item.number == 0:  # which has nothing to be far above of
        return None if one.label == UNPERTURBED else paused_at_rest(earlier)
    highest = highest_that_matters(one, lowest, window)
    if math.isinf(highest):
        return None
    rests = far_above(highest, earlier)
    if item.of_check or one.calls_before:
        return rests
    return first_of(astray(lowest), rests)


def merged_by_fingerprint(defect: Defect, known: Sequence[Minimum], settings: MinimaSettings) -> StopAt:
    """A relaxation is merged when fingerprint, energy and force say that it lies in a known minimum."""

    def ask(frame: Frame) -> Stop | None:
        if frame.prediction.fmax > AT_REST:
            return None  # a relaxation passes by minima, too
        places = [Place(minimum.representative, minimum.atoms, minimum.energy) for minimum in known]
        return merged(same_place(defect, Place("", frame.atoms, frame.prediction.energy), places, settings))

    return ask


@dataclass(slots=True, eq=False)
class MergedByPrediction:
    """A relaxation by the reference alone is merged when the tuned surrogate is right about its path and its end.

    That is: on the last frames its forces agree with the reference's on every atom, and from the last of them it
    leads to the minimum that it leads a known one to, by fingerprint and energy. A surrogate that is wrong about the
    path has no say, so that a basin that it does not know of is followed to its end.

    Above what matters less is asked of it. Where a relaxation rests there and the surrogate leads to what is known, to
    go on would hardly say anything new: the relaxation is over. In
    V_Cd of CdTe one that rested at two bonds, 0.96 eV up, took 20 more force calls down to the known third.

    Attributes:
        surrogate: of the last round.
        defect: which one.
        known: minima on the reference's surface.
        highest: energy of the highest minimum that would matter, eV.
        relaxation: how the surrogate relaxes.
        settings: how minima are told apart.
        earlier: last frames of a relaxation that goes on after an interruption, without the one that it goes on from.
    """

    surrogate: Surrogate
    defect: Defect
    known: Sequence[Minimum]
    highest: float
    relaxation: RelaxationSettings
    settings: MinimaSettings
    earlier: Sequence[Frame] = ()
    _right: int = field(default=0, init=False)
    _ends: list[Place] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for frame in self.earlier[-RIGHT_FRAMES:]:
            self._count(frame)

    def __call__(self, frame: Frame) -> Stop | None:
        by_fingerprint = merged_by_fingerprint(self.defect, self.known, self.settings)(frame)
        if by_fingerprint is not None:
            return by_fingerprint
        self._count(frame)
        rests_high = frame.prediction.fmax < AT_REST and frame.prediction.energy > self.highest
        if self._right < RIGHT_FRAMES and not rests_high:
            return None
        if not (ends := self._led_to([SamplingStructure("", frame.atoms)])):
            return None
        known = same_place(self.defect, ends[0], self._known_ends(), self.settings)
        if known and self._right < RIGHT_FRAMES:
            return Stop(RelaxationState.UNCONVERGED, HIGH)
        return merged(known)

    def _count(self, frame: Frame) -> None:
        self._right = self._right + 1 if is_right(self.surrogate, frame, self.defect.charge) else 0

    def _known_ends(self) -> list[Place]:
        """Where the surrogate leads each known minimum."""
        if self._ends is None:
            self._ends = self._led_to([SamplingStructure(one.representative, one.atoms) for one in self.known])
        return self._ends

    def _led_to(self, structures: Sequence[SamplingStructure]) -> list[Place]:
        return led_to(self.surrogate, structures, self.defect.charge, self.relaxation)


def merged(label: str) -> Stop | None:
    """That a relaxation has fallen into the minimum of this label; None where it is empty."""
    return Stop(RelaxationState.MERGED, label) if label else None
