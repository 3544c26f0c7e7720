"""SevenNet's convolution, arranged so that it is quick to differentiate twice on a CPU.

Imports torch and sevenn: import it inside the function that needs it.
"""

from __future__ import annotations

from typing import Any

import sevenn._keys as keys
import torch
from e3nn.o3 import wigner_3j  # type: ignore[import-untyped, unused-ignore]
from sevenn.nn.convolution import IrrepsConvolution
from torch import Tensor


def quicken(module: Any) -> None:
    """Put `QuickConvolution` in the place of every convolution of a SevenNet model that it can stand for."""
    for name, part in list(module.named_children()):
        if isinstance(part, IrrepsConvolution) and QuickConvolution.can_stand_for(part):
            module.replace_module(name, QuickConvolution(part))


class QuickConvolution(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """The same sums as sevenn's `IrrepsConvolution`, with its parameters under the same names.

    e3nn's generated code cuts slices out of what is known of each edge, one for each path of the tensor product.
    The second derivative of a slice is a tensor of full width, nearly all zeros, which is filled
    and added: half of the time of a training step of 7net-0. Its innermost index, moreover, is the
    component of an irrep, of which there are 1 to 7, too few for vector instructions. Here slices are cut
    of nodes, of which there are ten times fewer than edges; the innermost index is the channel; and
    all paths from one irrep are one batched matrix product.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.convolution = original.convolution  # its buffers belong to a checkpoint
        self.weight_nn = original.weight_nn
        self.denominator = original.denominator
        product = original.convolution
        first, second = product.irreps_in1, product.irreps_in2
        paths = product.instructions
        self.channels = [irrep.mul for irrep in first]
        self.components = [irrep.ir.dim for irrep in first]
        self.paths_of = [[n for n, path in enumerate(paths) if path.i_in1 == i] for i in range(len(first))]
        self.places = [path.i_out for path in paths]
        self.weight_widths = [first[path.i_in1].mul for path in paths]
        self.out_components = [product.irreps_out[path.i_out].ir.dim for path in paths]
        for i, chosen in enumerate(self.paths_of):
            couplings = [_coupling(product, paths[n]) for n in chosen]
            coupling = torch.cat(couplings, dim=1) if couplings else torch.zeros(second.dim, 0, first[i].ir.dim)
            self.register_buffer(f"coupling_{i}", coupling, persistent=False)

    @staticmethod
    def can_stand_for(original: Any) -> bool:
        """Whether it is the usual convolution: no accelerator's, no part of a parallel model."""
        product = original.convolution
        return (
            hasattr(product, "instructions")
            and not original.is_parallel
            and (original.key_x, original.key_filter) == (keys.NODE_FEATURE, keys.EDGE_ATTR)
            and (original.key_weight_input, original.key_edge_idx) == (keys.EDGE_EMBEDDING, keys.EDGE_IDX)
            and all(path.connection_mode == "uvu" and path.has_weight for path in product.instructions)
            and all(irrep.mul == 1 for irrep in product.irreps_in2)
            and sorted(path.i_out for path in product.instructions) == list(range(len(product.irreps_out)))
        )

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace the features of each node by the sum over its edges, as `IrrepsConvolution` does."""
        x, spherical = data[keys.NODE_FEATURE], data[keys.EDGE_ATTR]
        centres, neighbours = data[keys.EDGE_IDX]
        n_nodes, n_edges = len(x), len(neighbours)
        weights = split(self.weight_nn(data[keys.EDGE_EMBEDDING]), self.weight_widths, -1)
        sums: list[Any] = [None] * len(self.places)
        widths = [channels * components for channels, components in zip(self.channels, self.components, strict=True)]
        for i, features in enumerate(x.split(widths, dim=-1)):
            chosen, channels, components = self.paths_of[i], self.channels[i], self.components[i]
            if not chosen:
                continue
            coupling = getattr(self, f"coupling_{i}")
            edges = (spherical @ coupling.flatten(1)).view(n_edges, -1, components)
            seen = features.view(n_nodes, channels, components).transpose(1, 2).contiguous()[neighbours]
            messages = split(torch.bmm(edges, seen), [self.out_components[n] for n in chosen], 1)
            for n, message in zip(chosen, messages, strict=True):
                weighted = message * weights[n].unsqueeze(1)
                summed = weighted.new_zeros(n_nodes, *weighted.shape[1:]).index_add(0, centres, weighted)
                sums[self.places[n]] = summed.transpose(1, 2).reshape(n_nodes, -1)
        data[keys.NODE_FEATURE] = torch.cat(sums, dim=-1).div(self.denominator)
        return data


def _coupling(product: Any, path: Any) -> Tensor:
    """Weighted 3j symbols of a path, shape (components of the second argument, of the output, of the first)."""
    irreps = product.irreps_in1[path.i_in1].ir, product.irreps_in2[path.i_in2].ir, product.irreps_out[path.i_out].ir
    symbols = wigner_3j(*(irrep.l for irrep in irreps)) * path.path_weight
    coupling = torch.zeros(product.irreps_in2.dim, irreps[2].dim, irreps[0].dim)
    coupling[product.irreps_in2.slices()[path.i_in2]] = symbols.permute(1, 2, 0)
    return coupling


def split(whole: Tensor, widths: list[int], dim: int) -> tuple[Tensor, ...]:
    """`torch.split`, whose second derivative fills no tensor of full width with zeros."""
    pieces: tuple[Tensor, ...] = _Split.apply(whole, widths, dim)
    return pieces


class _Split(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def forward(ctx: Any, whole: Tensor, widths: list[int], dim: int) -> tuple[Tensor, ...]:
        ctx.widths, ctx.dim = widths, dim
        return tuple(piece.contiguous() if len(widths) > 1 else piece.clone() for piece in whole.split(widths, dim))

    @staticmethod
    def backward(ctx: Any, *pieces: Tensor) -> tuple[Tensor, None, None]:
        return _Join.apply(ctx.widths, ctx.dim, *pieces), None, None


class _Join(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def forward(ctx: Any, widths: list[int], dim: int, *pieces: Tensor) -> Tensor:
        ctx.widths, ctx.dim = widths, dim
        return torch.cat(pieces, dim=dim)

    @staticmethod
    def backward(ctx: Any, whole: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_Split.apply(whole, ctx.widths, ctx.dim)
