"""A force field with three numbers, for tests of the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from defectscout.learning.trainable import Outputs
from defectscout.surrogates.neighbourhood import Neighbourhood

ELEMENTS = ("Mg", "S")


class PairPotential(torch.nn.Module):
    """E = sum over pairs of d (1 - exp(-a (r - r0)))^2 / 2, where numbers start wrong."""

    def __init__(self, depth: float = 0.3, steepness: float = 1.2, length: float = 2.7) -> None:
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(depth))
        self.steepness = torch.nn.Parameter(torch.tensor(steepness))
        self.length = torch.nn.Parameter(torch.tensor(length))

    def forward(self, distances: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.depth * (1 - torch.exp(-self.steepness * (distances - self.length))) ** 2


@dataclass
class ToyTrainable:
    """Implements `Trainable` with a pair potential."""

    module: PairPotential = field(default_factory=PairPotential)
    family: str = "toy"
    cutoff: float = 4.0
    elements: tuple[str, ...] = ELEMENTS

    @property
    def references(self) -> Mapping[str, float]:
        return dict.fromkeys(ELEMENTS, 0.0)

    def graph(self, item: Neighbourhood, charge: int) -> Any:
        return item

    def collate(self, graphs: Sequence[Any]) -> Any:
        return list(graphs)

    def to_device(self, batch: Any, device: str) -> Any:
        return batch

    def outputs(self, batch: Sequence[Neighbourhood]) -> Outputs:
        energies, forces, stresses = [], [], []
        for item in batch:
            vectors = torch.tensor(item.vectors, dtype=torch.float32, requires_grad=True)
            energy = self.module(vectors.norm(dim=1)).sum()
            (gradient,) = torch.autograd.grad(energy, vectors, create_graph=True)
            force = torch.zeros(item.n_atoms, 3).index_add(0, torch.tensor(item.centres), gradient)
            force = force.index_add(0, torch.tensor(item.neighbours), -gradient)
            energies.append(energy)
            forces.append(force)
            stresses.append(vectors.T @ gradient / item.volume)
        return Outputs(torch.stack(energies), torch.cat(forces), torch.stack(stresses))

    def last_layers(self, count: int) -> tuple[torch.nn.Parameter, ...]:
        return (self.module.depth, self.module.length)[:count]

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.module.state_dict(), folder / "toy.pt")
        return folder / "toy.pt"


def toy_frames(count: int = 12, seed: int = 0, *, true: PairPotential | None = None) -> list[Any]:
    """Frames of distorted MgS whose labels come from a pair potential with other numbers."""
    from ase import Atoms
    from ase.stress import full_3x3_to_voigt_6_stress

    from defectscout.core.frames import Prediction
    from defectscout.learning.frames import FrameOrigin, LabelledFrame
    from defectscout.surrogates.neighbourhood import neighbourhoods

    generator = np.random.default_rng(seed)
    truth = ToyTrainable(true or PairPotential(0.5, 1.5, 2.6))
    cell = 5.2 * np.eye(3)
    sites = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2], [2, 2, 2]]) * 1.3
    frames = []
    for number in range(count):
        positions = sites + generator.normal(scale=0.12, size=sites.shape)
        atoms = Atoms("Mg4S4", positions=positions, cell=cell, pbc=True)
        out = truth.outputs(neighbourhoods([atoms], truth.cutoff, "toy"))
        prediction = Prediction(
            energy=float(out.energies[0]) + 4 * (-1.0) + 4 * (-2.0),
            forces=out.forces.detach().numpy().astype(float),
            stress=full_3x3_to_voigt_6_stress(out.stresses[0].detach().numpy().astype(float)),
        )
        origin = FrameOrigin("MgS", "v_Mg", 0, f"start-{number // 4}", number % 4, "toy", "memory")
        frames.append(LabelledFrame(atoms, prediction, origin))
    return frames


def toy_reference_energy(frame: Any) -> float:
    return 4 * (-1.0) + 4 * (-2.0)
