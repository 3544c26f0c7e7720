"""Frames as the training loop needs them: graphs with their targets, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from defectscout.core.frames import FloatArray
from defectscout.learning.frames import DefectId, LabelledFrame
from defectscout.learning.trainable import Trainable
from defectscout.surrogates.neighbourhood import neighbourhoods

if TYPE_CHECKING:
    from torch import Tensor

KEPT_GRAPHS: Final = 4000
"""Graphs that stay in memory; those of larger datasets are made again in each epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One structure to learn from.

    Attributes:
        graph: what the network takes.
        n_atoms: number of atoms.
        energy: eV for the cell, without the elements' reference energies.
        forces: shape (n_atoms, 3), eV/Å.
        stress: shape (3, 3), eV/Å³, ASE's sign; not-a-number where the source has none.
        weight: weight in the loss.
        defect: its defect; None for a replayed frame.
    """

    graph: Any
    n_atoms: int
    energy: float
    forces: FloatArray
    stress: FloatArray
    weight: float
    defect: DefectId | None


@dataclass(frozen=True, slots=True, eq=False)
class TargetBatch:
    """Targets of one step, as tensors.

    Attributes:
        graphs: the batch that the network takes.
        n_atoms: shape (n,).
        energies: shape (n,), eV, without reference energies.
        forces: shape (n_atoms of all, 3), eV/Å.
        stresses: shape (n, 3, 3), eV/Å³; not-a-number where there is none.
        weights: shape (n,).
        owners: shape (n_atoms of all,), which structure an atom is of.
        defects: the defect of each structure.
    """

    graphs: Any
    n_atoms: Tensor
    energies: Tensor
    forces: Tensor
    stresses: Tensor
    weights: Tensor
    owners: Tensor
    defects: tuple[DefectId | None, ...]

    @property
    def has_stress(self) -> Tensor:
        """Which structures have a stress, shape (n,)."""
        return ~self.stresses.isnan().any(dim=2).any(dim=1)


class Targets:
    """A sequence of targets made from frames when they are asked for, the first `KEPT_GRAPHS` kept."""

    def __init__(
        self,
        trainable: Trainable,
        frames: Sequence[LabelledFrame],
        reference_energy: Callable[[LabelledFrame], float],
        weight: float = 1.0,
    ) -> None:
        self._trainable = trainable
        self._frames = frames
        self._reference_energy = reference_energy
        self._weight = weight
        self._kept: dict[int, Target] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Target:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        target = self._make(self._frames[index])
        if len(self._kept) < KEPT_GRAPHS:
            self._kept[index] = target
        return target

    def _make(self, frame: LabelledFrame) -> Target:
        stress = frame.prediction.stress
        return Target(
            graph=graph_of(self._trainable, frame),
            n_atoms=len(frame.atoms),
            energy=frame.prediction.energy - self._reference_energy(frame),
            forces=frame.prediction.forces,
            stress=voigt_6_to_full_3x3_stress(stress) if stress is not None else np.full((3, 3), np.nan),
            weight=self._weight,
            defect=frame.origin.defect_id,
        )


def graph_of(trainable: Trainable, frame: LabelledFrame) -> Any:
    """What the network takes of a frame."""
    (item,) = neighbourhoods([frame.atoms], trainable.cutoff, f"{trainable.family} ({frame.origin.relaxation})")
    return trainable.graph(item, frame.origin.charge)


def collate(trainable: Trainable, targets: Sequence[Target]) -> TargetBatch:
    """Targets as one batch."""
    import torch

    counts = [target.n_atoms for target in targets]
    return TargetBatch(
        graphs=trainable.collate([target.graph for target in targets]),
        n_atoms=torch.tensor(counts, dtype=torch.float32),
        energies=torch.tensor([target.energy for target in targets], dtype=torch.float32),
        forces=torch.tensor(np.concatenate([target.forces for target in targets]), dtype=torch.float32),
        stresses=torch.tensor(np.stack([target.stress for target in targets]), dtype=torch.float32),
        weights=torch.tensor([target.weight for target in targets], dtype=torch.float32),
        owners=torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)),
        defects=tuple(target.defect for target in targets),
    )


def to_device(trainable: Trainable, batch: TargetBatch, device: str) -> TargetBatch:
    """The batch on a torch device."""
    return TargetBatch(
        graphs=trainable.to_device(batch.graphs, device),
        n_atoms=batch.n_atoms.to(device),
        energies=batch.energies.to(device),
        forces=batch.forces.to(device),
        stresses=batch.stresses.to(device),
        weights=batch.weights.to(device),
        owners=batch.owners.to(device),
        defects=batch.defects,
    )
