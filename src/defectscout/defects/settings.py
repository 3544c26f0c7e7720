"""Settings of making and choosing defects."""

from __future__ import annotations

import re

from ase.data import atomic_numbers
from pydantic import Field, field_validator

from defectscout.core.settings import Settings


class DefectSite(Settings):
    """An atom of the supercell that defects are made at."""

    atom: int = Field(ge=0, description="its index in the supercell, from 0")
    name: str = Field(description="what stands behind the defect's name: Te3Se gives v_Cd_Te3Se")
    count: int = Field(1, ge=1, description="sites of the supercell that it stands for")
    alike: tuple[str, ...] = Field(
        (), description="elements that share such sites in the alloy: one in place of another is no defect"
    )

    @field_validator("name")
    @classmethod
    def _fits_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*(_[A-Za-z][A-Za-z0-9.-]*)*", name):
            raise ValueError(f"'{name}' is no name for a site: letters, digits and hyphens, beginning with a letter")
        return name


class DefectSettings(Settings):
    """Which defects are searched."""

    select: tuple[str, ...] = Field(
        ("cation-vacancies",),
        min_length=1,
        description="names or patterns: v_Cd, v_*, v_Cd_-2, cation-vacancies, anion-vacancies, vacancies, antisites, "
        "interstitials, substitutions (those with extrinsic elements), all",
    )
    charges: tuple[int, ...] | None = Field(
        (0,),
        description="charge states of every selected defect; null takes doped's guesses for each. A pattern that "
        "names a charge (v_Cd_-2) overrides it",
    )
    cross_charges: bool = Field(
        False,
        description="whether the structures found in each charge state of a defect are tried in its other charge "
        "states as well",
    )
    extrinsic: tuple[str, ...] = Field((), description="elements to substitute and insert as impurities")
    oxidation_states: dict[str, int] | None = Field(
        None, description="oxidation state of each element; null guesses them from bond valences and composition"
    )
    sites: tuple[DefectSite, ...] = Field(
        (),
        description="atoms of the supercell that defects are made at, in place of the inequivalent sites that doped "
        "finds; needs supercell.as_given",
    )

    @field_validator("select")
    @classmethod
    def _no_blank_pattern(cls, select: tuple[str, ...]) -> tuple[str, ...]:
        if any(not pattern.strip() for pattern in select):
            raise ValueError("a pattern is blank: write a defect's name, a pattern, or a group such as vacancies")
        return tuple(pattern.strip() for pattern in select)

    @field_validator("charges")
    @classmethod
    def _distinct_charges(cls, charges: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if charges is None:
            return None
        if not charges:
            raise ValueError("no charge state is given: write at least one, or null for doped's guesses")
        if len(set(charges)) != len(charges):
            raise ValueError(f"a charge state is given twice in {list(charges)}")
        return charges

    @field_validator("extrinsic")
    @classmethod
    def _distinct_elements(cls, extrinsic: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in extrinsic:
            _check_element(symbol)
        if len(set(extrinsic)) != len(extrinsic):
            raise ValueError(f"an element is given twice in {list(extrinsic)}")
        return extrinsic

    @field_validator("oxidation_states")
    @classmethod
    def _known_elements(cls, states: dict[str, int] | None) -> dict[str, int] | None:
        for symbol in states or {}:
            _check_element(symbol)
        if states is not None and not states:
            raise ValueError("no element is given: write one for each element of the host, or null to guess")
        return states


def _check_element(symbol: str) -> None:
    if atomic_numbers.get(symbol, 0) < 1:
        raise ValueError(f"'{symbol}' is no chemical element: write its symbol, such as Na")
