"""Settings of the reference."""

from __future__ import annotations

from pydantic import Field

from defectscout.core.settings import Settings


class ReferenceSettings(Settings):
    """Which reference answers, and how many relaxations run at once."""

    name: str = Field(
        "gfn1-xtb",
        description="gfn1-xtb, gfn2-xtb, cp2k, espresso, ase:module:callable, or none (write DFT inputs and stop)",
    )
    workers: int = Field(0, ge=0, description="relaxations at once, one thread each; 0 takes all cores")
