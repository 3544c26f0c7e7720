"""Forces and stresses from what an energy says of the vectors between atoms: the same for all graph networks.

An energy that depends on positions and cell through the vectors r from atom to neighbour alone, with g = dE/dr,
pushes the atom that a vector starts from by g and the one where it ends by -g, and its stress is the sum of
r g / V: one gradient gives both, and there is no need to differentiate through positions, cells or strains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def forces_and_stresses(
    vectors: Tensor, gradient: Tensor, edge_index: Tensor, node_batch: Tensor, volumes: Tensor
) -> tuple[Tensor, Tensor]:
    """Forces and stresses of a batch.

    Args:
        vectors: shape (n_edges, 3), from centre to neighbour, Å.
        gradient: shape (n_edges, 3), derivative of the sum of energies by `vectors`, eV/Å.
        edge_index: shape (2, n_edges), centre and neighbour.
        node_batch: shape (n_atoms,), the structure that an atom is in.
        volumes: shape (n_structures,), Å³.

    Returns:
        forces, shape (n_atoms, 3), eV/Å, and symmetric stresses, shape (n_structures, 3, 3), eV/Å³, ASE's sign.
    """
    centres, neighbours = edge_index
    nothing = gradient.new_zeros((len(node_batch), 3))
    forces = nothing.index_add(0, centres, gradient).index_add(0, neighbours, -gradient)
    per_edge = vectors.unsqueeze(2) * gradient.unsqueeze(1)
    virials = gradient.new_zeros((len(volumes), 3, 3)).index_add(0, node_batch[centres], per_edge)
    stresses = (virials + virials.transpose(1, 2)) / (2 * volumes.view(-1, 1, 1))
    return forces, stresses
