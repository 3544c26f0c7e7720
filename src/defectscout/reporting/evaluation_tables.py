"""A surrogate's errors for the terminal, and as files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from defectscout.core.errors import SettingsError
from defectscout.evaluation.bootstrap import Interval
from defectscout.evaluation.error_files import frames_to_csv, table_to_csv, table_to_json
from defectscout.evaluation.metrics import LOW_ENERGY, Metrics
from defectscout.workflow.evaluate import EvaluationResult, SurrogateEvaluation

T = TypeVar("T")

_ROWS: Final = (
    ("energy", "energy", "meV/atom"),
    ("energy, shifted", "energy_shifted", "meV/atom"),
    ("ΔE", "relative", "eV"),
    ("", "relative_per_atom", "meV/atom"),
    ("low ΔE", "low", "eV"),
    ("", "low_per_atom", "meV/atom"),
    ("force", "force", "meV/Å"),
    ("stress", "stress", "GPa"),
)

MOST_DEFECTS: Final = 40
"""More defects than this are not listed on the terminal; the files have them all."""


def evaluation_view(result: EvaluationResult) -> RenderableType:
    """Errors of each surrogate: overall, by host, by defect."""
    parts: list[RenderableType] = [_heading(result)]
    for name, item in short_names(result.evaluations).items():
        parts += [Text(""), _overall_table(name, item)]
        if item.table.failed:
            parts.append(Text(f"{len(item.table.failed)} frames could not be evaluated.", style="yellow"))
    parts += [Text(""), _by_host_table(result)]
    first = next(iter(result.evaluations.values()))
    if len(first.table.by_defect) <= MOST_DEFECTS:
        parts += [Text(""), _by_defect_table(result)]
    else:
        parts.append(Text(f"{len(first.table.by_defect)} defects: see evaluation.csv (-o FOLDER) for each."))
    return Group(*parts)


def evaluation_to_json(result: EvaluationResult) -> dict[str, Any]:
    """The whole answer, for `json.dumps`."""
    return {
        "dataset": str(result.dataset),
        "digest": result.digest,
        "subset": result.subset,
        "n_frames": result.n_frames,
        "surrogates": [
            {
                "name": name,
                "package": item.info.package,
                "weights": item.info.weights,
                "tuned": item.info.tuned,
                "seconds": item.seconds,
                **table_to_json(item.table),
            }
            for name, item in result.evaluations.items()
        ],
    }


def write_evaluation(result: EvaluationResult, folder: Path) -> tuple[Path, ...]:
    """Write `evaluation.json`, `evaluation.csv` (averages) and `frames.csv` (one line for each frame).

    Raises:
        SettingsError: where nothing can be written.
    """
    evaluations = result.evaluations
    return (
        write_text(folder / "evaluation.json", json.dumps(evaluation_to_json(result), indent=1) + "\n"),
        write_text(folder / "evaluation.csv", table_to_csv({name: item.table for name, item in evaluations.items()})),
        write_text(folder / "frames.csv", frames_to_csv({name: item.errors for name, item in evaluations.items()})),
    )


def short_names(by_surrogate: Mapping[str, T]) -> dict[str, T]:
    """Paths in the surrogates' names cut down to their last part, where the names stay different."""
    short = [_without_folders(name) for name in by_surrogate]
    names = short if len(set(short)) == len(short) else list(by_surrogate)
    return dict(zip(names, by_surrogate.values(), strict=True))


