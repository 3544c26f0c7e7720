"""What is installed beside this package. It is read once: that takes a good part of a second."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint


@cache
def entry_points(group: str) -> Sequence[EntryPoint]:
    """The entry points of a group, of all installed packages."""
    return tuple(importlib.metadata.entry_points(group=group))


@cache
def distributions_of_packages() -> Mapping[str, Sequence[str]]:
    """For each importable package the distributions that it comes from."""
    return importlib.metadata.packages_distributions()
