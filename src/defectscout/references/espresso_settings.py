"""Settings of Quantum ESPRESSO, and the sets of them that have names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from pydantic import Field

from defectscout.core.settings import Settings
from defectscout.references.presets import chosen_settings


class EspressoSettings(Settings):
    """How pw.x calculates. Defects, and all that is evaluated step by step, have the Γ point alone."""

    functional: Literal["PBE", "PBEsol", "HSE06"] = Field("PBE", description="exchange and correlation")
    pseudopotentials: str = Field(
        "", description="folder with one UPF file for each element; empty: $DEFECTSCOUT_PSEUDO or $ESPRESSO_PSEUDO"
    )
    files: dict[str, str] = Field(
        {}, description="UPF file of elements with several in the folder, such as Ga = 'Ga.pbe-dn-kjpaw_psl.UPF'"
    )
    pseudo_dir: str = Field(
        "", description="folder of the same files where inputs will run; empty: the one that is here"
    )
    cutoff: float = Field(
        0.0,
        ge=0,
        description="plane-wave cutoff of the wavefunctions, Ry; 0: the largest that a potential in the cell suggests",
    )
    density_cutoff: float = Field(
        0.0,
        ge=0,
        description="cutoff of the density, Ry; 0: what the potentials suggest along with that of the wavefunctions, "
        "else 4 times the latter, or 8 times where a potential is ultrasoft or PAW",
    )
    conv_thr: float = Field(1e-8, gt=0, description="self-consistency: estimated error of the energy, Ry")
    max_scf: int = Field(100, ge=1, description="SCF steps")
    mixing: float = Field(0.4, gt=0, le=1, description="share of the new density")
    mixing_mode: Literal["plain", "TF", "local-TF"] = Field("plain", description="local-TF for cells with vacuum")
    diagonalisation: Literal["david", "cg"] = Field("david", description="cg is slower and more robust")
    smearing: float = Field(
        0.02,
        ge=0,
        description="Gaussian smearing of the occupations, eV: a level that a symmetric vacancy half fills would not "
        "converge without; 0: fixed occupations",
    )
    exact_exchange: float = Field(0.25, gt=0, lt=1, description="share of exact exchange, with HSE06")
    screening: float = Field(0.208, gt=0, description="range separation, 1/Å, with HSE06 (0.11 1/bohr)")
    force: float = Field(0.01, gt=0, description="largest component of a force in inputs for defects, eV/Å")
    host_force: float = Field(0.002, gt=0, description="the same in inputs for hosts, eV/Å")
    host_pressure: float = Field(0.05, gt=0, description="largest stress left in inputs for hosts, GPa")
    host_kpoint_spacing: float = Field(
        0.15,
        gt=0,
        description="largest distance of k-points in inputs for hosts, 1/Å with 2π, as these may be primitive cells",
    )
    max_steps: int = Field(400, ge=1, description="ionic steps in inputs")
    walltime: float = Field(0.0, ge=0, description="hours after which an input's run ends by itself; 0: never")
    command: str = Field("", description="what starts pw.x, such as 'mpirun -np 4 pw.x'; empty: found on PATH")
    threads: int = Field(0, ge=0, description="threads of each calculation; 0: as many as a worker is given, one")

    @property
    def hybrid(self) -> bool:
        """Whether there is exact exchange."""
        return self.functional == "HSE06"


NOT_PHYSICS: Final = frozenset({"command", "pseudopotentials", "pseudo_dir", "threads", "walltime", "max_steps"})
"""Settings that leave energies as they are; files of potentials are told apart by name and size."""

PRESETS: Final[Mapping[str, tuple[str, EspressoSettings]]] = MappingProxyType(
    {
        "pbe": ("PBE, cutoffs that the potentials suggest", EspressoSettings()),
        "pbesol": ("PBEsol, the same", EspressoSettings(functional="PBEsol")),
        "hse06": ("HSE06, the same: the paper's functional", EspressoSettings(functional="HSE06")),
        "quick": (
            "PBE, a low cutoff: for trying things out, not for results",
            EspressoSettings(cutoff=25.0, conv_thr=1e-7),
        ),
    }
)
"""One line on each preset, and its settings; the first is the default."""


def settings_of(choice: str) -> EspressoSettings:
    """Settings by the name of a preset or from a TOML file.

    Args:
        choice: `pbe`, `pbesol`, `hse06`, `quick`, the path of a file that ends with `.toml`, or empty for the default.
            A file says with `preset` what it starts from, and then what is different.

    Raises:
        SettingsError: there is no such preset, or the file has a bad setting.
        InputFileError: the file is missing or is not TOML.
    """
    return chosen_settings("Quantum ESPRESSO", PRESETS, choice)