def write_text(path: Path, text: str) -> Path:
    """Write a text file, and its folder where it is not there yet.

    Raises:
        SettingsError: where nothing can be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from None
    return path


def _heading(result: EvaluationResult) -> Text:
    which = "all frames" if result.subset == "all" else f"{result.subset} set"
    return Text(f"{result.dataset}, {which}: {result.n_frames} frames")


def _overall_table(name: str, item: SurrogateEvaluation) -> Table:
    metrics = item.table.overall
    tuned = ", fine-tuned" if item.info.tuned else ""
    title = (
        f"{name}{tuned}: {metrics.n_frames} frames of {_count(metrics.n_defects, 'defect')}, "
        f"{_count(metrics.n_relaxations, 'relaxation')}"
    )
    table = plain_table(title)
    for column in ("", "unit", "MAE", "RMSE", "frames"):
        table.add_column(column, justify="left" if column in ("", "unit") else "right", no_wrap=bool(column))
    for label, attribute, unit in _ROWS:
        pair = getattr(metrics, attribute)
        table.add_row(label, unit, _text(pair.mae), _text(pair.rmse), str(pair.n_frames))
    left_out = f" ({metrics.n_unranked} left out)" if metrics.n_unranked else ""
    table.add_row(f"ρ, mean of {_count(metrics.n_ranked, 'defect')}{left_out}", "", _text(metrics.spearman), "")
    drawn = "" if metrics.resampled == "nothing" else f"; in brackets 95 % intervals, {metrics.resampled} drawn again"
    table.caption = (
        f"shifted: without the mean error of each composition; ΔE: energy above the ground state, low: below "
        f"{LOW_ENERGY:g} eV; force: components; stress: nine components; ρ: Spearman's, of each defect{drawn}"
    )
    table.caption_justify = "left"
    return table


def _by_host_table(result: EvaluationResult) -> Table:
    named = short_names(result.evaluations)
    hosts: dict[str, dict[str, Metrics]] = {}
    for name, item in named.items():
        for host, metrics in item.table.by_host.items():
            hosts.setdefault(host, {})[name] = metrics
    rows = dict(sorted(hosts.items()))
    bulk = {name: item.table.bulk for name, item in named.items() if item.table.bulk is not None}
    return _short_table("by host", rows | ({"pristine hosts": bulk} if bulk else {}))


def _by_defect_table(result: EvaluationResult) -> Table:
    rows: dict[str, dict[str, Metrics]] = {}
    for name, item in short_names(result.evaluations).items():
        for landscape, metrics in item.table.by_defect.items():
            rows.setdefault(str(landscape), {})[name] = metrics
    return _short_table("by defect", dict(sorted(rows.items())))


def _short_table(title: str, rows: Mapping[str, Mapping[str, Metrics]]) -> Table:
    """Mean absolute errors of each group of frames; a line for each surrogate below, where there are several."""
    table = plain_table(title)
    table.add_column("", overflow="fold", min_width=14)
    for column in ("frames", "ΔE\n/ eV", "low ΔE\n/ eV", "low ΔE\nmeV/atom", "force\nmeV/Å", "stress\n/ GPa", "ρ"):
        table.add_column(column, justify="right", no_wrap=True)
    for group, by_surrogate in rows.items():
        single = len(by_surrogate) == 1
        if not single:
            table.add_row(group)
        for name, metrics in by_surrogate.items():
            numbers = (metrics.relative.mae, metrics.low.mae, metrics.low_per_atom.mae, metrics.force.mae,
                       metrics.stress.mae, metrics.spearman)  # fmt: skip
            label = group if single else f"  {name}"
            table.add_row(label, str(metrics.n_frames), *(_digits(item.value) for item in numbers))
    table.caption = f"MAE; ΔE: energy above the ground state, low: below {LOW_ENERGY:g} eV"
    table.caption_justify = "left"
    return table


def plain_table(title: str) -> Table:
    """A table without lines, its title above it."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_edge=False,
        header_style="underline",
    )


def _without_folders(name: str) -> str:
    """`m3gnet:/a/b/model` becomes `m3gnet:model`, `/a/b/tuned` becomes `tuned`."""
    return ":".join(part.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or part for part in name.split(":"))


def _text(item: Interval) -> str:
    if not math.isfinite(item.low):
        return _digits(item.value)
    return f"{_digits(item.value)} ({_digits(item.low)} to {_digits(item.high)})"


def _digits(value: float) -> str:
    """Three significant digits, without powers of ten."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, min(4, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{decimals}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
