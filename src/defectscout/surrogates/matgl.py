"""M3GNet (DOI 10.1038/s43588-022-00349-3) and TensorNet (DOI 10.48550/arXiv.2306.06482), as matgl has them.

`m3gnet:NAME`, `m3gnet:OWNER/NAME` and `m3gnet:FOLDER`; the same with `tensornet`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from defectscout.core.errors import MissingExtraError, ModelFileError
from defectscout.core.frames import Prediction
from defectscout.core.quiet import quiet
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import BatchedSurrogate, unbatched
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.matgl_convention import aggregation, aggregation_of, sum_on_destination
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY, package, sha256, stated_tuned, unreadable
from defectscout.surrogates.settings import SurrogateSettings

CITATIONS: Final[Mapping[str, str]] = {
    "m3gnet": "10.1038/s43588-022-00349-3",
    "tensornet": "10.48550/arXiv.2306.06482",
}

DEFAULTS: Final[Mapping[str, str]] = {
    "m3gnet": "M3GNet-PES-MatPES-PBE-2025.2",
    "tensornet": "TensorNet-PES-MatPES-PBE-2025.2",
}
"""Universal potentials that matgl's hub offers, for a name without a detail."""

HUB_OWNER: Final = "materialyze"
"""Owner of matgl's own models on the Hugging Face hub."""

FILES: Final = ("model.json", "model.pt", "state.pt")
"""What matgl saves a model as."""


def load(name: str, settings: SurrogateSettings) -> BatchedSurrogate:
    """A potential of matgl, from a folder or by its name on matgl's hub.

    A folder is looked for first; a name is fetched once and kept in matgl's cache. A
    folder counts as fine-tuned if its model.json says so (see `save`). M3GNet
    models of matgl before 3.0, such as M3GNet-MP-2021.2.8-PES, are evaluated as they were trained
    (see `matgl_convention`).

    Raises:
        MissingExtraError: if matgl is not installed.
        ModelFileError: if there is no such model, it is no potential of this family, or it
            needs more than a structure (a total charge, a state).
        SettingsError: if the device is not there.
    """
    family, _, detail = name.partition(":")
    family = family.lower()
    try:
        with quiet():
            import matgl  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"The surrogate '{name}'", "matgl", "m3gnet") from error
    device = torch_device(settings)
    detail = detail or DEFAULTS[family]
    folder = _folder(detail, name)
    record = _record(folder, name)
    potential = _potential(folder, family, name)
    if aggregation(record, name) == "destination":
        sum_on_destination(potential)
    potential.calc_forces = potential.calc_stresses = True
    potential.to(device)
    potential.eval()
    potential.requires_grad_(False)
    info = SurrogateInfo(
        name=name,
        package=package("matgl"),
        weights=sha256([folder / file for file in FILES[1:]]),
        citation=CITATIONS[family],
        elements=frozenset(potential.model.element_types),
        tuned=stated_tuned(record.get("metadata")),
    )
    return BatchedSurrogate(
        info,
        float(potential.model.cutoff),
        structures_at_once(settings, device),
        device,
        MatglEvaluate(potential, device),
    )


def save(potential: Any, folder: Path, *, tuned: bool) -> None:
    """Save a potential so that `load` knows whether it was tuned and how it sums its messages."""
    statement = {"tuned": tuned, "aggregation": aggregation_of(potential)}
    potential.save(folder, metadata={STATEMENT_KEY: statement})


def _folder(detail: str, name: str) -> Path:
    """The folder of the model: `detail` itself, or what the hub gives for it."""
    folder = Path(detail).expanduser()
    if folder.is_dir():
        missing = [file for file in FILES if not (folder / file).is_file()]
        if missing:
            raise ModelFileError(
                f"The surrogate '{name}' cannot be loaded: the folder '{folder}' lacks {', '.join(missing)}. "
                f"matgl saves a model as a folder with {', '.join(FILES)}."
            )
        return folder
    if detail.startswith((".", "/", "~")) or detail.count("/") > 1:
        raise ModelFileError(f"The surrogate '{name}' cannot be loaded: there is no folder '{folder}'.")
    return _fetch(detail if "/" in detail else f"{HUB_OWNER}/{detail}", name)


