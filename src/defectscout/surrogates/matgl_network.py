"""The networks inside matgl's potentials, evaluated on edges: for the surrogate adapter and for training.

matgl's Potential differentiates by positions and strain. Here all atoms are put at the origin and the
vectors of the edges given as lattice translations, which makes the same edges, as leaves to differentiate by.
Indices of three-body terms are made once for a structure. References of the elements are left out: in
single precision they would take the digits that relaxations need (numbers near 3000 eV are 2e-4 eV apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers

from defectscout.core.frames import FloatArray
from defectscout.surrogates.edges import forces_and_stresses
from defectscout.surrogates.neighbourhood import IntArray, Neighbourhood

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MatglGraph:
    """What matgl takes of one structure.

    Attributes:
        node_type: shape (n_atoms,), rows of the elements.
        edge_index: shape (2, n_edges), centre and neighbour.
        vectors: shape (n_edges, 3), from centre to neighbour, Å.
        triples: shape (2, n_triples), the pairs of edges of three-body terms; empty for TensorNet.
        volume: Å³.
        charge: units of e.
    """

    node_type: Tensor
    edge_index: Tensor
    vectors: Tensor
    triples: Tensor
    volume: float
    charge: int


@dataclass(frozen=True, slots=True, eq=False)
class MatglBatch:
    """Graphs put behind one another, atoms and edges counted through.

    Attributes:
        node_batch: shape (n_atoms,), the structure that an atom is in.
        volumes: shape (n_structures,), Å³.
        charges: shape (n_structures,), units of e.
    """

    node_type: Tensor
    edge_index: Tensor
    vectors: Tensor
    triples: Tensor
    node_batch: Tensor
    volumes: Tensor
    charges: Tensor

    def to(self, device: str) -> MatglBatch:
        return MatglBatch(*(getattr(self, name).to(device) for name in self.__slots__))


def element_references(potential: Any) -> FloatArray:
    """Reference energies of the model's elements, in their order, eV; zeros for a potential without."""
    if potential.element_refs is None:
        return np.zeros(len(potential.model.element_types))
    values = potential.element_refs.property_offset.detach().cpu().double().numpy()
    return np.asarray(values.reshape(-1), dtype=np.float64)


def takes_charge(model: Any) -> bool:
    """Whether the charge state is one of the model's inputs."""
    return bool(getattr(model, "include_state", False))


def graph(potential: Any, item: Neighbourhood, charge: int) -> MatglGraph:
    """The graph of a structure, on the CPU."""
    import torch

    model = potential.model
    rows = {atomic_numbers[symbol]: row for row, symbol in enumerate(model.element_types)}
    triples = np.empty((2, 0), dtype=np.int64)
    if hasattr(model, "threebody_cutoff"):
        triples = three_body_pairs(item.centres, item.distances <= model.threebody_cutoff)
    return MatglGraph(
        node_type=torch.tensor([rows[int(number)] for number in item.numbers]),
        edge_index=torch.tensor(np.stack([item.centres, item.neighbours])),
        vectors=torch.tensor(item.vectors, dtype=potential.data_mean.dtype),
        triples=torch.tensor(triples, dtype=torch.int32),
        volume=item.volume,
        charge=charge,
    )


def three_body_pairs(centres: IntArray, close: NDArray[np.bool_]) -> IntArray:
    """Ordered pairs of different edges that leave the same atom, both of them `close`.

    Args:
        centres: shape (n_edges,), the atom that an edge leaves, ascending.
        close: shape (n_edges,), whether an edge is within the three-body cutoff.

    Returns:
        shape (2, n_pairs), numbers of edges.
    """
    kept = np.flatnonzero(close)
    atoms = centres[kept]
    first = np.searchsorted(atoms, atoms, side="left")
    counts = np.searchsorted(atoms, atoms, side="right") - first
    one = np.repeat(np.arange(len(kept)), counts)
    starts = np.cumsum(counts) - counts
    other = np.arange(len(one)) + np.repeat(first - starts, counts)
    different = one != other
    return np.stack([kept[one[different]], kept[other[different]]])


def collate(graphs: Sequence[MatglGraph]) -> MatglBatch:
    """One batch of graphs."""
    import torch

    atoms = [len(one.node_type) for one in graphs]
    first_atom = np.cumsum([0, *atoms])
    first_edge = np.cumsum([0, *(len(one.vectors) for one in graphs)])
    dtype = graphs[0].vectors.dtype
    return MatglBatch(
        node_type=torch.cat([one.node_type for one in graphs]),
        edge_index=torch.cat([one.edge_index + int(first_atom[i]) for i, one in enumerate(graphs)], dim=1),
        vectors=torch.cat([one.vectors for one in graphs]),
        triples=torch.cat([one.triples.long() + int(first_edge[i]) for i, one in enumerate(graphs)], dim=1),
        node_batch=torch.repeat_interleave(torch.arange(len(graphs)), torch.tensor(atoms)),
        volumes=torch.tensor([one.volume for one in graphs], dtype=dtype),
        charges=torch.tensor([one.charge for one in graphs], dtype=dtype),
    )


def evaluate(potential: Any, batch: MatglBatch, *, create_graph: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Energies without references (n_structures,), forces (n_atoms, 3) and stresses (n_structures, 3, 3).

    Args:
        potential: matgl's Potential.
        batch: structures, on the same device.
        create_graph: keep what a loss of forces needs to be differentiated.

    Returns:
        eV, eV/Å, eV/Å³ in ASE's sign.
    """
    import torch

    vectors = batch.vectors.detach().requires_grad_(True)
    energies = _energies(potential, batch, vectors)
    (gradient,) = torch.autograd.grad(energies.sum(), [vectors], create_graph=create_graph)
    forces, stresses = forces_and_stresses(batch.vectors, gradient, batch.edge_index, batch.node_batch, batch.volumes)
    return energies, forces, stresses


def _energies(potential: Any, batch: MatglBatch, vectors: Tensor) -> Tensor:
    import torch

    model = potential.model
    structures = SimpleNamespace(
        node_type=batch.node_type,
        pos=vectors.new_zeros((len(batch.node_type), 3)),
        edge_index=batch.edge_index,
        pbc_offshift=vectors,
        batch=batch.node_batch,
        num_graphs=len(batch.volumes),
    )
    states = batch.charges.view(-1, 1) if takes_charge(model) else None
    lines = _line_graph(model, batch, vectors) if hasattr(model, "threebody_cutoff") else None
    # cuDNN's LSTM, inside Set2Set, cannot be differentiated twice.
    with torch.backends.cudnn.flags(enabled=False):
        raw: Tensor = model(g=structures, state_attr=states, **({} if lines is None else {"l_g": lines}))
    model.feature_dict = {}  # keeps the last batch's graph alive otherwise, and hinders copying
    energies = raw.reshape(-1) * potential.data_std + potential.data_mean
    if model.is_intensive:
        energies = energies * torch.bincount(batch.node_batch, minlength=len(batch.volumes))
    return energies


def _line_graph(model: Any, batch: MatglBatch, vectors: Tensor) -> dict[str, Tensor]:
    """matgl's three-body terms.

    matgl compares the edges within its cutoff, as it measures them, with those that the terms were made of. An
    edge that is a rounding error away from the cutoff has no weight: on which side it counts does not matter.
    """
    import torch

    with torch.no_grad():
        close = torch.nonzero(torch.norm(vectors, dim=1) <= model.threebody_cutoff).squeeze(1)
    return {
        "line_edge_index": batch.triples,
        "kept_edge_ids": close,
        "n_triple_ij": batch.edge_index.new_zeros(len(vectors)),
    }
