"""Surrogates by name, through the entry points `defectscout.surrogates`."""

from __future__ import annotations

import difflib
import os
from importlib.metadata import EntryPoint
from pathlib import Path

from defectscout.core.errors import ModelFileError, UnknownMethodError
from defectscout.core.installed import entry_points
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.elements import check_elements
from defectscout.surrogates.model_folder import MANIFEST, Manifest, is_model_folder, read_manifest
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.surrogates.tuned import load_folder

__all__ = [
    "GROUP",
    "available_surrogates",
    "check_elements",
    "lasting_name",
    "load_described",
    "load_surrogate",
]

GROUP = "defectscout.surrogates"


def load_surrogate(settings: SurrogateSettings) -> Surrogate:
    """The surrogate that the settings name, loaded on its device.

    The part of the name before the first colon chooses the adapter, whatever its case, and the
    adapter reads the rest: `chgnet`, `m3gnet:FOLDER`, `mace:medium`, `ase:module:callable`. An
    adapter is a function `load(name, settings) -> Surrogate`; any installed package can bring one.
    The path of a folder that `defectscout train` wrote is a name, too; one that is called as an adapter
    is has to be written with its place (`./chgnet`).

    Raises:
        UnknownMethodError: if no adapter answers to the name.
        MissingExtraError: if the adapter's package is not installed.
        ModelFileError: if there are no weights, or they cannot be read.
        SettingsError: if the device is not there.
    """
    if _may_be_folder(settings.name):
        folder = Path(settings.name).expanduser()
        if is_model_folder(folder):
            return load_described(folder, read_manifest(folder), settings)
        if folder.exists() or _has_place(settings.name):
            raise ModelFileError(_no_model(folder))
    return _load(settings.name, settings)


def lasting_name(name: str) -> str:
    """A surrogate's name as a campaign records it: the path of a model folder is found from anywhere."""
    if not _may_be_folder(name):
        return name
    folder = Path(name).expanduser()
    # Not resolved: a link may lead elsewhere on another machine that has the same folders.
    return os.path.normpath(folder.absolute()) if is_model_folder(folder) or _has_place(name) else name


def load_described(folder: Path, manifest: Manifest, settings: SurrogateSettings) -> Surrogate:
    """The surrogate whose weights lie in `folder`, by a manifest that need not be written yet.

    Raises:
        ModelFileError: as `load_surrogate`.
    """
    return load_folder(folder, manifest, settings, _load)


def _load(name: str, settings: SurrogateSettings) -> Surrogate:
    family = name.partition(":")[0].lower()
    entry = _adapters().get(family)
    if entry is None:
        raise UnknownMethodError(_unknown(name, family))
    try:
        load = entry.load()
    except (ImportError, AttributeError) as error:
        raise UnknownMethodError(
            f"The surrogate '{name}' cannot be used: its adapter {entry.value} cannot be imported "
            f"({type(error).__name__}: {error}). Update or remove the package that brings it."
        ) from error
    surrogate: Surrogate = load(name, settings)
    return surrogate


def available_surrogates() -> tuple[str, ...]:
    """Names that adapters answer to, sorted. The packages that some need may be missing."""
    return tuple(sorted(_adapters()))


def _may_be_folder(name: str) -> bool:
    return name.partition(":")[0].lower() not in _adapters()


def _has_place(name: str) -> bool:
    return name.startswith((".", "~")) or os.sep in name


def _no_model(folder: Path) -> str:
    if folder.is_dir():
        return (
            f"The surrogate '{folder}' cannot be loaded: the folder has no {MANIFEST}. If its training was cut short, "
            "the same `defectscout train` command goes on with it; if the model was worse than the untouched one, "
            "train it otherwise."
        )
    what = "is no folder" if folder.exists() else "does not exist"
    return (
        f"The surrogate '{folder}' cannot be loaded: it {what}. Give the folder of a trained model; if it was moved, "
        "put it back, or a link to it. For a file of weights write its family before it, as in chgnet:FILE."
    )


def _adapters() -> dict[str, EntryPoint]:
    return {entry.name.lower(): entry for entry in entry_points(GROUP)}


def _unknown(name: str, family: str) -> str:
    known = available_surrogates()
    closest = difflib.get_close_matches(family, known, n=1)
    hint = f" Did you mean '{closest[0]}'?" if closest else ""
    return (
        f"There is no surrogate called '{name}'.{hint} There are: {', '.join(known)}. Any ASE calculator can be "
        "used as ase:module:callable, and a trained model by the path of its folder."
    )
