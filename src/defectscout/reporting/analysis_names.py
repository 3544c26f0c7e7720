"""Names of the analyses, alone: whoever parses a command need not load what does them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from defectscout.core.errors import SettingsError

ALL: Final = "all"
"""Stands for every analysis."""


class AnalysisName(StrEnum):
    """What there is, in the order in which it is shown."""

    BONDS = "bonds"
    MOTIFS = "motifs"
    LOWERINGS = "lowerings"
    DISTORTIONS = "distortions"
    MAP = "map"
    ELEMENTS = "elements"
    FUNNEL = "funnel"
    PATHS = "paths"
    ALLOY = "alloy"


def names_of(what: str) -> tuple[AnalysisName, ...]:
    """The analyses that a word asks for: one of them, or all.

    Raises:
        SettingsError: it names none.
    """
    names = tuple(AnalysisName)
    if what == ALL:
        return names
    if what not in names:
        raise SettingsError(f"There is no analysis '{what}'. There are: {', '.join(names)}, and {ALL} for all of them.")
    return (AnalysisName(what),)
