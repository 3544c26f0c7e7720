"""Names in a report: of campaigns, which may share a host, and keys that are unique."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from defectscout.workflow.overview import Overview


def campaign_names(overviews: Sequence[Overview]) -> tuple[str, ...]:
    """What each campaign is called: its host, and the folder, too, where several have one host."""
    formulas = Counter(overview.formula for overview in overviews)
    folders = Counter((overview.formula, overview.folder.name) for overview in overviews)
    return tuple(
        overview.formula
        if formulas[overview.formula] == 1
        else f"{overview.formula} ({overview.folder.name})"
        if folders[overview.formula, overview.folder.name] == 1
        else f"{overview.formula} ({overview.folder})"
        for overview in overviews
    )


def key_of(text: str) -> str:
    """A text as a key, fit for an anchor and a file name: `v_Te_+1` becomes `v_Te_plus1`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text.replace("+", "plus")).strip("-") or "x"


def unique_keys(texts: Sequence[str]) -> tuple[str, ...]:
    """A key for each text; those that would be one are numbered."""
    keys: list[str] = []
    for text in texts:
        base = key = key_of(text)
        number = 2
        while key in keys:
            key, number = f"{base}-{number}", number + 1
        keys.append(key)
    return tuple(keys)


def method_name(name: str) -> str:
    """A surrogate or reference without the folders that it lies in: nobody else has them."""
    family, colon, rest = name.partition(":")
    if not colon:
        return PurePath(name).name or name
    head, separator, last = rest.rpartition(":")  # ase:FILE:callable
    shown = f"{PurePath(head).name}{separator}{last}" if separator else PurePath(rest).name
    return f"{family}:{shown}"
