"""Engines by name, through the entry points `defectscout.engines`."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint

from defectscout.core.errors import UnknownMethodError
from defectscout.core.installed import entry_points
from defectscout.references.engines.base import Engine

GROUP = "defectscout.engines"


def load_engine(name: str) -> Engine:
    """The engine that `name` stands for: `vasp`, `cp2k`, `espresso`, `fhi-aims`, `castep`, or one of another package.

    Raises:
        UnknownMethodError: no engine answers to the name.
        MissingExtraError: the engine's package is not installed.
    """
    found = _entries().get(name)
    if found is None:
        raise UnknownMethodError(_unknown(name))
    engine: Engine = found.load()(name)
    return engine


def available_engines() -> tuple[str, ...]:
    """Names that engines answer to, sorted."""
    return tuple(sorted(_entries()))


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(GROUP)}


def _unknown(name: str) -> str:
    known = available_engines()
    closest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    hint = f" Did you mean '{closest[0]}'?" if closest else ""
    return f"There is no engine called '{name}'.{hint} There are: {', '.join(known)}."
