"""A report as one self-contained HTML file: no network, no other file.

The page brings its own programs (`templates/js`), 3Dmol.js for structures and plotly.js for figures (`vendor`). Its
content security policy names each of them by hash, so that nothing else can run in it, whatever a campaign's names
and messages hold.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from defectscout.core.errors import MissingExtraError
from defectscout.reporting.report.document import Report
from defectscout.reporting.report.models_json import (
    answer_facts,
    report_data,
    script_json,
    section_models,
    shown_first,
)
from defectscout.reporting.table import Cell

if TYPE_CHECKING:
    from jinja2 import Environment

FEW_DEFECTS = 10
"""Up to so many, all sections are open and the answers have no filter."""

SMALL_LOWERING = 0.1
"""The bars beside the lowerings fill their column for the largest one, or for this (eV) if all are smaller."""

LIBRARIES = ("3Dmol-min.js", "plotly-basic.min.js")

LICENCES = (("3Dmol.js", "3Dmol-LICENSE.txt"), ("plotly.js", "plotly-LICENSE.txt"))
"""They go with every copy, so every report holds them."""

PROGRAMS = (
    "base.js",
    "theme.js",
    "files.js",
    "tables.js",
    "filter.js",
    "sections.js",
    "colours.js",
    "crystal.js",
    "orientation.js",
    "formats.js",
    "picture.js",
    "pool.js",
    "scene.js",
    "pair.js",
    "plots.js",
    "print.js",
)
"""In the order in which they build on one another."""

LIVE_PROGRAM = "live.js"

LIVE_STYLE = "live.css"

STYLES = ("base.css", "parts.css", "structures.css", "print.css")


def html_report(report: Report, live: str | None = None) -> str:
    """Write a report as one HTML file.

    Args:
        report: what it says.
        live: path of the URL that tells of progress as JSON (`version`, `finished`, `lines`), for a report that is
            served while its searches run, with `#` and the version that the report was made of behind it where that
            is known (else the first one heard of is taken for it); None for a file, which then asks for nothing.

    Raises:
        MissingExtraError: without jinja2.
    """
    try:
        environment = _environment()
    except ImportError:
        raise MissingExtraError("Writing an HTML report", "jinja2", "report") from None
    from markupsafe import Markup

    from defectscout.reporting.report.html_text import (
        defect_markup,
        formula_markup,
        percent_text,
        signed_text,
        typesetter,
    )

    labels = {answer.defect for answer in report.answers} | {kind for alloy in report.alloys for kind in alloy.kinds}
    # Behind a host's formula stands what tells campaigns of one host apart.
    names = typesetter(labels, {answer.host.partition(" (")[0] for answer in report.answers})
    filters: dict[str, Callable[..., object]] = {
        "prose": names.prose,
        "defect": defect_markup,
        "formula": formula_markup,
        "script_json": lambda data: Markup(script_json(data)),
        "data_value": _data_value,
        "signed": signed_text,
        "percent": percent_text,
    }
    environment.filters |= filters
    environment.globals |= {
        "typeset_cell": names.cell,
        "section_models": section_models,
        "shown_first": shown_first,
        "answer_facts": answer_facts,
    }
    libraries = [_source("vendor", name) for name in LIBRARIES]
    program = _program(live is not None)
    return environment.get_template("report.html").render(
        report=report,
        live=live,
        data=report_data(report),
        many=len(report.sections) > FEW_DEFECTS,
        several_hosts=len({answer.host for answer in report.answers}) > 1,
        largest=max(
            SMALL_LOWERING, *(-answer.lowering for answer in report.answers if answer.lowering is not None), 0.0
        ),
        libraries=[Markup(source) for source in libraries],
        licences=[(name, _source("vendor", file)) for name, file in LICENCES],
        program=Markup(program),
        style=Markup(_style(live is not None)),
        policy=content_security_policy([*libraries, program], live is not None),
    )


def content_security_policy(scripts: list[str], live: bool) -> str:
    """What the page may do: run these scripts, show what is inside it, and, served live, ask its own server.

    Styles are allowed inline since plotly.js writes its own into the page. Neither library needs `eval` or a worker
    for what the page does.
    """
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {hashes}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "connect-src 'self'" if live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("defectscout.reporting.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _source(folder: str, name: str) -> str:
    """A file of the package, with the line ends that an HTML parser would make of its own."""
    return (
        files("defectscout.reporting.report").joinpath(folder, name).read_text(encoding="utf-8").replace("\r\n", "\n")
    )


def _program(live: bool) -> str:
    sources = [_source("templates/js", name) for name in (*PROGRAMS, *([LIVE_PROGRAM] if live else []))]
    return "\n".join(['(() => {\n"use strict";', *sources, "})();\n"])


def _style(live: bool) -> str:
    dark = _source("templates/css", "dark.css")
    themes = f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}\n"
    themes += f":root[data-theme=dark] {{ {dark} }}\n"
    light = f":root {{ {_source('templates/css', 'light.css')} }}\n"
    paper = f"@media print {{ :root:root:root {{ {_source('templates/css', 'light.css')} }} }}\n"
    names = (*STYLES, *([LIVE_STYLE] if live else []))
    return light + themes + paper + "\n".join(_source("templates/css", name) for name in names)


def _data_value(cell: Cell) -> str:
    """A cell for sorting and for files, as JSON: all digits of a number, null where nothing is known."""
    return json.dumps(None if isinstance(cell, float) and not math.isfinite(cell) else cell, ensure_ascii=False)
