"""Settings of telling minima apart."""

from __future__ import annotations

from pydantic import Field

from defectscout.core.settings import Settings


class MinimaSettings(Settings):
    """SOAP fingerprint of the defect site (paper, section IV A), clustering, and the check of the lattice.

    The reasons for the defaults of `threshold`, `energy_tolerance`, `far_displacement`
    and `symprec` are measured by benchmarks/fingerprint_threshold.py and told in
    docs/explanation/distinct-minima.md.
    """

    cutoff: float = Field(5.0, gt=0, description="SOAP cutoff, Å; what lies farther out counts as the host")
    n_max: int = Field(10, ge=1, description="radial basis functions")
    l_max: int = Field(10, ge=0, description="largest degree of spherical harmonics")
    sigma: float = Field(1.0, gt=0, description="width of the Gaussians, Å")
    threshold: float = Field(
        4e-4,
        gt=0,
        lt=1,
        description="largest cosine distance between two structures of one minimum",
    )
    energy_tolerance: float = Field(
        0.03,
        gt=0,
        description="largest difference in energy between two structures of one minimum, eV",
    )
    far_displacement: float = Field(
        0.7, gt=0, description="an atom outside the cutoff that moves farther than this has left its site, Å"
    )
    far_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="the host fell apart when a larger fraction of the atoms outside the cutoff left their sites",
    )
    symprec: float = Field(
        0.1, gt=0, description="symmetry tolerance for relaxed structures, Å (forces of 0.03 eV/Å remain)"
    )
