"""`defectscout train`: fine-tune a surrogate on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from defectscout.learning.settings import TrainSettings

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="File of `defectscout dataset build`.")]
FolderOption = Annotated[Path, typer.Option("--output", "-o", help="Folder of the trained model.")]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        "-b",
        help="Surrogate to start from: chgnet, m3gnet:FOLDER, 7net-0, mace:FILE, or a trained model. Default: chgnet. "
        "With --train scratch: m3gnet, tensornet, chgnet, 7net or mace.",
        show_default=False,
    ),
]
TrainOption = Annotated[
    str | None, typer.Option("--train", metavar="all|last|last2|scratch", help="Which layers are trained.")
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Most passes over the training frames.")]
RateOption = Annotated[float | None, typer.Option("--learning-rate", "--lr", help="First learning rate.")]
ScheduleOption = Annotated[
    str | None, typer.Option("--schedule", metavar="exponential|cosine|constant|time", help="How it falls.")
]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Structures in one step.")]
ReferencesOption = Annotated[
    str | None, typer.Option("--element-references", metavar="bulk|all|isolated", help="Where they come from.")
]
LossOption = Annotated[str | None, typer.Option("--loss", metavar="mse|huber", help="Loss function.")]
EmaOption = Annotated[float | None, typer.Option("--ema", help="Decay of the moving average of the weights.")]
ReplayOption = Annotated[int | None, typer.Option("--replay", help="Replayed frames of the untouched model.")]
TowardsOption = Annotated[float | None, typer.Option("--towards-start", help="Weight of L2-SP.")]
AverageOption = Annotated[
    bool | None,
    typer.Option("--average-with-start/--no-average-with-start", help="Mix with the starting weights at the end."),
]
EnsembleOption = Annotated[int | None, typer.Option("--ensemble", help="Number of models, with different seeds.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of shuffling and of new weights.")]
ChargeOption = Annotated[int | None, typer.Option("--charge", help="Train on defects of this charge state only.")]
AnyChargeOption = Annotated[
    bool, typer.Option("--any-charge", help="Train on all charge states, without telling the model which is which.")
]
ChargeInputOption = Annotated[
    bool, typer.Option("--charge-as-input", help="Give the charge state to the network (M3GNet from scratch).")
]
MethodOption = Annotated[str | None, typer.Option("--method", help="Train on frames of this reference only.")]
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset", metavar="default|paper", help="default: for tuning on a few defects; paper: the paper's settings."
    ),
]
KeepWorse = Annotated[
    bool, typer.Option("--keep-worse", help="Keep a model that does worse on unseen frames than the untouched one.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Any setting of training, as in --set patience=20. May be repeated.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="train")(train_command)


def train_command(
    dataset: DatasetArgument,
    output: FolderOption,
    base: BaseOption = None,
    train: TrainOption = None,
    epochs: EpochsOption = None,
    learning_rate: RateOption = None,
    schedule: ScheduleOption = None,
    batch_size: BatchOption = None,
    element_references: ReferencesOption = None,
    loss: LossOption = None,
    ema: EmaOption = None,
    replay: ReplayOption = None,
    towards_start: TowardsOption = None,
    average_with_start: AverageOption = None,
    ensemble: EnsembleOption = None,
    seed: SeedOption = None,
    charge: ChargeOption = None,
    any_charge: AnyChargeOption = False,
    charge_as_input: ChargeInputOption = False,
    method: MethodOption = None,
    keep_worse: KeepWorse = False,
    preset: PresetOption = "default",
    device: opt.Device = None,
    config: opt.ConfigOption = None,
    sets: SetOption = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Fine-tune a surrogate on the relaxations of a dataset, and judge it on defects that it has not seen.

    Run the same command again after an interruption: it goes on from the last whole epoch. The finished
    folder is a surrogate: defectscout search HOST --surrogate FOLDER.
    """
    with guarded(verbose):
        options: dict[str, Any] = {
            "base": base, "train": train, "epochs": epochs, "learning_rate": learning_rate, "schedule": schedule,
            "batch_size": batch_size, "element_references": element_references, "loss": loss, "ema": ema,
            "towards_start": towards_start, "average_with_start": average_with_start, "ensemble": ensemble,
            "seed": seed, "device": device,
        }  # fmt: skip
        given = {name: value for name, value in options.items() if value is not None}
        if replay is not None:
            given["replay"] = {"frames": replay}
        if charge_as_input:
            given["architecture"] = {"charge_as_input": True}
        settings = _settings(preset, config, sets or [], given)

        from defectscout.cli.progress import reporter
        from defectscout.workflow.training import train as train_model
        from defectscout.workflow.training_data import training_data

        with reporter(quiet or json, verbose) as progress:
            data = training_data(
                dataset,
                charge=charge,
                any_charge=any_charge or settings.architecture.charge_as_input,
                method=method,
            )
            for note in data.notes:
                progress.message(note)
            trained = train_model(data, settings, output, keep_worse=keep_worse, progress=progress)
        if json:
            import json as json_module
            from dataclasses import asdict

            typer.echo(json_module.dumps({"folder": str(output)} | asdict(trained.manifest), indent=1, default=list))
            return
        from rich.console import Console

        from defectscout.reporting.training_tables import trained_view

        Console().print(trained_view(trained))


def _settings(preset: str, config: Path | None, sets: list[str], given: dict[str, Any]) -> TrainSettings:
    from defectscout.core.settings import merge_settings, read_toml_file
    from defectscout.learning.settings import TRAINING_PRESETS

    if preset not in TRAINING_PRESETS:
        raise SettingsError(f"There is no preset '{preset}' of training. Choose one of: {', '.join(TRAINING_PRESETS)}.")
    settings: TrainSettings = TRAINING_PRESETS[preset]
    if config is not None:
        settings = merge_settings(settings, read_toml_file(config), str(config))
    settings = merge_settings(settings, opt.assignments(sets), "--set")
    return merge_settings(settings, given, "the options")
