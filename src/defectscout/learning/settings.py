"""Settings of datasets and training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from defectscout.core.settings import Settings
from defectscout.surrogates.settings import Device


class CleaningSettings(Settings):
    """What is taken out of a dataset before frames are sampled (paper, section IV)."""

    positive_energies: bool = Field(True, description="take out configurations with positive energies")
    max_energy_above_ground_state: float | None = Field(
        15.0, gt=0, description="take out what is more than this above the lowest frame of its defect, eV"
    )
    unconverged_scf: bool = Field(True, description="take out ionic steps whose electronic structure did not converge")
    max_force: float | None = Field(
        50.0, gt=0, description="take out configurations with a larger force on an atom, eV/Å"
    )
    duplicate_energy: float = Field(
        1e-5,
        ge=0,
        description="two frames of one defect are one if their energies agree within this, eV, ...",
    )
    duplicate_displacement: float = Field(
        1e-3, ge=0, description="... and no atom differs by more than this, Å; 0 keeps all but exact copies"
    )


class FrameSamplingSettings(Settings):
    """Which frames of a relaxation are kept (paper, section II B and tables S3 and S10)."""

    method: Literal["MS", "DIRECT", "all"] = Field(
        "MS", description="MS: evenly spaced frames of each relaxation; DIRECT: BIRCH clusters of features; all"
    )
    frames_per_relaxation: int = Field(10, ge=1, description="frames of each relaxation with MS")
    bulk_frames: int = Field(10, ge=0, description="evenly spaced frames of each host's pristine relaxations; 0: none")
    direct_threshold: float = Field(0.02, gt=0, description="t of DIRECT: BIRCH's threshold")
    direct_clusters: int = Field(4000, ge=1, description="n of DIRECT: clusters")
    direct_per_cluster: int = Field(20, ge=1, description="k of DIRECT: frames of each cluster")
    direct_features: Literal["soap", "surrogate"] = Field("soap", description="features of DIRECT")


class SplitSettings(Settings):
    """How defects are shared among training, validation and test (paper, section II B)."""

    by: Literal["composition", "defect", "relaxation", "host-list", "random"] = Field(
        "composition",
        description="what stays together: hosts, defects, relaxations; given lists of hosts; or nothing",
    )
    train: float = Field(0.68, ge=0, le=1, description="share of defects for training")
    validation: float = Field(0.05, ge=0, le=1, description="share of defects for validation")
    test: float = Field(0.27, ge=0, le=1, description="share of defects for testing")
    validation_hosts: tuple[str, ...] = Field((), description="hosts, or HOST/DEFECT, for validation with host-list")
    test_hosts: tuple[str, ...] = Field((), description="hosts, or HOST/DEFECT, for testing with host-list")
    augment_validation: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the training configurations that are moved to validation, where hosts or defects stay "
        "together; of no effect with relaxation and random",
    )
    seed: int = Field(0, ge=0, description="seed of random choices")


class ArchitectureSettings(Settings):
    """Architecture of a model that is trained from scratch (paper, tables S6 to S8)."""

    cutoff: float = Field(5.0, gt=0, description="radius within which atoms see each other, Å")
    three_body_cutoff: float = Field(4.0, gt=0, description="radius of three-body terms, Å")
    readout: Literal["weighted_atom", "reduce", "set2set"] = Field("weighted_atom", description="readout of M3GNet")
    charge_as_input: bool = Field(False, description="give the charge state to the network as a global input (M3GNet)")


class ReplaySettings(Settings):
    """Frames that remind a model of what it knew: perturbed frames labelled by the untouched model itself."""

    frames: int = Field(0, ge=0, description="replayed frames, made once before training")
    displacement: float = Field(0.1, gt=0, description="standard deviation of the random displacements, Å")
    weight: float = Field(1.0, ge=0, description="weight of a replayed frame in the loss")


class TrainSettings(Settings):
    """Training of a surrogate.

    The defaults are for tuning a universal model on the relaxations of a few defects without its forgetting
    the others; benchmarks/fine_tuning.py compares them with `PAPER_TRAINING`, the paper's settings for its
    11,955 frames of 132 defects, which suit training from scratch, too.
    """

    base: str = Field("chgnet", description="surrogate to start from; for scratch, the family: m3gnet, mace, ...")
    train: Literal["all", "last", "last2", "scratch"] = Field("all", description="which layers are trained")
    element_references: Literal["bulk", "all", "isolated"] = Field(
        "bulk", description="reference energies: regression on bulk frames, on all frames, or isolated atoms"
    )
    isolated_atoms: dict[str, float] = Field(
        default_factory=dict, description="energies of isolated atoms, eV, for element_references = isolated"
    )
    undetermined_references: Literal["defects", "minimum-norm"] = Field(
        "defects", description="what settles references that bulk frames leave open: defect frames, or minimum norm"
    )
    energy_zero: Literal["elements", "defect"] = Field(
        "defect",
        description="elements: energies less the element references are learned, as in the paper; defect: less one "
        "constant for each defect, too, so that only energy differences within a defect are learned",
    )
    energy_weight: float = Field(100.0, ge=0, description="weight of energies, (eV/atom)^-2")
    force_weight: float = Field(1.0, ge=0, description="weight of forces, (eV/Å)^-2")
    stress_weight: float = Field(
        0.0, ge=0, description="weight of stresses, GPa^-2; defects relax in a fixed cell, which needs none"
    )
    loss: Literal["mse", "huber"] = Field("mse", description="mean squared error, or Huber's loss")
    huber_delta: float = Field(0.01, gt=0, description="where Huber's loss turns linear, in the units above")
    batch_size: int = Field(4, ge=1, description="structures in one step")
    learning_rate: float = Field(1e-4, gt=0, description="first learning rate of Adam")
    schedule: Literal["exponential", "cosine", "constant", "time"] = Field(
        "exponential", description="how the learning rate falls over the epochs"
    )
    final_learning_rate: float = Field(
        0.1, gt=0, le=1, description="last learning rate as a fraction of the first (exponential and cosine)"
    )
    epochs: int = Field(30, ge=1, description="largest number of passes over the training frames")
    patience: int = Field(10, ge=1, description="epochs without a lower validation loss before training stops")
    gradient_clip: float | None = Field(2.0, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the weights, each step; none: no average",
    )
    towards_start: float = Field(
        0.0, ge=0, description="weight of the squared distance from the starting weights in the loss (L2-SP)"
    )
    average_with_start: bool = Field(
        False, description="after training, mix the weights with the starting ones by the share that validates best"
    )
    replay: ReplaySettings = Field(default_factory=ReplaySettings, description="replay of the untouched model")
    architecture: ArchitectureSettings = Field(
        default_factory=ArchitectureSettings, description="architecture, for train = scratch"
    )
    select_by: Literal["loss", "ranking", "last"] = Field(
        "loss",
        description="which epoch is kept: lowest validation loss, best ranking of each defect's frames, or the last, "
        "where no frames can be held back",
    )
    ensemble: int = Field(1, ge=1, description="models trained, with different seeds")
    seed: int = Field(0, ge=0, description="seed of shuffling and of new weights")
    device: Device = Field("auto", description="auto takes CUDA where there is one")


TrainingPreset = Literal["default", "paper"]

PAPER_TRAINING = TrainSettings(
    energy_zero="elements",
    energy_weight=1.0,
    force_weight=1.0,
    stress_weight=0.1,
    learning_rate=5e-4,
    schedule="exponential",
    final_learning_rate=0.01,
    batch_size=4,
    epochs=30,
)
"""Settings of the paper, section IV A; the end of the schedule is not given there."""

TRAINING_PRESETS: dict[TrainingPreset, TrainSettings] = {"default": TrainSettings(), "paper": PAPER_TRAINING}
