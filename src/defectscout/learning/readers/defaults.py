"""What to take where a source does not say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceDefaults:
    """What frames are of, where their source does not say.

    A source that says so itself wins, except over `method`, which holds wherever it is given:
    no file format names a method so that two codes or two settings can be told apart safely.

    Attributes:
        host: formula of the host, such as `CdTe`.
        defect: name without charge, such as `v_Cd`, or `bulk`.
        charge: charge state, units of e.
        method: what energies are on one scale, such as `gfn1-xtb` or `HSE06`.
    """

    host: str | None = None
    defect: str | None = None
    charge: int | None = None
    method: str | None = None
