"""MACE (DOI 10.48550/arXiv.2206.07697) as something to train: `mace:NAME`, `mace:FILE`, `mace`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ase.data import atomic_numbers, chemical_symbols

from defectscout.core.quiet import quiet
from defectscout.learning.models.fresh import ALL_ELEMENTS, mean_neighbours, seeded
from defectscout.learning.models.requests import check_elements_known, check_no_charge, check_only_family
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.learning.trainable import Outputs, parameters_named
from defectscout.surrogates.mace import graph, head_of, own_precision, read, require_mace, weights_file
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

FILE_NAME: Final = "mace.model"


def load(name: str, settings: TrainSettings, elements: tuple[str, ...] | None = None) -> TrainableMace:
    """MACE with the weights of `name`, or, with `settings.train = "scratch"`, with new ones.

    A new network has hidden irreducible representations 32x0e (paper, table S4) and the cutoff
    `settings.architecture.cutoff` (5 Å there); the rest are the defaults of `mace_run_train`
    (two interactions, spherical harmonics up to 3, correlation 3, 8 Bessel functions, readout
    16x0e), in single precision. What MACE takes from the training set, the mean number of neighbours and
    the scale of energies, is a constant here (`fresh.mean_neighbours`; 1 eV), so that
    new weights depend on settings alone. Others keep the precision that they were saved with.

    Args:
        name: `mace:FILE`, `mace:NAME` of a foundation model; `mace` with `scratch`.
        settings: `train`, `architecture` and `seed` are read.
        elements: symbols that a new network can take; hydrogen to plutonium by default.

    Raises:
        MissingExtraError: if mace-torch is not installed.
        UnknownMethodError: if there is no foundation model of that name.
        ModelFileError: if the file is missing, is no MACE model, or has several heads.
        SettingsError: if the charge is asked for as an input, or a file is named with `scratch`.
    """
    check_no_charge(settings.architecture, "MACE")
    require_mace(f"Training '{name}'")
    if settings.train == "scratch":
        check_only_family(name, "mace")
        module = _new(settings.architecture, elements or ALL_ELEMENTS, settings.seed)
    else:
        module = read(weights_file(name), name)
        module.requires_grad_(True)
    head = head_of(module, name)
    energies = _energies_of_head(module, head)
    symbols = [chemical_symbols[int(number)] for number in module.atomic_numbers]
    references = dict(zip(symbols, energies.tolist(), strict=True))
    energies.zero_()
    return TrainableMace(module, head, references)


@dataclass(frozen=True, slots=True, eq=False)
class TrainableMace:
    """MACE whose weights can be trained; implements Trainable.

    The atomic energies of MACE are the reference energies, and are zero in `module`.

    Attributes:
        module: MACE's model.
        head: the head that is trained.
        references: eV, by symbol.
    """

    module: Any
    head: str
    references: Mapping[str, float]

    @property
    def family(self) -> str:
        return "mace"

    @property
    def cutoff(self) -> float:
        return float(self.module.r_max)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(chemical_symbols[int(number)] for number in self.module.atomic_numbers)

    def graph(self, item: Neighbourhood, charge: int) -> Any:
        """What the network takes of one structure; it takes no charge."""
        with _precision_of(self.module):
            return graph(item, self.module, self.head)

    def collate(self, graphs: Sequence[Any]) -> Any:
        from mace.tools.torch_geometric import Batch

        return Batch.from_data_list(list(graphs))

    def to_device(self, batch: Any, device: str) -> Any:
        return batch.to(device)

    def outputs(self, batch: Any) -> Outputs:
        """Energies, forces and stresses; in training mode a loss of them can be differentiated."""
        import torch

        # MACE asks for gradients of the positions that it is given: `batch` stays as it was.
        data = batch.to_dict()
        data["positions"] = data["positions"].detach()
        with torch.enable_grad(), _precision_of(self.module):
            said = self.module(data, training=self.module.training, compute_force=True, compute_stress=True)
        return Outputs(
            energies=said["energy"].reshape(-1), forces=said["forces"], stresses=said["stress"].reshape(-1, 3, 3)
        )

    def last_layers(self, count: int) -> tuple[Parameter, ...]:
        """Parameters of the last layers.

        1: the readouts, of which each interaction has one, and whose sum the energy is;
        2: the last interaction and its product basis too.
        """
        prefixes = ["readouts."]
        if count == 2:
            last = len(self.module.interactions) - 1
            prefixes += [f"interactions.{last}.", f"products.{last}."]
        return parameters_named(self.module, prefixes)

    def save(self, folder: Path, references: Mapping[str, float], *, tuned: bool) -> Path:
        """Write a model of MACE that `mace:FILE` and MACE's own calculator read.

        MACE's files are pickled modules. Whether this one was fine-tuned on defects is stated by
        its attribute `defectscout`.

        Args:
            folder: made if it is not there.
            references: eV, by symbol; elements that are absent keep the energies that they came with.
            tuned: whether the file states that it was fine-tuned on defects.

        Raises:
            UnsupportedElementError: for the reference energy of an element that the network cannot take.
        """
        from copy import deepcopy

        import torch

        check_elements_known(references, self.elements, "MACE")
        merged = {**self.references, **references}
        module = deepcopy(self.module).cpu().requires_grad_(True)
        module.zero_grad(set_to_none=True)
        module.eval()
        energies = _energies_of_head(module, self.head)
        energies.copy_(torch.tensor([merged[symbol] for symbol in self.elements], dtype=energies.dtype))
        setattr(module, STATEMENT_KEY, {"tuned": tuned})
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / FILE_NAME
        torch.save(module, file)
        return file


def _energies_of_head(module: Any, head: str) -> Tensor:
    """Atomic energies of one head, shape (n_elements,), eV: a view, not a copy."""
    import torch

    energies: Tensor = torch.atleast_2d(module.atomic_energies_fn.atomic_energies)
    return energies[list(getattr(module, "heads", [head])).index(head)]


@contextmanager
def _precision_of(module: Any) -> Iterator[None]:
    """MACE makes tensors in torch's default precision: let it be the model's inside."""
    import torch

    with own_precision():
        torch.set_default_dtype(next(module.parameters()).dtype)
        yield


def _new(architecture: ArchitectureSettings, elements: Sequence[str], seed: int) -> Any:
    import torch

    numbers = sorted({atomic_numbers[symbol] for symbol in elements})
    with own_precision(), quiet(), seeded(seed):
        from e3nn import o3  # type: ignore[import-untyped, unused-ignore]
        from mace import modules

        torch.set_default_dtype(torch.float32)
        return modules.ScaleShiftMACE(
            r_max=architecture.cutoff,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
            num_interactions=2,
            num_elements=len(numbers),
            hidden_irreps=o3.Irreps("32x0e"),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=torch.zeros(1, len(numbers)).numpy(),
            avg_num_neighbors=mean_neighbours(architecture.cutoff),
            atomic_numbers=numbers,
            correlation=3,
            gate=torch.nn.functional.silu,
            use_reduced_cg=False,
            radial_MLP=[64, 64, 64],
            atomic_inter_scale=[1.0],
            atomic_inter_shift=[0.0],
            heads=["Default"],
        )
