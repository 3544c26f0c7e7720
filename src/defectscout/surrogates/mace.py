"""MACE (DOI 10.48550/arXiv.2206.07697, foundation models 10.48550/arXiv.2401.00096): `mace:NAME`, `mace:FILE`."""

from __future__ import annotations

import contextlib
import difflib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from defectscout.core.errors import MissingExtraError, ModelFileError, UnknownMethodError
from defectscout.core.frames import Prediction
from defectscout.core.quiet import quiet
from defectscout.surrogates.base import SurrogateInfo
from defectscout.surrogates.batched import BatchedSurrogate, unbatched
from defectscout.surrogates.device import structures_at_once, torch_device
from defectscout.surrogates.neighbourhood import Neighbourhood
from defectscout.surrogates.provenance import STATEMENT_KEY, model_file, package, sha256, stated_tuned, unreadable
from defectscout.surrogates.settings import SurrogateSettings

CITATION: Final = "10.48550/arXiv.2206.07697"
CITATION_FOUNDATION: Final = "10.48550/arXiv.2401.00096"

DEFAULT: Final = "medium-mpa-0"
"""MACE's own default among its foundation models for materials."""


def load(name: str, settings: SurrogateSettings) -> BatchedSurrogate:
    """MACE, from a file or by the name of a foundation model for materials (`small`, `medium-mpa-0`, ...).

    A name is fetched once and kept in MACE's cache. A model file is a pickle, and
    reading a pickle runs what is in it: use files of people that you trust. It counts as fine-tuned
    if the pickled module has an attribute `defectscout` that is `{"tuned": True}`. The model keeps
    the precision that it was saved with.

    Raises:
        MissingExtraError: if mace-torch is not installed.
        UnknownMethodError: if there is no foundation model of that name.
        ModelFileError: if the file is missing, is no MACE model, or has several heads.
        SettingsError: if the device is not there.
    """
    require_mace(f"The surrogate '{name}'")
    device = torch_device(settings)
    is_file = names_file(name)
    file = weights_file(name)
    model = read(file, name).to(device)
    model.eval()
    model.requires_grad_(False)
    info = SurrogateInfo(
        name=name,
        package=package("mace-torch"),
        weights=sha256([file]),
        citation=CITATION if is_file else CITATION_FOUNDATION,
        elements=frozenset(chemical_symbols[int(number)] for number in model.atomic_numbers),
        tuned=stated_tuned({STATEMENT_KEY: getattr(model, STATEMENT_KEY, None)}),
    )
    return BatchedSurrogate(
        info,
        float(model.r_max),
        structures_at_once(settings, device),
        device,
        MaceEvaluate(model, device, head_of(model, name)),
    )


def require_mace(needed_for: str) -> None:
    """Raise MissingExtraError if mace-torch is not installed."""
    try:
        with own_precision(), quiet():
            import mace.tools  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(needed_for, "mace-torch", "mace") from error


def names_file(name: str) -> bool:
    """Whether `mace:...` names a file, rather than a foundation model."""
    detail = _detail(name)
    return Path(detail).expanduser().exists() or "/" in detail or detail.endswith((".model", ".pt", ".pth"))


def weights_file(name: str) -> Path:
    """The file of `mace:FILE`, or of the foundation model `mace:NAME`, which is fetched once.

    Raises:
        UnknownMethodError: if there is no foundation model of that name.
        ModelFileError: if the file is missing, or cannot be fetched.
    """
    detail = _detail(name)
    return model_file(detail, name) if names_file(name) else _fetch(detail, name)


def _detail(name: str) -> str:
    return name.partition(":")[2] or DEFAULT


def _fetch(detail: str, name: str) -> Path:
    with own_precision(), quiet():
        from mace.calculators.foundations_models import download_mace_mp_checkpoint, mace_mp_names
    known = [known for known in mace_mp_names if known is not None]
    if detail not in known:
        closest = difflib.get_close_matches(detail, known, n=1)
        hint = f" Did you mean 'mace:{closest[0]}'?" if closest else ""
        raise UnknownMethodError(
            f"There is no MACE foundation model called '{detail}'.{hint} There are: {', '.join(known)}. "
            "A model of your own is given as mace:FILE."
        )
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            file = Path(download_mace_mp_checkpoint(detail))
    except Exception as error:  # no network, no space: all of it ends here
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: its weights could not be fetched "
            f"({type(error).__name__}: {error}). Check the network, or give a file as mace:FILE."
        ) from error
    if "license" in said.getvalue().lower():  # whoever accepts terms must have seen them
        warnings.warn(said.getvalue().strip(), stacklevel=2)
    return file


def read(file: Path, name: str) -> Any:
    """The model in a file, on the CPU.

    Raises:
        ModelFileError: if the file holds no MACE model.
    """
    import torch

    with own_precision(), quiet():
        try:
            model = torch.load(file, map_location="cpu", weights_only=False)
        except Exception as error:  # whatever a foreign file makes torch raise
            raise unreadable(name, file, error) from error
    missing = [needed for needed in ("r_max", "atomic_numbers", "forward") if not hasattr(model, needed)]
    if missing:
        raise unreadable(name, file, TypeError(f"a {type(model).__name__} has no {missing[0]}"))
    return model


def head_of(model: Any, name: str) -> str:
    """The head that is evaluated: the only one, or the one called default, as MACE's own calculator chooses."""
    heads = list(getattr(model, "heads", ["Default"]))
    chosen = heads if len(heads) == 1 else [head for head in heads if str(head).lower() == "default"]
    if not chosen:
        raise ModelFileError(
            f"The surrogate '{name}' cannot be loaded: the model has several heads ({', '.join(map(str, heads))}) and "
            "needs to be told which. Write a function that returns a MACECalculator with head=..., and use it as "
            "ase:./file.py:function."
        )
    return str(chosen[0])


@contextlib.contextmanager
def own_precision() -> Iterator[None]:
    """MACE sets torch's default precision for the whole process: put it back afterwards."""
    import torch

    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True, slots=True, eq=False)
class MaceEvaluate:
    """One batch of graphs through MACE."""

    model: Any
    device: str
    head: str

    def __call__(self, batch: Sequence[Neighbourhood]) -> list[Prediction]:
        """Predictions of `batch`."""
        import torch
        from mace.tools.torch_geometric import Batch

        with own_precision():
            torch.set_default_dtype(next(self.model.parameters()).dtype)
            graphs = Batch.from_data_list([graph(item, self.model, self.head) for item in batch]).to(self.device)
            output = self.model(graphs.to_dict(), training=False, compute_force=True, compute_stress=True)
        energies = output["energy"].detach().cpu().numpy().astype(float)
        forces = output["forces"].detach().cpu().numpy().astype(float)
        stresses = output["stress"].detach().cpu().numpy().astype(float).reshape(-1, 3, 3)
        return unbatched(batch, energies, forces, np.stack([full_3x3_to_voigt_6_stress(one) for one in stresses]))


def graph(item: Neighbourhood, model: Any, head: str) -> Any:
    """One structure as a MACE model takes it, on the CPU, in torch's default precision."""
    from mace.data import AtomicData, config_from_atoms
    from mace.tools import AtomicNumberTable

    return AtomicData.from_config(
        config_from_atoms(item.to_atoms(), head_name=head),
        z_table=AtomicNumberTable([int(number) for number in model.atomic_numbers]),
        cutoff=float(model.r_max),
        heads=list(getattr(model, "heads", ["Default"])),
    )
