"""The command line: `defectscout`."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from defectscout import __version__

app = typer.Typer(
    name="defectscout",
    help="Find the ground-state structures of point defects: a machine-learned force field scouts each defect's "
    "energy landscape, and only the distinct minima go to the reference.",
    epilog="Exit codes: 0 done; 1 internal error; 2 bad input or settings; 3 no answer, because every relaxation "
    "failed; 4 the host is not stable on the reference's surface; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"defectscout {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Find the ground-state structures of point defects."""


def run() -> None:
    """Entry point of the `defectscout` command."""
    # Without a handler of ours, logging would print warnings a second time.
    logging.getLogger("defectscout").addHandler(logging.NullHandler())
    # A log that cannot be written (disk full) is no reason for tracebacks: what fails says so itself.
    logging.raiseExceptions = False
    # MKL and OpenMP runtimes of different packages in one process otherwise abort on macOS.
    os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    # Threads that spin while they wait slow a surrogate down up to tenfold where other work shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()


from defectscout.cli import (  # noqa: E402
    ablate,
    alloy,
    analyse,
    dataset,
    evaluate,
    host,
    learn,
    models,
    queue,
    report,
    search,
    stages,
    tools,
    train,
)

search.register(app)
host.register(app)
stages.register(app)
learn.register(app)
queue.register(app)
alloy.register(app)
tools.register(app)
dataset.register(app)
evaluate.register(app)
analyse.register(app)
report.register(app)
train.register(app)
ablate.register(app)
models.register(app)
