"""Whether a check has come onto the way of a relaxation that is known to end too high to matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.places import Place
from defectscout.workflow.learn.rounds import tasks_of
from defectscout.workflow.learn.scouting import nearest_fingerprint
from defectscout.workflow.learn.stopping import CALM, StopAt
from defectscout.workflow.record import REFERENCE

WAY_FRAMES: Final = 2
"""Frames that have to lie on the way; any number of trial steps may lie between them."""

RATTLED: Final = 0.3
"""eV. How much higher they may lie: around a site that is the same the crystal of a check is not at rest yet."""


def ways_to(campaign: Campaign, defect: Defect, minima: Sequence[Minimum]) -> tuple[Place, ...]:
    """Frames of the loop's relaxations that ended in these minima, under the label of the minimum."""
    ends = {label: minimum.representative for minimum in minima for label in minimum.members}
    return tuple(
        Place(ends[task.key.label], frame.atoms, frame.prediction.energy)
        for task in tasks_of(campaign, defect.label, (REFERENCE,))
        if task.key.label in ends
        for frame in campaign.record.frames(task.key)
    )


@dataclass(slots=True, eq=False)
class OnAKnownWay:
    """A check is merged into a minimum too high to matter, once two frames lie on the way of a relaxation into it.

    That is: the site looks the same, by fingerprint, as it did there, and the energy is no more than `RATTLED` above.
    What is left would only go that way again: in V_Cd of CdTe the last four of 17 and of 20 force calls, down to two
    bonds 0.96 eV up that a relaxation of the loop had ended in. The forces have to be small enough to tell that it
    passes by nothing, and a way that ends within the window is followed: beside the ground state a tilt matters, too.

    Attributes:
        defect: which one.
        ways: frames of relaxations that ended too high, under the labels of the minima that they ended in.
        settings: how structures are told apart.
        earlier: frames of the check before an interruption, without the one that it goes on from.
    """

    defect: Defect
    ways: Sequence[Place]
    settings: MinimaSettings
    earlier: Sequence[Frame] = ()
    _count: int = 0

    def __post_init__(self) -> None:
        for frame in self.earlier:
            self(frame)

    def __call__(self, frame: Frame) -> Stop | None:
        end = self._end(frame)
        self._count += bool(end)
        return Stop(RelaxationState.MERGED, end) if end and self._count >= WAY_FRAMES else None

    def _end(self, frame: Frame) -> str:
        """Label of the minimum to which the way leads that the frame lies on; empty if it lies on none."""
        if frame.prediction.fmax >= CALM:
            return ""
        level = [way for way in self.ways if frame.prediction.energy <= way.energy + RATTLED]
        distances, which = nearest_fingerprint(self.defect, [frame.atoms], [way.atoms for way in level], self.settings)
        return level[which[0]].label if distances[0] <= self.settings.threshold else ""


def on_a_known_way(
    campaign: Campaign, defect: Defect, known: Sequence[Minimum], highest: float, earlier: Sequence[Frame]
) -> StopAt:
    """The rule for a check.

    Args:
        campaign: the open campaign.
        defect: which one.
        known: minima that were known before it.
        highest: energy of the highest minimum that would matter, eV.
        earlier: frames of the check before an interruption, without the one that it goes on from.
    """
    too_high = [minimum for minimum in known if minimum.energy > highest]
    return OnAKnownWay(defect, ways_to(campaign, defect, too_high), campaign.settings.minima, earlier)
