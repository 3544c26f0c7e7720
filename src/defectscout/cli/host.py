"""The host's own relaxation with a DFT code, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.progress import reporter

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from defectscout.core.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="relax-host")(relax_host_command)


def relax_host_command(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="CIF, POSCAR or any structure file, or a Materials Project id.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the relaxation. Default: the host's name with '-host'.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="vasp, cp2k, espresso, fhi-aims or castep.")] = "vasp",
    preset: Annotated[
        str,
        typer.Option(
            "--preset", help="Settings of the engine; an unknown one lists all. Default: the first.", show_default=False
        ),
    ] = "",
    job: Annotated[
        Path | None,
        typer.Option("--job", help="Template of your job script, as for `inputs`.", show_default=False),
    ] = None,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write DFT inputs that relax the host, cell and positions, before its defects are searched for."""
    with guarded(verbose):
        from defectscout.hosts.settings import HostSettings
        from defectscout.workflow.host_runs import RUN_FOLDER, write_host_run
        from defectscout.workflow.inputs import InputChoices

        folder = output or Path(f"{Path(host).stem or host}-host")
        notes = write_host_run(host, folder, InputChoices(engine, preset, job), HostSettings())
        with reporter(quiet, verbose) as progress:
            for note in notes:
                progress.warn(note)
        typer.echo(str(folder / RUN_FOLDER))
        typer.echo(f"When it has run: defectscout collect {folder}", err=True)


def collect_host(folder: Path, verbose: bool, quiet: bool) -> None:
    """Say how the relaxation of a host stands, and what comes next."""
    from defectscout.hosts.settings import HostSettings
    from defectscout.workflow.host_runs import read_host_run

    with reporter(quiet, verbose) as progress:
        node = _fetched(folder, progress)
        standing = read_host_run(folder, HostSettings(), progress)
        if node is not None and standing.relaxed is not None:
            from defectscout.workflow.aiida.host_supercells import remember_relaxed

            remember_relaxed(folder, node)
        for concern in standing.concerns:
            progress.warn(concern)
    typer.echo(str(standing))
    if standing.relaxed is not None:
        typer.echo(f"The relaxed crystal is {standing.relaxed}.")
        typer.echo(f"Next: defectscout search {standing.relaxed} --reference none")
    elif standing.run.remedy or standing.run.state.value == "unfinished":
        typer.echo(f"To prepare it to run again: defectscout restart {folder}")


def _fetched(folder: Path, progress: Progress) -> WorkChainNode | None:
    """Bring what has come of a submitted relaxation into its folder; None if it was not submitted."""
    from defectscout.workflow.aiida.record import read_submission
    from defectscout.workflow.status import need_aiida

    if read_submission(folder) is None:
        return None
    need_aiida()
    from defectscout.workflow.aiida.hosts import fetch_host

    return fetch_host(folder, progress)


def restart_host(folder: Path, killed: bool) -> None:
    """Prepare the relaxation of a host to run again."""
    from defectscout.workflow.host_runs import RUN_FOLDER, restart_host_run

    changed = restart_host_run(folder, killed)
    if changed:
        typer.echo(changed, err=True)
        typer.echo(str(folder / RUN_FOLDER))
