"""What the page's own programs read: structures for the viewers, and the whole report as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np

from defectscout.core.frames import FloatArray
from defectscout.reporting.report.document import AlloyPart, Answer, Model, Plot, Report, Section
from defectscout.reporting.table import Table, records

DECIMALS = 8
"""Of positions, cells and sites, Å: what a downloaded structure keeps."""

DISPLACEMENT_DECIMALS = 4
"""Of displacements, Å: they are looked at only."""


def section_models(section: Section) -> dict[str, Any]:
    """Structures of one defect, compact.

    Atoms are written as runs of equal elements, once for all structures that share them; arrays are flat.
    """
    runs = [_runs(model.atoms.get_chemical_symbols()) for model in section.models]
    compositions = [list(run) for run in dict.fromkeys(runs)]
    symbols = sorted({symbol for run in runs for symbol, _ in run})
    return {
        "elements": {symbol: _element(symbol) for symbol in symbols},
        "compositions": compositions,
        "models": [
            _model(model, compositions.index(list(run))) for model, run in zip(section.models, runs, strict=True)
        ],
    }


def shown_first(section: Section) -> tuple[int, ...]:
    """Which structures the views open with: the unperturbed one, and beside it the ground state (or the next one)."""
    if len(section.models) < 2:
        return tuple(range(len(section.models)))
    unperturbed = section.models[0].key
    others = range(1, len(section.models))
    return (0, next((index for index in others if not section.models[index].key.startswith(unperturbed)), 1))


def report_data(report: Report) -> dict[str, Any]:
    """All that the report says but its structures, which are with their sections (`section_models`)."""
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "status": report.status,
        "finished": report.finished,
        "answers": [asdict(answer) for answer in report.answers],
        "costs": report.costs,
        "notes": report.notes,
        "alloys": [_alloy(alloy) for alloy in report.alloys],
        "sections": [_section(section) for section in report.sections],
        "plots": [_plot(plot) for plot in report.plots],
        "tables": [_table(table) for table in report.tables],
        "methods": report.methods,
        "citations": [asdict(citation) for citation in report.citations],
        "settings": [{"campaign": name, "toml": toml} for name, toml in report.settings],
        "versions": _table(report.versions),
    }


def answer_facts(answer: Answer) -> tuple[str, ...]:
    """What the filter of the answers searches."""
    return (answer.host, answer.defect, answer.sentence, answer.status, f"{answer.level} confidence")


def script_json(data: object) -> str:
    """JSON that stands inside a script element and can't end it.

    Raises:
        ValueError: for NaN or an infinity, which JSON lacks.
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def _alloy(alloy: AlloyPart) -> dict[str, Any]:
    return {
        "key": alloy.key,
        "title": alloy.title,
        "defects": alloy.kinds,
        "facts": [{"name": name, "value": value} for name, value in alloy.facts],
        "supercells": _table(alloy.supercells),
        "tables": [_table(table) for table in alloy.tables],
        "plots": [_plot(plot) for plot in alloy.plots],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "answer": asdict(section.answer),
        "facts": [{"name": name, "value": value} for name, value in section.facts],
        "reasons": section.reasons,
        "lines": section.lines,
        "minima": _table(section.minima),
        "set_aside": _table(section.set_aside),
        "plots": [_plot(plot) for plot in section.plots],
    }


def _plot(plot: Plot) -> dict[str, Any]:
    return {"key": plot.key, "title": plot.title, "caption": plot.caption, "table": _table(plot.table)}


def _table(table: Table) -> dict[str, Any]:
    return {"key": table.key, "title": table.title, "records": records(table), "notes": table.notes}


def _model(model: Model, composition: int) -> dict[str, Any]:
    return {
        "key": model.key,
        "title": model.title,
        "caption": model.caption,
        "composition": composition,
        "cell": _rounded(model.atoms.cell.array, DECIMALS),
        "site": _rounded(model.site, DECIMALS),
        "positions": _rounded(model.atoms.positions, DECIMALS),
        "displacements": _rounded(model.displacements, DISPLACEMENT_DECIMALS),
        "bonds": [
            [*map(int, bond.atoms), round(float(bond.length), DISPLACEMENT_DECIMALS)] for bond in model.new_bonds
        ],
    }


def _rounded(values: FloatArray, decimals: int) -> list[float | None]:
    """Flat; null where nothing is known, such as the displacement of an atom that the host lacks."""
    flat: Iterable[float] = (np.round(np.asarray(values, dtype=float), decimals) + 0.0).ravel().tolist()
    return [value if np.isfinite(value) else None for value in flat]


def _runs(symbols: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple((symbol, len(list(group))) for symbol, group in groupby(symbols))


def _element(symbol: str) -> dict[str, Any]:
    """Covalent radius (Å) and Jmol's colour of an element, both as ASE has them."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers[symbol]
    colour = "".join(f"{round(255 * float(part)):02x}" for part in jmol_colors[number])
    return {"radius": round(float(covalent_radii[number]), 3), "colour": f"#{colour}"}
