"""The loss of energies, forces and stresses, and the errors that are logged beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.learning.settings import TrainSettings
from defectscout.learning.targets import TargetBatch
from defectscout.learning.trainable import Outputs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Loss and errors of one batch.

    Attributes:
        total: weighted sum of the three parts, mean over the structures.
        rest: the part of it that is not of energies.
        energy: mean absolute error, eV/atom.
        force: mean absolute error of the components, eV/Å.
        stress: mean absolute error of the components, GPa; not-a-number if no structure has a stress.
    """

    total: Tensor
    rest: Tensor
    energy: Tensor
    force: Tensor
    stress: Tensor


def losses(outputs: Outputs, batch: TargetBatch, settings: TrainSettings) -> Losses:
    """Loss of energies (eV/atom), forces (eV/Å) and stresses (GPa), as in the paper, section IV A.

    Each structure counts alike, whatever its number of atoms: its force term is the mean over its components.
    """
    import torch

    energy = (outputs.energies - batch.energies) / batch.n_atoms
    force = outputs.forces - batch.forces
    per_structure = torch.zeros_like(batch.energies).index_add(0, batch.owners, _penalty(force, settings).mean(dim=1))
    rest = settings.force_weight * per_structure / batch.n_atoms
    has_stress = batch.has_stress
    stress = (outputs.stresses[has_stress] - batch.stresses[has_stress]) * EV_PER_A3_IN_GPA
    if settings.stress_weight and has_stress.any():
        share = torch.zeros_like(rest)
        share[has_stress] = _penalty(stress, settings).mean(dim=(1, 2))
        rest = rest + settings.stress_weight * share
    rest = (rest * batch.weights).mean()
    return Losses(
        total=rest + settings.energy_weight * (_penalty(energy, settings) * batch.weights).mean(),
        rest=rest.detach(),
        energy=energy.detach().abs().mean(),
        force=force.detach().abs().mean(),
        stress=stress.detach().abs().mean() if has_stress.any() else torch.full_like(energy[0], torch.nan).detach(),
    )


def energy_loss(error: Tensor, settings: TrainSettings) -> Tensor:
    """The part of energies in the loss, from errors in eV/atom, mean over the structures."""
    return settings.energy_weight * _penalty(error, settings).mean()


def _penalty(error: Tensor, settings: TrainSettings) -> Tensor:
    """Squared error, or Huber's loss in the same scale: squared near zero, linear beyond `huber_delta`."""
    if settings.loss == "mse":
        return error**2
    import torch

    return 2 * torch.nn.functional.huber_loss(
        error, torch.zeros_like(error), reduction="none", delta=settings.huber_delta
    )
