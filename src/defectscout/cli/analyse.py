"""`defectscout analyse`: what the landscapes of one campaign or of several look like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import MissingExtraError, NothingFoundError, SettingsError

if TYPE_CHECKING:
    from defectscout.reporting.analyses import Analysis, Subject
    from defectscout.workflow.overview import Overview


class What(StrEnum):
    """Analyses that there are, and all of them."""

    BONDS = "bonds"
    MOTIFS = "motifs"
    LOWERINGS = "lowerings"
    DISTORTIONS = "distortions"
    MAP = "map"
    ELEMENTS = "elements"
    FUNNEL = "funnel"
    PATHS = "paths"
    ALL = "all"


class FeaturesName(StrEnum):
    """What the map describes a structure by."""

    SOAP = "soap"
    SURROGATE = "surrogate"


class ColourName(StrEnum):
    """What colours say on the map."""

    HOST = "host"
    ENERGY = "energy"
    STAGE = "stage"


WhatArgument = Annotated[
    What,
    typer.Argument(
        metavar="WHAT",
        help="bonds: excess charge against bonds formed; motifs: what formed; lowerings: energy gained; distortions: "
        "energy against distortion; map: likeness of structures; elements: coverage; funnel: what was found for what "
        "it took; paths: every relaxation; all.",
    ),
]
CampaignsArgument = Annotated[
    list[Path], typer.Argument(metavar="CAMPAIGN...", help="Folders of campaigns, finished or not.")
]
ReferenceOnlyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference-only",
        metavar="FOLDER",
        help="Reference-only campaign of the same host to compare with; may be repeated. Those among the campaigns "
        "are compared with anyway.",
        show_default=False,
    ),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for figures and CSV files. Default: none.", show_default=False),
]
FeaturesOption = Annotated[
    FeaturesName | None,
    typer.Option(
        "--features",
        help="Of the map: SOAP of the defect site, or the atomic features of the surrogate. Default: soap.",
        show_default=False,
    ),
]
ColourOption = Annotated[
    ColourName | None,
    typer.Option(
        "--by", help="Colours of the map. Default: host, or energy if there is one host only.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="analyse")(analyse_command)


def analyse_command(
    what: WhatArgument,
    campaigns: CampaignsArgument,
    reference_only: ReferenceOnlyOption = None,
    output: FolderOption = None,
    features: FeaturesOption = None,
    by: ColourOption = None,
    json: opt.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the main table as CSV on standard output.")] = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show what campaigns have in common: tables, and with -o figures and data. Nothing is written into a campaign."""
    with guarded(verbose):
        _check(what, features, by, json, csv)
        from defectscout.reporting.analyses import Subject
        from defectscout.reporting.figures.structure_map import MapColour

        overviews = _read(campaigns)
        subject = Subject(
            overviews=overviews,
            reference_only=_baselines(overviews, _read(reference_only or [])),
            features=(features or FeaturesName.SOAP).value,
            colour=MapColour(by.value) if by is not None else None,
        )
        found, missing = _analyses(what, subject)
        written, undrawn = _write(found, output) if output is not None else ([], [])
        notes = [*_notes(overviews), *missing, *undrawn]
        if json:
            typer.echo(_as_json(overviews, found, notes, written))
        elif csv:
            from defectscout.reporting.table import csv_text

            typer.echo(csv_text(found[0].data[0]), nl=False)
            for note in notes:
                typer.echo(note, err=True)
        else:
            _show(found, notes, written)


def _check(what: What, features: FeaturesName | None, by: ColourName | None, json: bool, csv: bool) -> None:
    if json and csv:
        raise SettingsError("--json and --csv exclude each other: both print on standard output.")
    if csv and what is What.ALL:
        raise SettingsError("--csv prints one table, and `all` has many: name one analysis, or give a folder with -o.")
    if what not in (What.MAP, What.ALL) and (features is not None or by is not None):
        raise SettingsError("--features and --by belong to the analyses `map` and `all` and would be ignored here.")


