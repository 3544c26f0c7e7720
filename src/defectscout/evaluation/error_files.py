"""Errors as JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from defectscout.evaluation.bootstrap import Interval
from defectscout.evaluation.errors import FrameErrors, Landscape
from defectscout.evaluation.metrics import ErrorPair, ErrorTable, Metrics, relative_energies

UNITS: Final = {
    "energy": "meV_per_atom",
    "energy_shifted": "meV_per_atom",
    "relative": "eV",
    "relative_per_atom": "meV",
    "low": "eV",
    "low_per_atom": "meV",
    "force": "meV_per_A",
    "stress": "GPa",
}
"""Error pairs of `Metrics`, and the unit that is written after their names."""

_COUNTS: Final = ("n_frames", "n_defects", "n_relaxations", "n_ranked", "n_unranked", "resampled")


def intervals_of(metrics: Metrics) -> dict[str, Interval]:
    """Every number of `metrics` by its name with its unit, such as `energy_mae_meV_per_atom`."""
    found = {}
    for name, unit in UNITS.items():
        pair: ErrorPair = getattr(metrics, name)
        found[f"{name}_mae_{unit}"] = pair.mae
        found[f"{name}_rmse_{unit}"] = pair.rmse
    found["spearman"] = metrics.spearman
    return found


def metrics_to_json(metrics: Metrics) -> dict[str, Any]:
    """Numbers with their intervals, and counts; what is not determined is null."""
    counts = {name: getattr(metrics, name) for name in _COUNTS}
    frames = {f"n_frames_{name}": getattr(metrics, name).n_frames for name in UNITS}
    numbers = {
        name: {"value": _number(item.value), "low": _number(item.low), "high": _number(item.high)}
        for name, item in intervals_of(metrics).items()
    }
    return {**counts, **frames, **numbers}


def table_to_json(table: ErrorTable) -> dict[str, Any]:
    """The whole table, for `json.dumps`."""
    return {
        "overall": metrics_to_json(table.overall),
        "bulk": metrics_to_json(table.bulk) if table.bulk is not None else None,
        "by_host": {host: metrics_to_json(metrics) for host, metrics in table.by_host.items()},
        "by_defect": [{**_identity(item), **metrics_to_json(metrics)} for item, metrics in table.by_defect.items()],
        "failed": [
            {"host": o.host, "defect": o.defect, "charge": o.charge, "start": o.start, "step": o.step}
            for o in table.failed
        ],
    }


def table_to_csv(tables: Mapping[str, ErrorTable]) -> str:
    """One line for each surrogate and each of: all defects, bulk, a host, a defect.

    Args:
        tables: by the name of the surrogate.
    """
    return _csv(line for name, table in tables.items() for line in _lines(name, table))


def frames_to_csv(errors: Mapping[str, FrameErrors]) -> str:
    """One line for each surrogate and frame.

    Args:
        errors: by the name of the surrogate.
    """
    return _csv(line for name, item in errors.items() for line in _frame_lines(name, item))


def _lines(surrogate: str, table: ErrorTable) -> Iterator[dict[str, Any]]:
    nothing: dict[str, Any] = dict.fromkeys(("host", "defect", "charge", "method", "composition"), "")
    yield {"surrogate": surrogate, "level": "overall", **nothing, **_cells(table.overall)}
    if table.bulk is not None:
        yield {"surrogate": surrogate, "level": "bulk", **nothing, **_cells(table.bulk)}
    for host, metrics in table.by_host.items():
        yield {"surrogate": surrogate, "level": "host", **nothing, "host": host, **_cells(metrics)}
    for item, metrics in table.by_defect.items():
        yield {"surrogate": surrogate, "level": "defect", **_identity(item), **_cells(metrics)}


def _identity(item: Landscape) -> dict[str, Any]:
    who = item.defect_id
    return {
        "host": who.host,
        "defect": who.defect,
        "charge": who.charge,
        "method": who.method,
        "composition": item.composition,
    }


def _cells(metrics: Metrics) -> dict[str, Any]:
    cells: dict[str, Any] = {name: getattr(metrics, name) for name in _COUNTS}
    for name, item in intervals_of(metrics).items():
        cells[name], cells[f"{name}_low"], cells[f"{name}_high"] = map(_text, (item.value, item.low, item.high))
    return cells


def _frame_lines(surrogate: str, errors: FrameErrors) -> Iterator[dict[str, Any]]:
    relative = relative_energies(errors)
    for index in range(len(errors)):
        relaxation = errors.relaxations[errors.relaxation[index]]
        yield {
            "surrogate": surrogate,
            **_identity(errors.landscapes[errors.landscape[index]]),
            "start": relaxation.start,
            "source": relaxation.source,
            "step": int(errors.step[index]),
            "n_atoms": int(errors.n_atoms[index]),
            "energy_reference_eV": _text(errors.energy_reference[index], 12),
            "energy_surrogate_eV": _text(errors.energy_predicted[index], 12),
            "relative_reference_eV": _text(relative.reference[index]),
            "relative_surrogate_eV": _text(relative.predicted[index]),
            "force_mae_meV_per_A": _text(1e3 * errors.force_absolute[index] / (3 * errors.n_atoms[index])),
            "force_error_on_an_atom_meV_per_A": _text(1e3 * errors.force_error[index]),
            "fmax_reference_eV_per_A": _text(errors.fmax_reference[index]),
        }


def _csv(lines: Iterable[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for line in lines:
        if writer is None:
            writer = csv.DictWriter(buffer, list(line), lineterminator="\n")
            writer.writeheader()
        writer.writerow(line)
    return buffer.getvalue()


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(value: float, digits: int = 7) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else ""
