"""References by name, through the entry points `defectscout.references`."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint

from defectscout.core.errors import UnknownMethodError
from defectscout.core.installed import entry_points
from defectscout.references.base import Reference

GROUP = "defectscout.references"


def load_reference(name: str) -> Reference:
    """The reference that `name` stands for.

    The part before the first colon chooses the adapter, and the adapter reads the
    rest: `gfn1-xtb`, `ase:module:callable`.

    Raises:
        UnknownMethodError: if no adapter answers to the name.
        MissingExtraError: if the adapter's package is not installed.
    """
    found = _adapters().get(name.partition(":")[0])
    if found is None:
        raise UnknownMethodError(_unknown(name))
    reference: Reference = found.load()(name)
    return reference


def available_references() -> tuple[str, ...]:
    """Names that adapters answer to, sorted."""
    return tuple(sorted(_adapters()))


def _adapters() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(GROUP)}


def _unknown(name: str) -> str:
    known = available_references()
    closest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    hint = f" Did you mean '{closest[0]}'?" if closest else ""
    return (
        f"There is no reference called '{name}'.{hint} There are: {', '.join(known)}. Any ASE calculator can be "
        "used as ase:module:callable; none writes DFT inputs and stops."
    )
