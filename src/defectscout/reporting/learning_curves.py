"""Errors over the epochs of a training (paper, fig. S13)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from defectscout.core.errors import InputFileError
from defectscout.core.frames import FloatArray
from defectscout.reporting.figure_style import COLOURS, new_figure, save

_PANELS: Final = (
    ("loss", "loss", 1.0),
    ("energy_mae", "energy MAE / meV atom⁻¹", 1000.0),
    ("force_mae", "force MAE / meV Å⁻¹", 1000.0),
    ("stress_mae", "stress MAE / GPa", 1.0),
    ("spearman", "ρ of energies", 1.0),
)
_LINES: Final = ("-", "--", "-.", ":")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingLog:
    """What a training's `metrics.csv` holds: one number for each epoch and column; NaN where none was written."""

    epochs: FloatArray
    columns: Mapping[str, FloatArray]


def read_training_log(path: Path) -> TrainingLog:
    """Read a training's `metrics.csv`, or the one inside a model folder.

    Columns: `epoch`, `learning_rate`, and `train_` and `val_` of loss, energy_mae (eV/atom),
    force_mae (eV/Å), stress_mae (GPa) and spearman, as far as they are there. Lines of one epoch
    are joined, since loggers write training and validation apart.

    Raises:
        InputFileError: if it is missing, empty, or no such table.
    """
    file = path / "metrics.csv" if path.is_dir() else path
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{file} cannot be read as a training log: {error}.") from None
    if not lines or "epoch" not in lines[0]:
        raise InputFileError(
            f"{file} is no training log: it has {'no lines' if not lines else 'no column epoch'}. Give the metrics.csv "
            "that `defectscout train` writes, or the folder of its model."
        )
    epochs: dict[float, dict[str, float]] = {}
    for number, line in enumerate(lines, start=2):
        values = _numbers(line, file, number)
        epochs.setdefault(values.pop("epoch"), {}).update(values)
    known = sorted(epochs)
    names = [name for name in lines[0] if name not in ("epoch", None)]
    columns = {name: np.array([epochs[epoch].get(name, np.nan) for epoch in known]) for name in names}
    return TrainingLog(np.array(known), columns)


def logs_of_models(surrogates: Iterable[str]) -> dict[str, TrainingLog]:
    """The training logs of those surrogates that are model folders, one for each member of an ensemble."""
    found: dict[str, TrainingLog] = {}
    for name in surrogates:
        members = sorted(Path(name).expanduser().glob("member-*/metrics.csv"))
        for member in members:
            title = name if len(members) == 1 else f"{name} {member.parent.name}"
            found[title] = read_training_log(member)
    return found


def draw_learning_curves(logs: Mapping[str, TrainingLog], path: Path) -> Path:
    """Training and validation errors over the epochs, one colour for each training; a dot marks the lowest loss.

    Args:
        logs: by the name of the training.
        path: .png, .svg or .pdf.

    Raises:
        InputFileError: if no log has any of the columns.
        MissingExtraError: without matplotlib.
        SettingsError: for another suffix, or where nothing can be written.
    """
    panels = [panel for panel in _PANELS if any(_has(log, panel[0]) for log in logs.values())]
    if not panels:
        raise InputFileError("The training logs hold none of the columns train_loss, val_loss, val_energy_mae, ...")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with new_figure(3.4 * columns, 2.7 * rows + 0.4, rows, columns) as (figure, axes):
        for axis, (name, label, factor) in zip(axes.flat, panels, strict=False):
            for number, log in enumerate(logs.values()):
                _curves(axis, log, name, factor, number)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_ylabel(label)
            if name != "spearman" and _spans_decades(logs, name):
                axis.set_yscale("log")
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        _legend(figure, list(logs))
        return save(figure, path)


def _numbers(line: dict[str, str], file: Path, number: int) -> dict[str, float]:
    try:
        return {name: float(text) for name, text in line.items() if text not in ("", None)}
    except (TypeError, ValueError):
        raise InputFileError(f"{file} is no training log: line {number} holds something that is no number.") from None


def _has(log: TrainingLog, name: str) -> bool:
    return any(np.isfinite(log.columns.get(f"{part}_{name}", np.nan)).any() for part in ("train", "val"))


def _spans_decades(logs: Mapping[str, TrainingLog], name: str) -> bool:
    parts = [log.columns.get(f"{part}_{name}", np.zeros(0)) for log in logs.values() for part in ("train", "val")]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return bool(values.min() > 0 and values.max() > 10 * values.min())


def _curves(axis: Any, log: TrainingLog, name: str, factor: float, number: int) -> None:
    colour = COLOURS[number % len(COLOURS)]
    for part, width, line, alpha in (("train", 1.0, ":", 0.8), ("val", 1.6, _LINES[number % 3], 1.0)):
        values = factor * log.columns.get(f"{part}_{name}", np.full(len(log.epochs), np.nan))
        known = np.isfinite(values)
        axis.plot(log.epochs[known], values[known], line, color=colour, linewidth=width, alpha=alpha)
        if known.sum() == 1:
            axis.plot(log.epochs[known], values[known], "s", color=colour, markersize=3)
    losses = log.columns.get("val_loss", np.full(len(log.epochs), np.nan))
    values = log.columns.get(f"val_{name}", np.full(len(log.epochs), np.nan))
    if np.isfinite(losses).any():
        best = int(np.nanargmin(losses))
        axis.plot(log.epochs[best], factor * values[best], "o", color=colour, markersize=5)


def _legend(figure: Any, names: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], linestyle=_LINES[n % 3], label=f"{name}, validation")
        for n, name in enumerate(names)
    ]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="training"))
    handles.append(Line2D([], [], color="0.3", linestyle="", marker="o", label="lowest validation loss"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))
