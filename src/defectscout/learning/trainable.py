"""What every model family offers to the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from defectscout.surrogates.neighbourhood import Neighbourhood

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a model says of a batch, differentiable with respect to its parameters.

    Attributes:
        energies: shape (n_structures,), eV for the whole cell, without the elements' reference energies.
        forces: shape (n_atoms of all structures, 3), eV/Å, in the order of the structures.
        stresses: shape (n_structures, 3, 3), eV/Å³, ASE's sign.
    """

    energies: Tensor
    forces: Tensor
    stresses: Tensor


class Trainable(Protocol):
    """A force field whose weights can be trained.

    Energies are split in two: the network's part, which training changes, and one reference
    energy for each element, which is fitted to the data before (`element_references`).
    """

    @property
    def family(self) -> str:
        """Name of the adapter that evaluates it, such as `m3gnet`."""

    @property
    def module(self) -> Module:
        """The torch module with all weights."""

    @property
    def cutoff(self) -> float:
        """Radius within which atoms see each other, Å."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols that it can take."""

    @property
    def references(self) -> Mapping[str, float]:
        """The reference energy of each element that the model came with, eV; zeros from scratch."""

    def graph(self, item: Neighbourhood, charge: int) -> Any:
        """What the network takes of one structure, on the CPU; it may be kept and used again."""

    def collate(self, graphs: Sequence[Any]) -> Any:
        """One batch of graphs."""

    def to_device(self, batch: Any, device: str) -> Any:
        """The batch on a torch device; the module is moved by the loop."""

    def outputs(self, batch: Any) -> Outputs:
        """Energies, forces and stresses; in training mode a loss of them can be differentiated (second derivatives)."""

    def last_layers(self, count: int) -> tuple[Parameter, ...]:
        """Parameters of the last (1) or the last two (2) layers, for `train = last` and `last2` (paper, table S9)."""

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        """Write weights in the family's own format, with `references` (eV) in them.

        Returns:
            The file or folder inside `folder` that the family's surrogate adapter loads, as in `m3gnet:PATH`.
        """


def parameters_named(module: Module, beginnings: Sequence[str]) -> tuple[Parameter, ...]:
    """Parameters whose names begin with one of `beginnings`, without empty ones."""
    return tuple(
        weights for name, weights in module.named_parameters() if name.startswith(tuple(beginnings)) and weights.numel()
    )
