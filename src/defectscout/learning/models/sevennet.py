"""SevenNet (DOI 10.1021/acs.jctc.4c00190) as something to train: `7net-0`, `7net-l3i5`, `7net:FILE`, `7net`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ase.data import atomic_numbers, chemical_symbols

from defectscout.core.quiet import quiet
from defectscout.learning.models.fresh import ALL_ELEMENTS, mean_neighbours, seeded
from defectscout.learning.models.requests import check_elements_known, check_no_charge, check_only_family
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.learning.trainable import Outputs, parameters_named
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY
from defectscout.surrogates.sevennet import build, graph, require_sevenn, weights_file

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

FILE_NAME: Final = "sevennet.pth"

_RESCALE: Final = "rescale_atomic_energy"
"""SevenNet's last layer: energy of an atom = what the network says, times scale, plus shift."""

_READOUT: Final = ("reduce_input_to_hidden", "reduce_hidden_to_energy", "readout_FCN")

_TO_3X3: Final = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
"""Where each component of a stress stands in SevenNet's order xx yy zz xy yz zx."""


def load(name: str, settings: TrainSettings, elements: tuple[str, ...] | None = None) -> TrainableSevenNet:
    """SevenNet with the weights of `name`, or, with `settings.train = "scratch"`, with new ones.

    A new network has sevenn's own default architecture (three convolutions, 32 channels,
    angular momenta up to 1 with parity, 8 Bessel functions) except for the cutoff, which is
    `settings.architecture.cutoff`, and for the self-connection, which is the linear one of the
    universal models: sevenn's default has a matrix for each element. What sevenn takes from the
    training set, the mean number of neighbours and the scale of energies, is a constant here
    (`fresh.mean_neighbours`; 1 eV), so that new weights depend on settings alone.

    Args:
        name: `7net-0`, `7net-l3i5`, `7net:FILE`; `7net` with `scratch`.
        settings: `train`, `architecture` and `seed` are read.
        elements: symbols that a new network can take; hydrogen to plutonium by default.

    Raises:
        MissingExtraError: if sevenn is not installed.
        ModelFileError: if the file is missing, is no checkpoint of SevenNet, or holds a model of several fidelities.
        SettingsError: if the charge is asked for as an input, or a file is named with `scratch`.
    """
    check_no_charge(settings.architecture, "SevenNet")
    require_sevenn(f"Training '{name}'")
    if settings.train == "scratch":
        check_only_family(name, "7net")
        module, config = _new(settings.architecture, elements or ALL_ELEMENTS, settings.seed)
    else:
        file = weights_file(name)
        module = build(file, name)
        config = _config(file)
    with quiet():
        from defectscout.learning.models.sevennet_convolution import quicken
    quicken(module)
    references = _take_references(module)
    return TrainableSevenNet(module, config, references)


