"""Write a report to a file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

from defectscout.core.errors import SettingsError
from defectscout.reporting.report.document import Report

Format = Literal["html", "md", "pdf", "json"]

FORMATS: Final = get_args(Format)


def report_bytes(report: Report, kind: Format) -> bytes:
    """The report in a format.

    Raises:
        MissingExtraError: if a package that writes it is not installed.
    """
    if kind == "pdf":
        from defectscout.reporting.report.pdf import pdf_report

        return pdf_report(report)
    if kind == "html":
        from defectscout.reporting.report.html import html_report

        return html_report(report).encode("utf-8")
    if kind == "md":
        from defectscout.reporting.report.markdown import markdown_report

        return markdown_report(report).encode("utf-8")
    from defectscout.reporting.report.plain import json_report

    return json_report(report).encode("utf-8")


def write_report(report: Report, kind: Format, path: Path) -> int:
    """Write it whole or not at all, and say how many bytes it has.

    Raises:
        MissingExtraError: if a package that writes it is not installed.
        SettingsError: where nothing can be written.
    """
    content = report_bytes(report, kind)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SettingsError(f"Cannot write {path}: {error.strerror}. Give another file with -o.") from None
    return len(content)
