"""Settings of the learning loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from defectscout.core.settings import Settings


class TuningSettings(Settings):
    """How the surrogate is tuned between two rounds."""

    epochs: int = Field(25, ge=1, description="largest number of passes over the frames in a round")
    frames_seen: int = Field(
        500,
        ge=1,
        description="frames that a round passes, over all epochs: every round goes on from the weights of the one "
        "before, so that more frames need fewer passes",
    )
    learning_rate: float = Field(5e-4, gt=0, description="first learning rate of Adam in each round")
    final_learning_rate: float = Field(0.1, gt=0, le=1, description="last learning rate as a fraction of the first")
    energy_weight: float = Field(100.0, ge=0, description="weight of energies, (eV/atom)^-2")
    force_weight: float = Field(1.0, ge=0, description="weight of forces, (eV/Å)^-2")
    batch_size: int = Field(4, ge=1, description="structures in one step")
    max_force: float = Field(
        50.0,
        gt=0,
        description="frames with a larger force on an atom are not learned from, eV/Å: of atoms drawn into each other "
        "by sampling a surrogate learns nothing but to be wrong elsewhere",
    )
    reused_frames: int = Field(
        40, ge=0, description="frames that the starting surrogate has learned from, learned from again"
    )
    ensemble: int = Field(
        1,
        ge=1,
        description="networks tuned in each round, with different seeds; with one, the networks of the last rounds "
        "stand in for an ensemble where a spread is needed",
    )
    seed: int = Field(0, ge=0, description="seed of shuffling")


class LearnSettings(Settings):
    """What is asked in each round, and when the loop ends. Defaults: benchmarks/learning_loop.py."""

    ask: Literal["mixed", "minima", "uncertain", "corrected"] = Field(
        "mixed",
        description="mixed: points at new surrogate minima, and a corrected relaxation of the lowest, or relaxations "
        "alone where the ground state of a related host was carried over; minima: relax each new minimum; uncertain: "
        "points along trajectories where the surrogate is least sure; corrected: corrected relaxations alone",
    )
    first_relaxations: int = Field(
        1,
        ge=0,
        description="sampling structures, nearest to a new bond, that are relaxed before the surrogate is trusted with "
        "any; none if the surrogate was tuned on such a host",
    )
    first_points: int = Field(4, ge=0, description="further sampling structures that get a single force call then")
    points: int = Field(3, ge=0, description="single points in a round")
    relaxations: int = Field(
        1,
        ge=0,
        description="relaxations begun or gone on with in a round, for each defect; as many of each where the ground "
        "state of a related host was carried over (mixed)",
    )
    relaxation_calls: int = Field(12, ge=1, description="force calls of one relaxation in one round")
    window: float = Field(0.5, ge=0, description="minima up to this far above the lowest are relaxed to the end, eV")
    patience: int = Field(3, ge=1, description="rounds that must bring nothing new and lower before the loop ends")
    related_patience: int = Field(
        2,
        ge=1,
        description="the same, if fewer, where the lowest minimum is what the ground state of a related host relaxed "
        "to: the surrogate has learned on that host already",
    )
    max_rounds: int = Field(12, ge=1, description="largest number of rounds for a defect")
    max_force_calls: int | None = Field(
        None, ge=1, description="largest number of reference force calls for all defects; none: no limit"
    )
    max_hours: float | None = Field(None, gt=0, description="largest wall time of the loop; none: no limit")
    checks: int = Field(
        1, ge=0, description="sampling structures that the reference relaxes alone at the end, as a check on surprise"
    )
    curvature_calls: int = Field(
        0,
        ge=0,
        description="force calls that may be spent at the end on whether the lowest minimum is one or a saddle point; "
        "it takes some ten",
    )
    keep: bool = Field(True, description="keep the tuned surrogate in the store, for searches of related hosts")
    tuning: TuningSettings = TuningSettings()
