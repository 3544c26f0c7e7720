"""Settings of making sampling structures."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from defectscout.core.settings import Settings


class SamplingSettings(Settings):
    """Which sampling structures are made; the defaults are ShakeNBreak's and the paper's."""

    seed: int = Field(42, ge=0, description="seed of the rattle; the same seed gives the same structures, bit for bit")
    distortions: tuple[float, ...] | None = Field(
        None,
        description="bond distortions as fractions of the bond length (-0.6 ... 0.6), to three decimals; "
        "null gives ShakeNBreak's thirteen and the dimer, or with pairs -0.6 ... -0.2",
    )
    rattle: float | None = Field(
        None,
        ge=0,
        le=1,
        description="standard deviation of the rattle, Å; null is 10 % of the bulk's nearest-neighbour distance",
    )
    pairs: bool = Field(
        False,
        description="distort every pair of the defect's neighbours in turn, in place of the neighbours "
        "nearest to it (paper, section IV B)",
    )
    none: bool = Field(False, description="only the unperturbed structure")
    folder: Path | None = Field(
        None, description="take the structures from this folder (ShakeNBreak's layout, or structure files)"
    )

    related: int = Field(
        3,
        ge=0,
        description="where the search starts from a surrogate of the store: how many structures that the same defect "
        "of the related hosts relaxed to are tried as well",
    )

    @field_validator("distortions")
    @classmethod
    def _check_distortions(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is None:
            return None
        if not values:
            raise ValueError("no bond distortions are listed; for the unperturbed structure only, set none instead")
        # A label holds a tenth of a percent. Adding zero turns -0.0 into 0.0.
        rounded = tuple(round(value, 3) + 0.0 for value in values)
        for value in rounded:
            if not -1 < value <= 1.5:
                raise ValueError(
                    f"a bond distortion of {value:g} is not possible: it is a fraction of the bond length, "
                    "larger than -1 (atoms on top of each other) and at most 1.5, such as -0.4 for a bond "
                    "shortened by 40 %"
                )
        duplicates = sorted({value for value in rounded if rounded.count(value) > 1})
        if duplicates:
            raise ValueError(
                "bond distortions are listed more than once (compared to three decimals): "
                + ", ".join(f"{value:g}" for value in duplicates)
            )
        return rounded

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        chosen = {"none": self.none, "folder": self.folder is not None, "pairs": self.pairs}
        exclusive = [name for name, is_set in chosen.items() if is_set]
        if len(exclusive) > 1:
            raise ValueError(
                f"{' and '.join(exclusive)} exclude each other: choose one way of making sampling structures"
            )
        if self.none or self.folder is not None:
            unused = [name for name in ("distortions", "rattle") if getattr(self, name) is not None]
            if unused:
                raise ValueError(f"{' and '.join(unused)} would have no effect with {exclusive[0]}: leave them out")
        return self
