"""A report as Markdown: for a repository, a notebook of the laboratory, an electronic supplement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from defectscout.reporting.report.answers import answers_table
from defectscout.reporting.report.document import AlloyPart, Citation, Model, Plot, Report, Section
from defectscout.reporting.table import Column, Table, markdown_text

_MARKUP = re.compile(r"([\\`*_\[\]<>#|])")


def markdown_report(report: Report) -> str:
    """The report as Markdown text; figures as the tables of what they show, structures as a list."""
    blocks = [
        f"# {_plain(report.title)}",
        f"{_plain(report.subtitle)}.",
        _plain(report.status) if report.finished else f"**{_plain(report.status)}**",
        "## The answer",
        markdown_text(answers_table(report.answers)),
        _bullets(report.costs),
        *(["### To be noted", _bullets(report.notes)] if report.notes else []),
        *(block for alloy in report.alloys for block in _alloy(alloy)),
        *(block for section in report.sections for block in _section(section)),
    ]
    if report.plots or report.tables:
        blocks.append("## All defects together")
        blocks += [block for plot in report.plots for block in _plot(plot)]
        blocks += [block for table in report.tables for block in _table(table)]
    blocks += ["## Methods", *(_plain(paragraph) for paragraph in report.methods)]
    blocks += ["## References", *_citations(report.citations)]
    blocks.append("## Settings")
    blocks += [block for name, text in report.settings for block in (f"### {_plain(name)}", _code(text, "toml"))]
    blocks += ["## Versions", markdown_text(report.versions)]
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def _alloy(alloy: AlloyPart) -> Iterator[str]:
    yield f"## The alloy {_plain(alloy.title)}"
    yield _bullets([f"{name}: {value}" for name, value in alloy.facts])
    for table in (alloy.supercells, *alloy.tables):  # they say all that the figures show
        yield from _table(table)


def _section(section: Section) -> Iterator[str]:
    yield f"## {_plain(section.title)}"
    sentence = _plain(section.answer.sentence)
    yield sentence if section.answer.finished else f"**{sentence}**"
    yield f"How sure: **{section.answer.level}**. The search {_plain(section.answer.status)}."
    yield _bullets(section.reasons)
    yield from _table(section.minima)
    if section.set_aside.rows:
        yield from _table(section.set_aside)
    yield "### How it was searched"
    yield _bullets(section.lines)
    yield "### The defect"
    yield _bullets([f"{name}: {value}" for name, value in section.facts])
    yield "### Structures"
    yield markdown_text(models_table(section.models))
    for plot in section.plots:
        if not plot.key.endswith("-ladder"):  # the table of minima says the same
            yield from _plot(plot)


def models_table(models: Sequence[Model]) -> Table:
    """Structures in short."""
    return Table(
        "structures",
        "Structures",
        (
            Column("structure", "title"),
            Column("file", "key"),
            Column("atoms", "atoms", digits=0, numeric=True),
            Column("largest displacement", "largest_displacement_A", "Å", digits=2, numeric=True),
            Column("", "caption"),
        ),
        tuple(
            (model.title, model.key, len(model.atoms), float(model.displacements.max(initial=0.0)), model.caption)
            for model in models
        ),
    )


def _plot(plot: Plot) -> Iterator[str]:
    yield f"### {_plain(plot.title)}"
    yield _plain(plot.caption)
    yield markdown_text(plot.table)


def _table(table: Table) -> Iterator[str]:
    yield f"### {_plain(table.title)}"
    yield markdown_text(table)


def _citations(citations: Sequence[Citation]) -> Iterator[str]:
    lines = [
        f"{_plain(item.text)}{f' [doi:{item.doi}](https://doi.org/{item.doi})' if item.doi else ''} "
        f"*For: {_plain(item.why)}.*"
        for item in citations
    ]
    yield "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    if citations:
        yield _code("\n\n".join(item.bibtex for item in citations), "bibtex")


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _code(text: str, language: str) -> str:
    """A fenced block, with a fence that the text does not hold."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown: `v_Cd_0` has no emphasis."""
    return _MARKUP.sub(r"\\\1", text.replace("\n", " "))
