"""SevenNet (DOI 10.1021/acs.jctc.4c00190): `7net-0`, `7net-l3i5`, `7net:FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols

from defectscout.core.errors import MissingExtraError, ModelFileError
from defectscout.core.frames import Prediction
from defectscout.core.quiet import quiet
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import BatchedSurrogate, unbatched
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import model_file, package, sha256, stated_tuned, unreadable
from defectscout.surrogates.settings import SurrogateSettings

CITATION: Final = "10.1021/acs.jctc.4c00190"

_TO_ASE: Final = [0, 1, 2, 4, 5, 3]
"""SevenNet writes stresses as xx yy zz xy yz zx."""


def load(name: str, settings: SurrogateSettings) -> BatchedSurrogate:
    """SevenNet, with weights from its wheel (`7net-0`, `7net-l3i5`) or from a checkpoint file.

    A checkpoint is a pickle, and reading a pickle runs what is in it: use files of people
    that you trust. It counts as fine-tuned if it holds `{"defectscout": {"tuned": True}}`
    beside SevenNet's own entries.

    Raises:
        MissingExtraError: if sevenn is not installed.
        ModelFileError: if the file is missing, is no checkpoint of SevenNet, or holds a
            model of several fidelities.
        SettingsError: if the device is not there.
    """
    require_sevenn(f"The surrogate '{name}'")
    device = torch_device(settings)
    file = weights_file(name)
    is_file = bool(name.partition(":")[2])
    model = build(file, name).to(device)
    model.eval()
    model.requires_grad_(False)
    info = SurrogateInfo(
        name=name,
        package=package("sevenn"),
        weights=sha256([file]) if is_file else file.parent.name,  # such as SevenNet_0__11Jul2024
        citation=CITATION,
        elements=frozenset(chemical_symbols[number] for number in model.type_map),
        tuned=is_file and _tuned(file, name),
    )
    return BatchedSurrogate(
        info, float(model.cutoff), structures_at_once(settings, device), device, SevenNetEvaluate(model, device)
    )


def require_sevenn(needed_for: str) -> None:
    """Raise MissingExtraError if sevenn is not installed."""
    try:
        import sevenn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(needed_for, "sevenn", "sevennet") from error


def weights_file(name: str) -> Path:
    """The checkpoint that `7net-0`, `7net-l3i5` or `7net:FILE` stands for.

    Raises:
        ModelFileError: if there is none.
    """
    family, _, detail = name.partition(":")
    if detail:
        return model_file(detail, name)

    from sevenn.util import pretrained_name_to_path

    try:
        with quiet():
            return Path(pretrained_name_to_path(family.lower()))
    except Exception as error:  # ValueError for a name; what its download raises otherwise
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: sevenn has no weights for it ({type(error).__name__}: {error}). "
            "Give a checkpoint as 7net:FILE."
        ) from error


def build(file: Path, name: str) -> Any:
    """The model in a checkpoint, on the CPU, for batches of graphs.

    Raises:
        ModelFileError: if the file is no checkpoint of SevenNet, or holds a model of several fidelities.
    """
    with quiet():
        from sevenn.checkpoint import SevenNetCheckpoint

        try:
            model = SevenNetCheckpoint(file).build_model()
        except Exception as error:  # whatever a foreign file makes torch or sevenn raise
            raise unreadable(name, file, error) from error
    if model.modal_map:
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: '{file}' is a model of several fidelities "
            f"({', '.join(model.modal_map)}) and needs to be told which. Write a function that returns a "
            "SevenNetCalculator with modal=..., and use it as ase:./file.py:function."
        )
    model.set_is_batch_data(True)
    return model


def _tuned(file: Path, name: str) -> bool:
    import torch

    try:
        return stated_tuned(torch.load(file, map_location="cpu", weights_only=False))
    except Exception as error:
        raise unreadable(name, file, error) from error


@dataclass(frozen=True, slots=True, eq=False)
class SevenNetEvaluate:
    """One batch of graphs through SevenNet."""

    model: Any
    device: str

    def __call__(self, batch: Sequence[Neighbourhood]) -> list[Prediction]:
        """Predictions of `batch`."""
        import sevenn._keys as keys
        from torch_geometric.data import Batch

        graphs = Batch.from_data_list([graph(item) for item in batch]).to(self.device)
        output = self.model(graphs)
        energies = output[keys.PRED_TOTAL_ENERGY].detach().cpu().numpy().astype(float)
        forces = output[keys.PRED_FORCE].detach().cpu().numpy().astype(float)
        stresses = -output[keys.PRED_STRESS].detach().cpu().numpy().astype(float)[:, _TO_ASE]
        return unbatched(batch, energies, forces, stresses)


def graph(item: Neighbourhood) -> Any:
    """One structure as SevenNet takes it, on the CPU."""
    import sevenn._keys as keys
    import torch
    from sevenn.atom_graph_data import AtomGraphData

    numbers = torch.tensor(item.numbers)
    return AtomGraphData(
        **{
            keys.NODE_FEATURE: numbers,
            keys.ATOMIC_NUMBERS: numbers,
            keys.POS: torch.tensor(item.positions, dtype=torch.float32),
            keys.EDGE_IDX: torch.tensor(np.stack([item.centres, item.neighbours])),
            keys.EDGE_VEC: torch.tensor(item.vectors, dtype=torch.float32),
            keys.CELL_VOLUME: torch.tensor(item.volume, dtype=torch.float32),
            keys.NUM_ATOMS: torch.tensor(item.n_atoms),
            keys.INFO: {},
        }
    )
