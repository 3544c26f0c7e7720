"""`defectscout alloy`: every inequivalent defect of a mixed crystal."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.progress import reporter
from defectscout.cli.search import Choices, settings_from
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from defectscout.reporting.table import Table
    from defectscout.workflow.alloys.run import AlloyResult
    from defectscout.workflow.alloys.settings import AlloySettings
    from defectscout.workflow.settings import SearchSettings


class ArrangementName(StrEnum):
    """How elements are shared out."""

    RANDOM = "random"
    SQS = "sqs"


class LatticeName(StrEnum):
    """Where the lattice comes from."""

    REFERENCE = "reference"
    VEGARD = "vegard"
    SURROGATE = "surrogate"


class SitesName(StrEnum):
    """Which sites get a defect."""

    ENVIRONMENTS = "environments"
    ALL = "all"


ParentArgument = Annotated[
    str, typer.Argument(metavar="HOST", help="The crystal that is alloyed: CIF, POSCAR or any structure file.")
]
StudyOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder of the study, with a campaign for each supercell in it. Default: the host's name with '-alloy'.",
        show_default=False,
    ),
]
Substitute = Annotated[
    list[str] | None,
    typer.Option(
        "--substitute",
        metavar="ELEMENT:NEW[=SHARE],...",
        help="Elements that take sites of one of the host's: Te:Se with the shares in --x, or Te:Se=0.3,S=0.2. Once "
        "for each mixed sublattice.",
        show_default=False,
    ),
]
X = Annotated[
    str | None,
    typer.Option(
        "--x",
        metavar="SHARE,...",
        help="Compositions: shares of the sites, 0 to 1, of the element that --substitute gives none.",
        show_default=False,
    ),
]
Realisations = Annotated[
    int | None, typer.Option("--realisations", help="Supercells of each composition. Default: 1.", show_default=False)
]
ArrangementOption = Annotated[
    ArrangementName | None,
    typer.Option(
        "--arrangement",
        help="random, or sqs: special quasirandom structures (extra 'sqs'). Default: random.",
        show_default=False,
    ),
]
ArrangementSeed = Annotated[
    int | None, typer.Option("--arrangement-seed", help="Seed of the arrangement. Default: 42.", show_default=False)
]
Exact = Annotated[bool, typer.Option("--exact", help="Refuse compositions that the supercell cannot hold exactly.")]
LatticeOption = Annotated[
    LatticeName | None,
    typer.Option(
        "--lattice",
        help="reference: relaxed with it, from Vegard's law; vegard: kept at Vegard's law between the relaxed end "
        "members; surrogate: relaxed with it. Default: reference, where one runs.",
        show_default=False,
    ),
]
EndMembers = Annotated[
    list[Path] | None,
    typer.Option(
        "--end-member",
        metavar="FILE",
        help="Structure of an end member that is relaxed already, for Vegard's law. Once for each.",
        show_default=False,
    ),
]
SitesOption = Annotated[
    SitesName | None,
    typer.Option(
        "--sites",
        help="environments: one site of each environment; all: every inequivalent site. Default: environments.",
        show_default=False,
    ),
]
Shells = Annotated[
    int | None,
    typer.Option("--shells", help="Shells of neighbours that tell environments apart. Default: 1.", show_default=False),
]
Coarse = Annotated[
    bool,
    typer.Option(
        "--coarse",
        help="ShakeNBreak's sampling structures (about 15), in place of the distortions of every pair of neighbours "
        "(31 for a fourfold site).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="alloy")(alloy_command)


def alloy_command(
    host: ParentArgument,
    output: StudyOutput = None,
    substitute: Substitute = None,
    x: X = None,
    realisations: Realisations = None,
    arrangement: ArrangementOption = None,
    arrangement_seed: ArrangementSeed = None,
    exact: Exact = False,
    lattice: LatticeOption = None,
    end_members: EndMembers = None,
    sites: SitesOption = None,
    shells: Shells = None,
    coarse: Coarse = False,
    defect: opt.DefectOption = None,
    charge: opt.ChargeOption = None,
    charges: opt.ChargesOption = None,
    extrinsic: opt.ExtrinsicOption = None,
    surrogate: opt.SurrogateOption = None,
    reference: opt.ReferenceOption = None,
    reference_only: opt.ReferenceOnly = False,
    learn: opt.Learn = None,
    refine: opt.Refine = None,
    max_force_calls: opt.MaxForceCalls = None,
    max_hours: opt.MaxHours = None,
    accept_unstable_host: opt.AcceptUnstable = False,
    min_image_distance: opt.ImageDistance = None,
    distortions: opt.Distortions = None,
    rattle: opt.Rattle = None,
    seed: opt.Seed = None,
    device: opt.Device = None,
    workers: opt.Workers = None,
    preset: opt.PresetOption = "default",
    config: opt.ConfigOption = None,
    assignments: opt.SetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it would take; write nothing.")
    ] = False,
    json: opt.Json = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """The defects of a mixed crystal: supercells, inequivalent sites, and a fine search at each of them.

    Run the same command again after an interruption, and it goes on where it stopped; compositions and realisations
    may be added.
    """
    choices = Choices(
        defect, charge, charges, extrinsic, False, accept_unstable_host, min_image_distance, distortions, rattle,
        False, None, seed, surrogate, device, reference, reference_only, workers, preset, config, assignments,
        learn, max_force_calls, max_hours, refine=refine,
    )  # fmt: skip
    with guarded(verbose):
        settings = _sampled(settings_from(choices), coarse)
        alloy = _alloy_settings(
            {
                "substitute": tuple(substitute or ()),
                "x": _shares(x),
                "realisations": realisations,
                "arrangement": arrangement,
                "seed": arrangement_seed,
                "exact": exact,
                "lattice": lattice,
                "end_members": tuple(end_members or ()),
                "sites": sites,
                "shells": shells,
            }
        )
        folder = output or Path(f"{Path(host).name.split('.')[0] or 'host'}-alloy")
        if dry_run:
            _dry_run(host, folder, alloy, settings, json, quiet, verbose)
            return
        from defectscout.workflow.alloys.run import check_outcomes, search_alloy

        with reporter(quiet, verbose) as progress:
            result = search_alloy(host, folder, alloy, settings, progress)
        _print_result(result, json)
        check_outcomes(result)


def _sampled(settings: SearchSettings, coarse: bool) -> SearchSettings:
    """An alloy's sites are searched finely, unless the settings or the user say otherwise."""
    from defectscout.workflow.settings import merge

    if coarse:
        if settings.sampling.pairs:
            raise SettingsError("--coarse and the setting sampling.pairs exclude each other: keep one of the two.")
        return settings
    if settings.sampling.none or settings.sampling.folder is not None:
        return settings
    return merge(settings, {"sampling": {"pairs": True}}, "the fine sampling of alloys (--coarse leaves it out)")


