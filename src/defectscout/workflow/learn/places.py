"""Structures with energies on one surface, and which of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.learn.scouting import nearest_fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A structure and its energy, eV, on the surface of the reference or of a surrogate."""

    label: str
    atoms: Atoms
    energy: float


def same_place(defect: Defect, place: Place, others: Sequence[Place], settings: MinimaSettings) -> str:
    """Label of that of `others`, on the same surface, which is the same by energy and fingerprint; empty if none is."""
    level = [other for other in others if abs(other.energy - place.energy) <= settings.energy_tolerance]
    distances, which = nearest_fingerprint(defect, [place.atoms], [other.atoms for other in level], settings)
    return level[which[0]].label if distances[0] <= settings.threshold else ""


def said_of(surrogate: Surrogate, atoms: Atoms, charge: int) -> Prediction | None:
    """What a surrogate says of a structure of this charge; None if it cannot evaluate it."""
    try:
        (said,) = surrogate.predict([with_charge(atoms, charge)])
    except CalculationError:
        return None
    return said


def led_to(
    surrogate: Surrogate, structures: Sequence[SamplingStructure], charge: int, relaxation: RelaxationSettings
) -> list[Place]:
    """Where a surrogate leads structures of this charge; those that it does not relax to the end are left out."""
    starts = [Start(one.label, with_charge(one.atoms, charge)) for one in structures]
    return [
        Place(end.label, end.final.atoms, end.final.prediction.energy)
        for end in relax_batch(surrogate, starts, relaxation)
        if end.state is RelaxationState.CONVERGED and end.final is not None
    ]
