"""Settings of a study of an alloy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator

from defectscout.core.errors import AlloyError
from defectscout.core.settings import Settings
from defectscout.defects.environments import SiteChoice
from defectscout.hosts.arrangement import Arrangement
from defectscout.hosts.substitution import Occupation, Substitution

Lattice = Literal["reference", "vegard", "surrogate"]

_SUBSTITUTION: Final = re.compile(r"\s*(?P<element>[A-Z][a-z]?)\s*:\s*(?P<species>.+?)\s*")
_SPECIES: Final = re.compile(r"\s*(?P<element>[A-Z][a-z]?)\s*(=\s*(?P<fraction>[0-9.eE+-]+)\s*)?")


class AlloySettings(Settings):
    """Which supercells of an alloy are searched, and where in them."""

    substitute: tuple[str, ...] = Field(
        (),
        description="elements that take sites of an element of the host: Te:Se with the shares in x, or "
        "Te:Se=0.3,S=0.2; one item for each mixed sublattice",
    )
    x: tuple[float, ...] = Field((), description="shares of the element that stands without one in substitute")
    realisations: int = Field(1, ge=1, description="supercells of each composition")
    arrangement: Arrangement = Field("random", description="random, or sqs: special quasirandom structures")
    exact: bool = Field(False, description="refuse compositions that the supercell cannot hold exactly")
    seed: int = Field(42, ge=0, description="seed of the arrangement of the elements")
    lattice: Lattice | None = Field(
        None,
        description="where the lattice comes from: relaxed with the reference, starting from Vegard's law; vegard: "
        "kept at Vegard's law between the relaxed end members; or relaxed with the surrogate. null: reference, where "
        "one runs",
    )
    end_members: tuple[Path, ...] = Field(
        (), description="structure files of end members that are relaxed already, for Vegard's law"
    )
    sites: SiteChoice = Field(
        SiteChoice.ENVIRONMENTS, description="environments: one site of each environment; all: every inequivalent site"
    )
    shells: int = Field(1, ge=1, le=6, description="shells of neighbours that tell environments apart")

    @field_validator("x")
    @classmethod
    def _shares(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not 0 <= value <= 1:
                raise ValueError(f"a share of {value:g} is impossible: x lies between 0 and 1")
        if len(set(values)) != len(values):
            raise ValueError(f"a share is given twice in {', '.join(f'{value:g}' for value in values)}")
        return values


def compositions(settings: AlloySettings) -> tuple[tuple[Substitution, ...], ...]:
    """The substitutions of each composition that the settings ask for, in their order.

    Raises:
        AlloyError: a substitution cannot be read, or `x` and the substitutions do not fit together.
    """
    if not settings.substitute:
        raise AlloyError("No substitution is given. Say which element takes whose sites, as in --substitute Te:Se.")
    parsed = parsed_substitutions(settings)
    open_ones = [(element, symbol) for element, species in parsed for symbol, share in species if share is None]
    if open_ones and not settings.x:
        element, symbol = open_ones[0]
        raise AlloyError(
            f"No share is given for {symbol} on the sites of {element}. Give the compositions, as in --x 0.2,0.5,0.8, "
            f"or one share with the substitution, as in --substitute {element}:{symbol}=0.5."
        )
    if settings.x and not open_ones:
        raise AlloyError(
            "--x is given, and every substitution has its share already. Leave --x out, or write the element whose "
            "share it is without one, as in --substitute Te:Se."
        )
    if len(open_ones) > 1:
        listed = ", ".join(f"{symbol} on {element}" for element, symbol in open_ones)
        raise AlloyError(
            f"{len(open_ones)} elements stand without a share ({listed}), and --x is that of one. Give the shares of "
            "the others with the substitutions, as in --substitute Cd:Zn=0.25."
        )
    return tuple(_filled(parsed, x) for x in (settings.x or (None,)))


Parsed = tuple[str, tuple[tuple[str, float | None], ...]]
"""An element and those that take its sites, each with its share, or None for the one whose share is in `x`."""


def parsed_substitutions(settings: AlloySettings) -> tuple[Parsed, ...]:
    """What the settings' substitutions mean, however they are written.

    Raises:
        AlloyError: one of them cannot be read.
    """
    return tuple(_parsed(text) for text in settings.substitute)


def _parsed(text: str) -> Parsed:
    match = _SUBSTITUTION.fullmatch(text)
    parts = [_SPECIES.fullmatch(part) for part in match["species"].split(",")] if match else []
    found: list[tuple[str, float | None]] = []
    for part in parts:
        if part is None:
            break
        try:
            found.append((part["element"], float(part["fraction"]) if part["fraction"] else None))
        except ValueError:
            break
    if match is None or len(found) != len(parts):
        raise AlloyError(
            f"'{text}' is no substitution. Write the element whose sites are shared, a colon, and those that take "
            "them: Te:Se, or with shares Te:Se=0.3,S=0.2."
        )
    return match["element"], tuple(found)


def _filled(parsed: Sequence[Parsed], x: float | None) -> tuple[Substitution, ...]:
    return tuple(
        Substitution(element, tuple((symbol, (x or 0.0) if share is None else share) for symbol, share in species))
        for element, species in parsed
    )


def corners(occupations: Sequence[Occupation]) -> tuple[dict[str, str], ...]:
    """The end members between which a composition lies: for each, what stands on every mixed sublattice.

    Elements without a site are left out.
    """
    choices = [[symbol for symbol, count in item.counts if count] for item in occupations]
    replaced = [item.element for item in occupations]
    return tuple(dict(zip(replaced, chosen, strict=True)) for chosen in product(*choices))
