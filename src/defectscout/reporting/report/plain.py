"""A report as JSON: everything that it says, structures and figures included."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from defectscout.reporting.report.document import AlloyPart, Answer, Citation, Model, Plot, Report, Section
from defectscout.reporting.table import Table, records

FORMAT: Final = 1
"""Goes up when a key changes its meaning or goes."""


def json_report(report: Report) -> str:
    """The report as JSON text, numbers in full, null where nothing is known."""
    content = {
        "format": FORMAT,
        "title": report.title,
        "subtitle": report.subtitle,
        "status": report.status,
        "finished": report.finished,
        "answers": [_answer(item) for item in report.answers],
        "costs": list(report.costs),
        "notes": list(report.notes),
        "alloys": [_alloy(item) for item in report.alloys],
        "sections": [_section(item) for item in report.sections],
        "plots": [_plot(item) for item in report.plots],
        "tables": [_table(item) for item in report.tables],
        "methods": list(report.methods),
        "citations": [_citation(item) for item in report.citations],
        "settings": [{"campaign": name, "toml": text} for name, text in report.settings],
        "versions": _table(report.versions),
    }
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _answer(item: Answer) -> dict[str, Any]:
    return {
        "host": item.host,
        "defect": item.defect,
        "section": item.anchor,
        "sentence": item.sentence,
        "confidence": item.level,
        "finished": item.finished,
        "status": item.status,
        "lowering_eV": item.lowering,
        "reference_force_calls": item.calls,
        "share_saved": item.saved,
    }


def _alloy(item: AlloyPart) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "defects": item.kinds,
        "facts": [{"name": name, "value": value} for name, value in item.facts],
        "supercells": _table(item.supercells),
        "tables": [_table(table) for table in item.tables],
        "plots": [_plot(plot) for plot in item.plots],
    }


def _section(item: Section) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "answer": _answer(item.answer),
        "facts": [{"name": name, "value": value} for name, value in item.facts],
        "reasons": list(item.reasons),
        "lines": list(item.lines),
        "structures": [_model(model) for model in item.models],
        "minima": _table(item.minima),
        "set_aside": _table(item.set_aside),
        "plots": [_plot(plot) for plot in item.plots],
    }


def _model(item: Model) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "caption": item.caption,
        "symbols": item.atoms.get_chemical_symbols(),
        "positions_A": item.atoms.positions,
        "cell_A": item.atoms.cell.array,
        "site_A": item.site,
        "displacements_A": item.displacements,
        "new_bonds": [
            {"species": list(bond.species), "length_A": bond.length, "atoms": list(bond.atoms)}
            for bond in item.new_bonds
        ],
    }


def _plot(item: Plot) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "caption": item.caption,
        "data": list(item.data),
        "layout": item.layout,
        "table": _table(item.table),
    }


def _table(item: Table) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "columns": [{"key": column.key, "name": column.name, "unit": column.unit} for column in item.columns],
        "rows": records(item),
        "notes": list(item.notes),
    }


def _citation(item: Citation) -> dict[str, Any]:
    return {"key": item.key, "why": item.why, "text": item.text, "doi": item.doi, "bibtex": item.bibtex}


def _finite(value: object) -> object:
    """Plain values without NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