@dataclass(frozen=True, slots=True, eq=False)
class TrainableSevenNet:
    """SevenNet whose weights can be trained; implements Trainable.

    SevenNet's last layer multiplies an atom's energy by a scale and adds a shift. The shift
    of each element is its reference energy, and is zero in `module`; a scalar shift is the
    reference energy of every element. The scale belongs to the network's part and stays as it is.
    Convolutions are rearranged to be quicker (`sevennet_convolution`), so that predictions
    agree with sevenn's to single precision, not to the last bit.

    Attributes:
        module: sevenn's model, with quicker convolutions.
        config: sevenn's description of the architecture.
        references: eV, by symbol.
    """

    module: Any
    config: Mapping[str, Any]
    references: Mapping[str, float]

    @property
    def family(self) -> str:
        return "7net"

    @property
    def cutoff(self) -> float:
        return float(self.module.cutoff)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(chemical_symbols[number] for number in sorted(self.module.type_map))

    def graph(self, item: Neighbourhood, charge: int) -> Any:
        """What the network takes of one structure; it takes no charge."""
        return graph(item)

    def collate(self, graphs: Sequence[Any]) -> Any:
        from torch_geometric.data import Batch

        return Batch.from_data_list(list(graphs))

    def to_device(self, batch: Any, device: str) -> Any:
        return batch.to(device)

    def outputs(self, batch: Any) -> Outputs:
        """Energies, forces and stresses; in training mode a loss of them can be differentiated."""
        import sevenn._keys as keys
        import torch

        # The network writes into what it is given and asks for gradients of the edges: `batch` stays as it was.
        data = batch.to_dict()
        data[keys.EDGE_VEC] = data[keys.EDGE_VEC].detach()
        with torch.enable_grad():
            said = self.module(data)
            return Outputs(
                energies=said[keys.PRED_TOTAL_ENERGY].reshape(-1),
                forces=said[keys.PRED_FORCE],
                stresses=-said[keys.PRED_STRESS][:, _TO_3X3],
            )

    def last_layers(self, count: int) -> tuple[Parameter, ...]:
        """Parameters of the last layers.

        1: the readout (two linear layers, or the multilayer perceptron where a model has that);
        2: the last convolution block too (its linear layers, radial network and self-connection).
        """
        prefixes = list(_READOUT)
        if count == 2:
            prefixes.append(f"{self.config['num_convolution_layer'] - 1}_")
        return parameters_named(self.module, prefixes)

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        """Write a checkpoint of SevenNet that `7net:FILE` and sevenn's own calculator read.

        Args:
            folder: made if it is not there.
            references: eV, by symbol; elements that are absent keep the energies that they came with.
            tuned: whether the file states that it was fine-tuned on defects.

        Raises:
            UnsupportedElementError: for the reference energy of an element that the network cannot take.
        """
        import sevenn
        import torch

        check_elements_known(references, self.elements, "SevenNet")
        merged = {**self.references, **references}
        type_map: Mapping[int, int] = self.module.type_map
        shift = [merged[chemical_symbols[number]] for number in sorted(type_map, key=lambda number: type_map[number])]
        weights = {key: value.detach().cpu().clone() for key, value in self.module.state_dict().items()}
        weights[f"{_RESCALE}.shift"] = torch.tensor(shift, dtype=torch.float32)
        config = dict(self.config) | {
            "version": sevenn.__version__,  # older ones would have their weights sorted once more
            "shift": shift,
            "scale": weights[f"{_RESCALE}.scale"].tolist(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / FILE_NAME
        torch.save({"config": config, "model_state_dict": weights, STATEMENT_KEY: {"tuned": tuned}}, file)
        return file


def _config(file: Path) -> dict[str, Any]:
    """The architecture in a checkpoint, as this version of sevenn writes it, with e3nn's tensor products."""
    import sevenn._keys as keys
    from sevenn.checkpoint import SevenNetCheckpoint

    with quiet():
        config: dict[str, Any] = SevenNetCheckpoint(file).config
    return config | {keys.CUEQUIVARIANCE_CONFIG: {"use": False}, keys.USE_FLASH_TP: False, keys.USE_OEQ: False}


def _new(architecture: ArchitectureSettings, elements: Sequence[str], seed: int) -> tuple[Any, dict[str, Any]]:
    from copy import deepcopy

    with quiet():
        import sevenn
        import sevenn._const as const
        import sevenn._keys as keys
        from sevenn.model_build import build_E3_equivariant_model
        from sevenn.util import chemical_species_preprocess

    config: dict[str, Any] = deepcopy(const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG)
    config |= chemical_species_preprocess(sorted(set(elements), key=lambda symbol: atomic_numbers[symbol]))
    config |= {
        "version": sevenn.__version__,
        keys.CUTOFF: architecture.cutoff,
        keys.CONV_DENOMINATOR: mean_neighbours(architecture.cutoff),
        keys.SELF_CONNECTION_TYPE: "linear",
        keys.SHIFT: 0.0,
        keys.SCALE: 1.0,
    }
    with quiet(), seeded(seed):
        module = build_E3_equivariant_model(config)
    module.set_is_batch_data(True)
    return module, config


def _take_references(module: Any) -> dict[str, float]:
    """Take the shifts out of the last layer, and make a constant of whatever sevenn holds fixed.

    A parameter that does not ask for gradients would be trained by a loop that trains all
    parameters; a buffer is not, and has the same name in a checkpoint.
    """
    import torch
    from sevenn.nn.scale import SpeciesWiseRescale

    before = getattr(module, _RESCALE)
    species = sorted(module.type_map, key=lambda number: module.type_map[number])
    shift = before.shift.detach().expand(len(species)).tolist()
    scale = before.scale.detach().expand(len(species)).tolist()
    module.replace_module(_RESCALE, SpeciesWiseRescale([0.0] * len(species), scale))
    for part in module.modules():
        if not isinstance(part, torch.jit.ScriptModule):
            _fix(part)
    return {chemical_symbols[number]: value for number, value in zip(species, shift, strict=True)}


def _fix(part: Module) -> None:
    for name, weights in list(part.named_parameters(recurse=False)):
        if not weights.requires_grad:
            delattr(part, name)
            part.register_buffer(name, weights.detach())
