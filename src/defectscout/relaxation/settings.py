"""Settings of relaxations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from defectscout.core.settings import Settings


class FireSettings(Settings):
    """FIRE (DOI 10.1103/PhysRevLett.97.170201), with ASE's parameters."""

    dt: float = Field(0.1, gt=0, description="first time step, ASE time units")
    dtmax: float = Field(1.0, gt=0, description="largest time step")
    maxstep: float = Field(0.2, gt=0, description="largest norm of the displacement of all atoms in a step, Å")
    n_min: int = Field(5, ge=0, description="downhill steps before the time step grows")
    f_inc: float = Field(1.1, gt=1, description="growth of the time step")
    f_dec: float = Field(0.5, gt=0, lt=1, description="shrinkage of the time step")
    alpha_start: float = Field(0.1, gt=0, description="first mixing")
    f_alpha: float = Field(0.99, gt=0, le=1, description="decay of the mixing")


class CorrectedSettings(Settings):
    """Relaxation in which the surrogate proposes each step and the reference corrects it."""

    trust_start: float = Field(0.2, gt=0, description="first trust radius, largest displacement of an atom, Å")
    trust_min: float = Field(0.005, gt=0, description="smallest trust radius, Å")
    trust_max: float = Field(0.3, gt=0, description="largest trust radius, Å")
    growth: float = Field(
        1.3,
        ge=1,
        description="the trust radius grows to this many times the last step where the energy fell as promised; with "
        "2, back to where the step before had failed",
    )
    points: int = Field(20, ge=2, description="evaluated points that the correction is made from")
    length: float = Field(
        1.0,
        gt=0,
        description="distance over which the correction is forgotten, Å: how far bonds have changed, atoms not counted",
    )
    length_alone: float = Field(
        2.0,
        gt=0,
        description="the same where no surrogate proposes and the reference's own energies and forces are all there is",
    )
    inner_calls: int = Field(
        60, ge=2, description="largest number of surrogate calls for one proposal, twice near the end"
    )
    promise: float = Field(
        0.01,
        gt=0,
        description="small forces are no end while the corrected surface still falls by this much within the trust "
        "radius, as at a saddle point, eV",
    )
    trust_learned: float = Field(
        0.05,
        gt=0,
        description="trust radius within which a surrogate that has learned from its frames looks around the lowest "
        "minimum, Å",
    )
    promise_learned: float = Field(
        0.002,
        gt=0,
        description="how much it has to promise there, eV",
    )


class RelaxationSettings(Settings):
    """When a relaxation is done."""

    criterion: Literal["fmax", "fmean"] = Field(
        "fmax", description="fmax: largest force on an atom; fmean: mean force, as in the paper"
    )
    force: float = Field(0.03, gt=0, description="the criterion's threshold, eV/Å")
    max_steps: int = Field(400, ge=0, description="step limit")
    optimiser: Literal["fire", "corrected"] = Field(
        "fire",
        description="of the candidates' reference relaxations in a search that scouts once. fire: on the reference's "
        "forces alone; corrected: the surrogate proposes each step and the reference corrects it, which takes a "
        "fraction of the force calls and more of the surrogate's time. A search that learns always corrects, a "
        "reference-only one never does, and neither does scouting",
    )
    fire: FireSettings = FireSettings()
    corrected: CorrectedSettings = CorrectedSettings()


PAPER = RelaxationSettings(criterion="fmean", force=1e-5, max_steps=1500)
"""The paper's settings of surrogate relaxations (section IV A): mean force below 10⁻⁵ eV/Å, 1500 steps."""
