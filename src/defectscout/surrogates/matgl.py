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
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from defectscout.core.errors import MissingExtraError, ModelFileError
from defectscout.core.frames import Prediction
from defectscout.core.quiet import quiet
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import BatchedSurrogate, unbatched
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.matgl_convention import aggregation, aggregation_of, sum_on_destination
from defectscout.surrogates.matgl_network import collate, element_references, evaluate, graph, takes_charge
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY, package, sha256, stated, stated_tuned, unreadable
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
    device = torch_device(settings)
    potential, folder, record = read(name)
    potential.to(device)
    potential.eval()
    potential.requires_grad_(False)
    info = SurrogateInfo(
        name=name,
        package=package("matgl"),
        weights=sha256([folder / file for file in FILES[1:]]),
        citation=CITATIONS[family_of(name)],
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


def family_of(name: str) -> str:
    """`m3gnet` or `tensornet`: what stands before the colon."""
    return name.partition(":")[0].lower()


def read(name: str) -> tuple[Any, Path, Mapping[str, Any]]:
    """The potential of matgl called `name`, on the CPU, with its folder and the contents of its model.json.

    Raises:
        MissingExtraError, ModelFileError: as `load`.
    """
    family = family_of(name)
    require_matgl(f"The surrogate '{name}'")
    folder = _folder(name.partition(":")[2] or DEFAULTS[family], name)
    record = _record(folder, name)
    potential = _potential(folder, family, name, stated(record.get("metadata")))
    if aggregation(record, name) == "destination":
        sum_on_destination(potential)
    return potential, folder, record


def require_matgl(needed_for: str) -> None:
    """Raise MissingExtraError if matgl is not installed."""
    try:
        with quiet():
            import matgl  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(needed_for, "matgl", "m3gnet") from error


def save(potential: Any, folder: Path, *, tuned: bool) -> None:
    """Save a potential with what `load` has to know besides matgl's files.

    That is whether it was tuned, how it sums its messages, whether its output is an energy for each atom (any
    intensive model is taken for one), and whether its state is the charge.
    """
    statement: dict[str, object] = {"tuned": tuned, "aggregation": aggregation_of(potential)}
    if potential.model.is_intensive:
        statement["per_atom"] = True
    if takes_charge(potential.model):
        statement["state"] = "charge"
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


def _potential(folder: Path, family: str, name: str, statement: Mapping[str, object]) -> Any:
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
    if getattr(model, "is_intensive", False) and statement.get("per_atom") is not True:
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model in '{folder}' is intensive: its energy "
            "does not grow with the number of atoms. Use one that was made with is_intensive=False."
        )
    if getattr(potential, "calc_charge", False) or (takes_charge(model) and statement.get("state") != "charge"):
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model in '{folder}' needs a total charge or a state besides "
            "the structure. Use one that needs the structure alone."
        )
    if getattr(potential, "calc_repuls", False):
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model in '{folder}' adds a nuclear repulsion, which is not "
            "supported. Use one that was made with calc_repuls=False."
        )
    return potential


@dataclass(frozen=True, slots=True, eq=False)
class MatglEvaluate:
    """One batch of graphs through a potential of matgl."""

    model: Any
    device: str

    def __call__(self, batch: Sequence[Neighbourhood]) -> list[Prediction]:
        """Predictions of `batch`; the references of the elements are added in double precision."""
        graphs = collate([graph(self.model, item, item.charge) for item in batch])
        energy, force, stress = evaluate(self.model, graphs.to(self.device), create_graph=False)
        references = dict(zip(self.model.model.element_types, element_references(self.model), strict=True))
        offsets = [sum(references[chemical_symbols[number]] for number in item.numbers) for item in batch]
        energies = energy.detach().cpu().numpy().astype(float) + np.array(offsets)
        forces = force.cpu().numpy().astype(float)
        stresses = stress.cpu().numpy().astype(float)
        return unbatched(batch, energies, forces, np.stack([full_3x3_to_voigt_6_stress(one) for one in stresses]))
