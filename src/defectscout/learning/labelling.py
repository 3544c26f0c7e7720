"""What a model that is being trained says of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from defectscout.core.chunks import chunks
from defectscout.core.frames import FloatArray
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.settings import ReplaySettings
from defectscout.learning.targets import Target, graph_of
from defectscout.learning.trainable import Trainable

AT_ONCE = 4


def network_energies(trainable: Trainable, frames: Sequence[LabelledFrame]) -> FloatArray:
    """Energies of the network's part, without element references, eV, shape (n_frames,)."""
    trainable.module.eval()
    found: list[float] = []
    for batch in chunks(frames, AT_ONCE):
        outputs = trainable.outputs(trainable.collate([graph_of(trainable, frame) for frame in batch]))
        found += [float(energy) for energy in outputs.energies.detach()]
    return np.array(found)


def replayed(
    trainable: Trainable, frames: Sequence[LabelledFrame], settings: ReplaySettings, seed: int
) -> list[Target]:
    """Perturbed copies of frames with what the untouched network says of them, to be learned beside the data.

    A network that is reminded of its own answers around the training frames keeps what it knew there, as far as
    the data do not say otherwise (rehearsal; Robins, DOI 10.1080/09540099550039318).

    Args:
        trainable: before training.
        frames: configurations to perturb, taken in turn.
        settings: how many, how far, and their weight.
        seed: of the displacements.
    """
    generator = np.random.default_rng(seed)
    chosen = [frames[int(i)] for i in generator.permutation(len(frames))[: settings.frames]]
    perturbed = []
    for frame in chosen:
        atoms = frame.atoms.copy()
        atoms.positions += generator.normal(scale=settings.displacement, size=atoms.positions.shape)
        perturbed.append(replace(frame, atoms=atoms))
    trainable.module.eval()
    targets: list[Target] = []
    for batch in chunks(perturbed, AT_ONCE):
        graphs = [graph_of(trainable, frame) for frame in batch]
        outputs = trainable.outputs(trainable.collate(graphs))
        forces = outputs.forces.detach().cpu().double().numpy()
        end = 0
        for k, (frame, graph) in enumerate(zip(batch, graphs, strict=True)):
            start, end = end, end + len(frame.atoms)
            targets.append(
                Target(
                    graph=graph,
                    n_atoms=len(frame.atoms),
                    energy=float(outputs.energies[k].detach()),
                    forces=forces[start:end],
                    stress=outputs.stresses[k].detach().cpu().double().numpy(),
                    weight=settings.weight,
                    defect=None,
                )
            )
    return targets
