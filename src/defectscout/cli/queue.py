"""Campaigns on a queue, through AiiDA: submit, look, end. `collect` reads what has come of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.progress import reporter

if TYPE_CHECKING:
    from defectscout.workflow.status import CampaignStatus

ProfileOption = Annotated[
    str,
    typer.Option("--profile", "-p", help="AiiDA's profile. Default: the one submitted with, else AiiDA's default."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="submit")(submit_command)
    app.command(name="status")(status_command)
    app.command(name="abort")(abort_command)


def submit_command(
    campaign: opt.CampaignArgument,
    code: Annotated[
        str, typer.Option("--code", help="The DFT code as AiiDA knows it: LABEL@COMPUTER.", metavar="LABEL@COMPUTER")
    ],
    computer: Annotated[
        str, typer.Option("--computer", help="Its computer, where --code is the label alone.", show_default=False)
    ] = "",
    engine: Annotated[
        str,
        typer.Option("--engine", help="vasp, cp2k or espresso. Default: what the code is called.", show_default=False),
    ] = "",
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="Settings of the engine: a name, or a TOML file. Default: the one that inputs were written with, "
            "else the engine's first.",
            show_default=False,
        ),
    ] = "",
    scout_code: Annotated[
        str,
        typer.Option(
            "--scout-code",
            help="defectscout itself on a computer (with GPUs), for a campaign that is not scouted, or for --rounds.",
            metavar="LABEL@COMPUTER",
            show_default=False,
        ),
    ] = "",
    options: Annotated[
        Path | None,
        typer.Option("--options", help="TOML file: what each job of the DFT code asks for.", show_default=False),
    ] = None,
    scout_options: Annotated[
        Path | None,
        typer.Option("--scout-options", help="The same for the job that scouts.", show_default=False),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=0,
            help="Rounds of learning at most: the surrogate is tuned on what has been relaxed and scouts again (by "
            "--scout-code), and what is new is relaxed, until nothing is.",
        ),
    ] = 0,
    max_concurrent: Annotated[int, typer.Option("--max-concurrent", min=1, help="Relaxations at once.")] = 50,
    max_jobs: Annotated[
        int, typer.Option("--max-jobs", min=1, help="Jobs that one relaxation may take, restarts included.")
    ] = 10,
    profile: ProfileOption = "",
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Have the candidates, or a host that `relax-host` has written, relaxed on a queue, through AiiDA."""
    with guarded(verbose):
        from defectscout.workflow.aiida.options import default_options, read_options
        from defectscout.workflow.host_runs import is_host_run
        from defectscout.workflow.status import need_aiida

        need_aiida()
        from defectscout.workflow.aiida.hosts import submit_host
        from defectscout.workflow.aiida.submission import Choices, submit

        choices = Choices(
            code=code,
            computer=computer,
            engine=engine,
            preset=preset,
            scouting_code=scout_code,
            options=read_options(options) if options is not None else default_options(),
            scouting_options=read_options(scout_options) if scout_options is not None else default_options(),
            max_concurrent=max_concurrent,
            max_iterations=max_jobs,
            profile=profile,
            rounds=rounds,
        )
        with reporter(quiet, verbose) as progress:
            done = (submit_host if is_host_run(campaign) else submit)(campaign, choices, progress)
        typer.echo(
            f"Submitted {done.what} to {done.submission.code} ({done.submission.engine}, {done.submission.preset}) as "
            f"{done.process}<{done.pk}>."
        )
        typer.echo(f"How it stands: defectscout status {campaign}; what has come: defectscout collect {campaign}")


def status_command(
    campaign: opt.CampaignArgument,
    profile: ProfileOption = "",
    json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Say how the relaxation of each candidate stands: here, by hand or on a queue."""
    with guarded(verbose):
        import json as json_module

        from defectscout.workflow.status import status

        found = status(campaign, profile)
        if json:
            typer.echo(json_module.dumps(asdict(found), indent=1))
        else:
            _print(found)


def _print(found: CampaignStatus) -> None:
    import sys

    from rich.console import Console

    from defectscout.reporting.tables import status_view

    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(status_view(found))


def abort_command(
    campaign: opt.CampaignArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    profile: ProfileOption = "",
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """End a submitted campaign: its jobs are killed, what they have brought back stays."""
    with guarded(verbose):
        from defectscout.workflow.status import need_aiida

        need_aiida()
        from defectscout.workflow.aiida.follow import abort, search_node

        _, node = search_node(campaign, profile)
        if not yes and not node.is_terminated:
            typer.confirm(f"End {node.process_label}<{node.pk}> of {campaign} and kill its jobs?", abort=True)
        with reporter(quiet, verbose) as progress:
            running = abort(campaign, progress, profile)
        typer.echo(f"Ended {campaign}: {running} relaxations had not come to their end.")
