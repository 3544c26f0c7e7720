"""What the loop asks the reference, and what a strategy knows when it chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from ase import Atoms

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import FloatArray, Frame
from defectscout.workflow.learn.settings import LearnSettings

Spread = Callable[[Sequence[Atoms]], FloatArray]
"""For each structure the largest spread of the force on an atom, eV/Å: how unsure the surrogate is."""


CONFIRMED: Final = "_confirmed"
"""Ends the label of a task that goes on from where the one of the same name without it came to rest."""

DESCENDED: Final = f"{CONFIRMED}_downhill"
"""Likewise, of one that goes on off a saddle point."""


class Kind(StrEnum):
    """How a question is answered."""

    POINT = "point"  # one force call
    CORRECTED = "corrected"  # the surrogate proposes each step, the reference corrects it
    ALONE = "alone"  # relaxed by the reference alone, until a surrogate is asked whether that is an end
    CONFIRM = "confirm"  # a corrected relaxation from where another came to rest, with all that that one knew
    PROBE = "probe"  # one force call beside the lowest minimum, for its curvature
    DESCEND = "descend"  # a corrected relaxation off a saddle point

    @property
    def is_one_call(self) -> bool:
        """Whether it takes a single force call."""
        return self in (Kind.POINT, Kind.PROBE)

    @property
    def goes_on(self) -> bool:
        """Whether it is a relaxation from where another came to rest."""
        return self in (Kind.CONFIRM, Kind.DESCEND)

    @property
    def is_of_lowest(self) -> bool:
        """Whether it is about the lowest minimum, before a check."""
        return self.goes_on or self is Kind.PROBE


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A structure that the reference is asked about.

    Attributes:
        label: the sampling structure or minimum that it comes from; unique among the questions of a round.
        atoms: the structure.
        kind: how it is answered.
        max_calls: force calls that it may take now; a relaxation goes on in a later round.
        reason: why it is asked, for the log.
    """

    label: str
    atoms: Atoms
    kind: Kind
    max_calls: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class PredictedMinimum:
    """A minimum on the surface of the surrogate of this round.

    Attributes:
        minimum: structure, energy on the surrogate's surface (eV), and the structures that led to it.
        spread: how unsure the surrogate is of its forces there, eV/Å.
        known_as: representative of the reference minimum that it is; empty if it is new.
        asked: whether the reference has evaluated this very structure (by fingerprint) in an earlier round.
    """

    minimum: Minimum
    spread: float
    known_as: str
    asked: bool


@dataclass(frozen=True, slots=True, eq=False)
class RoundView:
    """What a strategy knows when it chooses the questions of a round.

    Attributes:
        defect: which one.
        number: of the round, from 1; round 0 asks the sampling structures.
        predicted: minima on the surrogate's surface, lowest first, energies on the scale of the reference.
        trajectories: frames of each scouting relaxation of this round, by the label of its start.
        answered: every structure that the reference has evaluated for this defect, with its prediction.
        found: minima on the reference's surface so far, lowest first.
        unfinished: relaxations that the reference has begun and not ended: label, and their last frame.
        spread: how unsure the surrogate is of any structure.
        calls_left: force calls that the budget leaves; None without a limit.
        settings: of the loop.
        carried_over: whether the lowest minimum is what the ground state of a related host has become.
    """

    defect: Defect
    number: int
    predicted: tuple[PredictedMinimum, ...]
    trajectories: Mapping[str, tuple[Frame, ...]]
    answered: tuple[Frame, ...]
    found: tuple[Minimum, ...]
    unfinished: Mapping[str, Frame]
    spread: Spread
    calls_left: int | None
    settings: LearnSettings
    carried_over: bool = False


class Strategy(Protocol):
    """Chooses what to ask."""

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """The questions of a round, the most useful first; empty if there is nothing left to ask.

        A question whose label is in `view.unfinished` goes on with that relaxation.
        """