def _fetch(repository: str, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from matgl.config import MATGL_CACHE

    try:
        with quiet():
            return Path(snapshot_download(repository, allow_patterns=list(FILES), cache_dir=MATGL_CACHE))
    except Exception as error:  # no network, no such model, no space: all of it ends here
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: there is no such folder here, and '{repository}' could not be "
            f"fetched from the Hugging Face hub ({type(error).__name__}: {error}). Check the name and the network, or "
            "give the folder of a model that matgl saved."
        ) from error


def _record(folder: Path, name: str) -> Mapping[str, Any]:
    try:
        record = json.loads((folder / FILES[0]).read_text())
    except (OSError, ValueError) as error:
        raise unreadable(name, folder / FILES[0], error) from error
    if not isinstance(record, dict):
        raise unreadable(name, folder / FILES[0], ValueError("no JSON object"))
    return record


def _potential(folder: Path, family: str, name: str) -> Any:
    with quiet():
        import matgl

        try:
            potential = matgl.load_model(folder)
        except Exception as error:  # matgl wraps whatever a foreign file makes torch raise
            raise unreadable(name, folder, error) from error
    model = getattr(potential, "model", None)
    if model is None or not hasattr(potential, "calc_forces"):
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: '{folder}' holds a {type(potential).__name__}, which gives no "
            "forces. Use a model whose name contains 'PES'."
        )
    found = type(model).__name__
    if found.lower() != family:
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: '{folder}' holds a {found} model, not {family}. "
            "Put the family that it is of before the colon."
        )
    if getattr(model, "is_intensive", False):
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model in '{folder}' is intensive: its energy "
            "does not grow with the number of atoms. Use one that was made with is_intensive=False."
        )
    if getattr(potential, "calc_charge", False) or getattr(model, "include_state", False):
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model in '{folder}' needs a total charge or a state besides "
            "the structure. Use one that needs the structure alone."
        )
    return potential


@dataclass(frozen=True, slots=True, eq=False)
class MatglEvaluate:
    """One batch of graphs through a potential of matgl."""

    model: Any
    device: str

    def __call__(self, batch: Sequence[Neighbourhood]) -> list[Prediction]:
        """Predictions of `batch`; matgl gives stresses in GPa."""
        import torch
        from torch_geometric.data import Batch  # type: ignore[import-untyped]

        rows = {symbol: row for row, symbol in enumerate(self.model.model.element_types)}
        graphs = Batch.from_data_list([_graph(item, rows) for item in batch]).to(self.device)
        lattices = torch.tensor(np.stack([item.cell for item in batch]), dtype=torch.float32, device=self.device)
        energy, force, stress, *_ = self.model(graphs, lattices)
        energies = energy.detach().cpu().numpy().astype(float)
        forces = force.detach().cpu().numpy().astype(float)
        stresses = stress.detach().cpu().numpy().astype(float).reshape(-1, 3, 3) / EV_PER_A3_IN_GPA
        return unbatched(batch, energies, forces, np.stack([full_3x3_to_voigt_6_stress(one) for one in stresses]))


def _graph(item: Neighbourhood, rows: Mapping[str, int]) -> Any:
    import torch
    from ase.data import chemical_symbols
    from torch_geometric.data import Data

    return Data(
        num_nodes=item.n_atoms,
        edge_index=torch.tensor(np.stack([item.centres, item.neighbours])),
        pbc_offset=torch.tensor(item.images, dtype=torch.float32),
        node_type=torch.tensor([rows[chemical_symbols[number]] for number in item.numbers]),
        frac_coords=torch.tensor(item.fractional, dtype=torch.float32),
    )
