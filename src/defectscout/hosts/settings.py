"""Settings of reading, checking and repeating a host."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from defectscout.core.settings import Settings


class HostSettings(Settings):
    """How the host is checked, relaxed and judged."""

    symprec: float = Field(0.01, gt=0, description="symmetry tolerance, Å")
    min_distance: float = Field(
        0.6, gt=0, description="sites closer than this fraction of the sum of their covalent radii overlap"
    )
    max_gap: float = Field(7.0, gt=0, description="an empty gap between planes of atoms wider than this is vacuum, Å")
    keep: bool = Field(False, description="take cell and positions as they are, without relaxing them")
    fixed_cell: bool = Field(False, description="relax positions only, in the cell as it is")
    fmax: float = Field(0.01, gt=0, description="largest force at the end of the host relaxation, eV/Å")
    smax: float = Field(0.1, gt=0, description="largest stress component at its end, GPa")
    max_steps: int = Field(200, ge=1, description="step limit of the host relaxation")
    rattle: float = Field(
        0.05, ge=0, description="standard deviation of the rattle in the stability test, Å; 0 skips it"
    )
    rattle_seed: int = Field(42, ge=0, description="seed of that rattle")
    stability_steps: int = Field(60, ge=1, description="step limit of the stability test")
    max_length_change: float = Field(
        0.06, gt=0, description="a lattice parameter that changes by a larger fraction means an unstable host"
    )
    max_energy_gain: float = Field(
        0.005,
        gt=0,
        description="energy that breaking the symmetry may gain, eV/atom, before the host counts as unstable",
    )
    accept_unstable: bool = Field(False, description="go on with a host that is unstable on the reference's surface")


class SupercellSettings(Settings):
    """Which supercell the defects are made in."""

    min_image_distance: float = Field(
        10.0, gt=0, description="least distance between periodic images in any direction, Å (paper, section IV A)"
    )
    min_atoms: int = Field(50, ge=1, description="least number of atoms")
    max_growth: float = Field(
        1.5,
        ge=1,
        description="how many times larger than the smallest possible supercell one that keeps the host's point "
        "group may be",
    )
    matrix: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]] | None = Field(
        None, description="supercell matrix, rows in units of the primitive cell's vectors; overrides the search"
    )
    as_given: bool = Field(
        False,
        description="the host's file holds the supercell itself, such as one of an alloy: no primitive cell is sought, "
        "nothing is repeated, and the order of the atoms stays",
    )

    @model_validator(mode="after")
    def _given_or_made(self) -> Self:
        if self.as_given and self.matrix is not None:
            raise ValueError("as_given and matrix exclude each other: a supercell that is given is not made")
        return self

    @field_validator("matrix")
    @classmethod
    def _spans_a_cell(cls, matrix: tuple[tuple[int, int, int], ...] | None) -> tuple[tuple[int, int, int], ...] | None:
        if matrix is None:
            return None
        determinant = round(float(np.linalg.det(np.array(matrix))))
        if determinant == 0:
            raise ValueError("the determinant is zero: the three rows must be independent")
        if determinant < 0:
            raise ValueError("the determinant is negative, which makes a left-handed cell: negate all nine entries")
        return matrix
