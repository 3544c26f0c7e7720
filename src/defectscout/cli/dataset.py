"""`defectscout dataset`: build, inspect, split and export datasets of relaxations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from defectscout.cli import dataset_options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.options import Json, Quiet, Verbose
from defectscout.cli.progress import reporter
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="Dataset that `dataset build` made.")]

dataset_app = typer.Typer(
    help="Datasets of relaxations, to train and judge surrogates on.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(dataset_app, name="dataset")


@dataset_app.command(name="build")
def build_command(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Files, or folders that are searched for them: vasprun.xml, OUTCAR, ShakeNBreak trees, CP2K and "
            "Quantum ESPRESSO outputs, extxyz, ASE traj and db, JSON of CHGNet or M3GNet; campaigns; other datasets.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("dataset.db"),
    host: opt.Host = None,
    defect: opt.Defect = None,
    charge: opt.Charge = None,
    method: opt.Method = None,
    sampling: opt.Sampling = None,
    frames_per_relaxation: opt.FramesPerRelaxation = None,
    bulk_frames: opt.BulkFrames = None,
    direct: opt.Direct = None,
    features: opt.Features = None,
    max_energy: opt.MaxEnergy = None,
    max_force: opt.MaxForce = None,
    duplicates: opt.Duplicates = None,
    keep_unconverged: opt.KeepUnconverged = False,
    keep_positive: opt.KeepPositive = False,
    assignments: opt.SetOption = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Read relaxations, take out what is no use, choose frames, and write one dataset."""
    choices = opt.BuildChoices(
        sampling, frames_per_relaxation, bulk_frames, direct, features, max_energy, max_force, duplicates,
        keep_unconverged, keep_positive, assignments,
    )  # fmt: skip
    with guarded(verbose):
        settings = opt.build_settings(choices)
        from defectscout.learning.readers import SourceDefaults
        from defectscout.reporting.dataset_tables import summary_view
        from defectscout.workflow.dataset import build_dataset

        defaults = SourceDefaults(host=host, defect=defect, charge=charge, method=method)
        with reporter(quiet, verbose) as progress:
            report = build_dataset(
                sources, output, settings.cleaning, settings.sampling, defaults, progress, settings.surrogate
            )
            for warning in report.warnings:
                progress.warn(warning)
        _show(report.summary, summary_view(report.summary), json)


@dataset_app.command(name="inspect")
def inspect_command(
    dataset: DatasetArgument,
    check_with: opt.CheckWith = None,
    check_frames: opt.CheckFrames = 2,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Say what a dataset holds, defect by defect."""
    with guarded(verbose):
        from defectscout.reporting.dataset_tables import summary_view
        from defectscout.workflow.dataset import inspect_dataset

        summary = inspect_dataset(dataset)
        _show(summary, summary_view(summary), json)
        if check_with is None:
            return
        from defectscout.core.errors import DatasetError
        from defectscout.workflow.dataset_check import check_labels

        with reporter(quiet or json, verbose) as progress:
            found = check_labels(dataset, check_with, check_frames, progress)
        if found.differences:
            raise DatasetError(" ".join(found.differences))
        if not json:
            typer.echo(f"{found.frames} recomputed frames agree with {check_with}: energies, forces and stresses.")


@dataset_app.command(name="split")
def split_command(
    dataset: DatasetArgument,
    by: opt.By = None,
    shares: opt.Shares = None,
    test: opt.Test = None,
    validation: opt.Validation = None,
    augment: opt.Augment = None,
    seed: opt.Seed = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Share the frames among training, validation and test, and check that nothing leaks between them."""
    with guarded(verbose):
        settings = opt.split_settings(opt.SplitChoices(by, shares, test, validation, augment, seed))
        from defectscout.reporting.dataset_tables import split_view
        from defectscout.workflow.dataset import split_dataset

        report = split_dataset(dataset, settings)
        with reporter(quiet, verbose) as progress:
            for leak in report.leaks:
                if not leak.expected:
                    progress.warn(leak.sentence)
        _show(report, split_view(report), json)


@dataset_app.command(name="export")
def export_command(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that is made.")],
    file_format: Annotated[
        str, typer.Option("--format", "-f", help="extxyz, traj, db, or json (the form of CHGNet and M3GNet).")
    ] = "extxyz",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write the selected frames for other programs, one file for each subset."""
    with guarded(verbose):
        from defectscout.learning.writers import Format
        from defectscout.workflow.dataset import export_dataset

        known = get_args(Format)
        if file_format not in known:
            raise SettingsError(f"--format {file_format}: choose one of {', '.join(known)}.")
        files = export_dataset(dataset, output, cast("Format", file_format))
        if json:
            typer.echo(opt.as_json(files))
        else:
            for file in files:
                typer.echo(f"{file.path}: {file.frames} frames")


def _show(data: object, view: RenderableType, as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(opt.as_json(data))
    else:
        Console().print(view)