def _alloy_settings(given: dict[str, Any]) -> AlloySettings:
    from defectscout.core.settings import validated
    from defectscout.workflow.alloys.settings import AlloySettings

    values = {name: str(value) if isinstance(value, StrEnum) else value for name, value in given.items()}
    return validated(AlloySettings, {k: v for k, v in values.items() if v is not None}, "the options")


def _shares(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--x {text}: expected shares separated by commas, such as 0.2,0.5,0.8.") from None


def _dry_run(
    host: str, folder: Path, alloy: AlloySettings, settings: SearchSettings, as_json: bool, quiet: bool, verbose: bool
) -> None:
    import json as json_module
    from dataclasses import asdict

    from defectscout.reporting.alloy_plan import plan_view
    from defectscout.workflow.alloys.plan import plan_alloy

    with reporter(quiet, verbose) as progress:
        found = plan_alloy(host, folder, alloy, settings, progress)
    if as_json:
        content = {**asdict(found), "sites": found.sites, "sampling": found.sampling, "seconds": found.seconds}
        typer.echo(json_module.dumps(content, indent=1))
    else:
        _console().print(plan_view(found))


def _console() -> Console:
    """Where output is piped there is no terminal to fit, so nothing is cut."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=200)


def _print_result(result: AlloyResult, as_json: bool) -> None:
    from defectscout.analysis.alloys import analyse_alloy
    from defectscout.core.errors import NothingFoundError
    from defectscout.core.files import write_atomically
    from defectscout.reporting.alloy_tables import environment_table, site_table
    from defectscout.reporting.table import csv_text, known, rich_table
    from defectscout.workflow.alloys.overview import read_alloy

    overview = read_alloy(result.folder)
    try:
        found = analyse_alloy(overview)
    except NothingFoundError:
        return  # the error of each supercell follows
    tables = site_table(found), environment_table(found)
    for table in tables:
        write_atomically(result.folder / f"{table.key}.csv", csv_text(table))
    if as_json:
        _print_json(result, tables)
        return
    console = _console()
    console.print()
    for table in tables:
        console.print(rich_table(known(table)))
        console.print()
    for note in found.notes:
        console.print(note, highlight=False, markup=False)
    files = ", ".join(f"{table.key}.csv" for table in tables)
    console.print(
        f"In {result.folder}/: {files}, and a campaign for each supercell.\nTo look at it: defectscout report "
        f"{result.folder}, or defectscout analyse alloy {result.folder}",
        highlight=False,
        markup=False,
    )


def _print_json(result: AlloyResult, tables: tuple[Table, ...]) -> None:
    import json as json_module

    from defectscout.reporting.table import records

    content = {
        "folder": str(result.folder),
        "failed": {item.supercell.name: str(item.error) for item in result.outcomes if item.error is not None},
        **{table.key: records(table) for table in tables},
    }
    typer.echo(json_module.dumps(content, indent=1))
