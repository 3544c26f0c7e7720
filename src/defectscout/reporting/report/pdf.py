"""A report as PDF: for reading on paper, and for archives."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from defectscout.core.errors import MissingExtraError
from defectscout.reporting.report.answers import answers_table
from defectscout.reporting.report.document import AlloyPart, Plot, Report, Section
from defectscout.reporting.report.drawings import drawing
from defectscout.reporting.report.pdf_parts import FONT, flow_table, image, paragraph, register_fonts, styles
from defectscout.reporting.report.pictures import pictures
from defectscout.reporting.table import Table, without

POINTS: Final = 72.0
"""In an inch."""

WIDTH: Final = 6.9
"""Inches between the margins of A4."""

HALF: Final = 3.45
"""Inches, of one of two figures side by side."""

MOST_PICTURES: Final = 6
"""Structures of one defect that are drawn."""

_TOO_WIDE: Final = (
    "share_percent", "surrogate_minima", "motif", "point_group", "less_pristine_eV", "fine_surrogate_minima",
)  # fmt: skip
"""Columns on sites of an alloy that a page has no room for."""

Flowables = list[Any]


def pdf_report(report: Report) -> bytes:
    """The report as a PDF document with bookmarks and page numbers. The same report gives the same bytes.

    Raises:
        MissingExtraError: without reportlab or matplotlib.
    """
    try:
        import reportlab  # noqa: F401
    except ImportError:
        raise MissingExtraError("Writing a PDF report", "reportlab", "report") from None
    try:
        register_fonts()
    except ImportError:
        raise MissingExtraError("Writing a PDF report", "matplotlib", "report") from None
    writer = _Writer(report)
    return writer.written()


class _Writer:
    """Puts one report together."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.styles = styles()
        self.width = WIDTH * POINTS

    def written(self) -> bytes:
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import SimpleDocTemplate

        margin = (A4[0] - self.width) / 2
        buffer = io.BytesIO()
        document = SimpleDocTemplate(
            buffer, pagesize=A4, leftMargin=margin, rightMargin=margin, topMargin=margin, bottomMargin=margin,
            title=self.report.title, subject=self.report.subtitle, creator="defectscout", author="", invariant=1,
        )  # fmt: skip
        document.build(list(self._story()), onFirstPage=self._page, onLaterPages=self._page)
        return buffer.getvalue()

    def _page(self, canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(FONT, 7)
        edge = 0.45 * POINTS
        canvas.drawString(document.leftMargin, edge, self.report.title)
        canvas.drawRightString(document.leftMargin + self.width, edge, str(canvas.getPageNumber()))
        canvas.restoreState()

    def _story(self) -> Iterator[Any]:
        from reportlab.platypus import PageBreak

        yield from self._opening()
        for alloy in self.report.alloys:
            yield PageBreak()
            yield from self._alloy(alloy)
        for section in self.report.sections:
            yield PageBreak()
            yield from self._section(section)
        if self.report.plots or self.report.tables:
            yield PageBreak()
            yield from self._heading("All defects together", 0)
            for plot in self.report.plots:
                yield from self._plot(plot, with_table=True)
            for table in self.report.tables:
                yield from self._table(table)
        yield PageBreak()
        yield from self._closing()

    def _opening(self) -> Iterator[Any]:
        report = self.report
        yield _Bookmark("The answer", "answer", 0)
        yield paragraph(report.title, self.styles["title"])
        yield paragraph(f"{report.subtitle}.", self.styles["body"])
        yield paragraph(report.status, self.styles["body" if report.finished else "strong"])
        yield paragraph("The answer", self.styles["opening"])
        yield from flow_table(answers_table(report.answers), self.width, self.styles)
        yield from self._bullets(report.costs)
        if report.notes:
            yield paragraph("To be noted", self.styles["h2"])
            yield from self._bullets(report.notes)

    def _alloy(self, alloy: AlloyPart) -> Iterator[Any]:
        yield from self._heading(f"The alloy {alloy.title}", 0)
        yield from self._bullets(tuple(f"{name}: {value}" for name, value in alloy.facts))
        yield from self._table(alloy.supercells)
        for plot in alloy.plots:
            yield from self._plot(plot, with_table=False)  # the tables below say all that it shows
        for table in alloy.tables:
            shown = without(table, *_TOO_WIDE)
            yield from self._table(shown)
            if len(shown.columns) < len(table.columns):
                yield paragraph("The other formats of this report have more columns of it.", self.styles["small"])

    def _section(self, section: Section) -> Iterator[Any]:
        found = section.answer
        yield from self._heading(section.title, 0)
        yield paragraph(found.sentence, self.styles["strong"])
        yield paragraph(f"How sure: {found.level}. The search {found.status}.", self.styles["body"])
        yield from self._bullets(section.reasons)
        if section.models:
            shown = section.models[:MOST_PICTURES]
            columns = 3 if len(shown) != 4 else 4
            yield image(pictures(shown, max(columns, 2), WIDTH), self.width)
            left = len(section.models) - len(shown)
            more = f" {left} more {'is' if left == 1 else 'are'} not drawn." if left else ""
            yield paragraph(
                "Atoms within 5 Å of the site (+), all seen from one direction; new bonds are thick and blue, atoms "
                f"that lie more than 0.5 Å from their places have a thick outline.{more}",
                self.styles["small"],
            )
        yield from self._table(section.minima)
        if section.set_aside.rows:
            yield from self._table(section.set_aside)
        yield paragraph("How it was searched", self.styles["h2"])
        yield from self._bullets(section.lines)
        for begin in range(0, len(section.plots), 2):
            yield from self._pair(section.plots[begin : begin + 2])
        for plot in section.plots:
            if not plot.key.endswith("-ladder"):  # the table of minima says the same
                yield from self._table(replace(plot.table, title=plot.title))
        yield paragraph("The defect", self.styles["h2"])
        yield paragraph("; ".join(f"{name}: {value}" for name, value in section.facts) + ".", self.styles["small"])

    def _closing(self) -> Iterator[Any]:
        report = self.report
        yield from self._heading("Methods", 0)
        for text in report.methods:
            yield paragraph(text, self.styles["body"])
        yield from self._heading("References", 0)
        for number, item in enumerate(report.citations, 1):
            doi = f" doi:{item.doi}." if item.doi else ""
            yield paragraph(f"{number}. {item.text}{doi} For: {item.why}.", self.styles["small"])
        yield from self._heading("Versions", 0)
        yield from flow_table(report.versions, self.width, self.styles)
        yield from self._heading("Settings", 0)
        for name, text in report.settings:
            yield paragraph(name, self.styles["h2"])
            yield from self._code(text)

    def _code(self, text: str) -> Iterator[Any]:
        """Settings, without the comments that say what each one means: they are in the campaign's own file."""
        from reportlab.platypus import Preformatted

        lines = [line for line in text.splitlines() if not line.startswith("#")]
        lines = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
        for begin in range(0, len(lines), 60):
            yield Preformatted("\n".join(lines[begin : begin + 60]), self.styles["code"], maxLineLength=130)

    def _plot(self, plot: Plot, with_table: bool) -> Iterator[Any]:
        from reportlab.platypus import KeepTogether

        yield KeepTogether(
            [
                paragraph(plot.title, self.styles["h2"]),
                image(drawing(plot, WIDTH, 2.7), self.width),
                paragraph(plot.caption, self.styles["small"]),
            ]
        )
        if with_table:
            yield from flow_table(plot.table, self.width, self.styles)

    def _pair(self, plots: tuple[Plot, ...]) -> Iterator[Any]:
        """Two figures side by side, each with what it shows beneath."""
        from reportlab.platypus import Table as PdfTable

        half = self.width / 2 - 4
        cells = [
            [paragraph(plot.title, self.styles["h2"]), image(drawing(plot, HALF, 2.5), half),
             paragraph(plot.caption, self.styles["small"])]
            for plot in plots
        ]  # fmt: skip
        cells += [[]] * (2 - len(plots))
        yield PdfTable([cells], colWidths=[self.width / 2] * 2, style=[("VALIGN", (0, 0), (-1, -1), "TOP"),
                       ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 8)])  # fmt: skip

    def _table(self, table: Table) -> Iterator[Any]:
        yield paragraph(table.title, self.styles["h2"])
        yield from flow_table(table, self.width, self.styles)

    def _heading(self, text: str, level: int) -> Iterator[Any]:
        yield _Bookmark(text, text, level)
        yield paragraph(text, self.styles["h1"])

    def _bullets(self, lines: tuple[str, ...]) -> Iterator[Any]:
        from xml.sax.saxutils import escape

        from reportlab.platypus import Paragraph

        for line in lines:
            yield Paragraph(escape(line), self.styles["bullet"], bulletText="•")


def _Bookmark(title: str, key: str, level: int) -> Any:  # noqa: N802
    """A place that the reader's list of contents leads to; it takes no room."""
    from reportlab.platypus.flowables import AnchorFlowable

    class Bookmark(AnchorFlowable):  # type: ignore[misc]
        def draw(self) -> None:
            self.canv.bookmarkPage(self._name)
            self.canv.addOutlineEntry(title, self._name, level)

    return Bookmark(key)
