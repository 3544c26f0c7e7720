"""Names in a report: of campaigns, which may share a host, and keys that are unique."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.overview import Overview


def campaign_names(overviews: Sequence[Overview], studies: Sequence[AlloyOverview] = ()) -> tuple[str, ...]:
    """What each campaign is called: its host, and where several have one host the realisation, or the folder, too.

    Args:
        overviews: the campaigns.
        studies: of alloys, whose campaigns may be among them.
    """
    places = _places(studies)
    names: dict[Path, str] = {}
    for formula in dict.fromkeys(overview.formula for overview in overviews):
        folders = [overview.folder for overview in overviews if overview.formula == formula]
        names |= dict(zip(folders, _told_apart(formula, folders, places), strict=True))
    return tuple(names[overview.folder] for overview in overviews)


def _places(studies: Sequence[AlloyOverview]) -> dict[Path, tuple[str, int]]:
    """Name of the study's folder, and the realisation, of each supercell's folder."""
    return {
        study.folder / cell.name: (study.folder.resolve().name, cell.realisation)
        for study in studies
        for cell in study.study.supercells
    }


def _told_apart(formula: str, folders: Sequence[Path], places: Mapping[Path, tuple[str, int]]) -> list[str]:
    if len(folders) == 1:
        return [formula]
    ways: list[list[str]] = []
    if all(folder in places for folder in folders):
        of = [places[folder] for folder in folders]
        ways = [
            [f"realisation {realisation}" for _, realisation in of],
            [study for study, _ in of],
            [f"{study}, realisation {realisation}" for study, realisation in of],
        ]
    ways.append([folder.name for folder in folders])
    told = next((way for way in ways if len(set(way)) == len(way)), [str(folder) for folder in folders])
    return [f"{formula} ({way})" for way in told]


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
