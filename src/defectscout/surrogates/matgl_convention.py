"""M3GNet models that matgl before 3.0 trained, and how they are evaluated as they were meant.

matgl 3.0 changed the message passing of M3GNet and TensorNet: messages along an edge are summed on
its source, the atom in the centre, where older versions summed them on its destination. matgl's notes
say that older weights are not valid any more, but it loads them without a word: elements
come out right, since all atoms are alike, and compounds wrong. M3GNet-MP-2021.2.8-PES,
for one, then gives CdTe a lattice constant of 6.785 Å, where its model card, and the same
weights with messages summed as they were trained, give 6.634 Å.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from defectscout.core.errors import ModelFileError
from defectscout.surrogates.provenance import stated

Aggregation = Literal["source", "destination"]

OLD_M3GNET_MODULE: Final = "matgl.models._m3gnet"
"""Module of M3GNet in matgl 0.x to 2.x, and again since 4.0; 3.x had `_m3gnet_pyg` and `_m3gnet_dgl`."""

NEW_ARGUMENT: Final = "compile_model"
"""Argument of matgl's Potential since 3.0.4. A model file holds all arguments that its potential was made with."""

FIRST_VALID_TENSORNET: Final = 2
"""TensorNet's own version number counted the change."""


def aggregation(record: Mapping[str, Any], surrogate: str) -> Aggregation:
    """Where the model of a matgl folder sums its messages.

    Args:
        record: contents of the folder's model.json.
        surrogate: name of the surrogate, for the message.

    Raises:
        ModelFileError: for a TensorNet of matgl before 3.0.
    """
    says = stated(record.get("metadata")).get("aggregation")
    if says == "source" or says == "destination":
        return says
    arguments = record.get("kwargs", {})
    model = arguments.get("model", {})
    if model.get("@class") == "TensorNet" and model.get("@model_version", 0) < FIRST_VALID_TENSORNET:
        raise ModelFileError(
            f"The surrogate '{surrogate}' cannot be used: its TensorNet was trained with matgl before 3.0, whose "
            "message passing later versions do not have, so that its numbers would be wrong. Use newer weights, such "
            "as tensornet:TensorNet-PES-MatPES-PBE-2025.2."
        )
    old = (
        model.get("@class") == "M3GNet" and model.get("@module") == OLD_M3GNET_MODULE and NEW_ARGUMENT not in arguments
    )
    return "destination" if old else "source"


def sum_on_destination(potential: Any) -> None:
    """Make `potential`, with an M3GNet model, sum messages on the destination of edges, in place.

    Raises:
        ModelFileError: if this version of matgl has no such step to change.
    """
    import torch
    from matgl.layers import M3GNetGraphConv

    convolutions = [module for module in potential.modules() if type(module) is M3GNetGraphConv]
    if not convolutions or not hasattr(M3GNetGraphConv, "node_update_"):
        raise ModelFileError(
            "The M3GNet model was trained with matgl before 3.0, and the installed matgl cannot be made to evaluate "
            "it as it was trained. Install matgl 4.1, or use newer weights, such as "
            "m3gnet:M3GNet-PES-MatPES-PBE-2025.2."
        )

    class OldGraphConv(M3GNetGraphConv):  # type: ignore[misc]
        """M3GNet's graph convolution before matgl 3.0."""

        def node_update_(
            self, edge_index: Any, edge_feat: Any, node_feat: Any, rbf: Any, u_per_edge: Any, num_nodes: int
        ) -> Any:
            source, destination = edge_index[0], edge_index[1]
            parts = [node_feat[source], node_feat[destination], edge_feat]
            if self.include_state:
                parts.append(u_per_edge)
            messages = self.node_update_func(torch.hstack(parts)) * self.node_weight_func(rbf)
            return messages.new_zeros((num_nodes, messages.shape[1])).index_add(0, destination.long(), messages)

    for convolution in convolutions:
        convolution.__class__ = OldGraphConv


def aggregation_of(potential: Any) -> Aggregation:
    """Where a loaded potential sums its messages."""
    old = any(type(module).__name__ == "OldGraphConv" for module in potential.modules())
    return "destination" if old else "source"
