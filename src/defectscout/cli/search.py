"""`defectscout search`, and the options that make up its settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.cli.progress import reporter
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from defectscout.workflow.results import SearchResult
    from defectscout.workflow.settings import SearchSettings


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of a search as typed; None and empty where the settings file or preset decides."""

    defect: list[str] | None
    charge: list[str] | None
    charges: list[str] | None
    extrinsic: list[str] | None
    keep_host: bool
    accept_unstable_host: bool
    min_image_distance: float | None
    distortions: str | None
    rattle: float | None
    pairs: bool
    sampling: str | None
    seed: int | None
    surrogate: str | None
    device: str | None
    reference: str | None
    reference_only: bool
    workers: int | None
    preset: str
    config: Path | None
    assignments: list[str] | None
    learn: bool | None = None
    max_force_calls: int | None = None
    max_hours: float | None = None
    supercell_as_given: bool = False
    refine: opt.RefineName | None = None


def settings_from(choices: Choices) -> SearchSettings:
    """Preset, then settings file, then options, then `--set`."""
    from defectscout.workflow.settings import merge, preset, read_toml

    settings = preset(choices.preset)
    if choices.config is not None:
        settings = read_toml(choices.config, settings)
    settings = merge(settings, _overrides(choices), "the options")
    return merge(settings, opt.assignments(choices.assignments or []), "--set")


def _overrides(choices: Choices) -> dict[str, Any]:
    given: dict[str, dict[str, Any]] = {
        name: {} for name in ("host", "supercell", "defects", "sampling", "surrogate", "reference")
    }
    if choices.keep_host:
        given["host"]["keep"] = True
    if choices.accept_unstable_host:
        given["host"]["accept_unstable"] = True
    if choices.min_image_distance is not None:
        given["supercell"]["min_image_distance"] = choices.min_image_distance
    if choices.supercell_as_given:
        given["supercell"]["as_given"] = True
    if choices.defect:
        given["defects"]["select"] = tuple(choices.defect)
    if choices.charge:
        given["defects"]["charges"] = opt.charges(choices.charge)
    if choices.charges:
        if choices.charge:
            raise SettingsError(
                "--charge and --charges cannot both be given: --charge searches each charge state by itself, "
                "--charges searches them together. Keep one of the two."
            )
        given["defects"]["charges"] = opt.charges(choices.charges, "--charges")
        given["defects"]["cross_charges"] = True
    if choices.extrinsic:
        given["defects"]["extrinsic"] = tuple(choices.extrinsic)
    if choices.distortions is not None:
        given["sampling"]["distortions"] = opt.fractions(choices.distortions)
    if choices.rattle is not None:
        given["sampling"]["rattle"] = choices.rattle
    if choices.pairs:
        given["sampling"]["pairs"] = True
    if choices.sampling == "none":
        given["sampling"]["none"] = True
    elif choices.sampling is not None:
        given["sampling"]["folder"] = Path(choices.sampling)
    if choices.seed is not None:
        given["sampling"]["seed"] = choices.seed
    if choices.surrogate is not None:
        given["surrogate"]["name"] = choices.surrogate
    if choices.device is not None:
        given["surrogate"]["device"] = choices.device
    if choices.reference is not None:
        given["reference"]["name"] = choices.reference
    if choices.workers is not None:
        given["reference"]["workers"] = choices.workers
    overrides: dict[str, Any] = {section: values for section, values in given.items() if values}
    budget = {"max_force_calls": choices.max_force_calls, "max_hours": choices.max_hours}
    if any(value is not None for value in budget.values()):
        overrides["learn"] = {name: value for name, value in budget.items() if value is not None}
    if choices.reference_only and choices.learn:
        raise SettingsError("--reference-only and --learn exclude each other: the first uses no surrogate.")
    if choices.reference_only:
        overrides["strategy"] = "reference-only"
    elif choices.learn is not None:
        overrides["strategy"] = "learn" if choices.learn else "scout"
    if choices.refine is not None:
        if choices.reference_only:
            raise SettingsError("--refine and --reference-only exclude each other: the second uses no surrogate.")
        overrides["refinement"] = {"optimiser": choices.refine.value}
    return overrides


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="search")(search_command)


def search_command(
    host: opt.HostArgument,
    output: opt.Output = None,
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
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Campaign of a reference-only search, to say what was saved.",
            show_default=False,
        ),
    ] = None,
    fork: Annotated[
        bool, typer.Option("--fork", help="With changed settings: start a new campaign beside the old one.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done and how long it would take; write nothing."),
    ] = False,
    json: opt.Json = False,
    verbose: opt.Verbose = False,
    quiet: opt.Quiet = False,
) -> None:
    """From a host crystal to the ground states of its defects.

    Run the same command again after an interruption, and it goes on where it stopped.
    """
    choices = Choices(
        defect, charge, charges, extrinsic, keep_host, accept_unstable_host, min_image_distance, distortions, rattle,
        pairs, sampling, seed, surrogate, device, reference, reference_only, workers, preset, config, assignments,
        learn, max_force_calls, max_hours, supercell_as_given, refine,
    )  # fmt: skip
    with guarded(verbose):
        settings = settings_from(choices)
        if dry_run:
            _dry_run(host, output or opt.default_output(host), settings, json, quiet, verbose)
            return
        from defectscout.workflow.search import check_answered, search

        with reporter(quiet, verbose) as progress:
            result = search(
                host,
                output or opt.default_output(host),
                settings,
                baseline=baseline,
                fork=fork,
                progress=progress,
            )
        print_result(result, json)
        check_answered(result)


def _dry_run(host: str, output: Path, settings: SearchSettings, as_json: bool, quiet: bool, verbose: bool) -> None:
    import json as json_module
    from dataclasses import asdict

    from rich.console import Console

    from defectscout.reporting.tables import plan_view
    from defectscout.workflow.plan import plan

    with reporter(quiet, verbose) as progress:
        found = plan(host, output, settings, progress)
    if as_json:
        typer.echo(json_module.dumps({**asdict(found), "seconds": found.seconds}, indent=1))
    else:
        Console().print(plan_view(found))


def print_result(result: SearchResult, as_json: bool) -> None:
    """The answer on standard output, as a table or as JSON."""
    from rich.console import Console

    from defectscout.reporting.tables import result_view
    from defectscout.workflow.exports import CSV_NAME, STRUCTURES_FOLDER, SUMMARY_NAME, summary_json

    if as_json:
        typer.echo(summary_json(result))
        return
    # Where output is piped there is no terminal to fit, so nothing is cut.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print()
    console.print(result_view(result))
    if any(item.minima for item in result.defects.values()):
        console.print(
            f"\nIn {result.folder}/: {SUMMARY_NAME}, {CSV_NAME}, {STRUCTURES_FOLDER}/ "
            "(CIF and POSCAR of every minimum); "
            "snb-plot and snb-groundstate work in it.\n"
            f"To look at it: defectscout report {result.folder}",
            highlight=False,
            markup=False,
        )
