"""How a relaxation takes its steps: by FIRE, proposed by a surrogate, or from what the reference has said so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Prediction, Relaxation, RelaxationState
from defectscout.relaxation.corrected import CorrectedState, corrected_init, propose
from defectscout.relaxation.records import Checkpoint, OptimiserState, Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steps import bare, ended, is_met, next_configuration
from defectscout.surrogates.base import Surrogate, SurrogateInfo


class Stepper(Protocol):
    """An optimiser with its settings."""

    def next_configuration(self, start: Start) -> tuple[Atoms, OptimiserState]:
        """The structure to evaluate next, and the optimiser's state that goes with it.

        Raises:
            CalculationError: if there is none, so that the relaxation fails.
        """

    def ended(self, start: Start) -> Relaxation | None:
        """The relaxation's end if its last frame is the last one; None if it goes on."""


@dataclass(frozen=True, slots=True)
class FireStepper:
    """FIRE, on the reference's forces alone.

    Attributes:
        settings: criterion, step limit and FIRE's parameters.
    """

    settings: RelaxationSettings

    def next_configuration(self, start: Start) -> tuple[Atoms, OptimiserState]:
        return next_configuration(start, self.settings)

    def ended(self, start: Start) -> Relaxation | None:
        return ended(start, self.settings)


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedStepper:
    """The surrogate proposes each step and the reference corrects it; see `corrected`.

    Attributes:
        settings: criterion, step limit, trust radius and what is kept of earlier points.
        surrogate: proposes; called in this process, some tens of times for each step. It need not be the one
            that an interrupted relaxation began with.
    """

    settings: RelaxationSettings
    surrogate: Surrogate

    def next_configuration(self, start: Start) -> tuple[Atoms, OptimiserState]:
        checkpoint = start.checkpoint
        if checkpoint is None:
            return bare(start.atoms), corrected_init(len(start.atoms), self.settings.corrected)
        positions, state = self._proposal(checkpoint)
        atoms = checkpoint.frame.atoms.copy()
        atoms.positions = positions
        return atoms, state

    def ended(self, start: Start) -> Relaxation | None:
        """As for FIRE, but small forces are no end while the corrected surface promises a lower energy near by, and a
        trial that went uphill into atoms too close is no failure: it is turned down."""
        end, checkpoint = ended(start, self.settings), start.checkpoint
        if end is None or checkpoint is None or checkpoint.frame.step >= self.settings.max_steps:
            return end
        if end.state is RelaxationState.CONVERGED and self.promised(checkpoint) > self.settings.corrected.promise:
            return None
        if end.state is RelaxationState.FAILED and _is_uphill(checkpoint):
            return None
        return end

    def promised(self, checkpoint: Checkpoint) -> float:
        """How far below the last frame the corrected surface falls within the trust radius, eV; 0 if the surrogate
        cannot evaluate what lies there."""
        try:
            _, state = self._proposal(checkpoint)
        except CalculationError:
            return 0.0
        best = float(state.known.energies[state.known.best])
        return checkpoint.frame.prediction.energy - best - state.expected

    def _proposal(self, checkpoint: Checkpoint) -> tuple[FloatArray, CorrectedState]:
        if not isinstance(checkpoint.optimiser, CorrectedState):
            raise TypeError("a corrected relaxation goes on from a CorrectedState")
        return propose(
            checkpoint.optimiser, checkpoint.frame, self.surrogate, self.settings.force, self.settings.corrected
        )


def _is_uphill(checkpoint: Checkpoint) -> bool:
    state = checkpoint.optimiser
    return (
        isinstance(state, CorrectedState)
        and state.known.best >= 0
        and checkpoint.frame.prediction.energy > state.known.energies[state.known.best]
    )


class _Flat:
    """A surface without features, so that all that is known of the energy is what the reference has said."""

    @property
    def info(self) -> SurrogateInfo:
        return SurrogateInfo("none", "", "", "", None)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        return [Prediction(0.0, np.zeros((len(atoms), 3))) for atoms in structures]


AT_REST: Final = 0.1
"""eV/Å. A relaxation with a smaller largest force stands in a minimum or on a shelf of the surface."""


@dataclass(frozen=True, slots=True, eq=False)
class AloneStepper:
    """Down to where forces are small enough for an end no surrogate has a say; there one is asked whether it is one.

    A Gaussian process over the reference's energies and forces proposes each step. It goes on where they are small too:
    in V_Cd of CdTe and CdSe it came off shelves 1.0 and 0.4 eV above the ground state in 10 to 14 steps, one that had
    been tuned on the way there led off them in 17 to 23. Where the forces all but vanish it cannot tell a shelf from a
    minimum; the surrogate, corrected by what the reference has said, can.

    Attributes:
        settings: criterion, step limit, trust radius and what is kept of earlier points.
        surrogate: asked where the forces are small enough for an end.
    """

    settings: RelaxationSettings
    surrogate: Surrogate

    def next_configuration(self, start: Start) -> tuple[Atoms, OptimiserState]:
        checkpoint = start.checkpoint
        if checkpoint is not None and is_met(checkpoint.frame.prediction, self.settings):
            return CorrectedStepper(self.settings, self.surrogate).next_configuration(start)
        return gaussian_process_stepper(self.settings).next_configuration(start)

    def ended(self, start: Start) -> Relaxation | None:
        return CorrectedStepper(self.settings, self.surrogate).ended(start)


def gaussian_process_stepper(settings: RelaxationSettings) -> CorrectedStepper:
    """The optimiser of Garijo del Río, Mortensen and Jacobsen (DOI 10.1103/PhysRevB.100.104103).

    A Gaussian process over the reference's energies and forces proposes each step, and nothing else: the outcome does
    not depend on any surrogate, as with FIRE, for about a third of its force calls (V_Cd in CdTe, GFN1-xTB, from
    strained sampling structures).
    """
    alone = settings.corrected.model_copy(update={"length": settings.corrected.length_alone})
    return CorrectedStepper(settings.model_copy(update={"corrected": alone}), _Flat())
