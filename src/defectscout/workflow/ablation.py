"""Trainings that differ in one thing at a time, side by side (paper, tables S2 to S10)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from defectscout.core.errors import DefectscoutError, SettingsError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.core.settings import Settings, merge_settings, read_toml_file, validated
from defectscout.learning.dataset import Dataset
from defectscout.learning.frame_sampling import sample_frames
from defectscout.learning.history import Epoch
from defectscout.learning.settings import TRAINING_PRESETS, FrameSamplingSettings, TrainingPreset, TrainSettings
from defectscout.surrogates.settings import SurrogateSettings
from defectscout.workflow.dataset_build import featuriser
from defectscout.workflow.paper_tables import PAPER_TABLES
from defectscout.workflow.training import train_member
from defectscout.workflow.training_data import TrainingData, training_data

RESULT: Final = "result.json"


class AblationRun(Settings):
    """One training of a comparison.

    `train` and `frames` hold what differs from the common settings.
    """

    name: str = Field(description="what is special about it")
    table: str = Field("", description="runs of one table are compared with each other")
    train: dict[str, Any] = Field(default_factory=dict, description="settings of training that differ")
    frames: dict[str, Any] = Field(default_factory=dict, description="settings of frame sampling that differ")
    bulk: bool = Field(True, description="whether frames of pristine hosts are trained on")


class Ablation(Settings):
    """A comparison, as its TOML file says it."""

    dataset: Path = Field(description="file of `defectscout dataset build`, relative to the TOML file")
    preset: TrainingPreset = Field("paper", description="settings that all others are changes of: default or paper")
    common: dict[str, Any] = Field(default_factory=dict, description="settings of every training")
    tables: tuple[str, ...] = Field((), description="comparisons of the paper: S2, S3, S4, S5, S6, S7, S8, S9, S10")
    run: tuple[AblationRun, ...] = Field((), description="own trainings")
    charge: int | None = Field(None, description="defects of this charge state only")
    method: str | None = Field(None, description="frames of this reference only")


@dataclass(frozen=True, slots=True)
class AblationRow:
    """How one training did, on validation frames that are the same for all.

    Attributes:
        table: the comparison that it belongs to.
        name: what is special about it.
        frames: training frames.
        loss: sum of the validation errors of energies (eV/atom), forces (eV/Å) and, times 0.1, stresses (GPa): what the
            paper's tables call the loss. It does not depend on the weights that were trained with.
        val_energy, val_force, val_stress: mean absolute errors in meV/atom, meV/Å and GPa.
        train_energy, train_force, train_stress: the same while training, in the epoch that was kept; not-a-number
            where no epoch was better than none.
        val_spearman: ρ of each defect's validation frames, averaged.
        epoch: the epoch that was kept.
        epochs: epochs trained.
        seconds: of training and validation.
        failure: why there are no numbers; empty if there are.
    """

    table: str
    name: str
    frames: int
    loss: float
    val_energy: float
    val_force: float
    val_stress: float
    train_energy: float
    train_force: float
    train_stress: float
    val_spearman: float
    epoch: int
    epochs: int
    seconds: float
    failure: str = ""


def read_ablation(path: Path) -> Ablation:
    """The comparison that a TOML file asks for.

    Raises:
        InputFileError: if the file is missing or not TOML.
        SettingsError: for an unknown name or an impossible value.
    """
    ablation = validated(Ablation, read_toml_file(path), str(path), "docs/howto/ablate.md shows a whole file.")
    unknown = sorted(set(ablation.tables) - PAPER_TABLES.keys())
    if unknown:
        raise SettingsError(f"{path}: there is no table {', '.join(unknown)}. There are: {', '.join(PAPER_TABLES)}.")
    ablation = ablation.model_copy(update={"dataset": path.parent / ablation.dataset})
    runs = all_runs(ablation)
    if not runs:
        raise SettingsError(f'{path} names no training. Add tables = ["S2"] or sections [[run]].')
    keys = [(run.table, run.name) for run in runs]
    twice = sorted({f"{table} {name}".strip() for table, name in keys if keys.count((table, name)) > 1})
    if twice:
        raise SettingsError(f"{path} names these trainings twice: {', '.join(twice)}. Give each its own name.")
    for run in runs:  # all mistakes before the first training
        _settings(ablation, run)
        merge_settings(FrameSamplingSettings(), run.frames, f"{path}, run '{run.name}'")
    return ablation


def all_runs(ablation: Ablation) -> tuple[AblationRun, ...]:
    """The paper's trainings that were asked for, and then the user's own."""
    paper = [
        AblationRun(table=table, name=name, **changes)
        for table in ablation.tables
        for name, changes in PAPER_TABLES[table].items()
    ]
    return (*paper, *ablation.run)


def run_ablation(ablation: Ablation, folder: Path, progress: Progress | None = None) -> tuple[AblationRow, ...]:
    """Train everything that has not been trained yet; the same call goes on after an interruption.

    A training that cannot be done (its package is missing, its loss explodes) is a row with its reason.

    Returns:
        Rows by table, in the order of their validation loss; also written to `ablation.csv` and `ablation.json`.
    """
    progress = progress or SilentProgress()
    folder.mkdir(parents=True, exist_ok=True)
    data = training_data(ablation.dataset, charge=ablation.charge, any_charge=False, method=ablation.method)
    rows: list[AblationRow] = []
    runs = all_runs(ablation)
    for number, run in enumerate(runs):
        progress.message(f"{number + 1} of {len(runs)}: {_title(run)}")
        rows.append(_finished_or_run(ablation, run, data, folder / _slug(run), progress))
    tables = list(dict.fromkeys(row.table for row in rows))
    ordered = tuple(sorted(rows, key=lambda row: (tables.index(row.table), bool(row.failure), row.loss)))
    (folder / "ablation.json").write_text(json.dumps([asdict(row) for row in ordered], indent=1) + "\n")
    (folder / "ablation.csv").write_text(to_csv(ordered))
    return ordered


def to_csv(rows: Sequence[AblationRow]) -> str:
    """One line for each training."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(AblationRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in asdict(row).items()})
    return buffer.getvalue()


