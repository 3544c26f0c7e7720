"""`defectscout ablate`: trainings that differ in one thing, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="ablate")(ablate_command)


def ablate_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="Which dataset, and which trainings to compare.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the trainings. Default: the file's name.", show_default=False),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train the same data in several ways, and sort them by the error on the same validation frames.

    The file names the dataset, common settings, tables of the paper's supplement (S2 to S10) and own
    trainings. Run the same command again after an interruption: what is finished is not repeated.
    """
    with guarded(verbose):
        from defectscout.cli.progress import reporter
        from defectscout.workflow.ablation import read_ablation, run_ablation

        ablation = read_ablation(file)
        with reporter(quiet or json, verbose) as progress:
            rows = run_ablation(ablation, output or Path(file.stem), progress)
        if json:
            import json as json_module
            from dataclasses import asdict

            typer.echo(json_module.dumps([asdict(row) for row in rows], indent=1))
            return
        from rich.console import Console

        from defectscout.reporting.training_tables import ablation_view

        Console().print(ablation_view(rows))
