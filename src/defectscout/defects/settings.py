"""Settings of making and choosing defects."""

from __future__ import annotations

from pydantic import Field

from defectscout.core.settings import Settings


class DefectSettings(Settings):
    """Which defects are searched."""

    select: tuple[str, ...] = Field(
        ("cation-vacancies",),
        description="names or patterns: v_Cd, v_*, cation-vacancies, anion-vacancies, vacancies, antisites, interstitials, substitutions, all",
    )
    charges: tuple[int, ...] | None = Field((0,), description="charge states; null takes doped's guesses for each defect")
    extrinsic: tuple[str, ...] = Field((), description="elements to substitute and insert as impurities")
    oxidation_states: dict[str, int] | None = Field(
        None, description="oxidation state of each element; null lets doped guess them"
    )
