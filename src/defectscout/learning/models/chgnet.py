"""Training of CHGNet (DOI 10.1038/s42256-023-00716-3).

Its reference energies are taken out of the network for the time of training, and put back on saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from defectscout.core.errors import SettingsError
from defectscout.core.quiet import quiet
from defectscout.learning.models.fresh import seeded
from defectscout.learning.models.requests import check_elements_known, check_no_charge, check_only_family
from defectscout.learning.settings import TrainSettings
from defectscout.learning.trainable import Outputs, Trainable
from defectscout.surrogates.chgnet import SHIPPED, crystal_graph, read, trained_elements
from defectscout.surrogates.edges import forces_and_stresses
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

FILE: Final = "chgnet.pth.tar"
"""Name of the file that a trained model is saved in."""


def load(name: str, settings: TrainSettings) -> Trainable:
    """CHGNet to be trained: `name` as of a surrogate, or fresh weights for `train = scratch`.

    Fresh weights take the cutoffs of `architecture` (CHGNet's own are 6 and 3 Å) and start without references.

    Raises:
        ModelFileError: as the surrogate adapter.
        SettingsError: for an architecture that CHGNet does not have.
    """
    check_no_charge(settings.architecture, "CHGNet")
    if settings.train == "scratch":
        check_only_family(name, "chgnet")
        model, weights = _fresh(settings), SHIPPED[0]
    else:
        model, weights, _ = read(name)
    references = _references(model)
    model.composition_model = None
    model.requires_grad_(True)
    elements = trained_elements(model, weights)
    return ChgnetTrainable(model, {symbol: references[symbol] for symbol in chemical_symbols if symbol in elements})


def _fresh(settings: TrainSettings) -> Any:
    architecture = settings.architecture
    if architecture.readout != "weighted_atom":
        raise SettingsError(
            f"The setting architecture.readout = '{architecture.readout}' cannot be met: CHGNet has a readout of "
            "its own, a sum over atoms. Use the family m3gnet, or leave it out."
        )
    with quiet():
        from chgnet.model import CHGNet

        with seeded(settings.seed):
            return CHGNet(
                composition_model=None,
                atom_graph_cutoff=architecture.cutoff,
                bond_graph_cutoff=architecture.three_body_cutoff,
            )


def _references(model: Any) -> dict[str, float]:
    """Reference energies by element, eV; zeros for a model without."""
    if model.composition_model is None:
        return dict.fromkeys(chemical_symbols[1:95], 0.0)
    values = model.composition_model.fc.weight.detach().double().numpy().reshape(-1)
    return {chemical_symbols[row + 1]: float(value) for row, value in enumerate(values)}


@dataclass(frozen=True, slots=True, eq=False)
class ChgnetGraph:
    """CHGNet's graph of one structure, the vectors of its edges (shape (n_edges, 3), Å), and its volume (Å³)."""

    crystal: Any
    vectors: Tensor
    volume: float


@dataclass(frozen=True, slots=True, eq=False)
class ChgnetBatch:
    """Several structures.

    Attributes:
        crystals: CHGNet's graphs.
        vectors: shape (n_edges of all, 3), from centre to neighbour, Å.
        edge_index: shape (2, n_edges of all), counted through.
        node_batch: shape (n_atoms of all,), the structure that an atom is in.
        volumes: shape (n_structures,), Å³.
    """

    crystals: tuple[Any, ...]
    vectors: Tensor
    edge_index: Tensor
    node_batch: Tensor
    volumes: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ChgnetTrainable:
    """CHGNet under training, with the reference energies (eV) that it came with."""

    module: Any
    references: Mapping[str, float]

    @property
    def family(self) -> str:
        return "chgnet"

    @property
    def cutoff(self) -> float:
        return float(self.module.graph_converter.atom_graph_cutoff)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(self.references)

    def graph(self, item: Neighbourhood, charge: int) -> ChgnetGraph:
        """CHGNet's graph; the charge means nothing to it.

        CHGNet takes positions and the lattice translations of edges. All atoms at the origin, edges' vectors as
        translations, and a unit matrix for a lattice give the same edges, as leaves to differentiate by.
        """
        import torch

        crystal = crystal_graph(self.module.graph_converter, item)
        crystal.atom_frac_coord = torch.zeros_like(crystal.atom_frac_coord)
        crystal.lattice = torch.eye(3)
        return ChgnetGraph(crystal, torch.tensor(item.vectors, dtype=torch.float32), item.volume)

    def collate(self, graphs: Sequence[ChgnetGraph]) -> ChgnetBatch:
        import torch

        atoms = [len(graph.crystal.atomic_number) for graph in graphs]
        first = np.concatenate([[0], np.cumsum(atoms)])
        edges = [graph.crystal.atom_graph.long() + int(first[i]) for i, graph in enumerate(graphs)]
        return ChgnetBatch(
            crystals=tuple(graph.crystal for graph in graphs),
            vectors=torch.cat([graph.vectors for graph in graphs]),
            edge_index=torch.cat(edges).T,
            node_batch=torch.repeat_interleave(torch.arange(len(graphs)), torch.tensor(atoms)),
            volumes=torch.tensor([graph.volume for graph in graphs], dtype=torch.float32),
        )

    def to_device(self, batch: ChgnetBatch, device: str) -> ChgnetBatch:
        return ChgnetBatch(
            tuple(crystal.to(device) for crystal in batch.crystals),
            batch.vectors.to(device),
            batch.edge_index.to(device),
            batch.node_batch.to(device),
            batch.volumes.to(device),
        )

    def outputs(self, batch: ChgnetBatch) -> Outputs:
        """Energies, forces and stresses; outside of training mode without what a loss needs."""
        import torch

        vectors = batch.vectors.detach().requires_grad_(True)
        parts = vectors.split([len(crystal.atom_graph) for crystal in batch.crystals])
        graphs = [_with_vectors(crystal, part) for crystal, part in zip(batch.crystals, parts, strict=True)]
        energies = self.module(graphs, task="e")["e"]
        if self.module.is_intensive:
            energies = energies * torch.bincount(batch.node_batch, minlength=len(graphs))
        (gradient,) = torch.autograd.grad(energies.sum(), [vectors], create_graph=self.module.training)
        forces, stresses = forces_and_stresses(
            batch.vectors, gradient, batch.edge_index, batch.node_batch, batch.volumes
        )
        return Outputs(energies if self.module.training else energies.detach(), forces, stresses)

    def last_layers(self, count: int) -> tuple[Parameter, ...]:
        """1: the readout; 2: the readout, the normalisation before it, and the last layer of the atom graph."""
        layers: list[Module] = [self.module.mlp]
        if count > 1:
            layers.append(self.module.atom_conv_layers[-1])
            if self.module.readout_norm is not None:
                layers.append(self.module.readout_norm)
        return tuple(parameter for layer in layers for parameter in layer.parameters())

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        """Write `chgnet.pth.tar` into `folder`, with `references` (eV) in the place of CHGNet's own.

        Raises:
            UnsupportedElementError: for a reference of an element that CHGNet was not trained on.
        """
        import torch

        check_elements_known(references, self.elements, "CHGNet")
        values = {**self.references, **references}
        offsets = torch.zeros(1, self.module.atom_embedding.embedding.num_embeddings)
        for symbol, value in values.items():
            offsets[0, atomic_numbers[symbol] - 1] = value
        state = {key: value.detach().cpu().clone() for key, value in self.module.state_dict().items()}
        model = {
            "state_dict": {**state, "composition_model.fc.weight": offsets},
            # Makes CHGNet build a table of references, which the weights above then fill.
            "model_args": {**self.module.model_args, "composition_model": "MPtrj"},
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        torch.save({"model": model, STATEMENT_KEY: {"tuned": tuned}}, path)
        return path


def _with_vectors(crystal: Any, vectors: Tensor) -> Any:
    from chgnet.graph.crystalgraph import CrystalGraph

    # CHGNet's vectors run from neighbour to centre; its image of the neighbour is the centre's vector to it.
    return CrystalGraph(**{**crystal.to_dict(), "neighbor_image": vectors})
