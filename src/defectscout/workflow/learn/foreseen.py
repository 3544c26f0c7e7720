"""Where a surrogate leads a relaxation by the reference alone, and when it is believed that this is too high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from defectscout.core.defect import SamplingStructure
from defectscout.core.frames import Frame, RelaxationState
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.workflow.learn.places import led_to, said_of
from defectscout.workflow.learn.stopping import StopAt

FALL_FRAMES: Final = 4
"""Frames at the end of which the surrogate's energies have to agree with the reference's."""

RIGHT_FALL: Final = 0.1
"""By how much their difference may vary over these frames, as a fraction of what the reference's energies span."""

LEAST_MARGIN: Final = 1.0
"""eV. How much lower than foreseen a relaxation may end, or more:"""

MARGIN_OF_FALL: Final = 0.5
"""that fraction of the fall that is still to come. See benchmarks/foreseen_ends.py."""

FORESEEN: Final = "on its way to far above the lowest minimum, by a surrogate that was right about how far it fell"
"""Reason of a relaxation that was stopped."""


@dataclass(frozen=True, slots=True)
class ForeseenEnd:
    """Where a relaxation is on its way to.

    Attributes:
        energy: that it is foreseen to end with, eV.
        lowest: that it may end with, eV.
    """

    energy: float
    lowest: float


@dataclass(slots=True, eq=False)
class Foresight:
    """What a surrogate foresees of a relaxation by the reference alone, frame by frame.

    The end is what the reference says of a frame, less what the structure falls by on the surrogate's surface. The
    surrogate's constant drops out of that, and so does most of what it gets wrong about bonds that stay as they are. It
    is believed if it was right about the fall over the last frames, which therefore has to be large: on a shelf nobody
    can have been right about a fall, and nothing is foreseen.

    Attributes:
        surrogate: that foresees.
        charge: of the defect, e.
        relaxation: how the surrogate relaxes.
    """

    surrogate: Surrogate
    charge: int
    relaxation: RelaxationSettings
    _said: list[tuple[float, float]] = field(default_factory=list, init=False)

    def note(self, frame: Frame) -> None:
        """Take the next frame; what the surrogate cannot evaluate it is not right about."""
        said = said_of(self.surrogate, frame.atoms, self.charge)
        if said is None:
            self._said.clear()
        else:
            self._said.append((frame.prediction.energy, said.energy))

    def end(self, frame: Frame) -> ForeseenEnd | None:
        """Where the relaxation is on its way to from the frame that was noted last; None if nothing is foreseen."""
        if not self._is_right():
            return None
        ends = led_to(self.surrogate, [SamplingStructure("", frame.atoms)], self.charge, self.relaxation)
        if not ends:
            return None
        fall = self._said[-1][1] - ends[0].energy
        energy = frame.prediction.energy - fall
        return ForeseenEnd(energy, energy - max(LEAST_MARGIN, MARGIN_OF_FALL * fall))

    def _is_right(self) -> bool:
        if len(self._said) < FALL_FRAMES:
            return False
        reference, surrogate = np.array(self._said[-FALL_FRAMES:]).T
        return bool(np.ptp(surrogate - reference) <= RIGHT_FALL * np.ptp(reference))


def high_by_prediction(foresight: Foresight, highest: float, earlier: Sequence[Frame] = ()) -> StopAt:
    """A relaxation by the reference alone is over when it is foreseen to end too high, whatever the margin.

    Args:
        foresight: of the last round's surrogate.
        highest: energy of the highest minimum that would matter, eV.
        earlier: last frames of a relaxation that goes on after an interruption, without the one that it goes on from.
    """
    for frame in earlier[-FALL_FRAMES:]:
        foresight.note(frame)

    def ask(frame: Frame) -> Stop | None:
        foresight.note(frame)
        if frame.prediction.energy <= highest + LEAST_MARGIN:
            return None
        end = foresight.end(frame)
        return Stop(RelaxationState.UNCONVERGED, FORESEEN) if end is not None and end.lowest > highest else None

    return ask