def _read(folders: Sequence[Path]) -> tuple[Overview, ...]:
    from defectscout.workflow.overview import read_overview

    places = [folder.resolve() for folder in folders]
    for place in places:
        if places.count(place) > 1:
            raise SettingsError(f"{place} is given {places.count(place)} times, and would be counted as often: once.")
    return tuple(read_overview(folder) for folder in folders)


def _baselines(overviews: Sequence[Overview], given: Sequence[Overview]) -> Mapping[str, Overview]:
    """Reference-only campaigns by formula; those that were given as such win."""
    from defectscout.analysis.acceleration import one_for_each_host

    for overview in given:
        if not overview.is_reference_only:
            raise SettingsError(
                f"--reference-only {overview.folder}: its strategy is {overview.settings.strategy}, so that it is no "
                "reference-only search. Make one with: defectscout search HOST --reference-only"
            )
    among = [overview for overview in overviews if overview.is_reference_only]
    return {overview.formula: overview for overview in reversed(among)} | one_for_each_host(given)


def _analyses(what: What, subject: Subject) -> tuple[list[Analysis], list[str]]:
    """What was found, and with `all` why an analysis is missing."""
    from defectscout.reporting.analyses import AnalysisName, analyse

    if what is not What.ALL:
        return [analyse(AnalysisName(what.value), subject)], []
    found, missing = [], []
    for name in AnalysisName:
        try:
            found.append(analyse(name, subject))
        except (NothingFoundError, MissingExtraError) as error:
            missing.append(f"No {name.value}: {error}")
    return found, missing


def _write(found: Sequence[Analysis], folder: Path) -> tuple[list[Path], list[str]]:
    from defectscout.reporting.analyses import write_analysis

    written: list[Path] = []
    undrawn: list[str] = []
    for analysis in found:
        files, missing = write_analysis(analysis, folder)
        written += files
        undrawn += missing
    return written, undrawn


def _notes(overviews: Sequence[Overview]) -> list[str]:
    """What a reader must know of the campaigns."""
    notes = []
    by_formula: dict[str, list[str]] = defaultdict(list)
    for overview in overviews:
        by_formula[overview.formula].append(str(overview.folder))
        waiting = [f"{label} for {item.step}" for label, item in overview.defects.items() if not item.finished]
        if waiting:
            more = f", and {len(waiting) - 3} more" if len(waiting) > 3 else ""
            notes.append(f"{overview.folder} has not finished. It waits: {', '.join(waiting[:3])}{more}.")
        notes += [f"{overview.folder}: {note}" for note in overview.notes]
    notes += [
        f"{formula} is the host of {len(folders)} campaigns, and each of its defects counts as often in shares: "
        f"{', '.join(folders)}."
        for formula, folders in by_formula.items()
        if len(folders) > 1
    ]
    return notes


def _as_json(
    overviews: Sequence[Overview], found: Sequence[Analysis], notes: Sequence[str], written: Sequence[Path]
) -> str:
    import json

    from defectscout.reporting.table import records

    campaigns = [
        {"folder": str(overview.folder), "host": overview.formula, "finished": overview.finished}
        for overview in overviews
    ]
    tables = {table.key: records(table) for analysis in found for table in analysis.data}
    answer = {"campaigns": campaigns, "tables": tables, "notes": list(notes), "files": [str(path) for path in written]}
    return json.dumps(answer, indent=1)


def _show(found: Sequence[Analysis], notes: Sequence[str], written: Sequence[Path]) -> None:
    from rich.console import Console

    from defectscout.reporting.table import least_width, rich_table

    console = Console()
    for number, table in enumerate(table for analysis in found for table in analysis.tables):
        if number:
            console.print()
        # Wider than the terminal is better than cut off.
        console.print(rich_table(replace(table, notes=())), width=max(console.width, least_width(table)), crop=False)
        for note in table.notes:
            console.print(note, style="dim", markup=False, highlight=False)
    if notes:
        console.print()
        for note in notes:
            console.print(note, style="dim", markup=False, highlight=False)
    for path in written:
        typer.echo(f"Wrote {path}")
