"""`defectscout report` and `defectscout view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from defectscout.cli import options as opt
from defectscout.cli.guard import guarded
from defectscout.core.errors import SettingsError

if TYPE_CHECKING:
    from defectscout.reporting.report.write import Format

CampaignsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="CAMPAIGN...", help="Folders of campaigns or of studies of alloys, finished or running."),
]
ReferenceOnlyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference-only",
        metavar="FOLDER",
        help="Campaign of a reference-only search to compare with, or such a study of an alloy, of the same supercells "
        "with the same reference. May be repeated, once for each host.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(name="report")(report_command)
    app.command(name="view")(view_command)


def report_command(
    campaigns: CampaignsArgument,
    reference_only: ReferenceOnlyOption = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", help="html, md, pdf or json. Default: by the suffix of -o, else html.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write. Default: report.html (or .md, ...) in CAMPAIGN.", show_default=False
        ),
    ] = None,
    with_map: Annotated[
        bool, typer.Option("--map", help="Draw the map of all structures, too (takes a while).")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    verbose: opt.Verbose = False,
) -> None:
    """Write the report of one campaign or several, or of an alloy: one file to read and to send.

    It opens with the answer for each defect, how sure it is and what it cost. An unfinished search is reported as far
    as it has come.
    """
    with guarded(verbose):
        chosen = _format(kind, output)
        path = _file(campaigns, chosen, output)
        from defectscout.reporting.report.build import build_report
        from defectscout.reporting.report.subject import read_subject
        from defectscout.reporting.report.write import write_report

        read = read_subject(campaigns, reference_only or [])
        report = build_report(read.campaigns, read.reference_only, read.studies, read.coarse, with_map)
        size = write_report(report, chosen, path)
        typer.echo(f"{path} ({_size(size)})")
        if not report.finished:
            typer.echo(report.status)
        for note in report.notes:
            typer.echo(f"Note: {note}", err=True)
        if show:
            webbrowser.open(path.resolve().as_uri())


def view_command(
    campaigns: CampaignsArgument,
    reference_only: ReferenceOnlyOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of this machine; 0 takes a free one.")
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only say where it is.")] = False,
    verbose: opt.Verbose = False,
) -> None:
    """Show the report in the browser and keep it up to date while the search runs.

    It is served to this machine alone. Ctrl-C ends it, and not the search.
    """
    with guarded(verbose):
        from defectscout.reporting.report.live import LiveReport
        from defectscout.reporting.report.serve import ReportServer
        from defectscout.reporting.report.subject import check_folders

        check_folders(campaigns, reference_only or [])  # a folder that is none is an error now, and not a page
        with ReportServer(LiveReport(campaigns, reference_only or ()), port) as server:
            typer.echo(f"{server.url} shows the report. Ctrl-C ends it.")
            if not no_open:
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo()


def _format(kind: str | None, output: Path | None) -> Format:
    from defectscout.reporting.report.write import FORMATS

    if kind is None:
        kind = output.suffix.removeprefix(".").lower() if output is not None else "html"
        if kind not in FORMATS:
            raise SettingsError(
                f"{output} does not say which format the report is to have: end it in "
                f"{', '.join(f'.{name}' for name in FORMATS)}, or name one with --format."
            )
    if kind not in FORMATS:
        raise SettingsError(f"There is no format '{kind}'. Choose one of: {', '.join(FORMATS)}.")
    return kind  # type: ignore[return-value]


def _file(campaigns: list[Path], kind: Format, output: Path | None) -> Path:
    if output is not None:
        if output.is_dir():
            raise SettingsError(
                f"{output} is a folder. Give the file to write with -o, such as {output}/report.{kind}."
            )
        return output
    if len(campaigns) > 1:
        raise SettingsError(
            f"The report of {len(campaigns)} folders belongs to none of them. Give the file to write with -o, such as "
            f"-o report.{kind}."
        )
    return campaigns[0] / f"report.{kind}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
