"""`defectscout analyse`: what the landscapes of one campaign or of several look like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import MissingExtraError, NothingFoundError, SettingsError
from defectscout.reporting.analysis_names import ALL, AnalysisName, names_of

if TYPE_CHECKING:
    from defectscout.reporting.analyses import Analysis, Subject
    from defectscout.reporting.analysis_folders import Folders
    from defectscout.workflow.overview import Overview


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
    str,
    typer.Argument(
        metavar="WHAT",
        autocompletion=lambda: [*AnalysisName, ALL],
        help="bonds: excess charge against bonds formed; motifs: what formed; lowerings: energy gained; distortions: "
        "energy against distortion; map: likeness of structures; elements: coverage; funnel: what was found for what "
        "it took; paths: every relaxation; alloy: energies, bonds and searches of alloys; all.",
    ),
]
CampaignsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FOLDER...",
        help="Folders of campaigns or of studies of alloys, finished or not. `alloy` takes studies, one at a time.",
    ),
]
ReferenceOnlyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference-only",
        metavar="FOLDER",
        help="Reference-only campaign of the same host, or study of the same supercells, to compare with; may be "
        "repeated. Those among the folders are compared with anyway.",
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
        names = names_of(what)
        _check(names, features, by, json, csv)
        from defectscout.reporting.analyses import Subject
        from defectscout.reporting.analysis_folders import baselines, check_reference_only, read_folders
        from defectscout.reporting.figures.structure_map import MapColour

        if names == (AnalysisName.ALLOY,):
            _check_studies([*campaigns, *(reference_only or [])], csv and len(campaigns) > 1)
        folders, beside = read_folders(campaigns), read_folders(reference_only or [])
        check_reference_only(beside)
        subject = Subject(
            overviews=folders.overviews,
            # A study is compared with studies, several of them if need be, and not with a campaign for each host.
            reference_only=baselines(folders.overviews, () if names == (AnalysisName.ALLOY,) else beside.overviews),
            features=(features or FeaturesName.SOAP).value,
            colour=MapColour(by.value) if by is not None else None,
            studies=folders.studies,
            coarse=beside.studies,
        )
        found, missing = _analyses(names, subject)
        written, undrawn = _write(found, output) if output is not None else ([], [])
        told = [*_notes(folders), *beside.notes, *(note for one in found for note in one.notes), *missing, *undrawn]
        notes = list(dict.fromkeys(told))
        if json:
            typer.echo(_as_json(folders.overviews, found, notes, written))
        elif csv:
            from defectscout.reporting.table import csv_text

            typer.echo(csv_text(found[0].data[0]), nl=False)
            for note in notes:
                typer.echo(note, err=True)
        else:
            _show(found, notes, written)


def _check(
    names: Sequence[AnalysisName], features: FeaturesName | None, by: ColourName | None, json: bool, csv: bool
) -> None:
    if json and csv:
        raise SettingsError("--json and --csv exclude each other: both print on standard output.")
    if csv and len(names) > 1:
        raise SettingsError("--csv prints one table, and `all` has many: name one analysis, or give a folder with -o.")
    if AnalysisName.MAP not in names and (features is not None or by is not None):
        raise SettingsError("--features and --by belong to the analyses `map` and `all` and would be ignored here.")


def _check_studies(folders: Sequence[Path], several_as_csv: bool) -> None:
    """`alloy` takes studies only, and each of them has tables of its own."""
    from defectscout.workflow.alloys.study import read_study

    for folder in folders:
        read_study(folder)
    if several_as_csv:
        raise SettingsError("--csv prints one table, and every study has its own: give one study, or a folder with -o.")


def _analyses(names: Sequence[AnalysisName], subject: Subject) -> tuple[list[Analysis], list[str]]:
    """What was found, and of several why one is missing."""
    from defectscout.reporting.analyses import analyse

    if len(names) == 1:
        return [analyse(names[0], subject)], []
    found, missing = [], []
    for name in names:
        if name is AnalysisName.ALLOY and not subject.studies:
            continue  # it is no analysis of single crystals
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


def _notes(folders: Folders) -> list[str]:
    """What a reader must know of the campaigns."""
    overviews = folders.overviews
    notes = list(folders.notes)
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
