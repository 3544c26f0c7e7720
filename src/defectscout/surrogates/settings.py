"""Settings of the surrogate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from defectscout.core.settings import Settings

Device = Literal["auto", "cpu", "cuda", "mps"]


class SurrogateSettings(Settings):
    """Which surrogate scouts, and on what device."""

    name: str = Field(
        "chgnet",
        description="chgnet or chgnet:FILE, 7net-0, 7net-l3i5 or 7net:FILE, m3gnet:NAME or m3gnet:FOLDER, "
        "tensornet:NAME or tensornet:FOLDER, mace:NAME or mace:FILE, ase:module:callable, or the folder of a trained "
        "model",
    )
    device: Device = Field("auto", description="auto takes CUDA where there is one, else the CPU")
    lattice: Literal["host", "own"] = Field(
        "host",
        description="own: it sees the host at the volume at which it feels no pressure, for a host with the lattice of "
        "another functional (LDA, PBEsol), an untouched surrogate and a search that does not learn",
    )
    batch_size: int = Field(
        16,
        ge=1,
        description="structures evaluated together on a GPU; a CPU takes one at a time, which is as fast there",
    )
