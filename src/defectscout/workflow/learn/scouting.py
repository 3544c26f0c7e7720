"""One round of scouting: every start relaxes with the surrogate of the round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, Minimum, SamplingStructure
from defectscout.core.frames import FloatArray, Frame, Relaxation, RelaxationState
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Checkpoint, Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.learn.tuning import LOWEST_FRAMES

ASKED_DISTANCE = 2.0
"""Times the threshold of one minimum. A round moves the surrogate's minima a little, and a structure that the
reference has been asked about is not asked again because of that."""


@dataclass(frozen=True, slots=True, eq=False)
class Scouted:
    """What a round of scouting gave.

    Attributes:
        trajectories: frames of each, by the label of its start.
        minima: distinct minima, lowest first, with energies on the reference's scale.
        flagged: label and reason of each that failed or lost its host.
        calls: force calls of the surrogate.
    """

    trajectories: Mapping[str, tuple[Frame, ...]]
    minima: tuple[Minimum, ...]
    flagged: tuple[tuple[str, str], ...]
    calls: int


def scout_round(
    surrogate: Surrogate,
    defect: Defect,
    starts: Sequence[SamplingStructure],
    offset: float,
    relaxation: RelaxationSettings,
    minima: MinimaSettings,
) -> Scouted:
    """Relax `starts` with the surrogate and tell their minima apart.

    Args:
        surrogate: of this round.
        defect: which one.
        starts: sampling structures, and what the reference has found so far.
        offset: added to the surrogate's energies, eV.
        relaxation: criterion and step limit of scouting.
        minima: how minima are told apart.
    """
    trajectories: dict[str, list[Frame]] = {start.label: [] for start in starts}

    def keep(steps: Sequence[tuple[str, Checkpoint]]) -> None:
        for label, checkpoint in steps:
            trajectories[label].append(checkpoint.frame)

    batch = [Start(start.label, with_charge(start.atoms, defect.charge)) for start in starts]
    ends = relax_batch(surrogate, batch, relaxation, on_step=keep)
    found = distinct_minima(defect, ends, minima)
    return Scouted(
        trajectories={label: tuple(frames) for label, frames in trajectories.items()},
        minima=tuple(replace(minimum, energy=minimum.energy + offset) for minimum in found.minima),
        flagged=tuple((flag.label, flag.reason) for flag in found.flagged),
        calls=sum(end.n_evaluations for end in ends),
    )


def energy_offset(surrogate: Surrogate, defect: Defect, answered: Sequence[Frame]) -> float:
    """What puts the surrogate's energies of a defect on the reference's scale, eV; 0 without an answer.

    The median over the answered frames that are lowest in energy, so that a distorted start 30 eV up, where the
    surrogate may be far off, has no say.
    """
    lowest = sorted(answered, key=lambda frame: frame.prediction.energy)[:LOWEST_FRAMES]
    if not lowest:
        return 0.0
    predictions = surrogate.predict([with_charge(frame.atoms, defect.charge) for frame in lowest])
    pairs = zip(lowest, predictions, strict=True)
    return float(np.median([frame.prediction.energy - prediction.energy for frame, prediction in pairs]))


def nearest_fingerprint(
    defect: Defect, structures: Sequence[Atoms], others: Sequence[Atoms], settings: MinimaSettings
) -> tuple[FloatArray, list[int]]:
    """For each structure the fingerprint distance to the nearest of `others`, and which that is.

    Without others the distances are infinite, and the indices −1.
    """
    if not structures or not others:
        return np.full(len(structures), np.inf), [-1] * len(structures)
    distances = fingerprint_distances(defect, [*structures, *others], settings)[: len(structures), len(structures) :]
    nearest = distances.argmin(axis=1)
    return distances[np.arange(len(structures)), nearest], [int(index) for index in nearest]


def finished(relaxations: Sequence[Relaxation]) -> list[Relaxation]:
    """Those that ended in a minimum of their own."""
    return [end for end in relaxations if end.state in (RelaxationState.CONVERGED, RelaxationState.UNCONVERGED)]
