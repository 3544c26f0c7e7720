"""Learning from relaxations that were run by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.progress import reporter


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="learn")(learn_command)


def learn_command(
    campaign: opt.CampaignArgument,
    write: Annotated[
        bool,
        typer.Option("--inputs/--no-inputs", help="Write inputs of the new candidates, and print their folders."),
    ] = True,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tune the surrogate on the relaxations collected so far, scout again, and write inputs of what is new."""
    with guarded(verbose):
        from defectscout.workflow.search import inputs_of_round, learn_by_hand

        with reporter(quiet, verbose) as progress:
            done = learn_by_hand(campaign, progress)
            written = inputs_of_round(campaign, done, progress) if write and done.new else None
            if not done.new:
                progress.message(
                    f"Round {done.number} brought nothing new: the surrogate that has learned from every relaxation "
                    "leads to minima that are known, or on their way."
                )
            else:
                progress.message(
                    f"Round {done.number} has {done.new} new candidate{'' if done.new == 1 else 's'}. When they have "
                    f"run: defectscout collect {campaign}"
                )
        for path in written.folders if written is not None else ():
            typer.echo(str(path))