def _finished_or_run(
    ablation: Ablation, run: AblationRun, data: TrainingData, folder: Path, progress: Progress
) -> AblationRow:
    settings = _settings(ablation, run)
    chosen = _frames(data, run, progress)
    done = folder / RESULT
    described = {"settings": settings.model_dump(mode="json"), "rows": [row.row for row in chosen.train]}
    if done.exists():
        kept = json.loads(done.read_text())
        if kept["described"] == described and kept["dataset"] == data.digest:
            return AblationRow(**kept["row"])
    try:
        fitted = train_member(chosen, settings, folder, progress).fit
    except DefectscoutError as error:
        progress.warn(f"{_title(run)}: {error}")
        nan = float("nan")
        return AblationRow(
            run.table,
            run.name,
            len(chosen.train),
            float("inf"),
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            0,
            0,
            0.0,
            str(error),
        )
    row = _row(run, len(chosen.train), fitted.history, fitted.kept)
    done.write_text(json.dumps({"described": described, "dataset": data.digest, "row": asdict(row)}))
    return row


def _settings(ablation: Ablation, run: AblationRun) -> TrainSettings:
    common = merge_settings(TRAINING_PRESETS[ablation.preset], ablation.common, "[common]")
    return merge_settings(common, run.train, f"run '{run.name}'")


def _frames(data: TrainingData, run: AblationRun, progress: Progress) -> TrainingData:
    """The training frames of a run; validation and test are the same for all."""
    train = data.train
    if run.frames:
        relaxations = {row.origin.relaxation for row in train}
        elsewhere = {row.row for row in (*data.validation, *data.test)}
        dataset = Dataset.open(data.path)
        there = [row for row in dataset.index() if row.origin.relaxation in relaxations and row.row not in elsewhere]
        settings = merge_settings(FrameSamplingSettings(), run.frames, f"run '{run.name}'")
        wanted = set(sample_frames(there, settings, featuriser(dataset, settings, SurrogateSettings(), progress)))
        train = tuple(row for row in there if row.row in wanted)
    if not run.bulk:
        train = tuple(row for row in train if not row.origin.is_bulk)
    return replace(data, train=train)


def _row(run: AblationRun, frames: int, history: Sequence[Epoch], kept: Epoch) -> AblationRow:
    stress = 0.0 if kept.val_stress_mae != kept.val_stress_mae else kept.val_stress_mae
    return AblationRow(
        table=run.table,
        name=run.name,
        frames=frames,
        loss=kept.val_energy_mae + kept.val_force_mae + 0.1 * stress,
        val_energy=1000 * kept.val_energy_mae,
        val_force=1000 * kept.val_force_mae,
        val_stress=kept.val_stress_mae,
        train_energy=1000 * kept.train_energy_mae,
        train_force=1000 * kept.train_force_mae,
        train_stress=kept.train_stress_mae,
        val_spearman=kept.val_spearman,
        epoch=kept.epoch,
        epochs=history[-1].epoch,
        seconds=sum(epoch.seconds for epoch in history),
    )


def _title(run: AblationRun) -> str:
    return f"{run.table} {run.name}".strip()


def _slug(run: AblationRun) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in _title(run))
