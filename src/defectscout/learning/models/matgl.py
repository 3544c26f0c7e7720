"""Training of matgl's M3GNet and TensorNet (DOI 10.1038/s43588-022-00349-3, 10.48550/arXiv.2306.06482)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from defectscout.core.errors import SettingsError
from defectscout.core.quiet import quiet
from defectscout.learning.models.fresh import seeded
from defectscout.learning.models.requests import check_elements_known, check_only_family
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.learning.trainable import Outputs, Trainable
from defectscout.surrogates.matgl import family_of, read, require_matgl, save
from defectscout.surrogates.matgl_network import (
    MatglBatch,
    MatglGraph,
    collate,
    element_references,
    evaluate,
    graph,
    takes_charge,
)
from defectscout.surrogates.neighbourhood import Neighbourhood

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

READOUTS: Final = {"weighted_atom": "weighted_atom", "reduce": "reduce_atom", "set2set": "set2set"}
"""matgl's names of readouts."""


def load(name: str, settings: TrainSettings) -> Trainable:
    """A potential of matgl to be trained: `name` as of a surrogate, or the family's name for `train = scratch`.

    Fresh weights have matgl's default sizes and elements. The readout `weighted_atom` sums energies of atoms;
    `reduce` and `set2set` make one vector of the features of all atoms (their mean, or what Set2Set makes of
    them), from which the energy of the cell for each of its atoms is found. With `charge_as_input` the charge
    state is the one component of M3GNet's global state.

    Raises:
        MissingExtraError, ModelFileError: as the surrogate adapter.
        SettingsError: for an architecture that the family does not have.
    """
    family = family_of(name)
    if settings.train == "scratch":
        check_only_family(name, family)
        potential = _fresh(family, settings)
    else:
        potential = read(name)[0]
        if settings.architecture.charge_as_input and not takes_charge(potential.model):
            raise SettingsError(
                f"The setting architecture.charge_as_input cannot be met: '{name}' was trained without charges. "
                "Set train = 'scratch', or leave it false."
            )
    potential.requires_grad_(True)
    return MatglTrainable(family, potential)


def _fresh(family: str, settings: TrainSettings) -> Any:
    require_matgl(f"Training of '{family}'")
    with quiet():
        from matgl.apps.pes import Potential
        from matgl.config import DEFAULT_ELEMENTS
        from matgl.models import M3GNet, TensorNet

        with seeded(settings.seed):
            if family == "m3gnet":
                model = M3GNet(DEFAULT_ELEMENTS, **_m3gnet_arguments(settings.architecture))
            else:
                model = TensorNet(DEFAULT_ELEMENTS, **_tensornet_arguments(settings.architecture))
    return Potential(model)


def _m3gnet_arguments(architecture: ArchitectureSettings) -> dict[str, Any]:
    state: dict[str, Any] = {"include_state": True, "dim_state_embedding": 1} if architecture.charge_as_input else {}
    return {
        "cutoff": architecture.cutoff,
        "threebody_cutoff": architecture.three_body_cutoff,
        "is_intensive": architecture.readout != "weighted_atom",
        "readout_type": READOUTS[architecture.readout],
        **state,
    }


def _tensornet_arguments(architecture: ArchitectureSettings) -> dict[str, Any]:
    if architecture.charge_as_input:
        raise SettingsError(
            "The setting architecture.charge_as_input cannot be met: matgl's TensorNet takes no total charge. "
            "Use the family m3gnet, or leave it false."
        )
    if architecture.readout == "set2set":
        raise SettingsError(
            "The setting architecture.readout = 'set2set' cannot be met: matgl's TensorNet has no such readout. "
            "Use weighted_atom or reduce, or the family m3gnet."
        )
    return {
        "cutoff": architecture.cutoff,
        "is_intensive": architecture.readout != "weighted_atom",
        "readout_type": READOUTS[architecture.readout],
        "use_warp": False,  # its kernels have no second derivatives
    }


@dataclass(frozen=True, slots=True, eq=False)
class MatglTrainable:
    """A potential of matgl under training."""

    family: str
    module: Any

    @property
    def cutoff(self) -> float:
        return float(self.module.model.cutoff)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(self.module.model.element_types)

    @property
    def references(self) -> Mapping[str, float]:
        return dict(zip(self.elements, element_references(self.module).tolist(), strict=True))

    def graph(self, item: Neighbourhood, charge: int) -> MatglGraph:
        return graph(self.module, item, charge)

    def collate(self, graphs: Sequence[MatglGraph]) -> MatglBatch:
        return collate(graphs)

    def to_device(self, batch: MatglBatch, device: str) -> MatglBatch:
        return batch.to(device)

    def outputs(self, batch: MatglBatch) -> Outputs:
        """Energies, forces and stresses; outside of training mode without what a loss needs."""
        training = bool(self.module.training)
        energies, forces, stresses = evaluate(self.module, batch, create_graph=training)
        return Outputs(energies if training else energies.detach(), forces, stresses)

    def last_layers(self, count: int) -> tuple[Parameter, ...]:
        """1: the readout; 2: the readout and the last graph layer, for M3GNet with its three-body term."""
        model = self.module.model
        layers: list[Module] = [getattr(model, name) for name in ("readout", "final_layer") if hasattr(model, name)]
        if self.family == "tensornet":  # a normalisation and a linear layer before the readout belong to it
            layers += [model.out_norm, model.linear]
        if count > 1 and self.family == "m3gnet":
            layers += [model.graph_layers[-1], model.three_body_interactions[-1]]
        elif count > 1:
            layers.append(model.layers[-1])
        return tuple(parameter for layer in layers for parameter in layer.parameters())

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        """Write matgl's three files into `folder`, with `references` (eV) in the place of the model's own.

        Raises:
            UnsupportedElementError: for a reference of an element that the model does not take.
        """
        import torch
        from matgl.layers import AtomRef

        check_elements_known(references, self.elements, "matgl")
        values = {**self.references, **references}
        offsets = torch.tensor([values[symbol] for symbol in self.elements], dtype=torch.float64)
        saved = copy.deepcopy(self.module).cpu()
        saved.element_refs = AtomRef(property_offset=offsets)
        saved._init_args = {**saved._init_args, "element_refs": offsets}
        save(saved, folder, tuned=tuned)
        return folder
