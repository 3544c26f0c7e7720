"""Sets of VASP settings, over those of doped and ShakeNBreak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from defectscout.core.errors import SettingsError

IncarValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class VaspPreset:
    """What a preset changes.

    Attributes:
        line: one line on it.
        defect: INCAR tags over ShakeNBreak's, for positions in a fixed cell at the Γ point.
        host: INCAR tags over doped's for a crystal, for cell and positions.
        kppa: k-points times atoms in the host's cell; None for doped's density, 100 points Å³.
    """

    line: str
    defect: Mapping[str, IncarValue] = field(default_factory=dict)
    host: Mapping[str, IncarValue] = field(default_factory=dict)
    kppa: int | None = None


def _semilocal(gga: str) -> dict[str, IncarValue]:
    return {"LHFCALC": False, "GGA": gga}


# A cell that relaxes needs a cutoff 30 % above that of a fixed one (Pulay stress, VASP's manual on ENCUT), and
# projections in real space are for large cells.
_HOST: Final[Mapping[str, IncarValue]] = MappingProxyType(
    {"ENCUT": 390, "LREAL": False, "LWAVE": False, "LCHARG": False}
)

PRESETS: Final[Mapping[str, VaspPreset]] = MappingProxyType(
    {
        "shakenbreak": VaspPreset(
            "HSE06 with ShakeNBreak's settings for structure searching: 300 eV, 1e-5 eV, 0.01 eV/Å, Γ point",
            host=_HOST,
        ),
        "paper": VaspPreset(
            "HSE06 as in the paper's section IV A: 350 eV, 1e-4 eV, 0.01 eV/Å, Γ point; hosts 585 eV, 900 k-points "
            "per site, 1e-6 eV, 1e-5 eV/Å",
            defect={"ENCUT": 350, "EDIFF": 1e-4, "EDIFFG": -0.01},
            host={**_HOST, "ENCUT": 585, "EDIFF": 1e-6, "EDIFFG": -1e-5},
            kppa=900,
        ),
        "pbesol": VaspPreset(
            "ShakeNBreak's settings with PBEsol: many times cheaper than HSE06, but holes and electrons spread out",
            defect=_semilocal("PS"),
            host={**_HOST, **_semilocal("PS")},
        ),
        "pbe": VaspPreset(
            "ShakeNBreak's settings with PBE: as cheap as PBEsol, for hosts relaxed with PBE",
            defect=_semilocal("PE"),
            host={**_HOST, **_semilocal("PE")},
        ),
    }
)
"""The first is the default. What a preset does not name is doped's and ShakeNBreak's."""


def vasp_preset(name: str) -> VaspPreset:
    """The preset of this name.

    Raises:
        SettingsError: there is none.
    """
    found = PRESETS.get(name)
    if found is None:
        raise SettingsError(f"VASP has no preset '{name}'. Choose one of: {', '.join(PRESETS)}.")
    return found
