"""Settings of CP2K, and the sets of them that have names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from pydantic import Field, model_validator

from defectscout.core.settings import Settings
from defectscout.references.presets import chosen_settings


class Cp2kSettings(Settings):
    """How CP2K calculates. The Γ point is sampled, so that hosts are relaxed as supercells."""

    functional: Literal["PBE", "PBEsol", "HSE06"] = Field(
        "PBE", description="exchange and correlation; HSE06 with the auxiliary density matrix method (ADMM)"
    )
    basis: str = Field("DZVP-MOLOPT-SR-GTH", description="basis set, without -q and the valence electrons")
    basis_files: tuple[str, ...] = Field(
        ("BASIS_MOLOPT", "BASIS_MOLOPT_UCL"), description="files that it is looked for in, the first one wins"
    )
    auxiliary_basis: str = Field("admm-dzp", description="ADMM's auxiliary basis set, with HSE06")
    auxiliary_basis_files: tuple[str, ...] = Field(("BASIS_ADMM_UZH",), description="files that it is looked for in")
    potential: str = Field("GTH-PBE", description="pseudopotential, without -q and the valence electrons")
    potential_files: tuple[str, ...] = Field(("GTH_POTENTIALS",), description="files that it is looked for in")
    valence: dict[str, int] = Field(
        {}, description="valence electrons of elements with several potentials, such as Ga = 3"
    )
    cutoff: float = Field(400.0, gt=0, description="plane-wave cutoff of the density on the finest grid, Ry")
    relative_cutoff: float = Field(60.0, gt=0, description="cutoff that maps Gaussians onto the grids, Ry")
    eps_default: float = Field(
        1e-12, gt=0, description="accuracy of all integrals, hartree; with 1e-10, stresses are off by 10 MPa"
    )
    eps_scf: float = Field(1e-6, gt=0, description="self-consistency: largest gradient or error of the density matrix")
    solver: Literal["ot", "diagonalisation"] = Field(
        "ot", description="ot: orbital transformation, for cells with a gap; diagonalisation: for metals, too"
    )
    minimiser: Literal["DIIS", "CG"] = Field("DIIS", description="of ot; CG is slower and more robust")
    preconditioner: str = Field("FULL_ALL", description="of ot; FULL_SINGLE_INVERSE or FULL_KINETIC for large cells")
    mixing: float = Field(0.4, gt=0, le=1, description="share of the new density, with diagonalisation")
    smearing: float = Field(
        0.0, ge=0, description="electronic temperature, K, with diagonalisation; 0: fixed occupations"
    )
    max_scf: int = Field(30, ge=1, description="SCF steps before ot begins anew with a fresh preconditioner")
    max_outer_scf: int = Field(10, ge=1, description="how often it does so; with diagonalisation it only multiplies")
    exact_exchange: float = Field(0.25, gt=0, lt=1, description="share of exact exchange, with HSE06")
    screening: float = Field(0.208, gt=0, description="range separation, 1/Å, with HSE06 (0.11 1/bohr)")
    eps_schwarz: float = Field(1e-6, gt=0, description="screening of exchange integrals, hartree, with HSE06")
    exchange_memory: int = Field(2000, ge=1, description="memory for exchange integrals of each process, MB")
    force: float = Field(0.01, gt=0, description="largest component of a force in inputs for defects, eV/Å")
    host_force: float = Field(0.002, gt=0, description="the same in inputs for hosts, eV/Å")
    host_pressure: float = Field(0.02, gt=0, description="largest stress left in inputs for hosts, GPa")
    max_steps: int = Field(400, ge=1, description="ionic steps in inputs")
    walltime: float = Field(0.0, ge=0, description="hours after which an input's run ends by itself; 0: never")
    command: str = Field("", description="what starts CP2K, such as 'mpirun -np 4 cp2k.psmp'; empty: found on PATH")
    data: str = Field("", description="folder with CP2K's basis sets and potentials; empty: found")
    threads: int = Field(0, ge=0, description="threads of each calculation; 0: as many as a worker is given, one")

    @model_validator(mode="after")
    def _check(self) -> Cp2kSettings:
        if self.smearing and self.solver == "ot":
            raise ValueError("smearing needs solver = 'diagonalisation': ot keeps occupations fixed")
        return self

    @property
    def hybrid(self) -> bool:
        """Whether there is exact exchange."""
        return self.functional == "HSE06"

    @property
    def pbe_like(self) -> str:
        """The semi-local functional that a hybrid is made of, or the functional itself."""
        return "PBE" if self.hybrid else self.functional


NOT_PHYSICS: Final = frozenset({"command", "data", "threads", "walltime", "exchange_memory", "max_steps"})
"""Settings that leave energies as they are."""

PRESETS: Final[Mapping[str, tuple[str, Cp2kSettings]]] = MappingProxyType(
    {
        "pbe": ("PBE, DZVP-MOLOPT-SR-GTH, 400 Ry", Cp2kSettings()),
        "hse06": (
            "HSE06 with ADMM (DZVP-MOLOPT-SR-GTH, admm-dzp), 400 Ry: the paper's functional",
            Cp2kSettings(functional="HSE06"),
        ),
        "quick": (
            "PBE, the smallest basis and a low cutoff: for trying things out, not for results",
            Cp2kSettings(basis="SZV-MOLOPT-SR-GTH", cutoff=120.0, relative_cutoff=30.0),
        ),
    }
)
"""One line on each preset, and its settings; the first is the default."""


DEFAULT: Final = next(iter(PRESETS))


def settings_of(choice: str) -> Cp2kSettings:
    """Settings by the name of a preset or from a TOML file.

    Args:
        choice: `pbe`, `hse06`, `quick`, the path of a file that ends with `.toml`, or empty for the default. A file
            says with `preset` what it starts from, and then what is different.

    Raises:
        SettingsError: there is no such preset, or the file has a bad setting.
        InputFileError: the file is missing or is not TOML.
    """
    return chosen_settings("CP2K", PRESETS, choice)
