"""Fonts, styles, tables and images of the PDF."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from defectscout.reporting.table import Table

FONT, BOLD, OBLIQUE, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"

ACCENT: Final = "#00566B"
RULE: Final = "#B8C4C8"
SHADE: Final = "#EEF3F4"

MOST_ROWS: Final = 80
"""Rows of one table; of more, the first."""

_WIDEST: Final = 80
"""Characters: longer texts give a column no more room."""

_LONG: Final = 20
"""Characters: a longer word may be broken."""

_LONGEST_WORD: Final = 24
"""Characters that no column breaks."""

_CHARACTER, _PADDING = 5.0, 6.0
"""Points, of the font in tables."""


def register_fonts() -> None:
    """DejaVu, which has ρ, Å, → and −, as it comes with matplotlib."""
    import matplotlib as mpl
    from reportlab.lib.fonts import addMapping
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in (FONT, BOLD, OBLIQUE, MONO):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    addMapping(FONT, 0, 0, FONT)
    addMapping(FONT, 1, 0, BOLD)
    addMapping(FONT, 0, 1, OBLIQUE)
    addMapping(FONT, 1, 1, BOLD)


def styles() -> dict[str, Any]:
    """Paragraph styles by name."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    body = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=12.5, spaceAfter=4)
    return {
        "body": body,
        "title": ParagraphStyle("title", body, fontName=BOLD, fontSize=18, leading=23, spaceAfter=4),
        "h1": ParagraphStyle("h1", body, fontName=BOLD, fontSize=13, leading=17, spaceBefore=10, spaceAfter=4,
                             textColor=HexColor(ACCENT), keepWithNext=1),
        # Before a table that is longer than a page: kept with it, it would leave the page before empty.
        "opening": ParagraphStyle("opening", body, fontName=BOLD, fontSize=13, leading=17, spaceBefore=10, spaceAfter=4,
                                  textColor=HexColor(ACCENT)),
        "h2": ParagraphStyle("h2", body, fontName=BOLD, fontSize=10, leading=13, spaceBefore=7, spaceAfter=3,
                             keepWithNext=1),
        "strong": ParagraphStyle("strong", body, fontName=BOLD),
        "bullet": ParagraphStyle("bullet", body, leftIndent=11, bulletIndent=1, spaceAfter=2),
        "small": ParagraphStyle("small", body, fontSize=7.5, leading=10, spaceAfter=3),
        "cell": ParagraphStyle("cell", body, fontSize=6.8, leading=8.6, spaceAfter=0, splitLongWords=1),
        "number": ParagraphStyle("number", body, fontSize=6.8, leading=8.6, spaceAfter=0, alignment=2),
        "head": ParagraphStyle("head", body, fontName=BOLD, fontSize=6.8, leading=8.6, spaceAfter=0),
        "headnumber": ParagraphStyle("headnumber", body, fontName=BOLD, fontSize=6.8, leading=8.6, spaceAfter=0,
                                     alignment=2),
        "code": ParagraphStyle("code", body, fontName=MONO, fontSize=6.3, leading=8, spaceAfter=2),
    }  # fmt: skip


def paragraph(text: str, style: Any) -> Any:
    """Text as it stands, nothing in it taken for markup."""
    from reportlab.platypus import Paragraph

    return Paragraph(escape(text), style)


def breakable(text: str) -> str:
    """A long label that may be broken behind its underscores (a zero-width space there)."""
    return text.replace("_", "_\u200b") if len(text) > _LONG else text


def flow_table(table: Table, width: float, style: dict[str, Any]) -> list[Any]:
    """A table as wide as the page, its head repeated on each, with its notes beneath."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Paragraph, Spacer
    from reportlab.platypus import Table as PdfTable

    parts: list[Any] = []
    if not table.rows:
        parts.append(paragraph("Nothing to show.", style["small"]))
    else:
        texts = table.texts()
        shown = texts[:MOST_ROWS]
        numeric = [column.numeric for column in table.columns]
        heads = [style["headnumber" if is_number else "head"] for is_number in numeric]
        cells = [[Paragraph(escape(one.heading), head) for one, head in zip(table.columns, heads, strict=True)]]
        cells += [
            [Paragraph(escape(breakable(text)), style["number" if is_number else "cell"])
             for text, is_number in zip(row, numeric, strict=True)]
            for row in shown
        ]  # fmt: skip
        grid = PdfTable(cells, colWidths=_widths(table, shown, width), repeatRows=1)
        grid.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, 0), 0.7, HexColor(ACCENT)),
                ("LINEBELOW", (0, 1), (-1, -1), 0.25, HexColor(RULE)),
                ("BACKGROUND", (0, 0), (-1, 0), HexColor(SHADE)),
                ("LEFTPADDING", (0, 0), (-1, -1), 2.5),
                ("RIGHTPADDING", (0, 0), (-1, -1), 2.5),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        )
        parts.append(grid)
        if len(texts) > MOST_ROWS:
            parts.append(paragraph(f"The first {MOST_ROWS} of {len(texts)} rows.", style["small"]))
    parts += [paragraph(note, style["small"]) for note in table.notes]
    return [*parts, Spacer(1, 5)]


def _widths(table: Table, rows: list[list[str]], width: float) -> list[float]:
    """Room for the longest word of each column, and the rest by how long its texts are."""
    least, wishes = [], []
    for number, column in enumerate(table.columns):
        texts = [row[number] for row in rows]
        words = [word for text in (*texts, column.heading) for word in re.split(r"[\s\u200b]+", breakable(text))]
        least.append(_CHARACTER * min(max(map(len, words), default=1), _LONGEST_WORD) + _PADDING)
        wishes.append(float(min(max(map(len, texts), default=1), _WIDEST)))
    spare = width - sum(least)
    if spare <= 0:
        return [width * one / sum(least) for one in least]
    return [one + spare * wish / sum(wishes) for one, wish in zip(least, wishes, strict=True)]


def image(content: bytes, width: float) -> Any:
    """A PNG image, `width` points wide."""
    from reportlab.lib.utils import ImageReader
    from reportlab.platypus import Image

    across, down = ImageReader(io.BytesIO(content)).getSize()
    return Image(io.BytesIO(content), width=width, height=width * down / across)
