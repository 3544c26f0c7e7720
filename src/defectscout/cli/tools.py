"""`defectscout init`, `compare` and `methods`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import SettingsError


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="init")(init_command)
    app.command(name="compare")(compare_command)
    app.command(name="methods")(methods_command)


def init_command(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("defectscout.toml"),
    preset: opt.PresetOption = "default",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    verbose: opt.Verbose = False,
) -> None:
    """Write every setting with its unit, meaning and default to a TOML file for --config."""
    with guarded(verbose):
        from defectscout.core.files import write_atomically
        from defectscout.workflow.settings import preset as preset_settings
        from defectscout.workflow.settings import write_toml

        if path.exists() and not force:
            raise SettingsError(f"{path} exists already. Nothing was written; give another name, or --force.")
        text = write_toml(preset_settings(preset))
        try:
            write_atomically(path, text)
        except OSError as error:
            raise SettingsError(f"Cannot write {path}: {error.strerror}.") from None
        typer.echo(f"Wrote {path}. Use it with: defectscout search HOST --config {path}")


def compare_command(
    first: Annotated[Path, typer.Argument(help="Campaign folder.")],
    second: Annotated[Path, typer.Argument(help="Another campaign folder with the same reference.")],
    json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Put two searches side by side: which minima each found, and for how many force calls."""
    with guarded(verbose):
        import json as json_module
        from dataclasses import asdict

        from rich.console import Console

        from defectscout.reporting.tables import comparison_view
        from defectscout.workflow.compare import compare

        found = compare(first, second)
        if json:
            typer.echo(json_module.dumps([asdict(item) for item in found], indent=1))
        else:
            Console().print(comparison_view(str(first), str(second), found))


def methods_command(verbose: opt.Verbose = False) -> None:
    """List the surrogates and references that adapters are installed for."""
    with guarded(verbose):
        from defectscout.references.registry import available_references
        from defectscout.surrogates.registry import available_surrogates

        typer.echo(f"surrogates: {', '.join(available_surrogates())}, or the folder of a model that was trained here")
        typer.echo(f"references: {', '.join(available_references())}, none")
