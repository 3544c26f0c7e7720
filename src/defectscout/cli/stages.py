"""The stages of a search on their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.host import collect_host, restart_host
from defectscout.cli.progress import reporter
from defectscout.cli.search import Choices, print_result, settings_from

if TYPE_CHECKING:
    from defectscout.core.progress import Progress
    from defectscout.workflow.search import Until


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="sample")(sample_command)
    app.command(name="scout")(scout_command)
    app.command(name="candidates")(candidates_command)
    app.command(name="inputs")(inputs_command)
    app.command(name="collect")(collect_command)
    app.command(name="restart")(restart_command)
    app.command(name="resume")(resume_command)


def sample_command(
    host: opt.HostArgument,
    output: opt.Output = None,
    defect: opt.DefectOption = None,
    charge: opt.ChargeOption = None,
    charges: opt.ChargesOption = None,
    extrinsic: opt.ExtrinsicOption = None,
    surrogate: opt.SurrogateOption = None,
    reference: opt.ReferenceOption = None,
    reference_only: opt.ReferenceOnly = False,
    keep_host: opt.KeepHost = False,
    accept_unstable_host: opt.AcceptUnstable = False,
    min_image_distance: opt.ImageDistance = None,
    supercell_as_given: opt.AsGiven = False,
    distortions: opt.Distortions = None,
    rattle: opt.Rattle = None,
    pairs: opt.Pairs = False,
    sampling: opt.SamplingOption = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    workers: opt.Workers = None,
    preset: opt.PresetOption = "default",
    config: opt.ConfigOption = None,
    assignments: opt.SetOption = None,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Start a campaign and stop when the sampling structures are made."""
    choices = Choices(
        defect, charge, charges, extrinsic, keep_host, accept_unstable_host, min_image_distance, distortions, rattle,
        pairs, sampling, seed, surrogate, device, reference, reference_only, workers, preset, config, assignments,
        supercell_as_given=supercell_as_given,
    )  # fmt: skip
    with guarded(verbose):
        settings = settings_from(choices)
        from defectscout.workflow.search import Until, search

        folder = output or opt.default_output(host)
        with reporter(quiet, verbose) as progress:
            result = search(host, folder, settings, until=Until.SAMPLING, progress=progress)
        for label, item in result.defects.items():
            typer.echo(f"{label}: {item.funnel.sampling} sampling structures in {folder / label}")


def _resume(campaign: Path, until: Until, as_json: bool, quiet: bool, verbose: bool) -> None:
    from defectscout.workflow.search import Until, check_answered, resume

    with reporter(quiet, verbose) as progress:
        result = resume(campaign, until, progress)
    print_result(result, as_json)
    if until is Until.ANSWER:
        check_answered(result)


def scout_command(campaign: opt.CampaignArgument, verbose: opt.Verbose = False, quiet: opt.Quiet = False) -> None:
    """Relax the sampling structures of a campaign with its surrogate."""
    with guarded(verbose):
        from defectscout.workflow.search import Until, resume

        with reporter(quiet, verbose) as progress:
            result = resume(campaign, Until.SCOUTING, progress)
        for label, item in result.defects.items():
            funnel = item.funnel
            typer.echo(
                f"{label}: {funnel.scouted} structures relaxed with {result.surrogate}, {funnel.failed} failed, "
                f"{funnel.surrogate_calls} force calls"
            )
        typer.echo(f"Next: defectscout candidates {campaign}")


def candidates_command(
    campaign: opt.CampaignArgument,
    json: opt.Json = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """List the distinct minima of the surrogate that would go to the reference."""
    with guarded(verbose):
        from defectscout.workflow.search import Until

        _resume(campaign, Until.CANDIDATES, json, quiet, verbose)


def resume_command(
    campaign: opt.CampaignArgument,
    json: opt.Json = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Go on with a campaign to its answer, with the settings that it was started with."""
    with guarded(verbose):
        from defectscout.workflow.search import Until

        _resume(campaign, Until.ANSWER, json, quiet, verbose)


def inputs_command(
    campaign: opt.CampaignArgument,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Where the inputs go. Default: CAMPAIGN/inputs.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="vasp, cp2k, espresso, fhi-aims or castep. Default: the one written for before, else vasp.",
            show_default=False,
        ),
    ] = "",
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="Settings of the engine, such as paper; an unknown one lists all. Default: the one written before, "
            "else the engine's first.",
            show_default=False,
        ),
    ] = "",
    job: Annotated[
        Path | None,
        typer.Option(
            "--job",
            help="Template of your job script: {name}, {defect} and {structure} in it are filled in, and it is put "
            "into each folder.",
            show_default=False,
        ),
    ] = None,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write DFT inputs of the candidates, one folder each, in ShakeNBreak's layout."""
    with guarded(verbose):
        from defectscout.workflow.inputs import InputChoices
        from defectscout.workflow.search import inputs

        with reporter(quiet, verbose) as progress:
            written = inputs(campaign, folder, progress, InputChoices(engine, preset, job))
        for path in written.folders:
            typer.echo(str(path))


FolderArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", help="Where the relaxations ran. Default: where the inputs were written."),
]


def collect_command(
    campaign: opt.CampaignArgument,
    folder: FolderArgument = None,
    json: opt.Json = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Read relaxations that ran elsewhere, say how each stands, and give the answer so far. May be repeated."""
    with guarded(verbose):
        from defectscout.workflow.host_runs import is_host_run

        if is_host_run(campaign):
            collect_host(campaign, verbose, quiet)
            return
        from defectscout.workflow.aiida.record import read_submission
        from defectscout.workflow.search import collect_results

        with reporter(quiet, verbose) as progress:
            if folder is None and read_submission(campaign) is not None:
                _fetch(campaign, progress)
            result = collect_results(campaign, folder, progress)
        print_result(result, json)


def _fetch(campaign: Path, progress: Progress) -> None:
    """Bring what has come of a submitted campaign into its folder."""
    from defectscout.workflow.status import need_aiida

    need_aiida()
    from defectscout.workflow.aiida.follow import fetch

    fetch(campaign, progress)


def restart_command(
    campaign: opt.CampaignArgument,
    folder: FolderArgument = None,
    killed: Annotated[
        bool,
        typer.Option("--killed", help="Also those whose output has no end. Only when none of them runs any more."),
    ] = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """Prepare relaxations that ended early or failed to run again, from their last structures and with a remedy."""
    with guarded(verbose):
        from defectscout.workflow.host_runs import is_host_run

        if is_host_run(campaign):
            restart_host(campaign, killed)
            return
        from defectscout.workflow.restart import ENDED, ENDED_OR_KILLED, restart

        with reporter(quiet, verbose) as progress:
            done = restart(campaign, folder, ENDED_OR_KILLED if killed else ENDED, progress)
        for item in done:
            if item.changed:
                typer.echo(str(item.folder))
