"""Whether a relaxation has fallen into a minimum that is known already, so that it can stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from defectscout.core.defect import Defect, Minimum, SamplingStructure
from defectscout.core.errors import CalculationError
from defectscout.core.frames import Frame, Relaxation, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.learn.rounds import LearnRecord
from defectscout.workflow.learn.scouting import nearest_fingerprint

MERGING_FORCE: Final = 0.1
"""eV/Å. A relaxation passes by minima, too: only one that has nearly come to rest is taken for a known one."""

RIGHT_FORCE: Final = 0.15
"""eV/Å. Largest error of the surrogate on any atom that counts as right about where a relaxation is."""

RIGHT_FRAMES: Final = 3
"""Frames in a row on which the surrogate has to be right before it may say where a relaxation ends."""

MergedInto = Callable[[Frame], str]
"""Asked after each frame; the label of the known minimum, or empty to go on."""


def merged_by_fingerprint(defect: Defect, known: Sequence[Minimum], settings: MinimaSettings) -> MergedInto:
    """A relaxation is merged when fingerprint, energy and force say that it lies in a known minimum."""

    def ask(frame: Frame) -> str:
        if frame.prediction.fmax > MERGING_FORCE:
            return ""
        energy = frame.prediction.energy
        level = [minimum for minimum in known if abs(energy - minimum.energy) <= settings.energy_tolerance]
        distances, which = nearest_fingerprint(defect, [frame.atoms], [minimum.atoms for minimum in level], settings)
        return level[which[0]].representative if distances[0] <= settings.threshold else ""

    return ask


@dataclass(slots=True, eq=False)
class MergedByPrediction:
    """A relaxation by the reference alone is merged when the tuned surrogate is right about its path and its end.

    That is: on the last frames its forces agree with the reference's on every atom, and from the last of them it
    leads to the minimum that it leads a known one to, by fingerprint and energy. A surrogate that is wrong about the
    path has no say, so that a basin that it does not know of is followed to its end.

    Attributes:
        surrogate: of the last round.
        defect: which one.
        known: minima on the reference's surface.
        relaxation: how the surrogate relaxes.
        settings: how minima are told apart.
        earlier: last frames of a relaxation that goes on after an interruption, without the one that it goes on from.
    """

    surrogate: Surrogate
    defect: Defect
    known: Sequence[Minimum]
    relaxation: RelaxationSettings
    settings: MinimaSettings
    earlier: Sequence[Frame] = ()
    _right: int = field(default=0, init=False)
    _ends: list[Relaxation] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for frame in self.earlier[-RIGHT_FRAMES:]:
            self._count(frame)

    def __call__(self, frame: Frame) -> str:
        by_fingerprint = merged_by_fingerprint(self.defect, self.known, self.settings)(frame)
        if by_fingerprint:
            return by_fingerprint
        self._count(frame)
        if self._right < RIGHT_FRAMES:
            return ""
        if not (ends := self._relaxed([SamplingStructure("", frame.atoms)])):
            return ""
        ended = _final(ends[0])
        level = [
            end
            for end in self._known_ends()
            if abs(ended.prediction.energy - _final(end).prediction.energy) <= self.settings.energy_tolerance
        ]
        known = [_final(end).atoms for end in level]
        distances, which = nearest_fingerprint(self.defect, [ended.atoms], known, self.settings)
        return level[which[0]].label if distances[0] <= self.settings.threshold else ""

    def _count(self, frame: Frame) -> None:
        self._right = self._right + 1 if self._is_right(frame) else 0

    def _is_right(self, frame: Frame) -> bool:
        try:
            (said,) = self.surrogate.predict([with_charge(frame.atoms, self.defect.charge)])
        except CalculationError:
            return False
        errors = np.linalg.norm(said.forces - frame.prediction.forces, axis=1)
        return bool(errors.max() <= RIGHT_FORCE)

    def _known_ends(self) -> list[Relaxation]:
        """Where the surrogate leads each known minimum."""
        if self._ends is None:
            self._ends = self._relaxed([SamplingStructure(one.representative, one.atoms) for one in self.known])
        return self._ends

    def _relaxed(self, structures: Sequence[SamplingStructure]) -> list[Relaxation]:
        starts = [Start(one.label, with_charge(one.atoms, self.defect.charge)) for one in structures]
        ends = relax_batch(self.surrogate, starts, self.relaxation)
        return [end for end in ends if end.state is RelaxationState.CONVERGED]


def _final(end: Relaxation) -> Frame:
    assert end.final is not None, "a relaxation that converged has a last frame"
    return end.final


def by_doubt(record: LearnRecord, starts: Sequence[SamplingStructure]) -> list[SamplingStructure]:
    """Starts by the spread of the energies that the surrogates of different rounds led them to, largest first."""
    ends: dict[str, list[float]] = {start.label: [] for start in starts}
    for item in record.rounds:
        for minimum in item.predicted:
            for label in minimum.members:
                if label in ends:
                    ends[label].append(minimum.energy)
    doubt = {label: float(np.std(energies)) if len(energies) > 1 else 0.0 for label, energies in ends.items()}
    return sorted(starts, key=lambda start: (-doubt[start.label], start.label))
