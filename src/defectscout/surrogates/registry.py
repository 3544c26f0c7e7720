"""Surrogates by name, through the entry points `defectscout.surrogates`."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from defectscout.core.errors import UnknownMethodError
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.elements import check_elements
from defectscout.surrogates.settings import SurrogateSettings

__all__ = ["GROUP", "available_surrogates", "check_elements", "load_surrogate"]

GROUP = "defectscout.surrogates"


def load_surrogate(settings: SurrogateSettings) -> Surrogate:
    """The surrogate that the settings name, loaded on its device.

    The part of the name before the first colon chooses the adapter, whatever its case, and the
    adapter reads the rest: `chgnet`, `m3gnet:FOLDER`, `mace:medium`, `ase:module:callable`. An
    adapter is a function `load(name, settings) -> Surrogate`; any installed package can bring one.

    Raises:
        UnknownMethodError: if no adapter answers to the name.
        MissingExtraError: if the adapter's package is not installed.
        ModelFileError: if there are no weights, or they cannot be read.
        SettingsError: if the device is not there.
    """
    family = settings.name.partition(":")[0].lower()
    entry = _adapters().get(family)
    if entry is None:
        raise UnknownMethodError(_unknown(settings.name, family))
    try:
        load = entry.load()
    except (ImportError, AttributeError) as error:
        raise UnknownMethodError(
            f"The surrogate '{settings.name}' cannot be used: its adapter {entry.value} cannot be imported "
            f"({type(error).__name__}: {error}). Update or remove the package that brings it."
        ) from error
    surrogate: Surrogate = load(settings.name, settings)
    return surrogate


def available_surrogates() -> tuple[str, ...]:
    """Names that adapters answer to, sorted. The packages that some need may be missing."""
    return tuple(sorted(_adapters()))


def _adapters() -> dict[str, EntryPoint]:
    return {entry.name.lower(): entry for entry in entry_points(group=GROUP)}


def _unknown(name: str, family: str) -> str:
    known = available_surrogates()
    closest = difflib.get_close_matches(family, known, n=1)
    hint = f" Did you mean '{closest[0]}'?" if closest else ""
    return (
        f"There is no surrogate called '{name}'.{hint} There are: {', '.join(known)}. Any ASE calculator can be "
        "used as ase:module:callable."
    )
