"""Figures of a surrogate's errors (paper, figs. S10 to S12, S20 and S21).

They show frames of defects. Frames of pristine hosts are shown only where there are no others:
most forces there vanish by symmetry, for surrogate and reference alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from defectscout.core.frames import FloatArray
from defectscout.evaluation.error_files import frames_to_csv
from defectscout.evaluation.force_sample import ForceSample
from defectscout.evaluation.metrics import LOW_ENERGY, relative_energies
from defectscout.learning.frames import DefectId
from defectscout.reporting.evaluation_tables import short_names, write_text
from defectscout.reporting.figure_style import COLOURS, MARKERS, marks, new_figure, save
from defectscout.workflow.evaluate import SurrogateEvaluation

MOST_IN_LEGEND: Final = 16
"""With more defects than this, points are coloured by host; with more hosts the legend ends with '...'."""

_MANY: Final = 2_000
_HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "+++")


def draw_evaluation(
    evaluations: Mapping[str, SurrogateEvaluation], folder: Path, suffix: str = ".png"
) -> tuple[Path, ...]:
    """Parity plots, errors against energy and force, violins by host, and the data behind them as CSV.

    Args:
        evaluations: by the name of the surrogate.
        folder: where the files go; files of the same names are replaced.
        suffix: .png, .svg or .pdf.

    Returns:
        The files written: `parity`, `errors`, `violins`; `frames.csv`, `forces.csv`.

    Raises:
        MissingExtraError: without matplotlib.
        SettingsError: for another suffix, or where nothing can be written.
    """
    return (
        draw_parity(evaluations, folder / f"parity{suffix}"),
        draw_errors(evaluations, folder / f"errors{suffix}"),
        draw_violins(evaluations, folder / f"violins{suffix}"),
        write_text(folder / "frames.csv", frames_to_csv({name: item.errors for name, item in evaluations.items()})),
        write_text(folder / "forces.csv", forces_to_csv({name: item.forces for name, item in evaluations.items()})),
    )


def draw_parity(evaluations: Mapping[str, SurrogateEvaluation], path: Path) -> Path:
    """Surrogate against reference: energies above each defect's ground state, the low ones of them, and forces.

    One row for each surrogate. Raises as `draw_evaluation`.
    """
    shown = [_Shown.of(name, item) for name, item in short_names(evaluations).items()]
    styles = marks(sorted({str(group) for item in shown for group in (*item.frame_groups, *item.force_groups)}))
    with new_figure(10.6, 3.3 * len(shown) + 0.3, len(shown), 3) as (figure, axes):
        for row, item in zip(axes, shown, strict=True):
            low = np.where(item.energy < LOW_ENERGY, item.energy, np.nan)
            _parity(row[0], item.energy, item.energy_predicted, item.frame_groups, styles)
            _parity(row[1], low, item.energy_predicted, item.frame_groups, styles)
            outside = _parity(
                row[2], item.force.ravel(), item.force_predicted.ravel(), np.repeat(item.force_groups, 3), styles, 0.999
            )
            hidden = f" ({outside} points outside)" if outside else ""
            _label(row[0], "reference / eV", f"{item.name} / eV", "energies above ground state")
            _label(row[1], "reference / eV", f"{item.name} / eV", f"those below {LOW_ENERGY:g} eV")
            _label(row[2], "reference / eV Å⁻¹", f"{item.name} / eV Å⁻¹", f"force components{hidden}")
        _legend(figure, styles)
        return save(figure, path)


def draw_errors(evaluations: Mapping[str, SurrogateEvaluation], path: Path) -> Path:
    """Absolute errors: of relative energies against the energy, and of forces on atoms against the force.

    Surrogates share the axes; lines are running medians. The ground states themselves, whose
    error is zero by definition, are not shown. Raises as `draw_evaluation`.
    """
    shown = [_Shown.of(name, item) for name, item in short_names(evaluations).items()]
    styles = marks([item.name for item in shown])
    with new_figure(9.6, 3.8, 1, 2) as (figure, axes):
        left, right = axes[0]
        for item in shown:
            force = np.linalg.norm(item.force, axis=1)
            error = np.linalg.norm(item.force_predicted - item.force, axis=1)
            _points(left, item.energy, item.energy_error, styles[item.name])
            _points(right, force, error, styles[item.name])
            _running_median(left, item.energy, item.energy_error, styles[item.name])
            _running_median(right, force, error, styles[item.name])
        left.set_yscale("log")
        left.set_xscale("symlog", linthresh=LOW_ENERGY)
        left.set_xticks([0, 1, 2, 3, 4, 5, 10, 20, 50], ["0", "1", "2", "3", "4", "5", "10", "20", "50"])
        left.set_xlim(left=-0.2)
        right.set_xscale("log")
        right.set_yscale("log")
        left.axvline(LOW_ENERGY, color="0.6", linewidth=0.8, linestyle=":")
        _label(left, "reference: energy above ground state / eV", "absolute error / meV atom⁻¹", "relative energies")
        _label(right, "reference: force on the atom / eV Å⁻¹", "length of the error / eV Å⁻¹", "forces")
        _legend(figure, styles)
        return save(figure, path)


def draw_violins(evaluations: Mapping[str, SurrogateEvaluation], path: Path) -> Path:
    """Distributions of absolute errors of frames by host: relative energies, and forces.

    On a logarithmic axis, since errors of hosts differ by orders of magnitude; a line in each
    violin marks the median. Raises as `draw_evaluation`.
    """
    shown = [_Shown.of(name, item) for name, item in short_names(evaluations).items()]
    hosts = sorted({str(host) for item in shown for host in item.hosts})
    width = max(6.0, 1.6 + 0.55 * len(hosts) * max(len(shown), 2))
    with new_figure(width, 6.2, 2, 1) as (figure, axes):
        for number, item in enumerate(shown):
            for axis, errors in ((axes[0, 0], item.energy_error), (axes[1, 0], 1e3 * item.force_error)):
                for place, host in enumerate(hosts):
                    shift = (number - (len(shown) - 1) / 2) * 0.8 / len(shown)
                    _violin(axis, place + shift, errors[item.hosts == host], number, 0.75 / len(shown))
        _label(axes[0, 0], "", "absolute error / meV atom⁻¹", "energies relative to the ground state of each defect")
        _label(axes[1, 0], "", "length of the error / meV Å⁻¹", "forces, mean over the atoms of each frame")
        for axis in axes[:, 0]:
            axis.set_yscale("log")
            axis.set_xticks(range(len(hosts)), hosts, rotation=45 if len(hosts) > 6 else 0)
        _patches(figure, [item.name for item in shown])
        return save(figure, path)


def forces_to_csv(samples: Mapping[str, ForceSample]) -> str:
    """Forces on the sampled atoms, eV/Å, one line for each surrogate and atom."""
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    components = [f"{who}_{axis}_eV_per_A" for who in ("reference", "surrogate") for axis in "xyz"]
    writer.writerow(["surrogate", "host", "defect", "charge", "method", *components])
    for name, sample in samples.items():
        for who, *forces in zip(sample.defect_ids, sample.reference, sample.predicted, strict=True):
            numbers = [f"{value:.6g}" for value in np.concatenate(forces)]
            writer.writerow([name, who.host, who.defect, who.charge, who.method, *numbers])
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What the figures show of one surrogate; the first arrays are over frames, the last over sampled atoms."""

    name: str
    hosts: Any
    frame_groups: Any
    energy: FloatArray
    energy_predicted: FloatArray
    energy_error: FloatArray
    force_error: FloatArray
    force_groups: Any
    force: FloatArray
    force_predicted: FloatArray

    @classmethod
    def of(cls, name: str, item: SurrogateEvaluation) -> _Shown:
        errors, sample = item.errors, item.forces
        bulk = errors.is_bulk
        frames = np.flatnonzero(~bulk) if not bulk.all() else np.arange(len(errors))
        ids = [landscape.defect_id for landscape in errors.landscapes]
        names = _group_names([who for who in ids if bulk.all() or not who.is_bulk])
        atoms = np.array([index for index, who in enumerate(sample.defect_ids) if who in names], dtype=np.int64)
        relative = relative_energies(errors)
        expected, predicted = relative.reference[frames], relative.predicted[frames]
        energy_error = np.abs(predicted - expected) * 1000 / errors.n_atoms[frames]
        return cls(
            name=name,
            hosts=np.array([ids[index].host for index in errors.landscape[frames]], dtype=object),
            frame_groups=np.array([names[ids[index]] for index in errors.landscape[frames]], dtype=object),
            energy=expected,
            energy_predicted=predicted,
            energy_error=np.where(expected > 0, energy_error, np.nan),
            force_error=errors.force_error[frames],
            force_groups=np.array([names[sample.defect_ids[index]] for index in atoms], dtype=object),
            force=sample.reference[atoms],
            force_predicted=sample.predicted[atoms],
        )


def _group_names(defect_ids: list[DefectId]) -> dict[DefectId, str]:
    """Defects by name, or by their host's where there are many."""
    by_defect = len(set(defect_ids)) <= MOST_IN_LEGEND
    return {item: str(item) if by_defect else item.host for item in defect_ids}


def _parity(
    axis: Any, expected: FloatArray, predicted: FloatArray, groups: Any, styles: dict[str, Any], within: float = 1.0
) -> int:
    """Points and the diagonal, over the central share `within` of the reference's values.

    Returns:
        How many points lie outside the axes.
    """
    known = np.flatnonzero(np.isfinite(expected) & np.isfinite(predicted))
    for name, style in styles.items():
        chosen = known[groups[known] == name]
        _points(axis, expected[chosen], predicted[chosen], style)
    if not len(known):
        return 0
    x, y = expected[known], predicted[known]
    low, high = np.quantile(x, [(1 - within) / 2, (1 + within) / 2])
    bottom, top = min(low, np.quantile(y, (1 - within) / 2)), max(high, np.quantile(y, (1 + within) / 2))
    axis.plot([min(low, bottom), max(high, top)], [min(low, bottom), max(high, top)], "-", color="0.3", linewidth=0.8,
              zorder=0)  # fmt: skip
    margins = 0.05 * max(high - low, 1e-6), 0.05 * max(top - bottom, 1e-6)
    axis.set_xlim(low - margins[0], high + margins[0])
    axis.set_ylim(bottom - margins[1], top + margins[1])
    inside = (abs(x - (low + high) / 2) <= (high - low) / 2 + margins[0]) & (
        abs(y - (bottom + top) / 2) <= (top - bottom) / 2 + margins[1]
    )
    return int((~inside).sum())


def _running_median(axis: Any, x: FloatArray, y: FloatArray, style: dict[str, Any]) -> None:
    """Medians of up to twelve equally filled bins."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0))
    n_bins = min(12, len(known) // 5)
    if n_bins < 2:
        return
    bins = np.array_split(known[np.argsort(x[known], kind="stable")], n_bins)
    middle = [float(np.median(x[rows])) for rows in bins], [float(np.median(y[rows])) for rows in bins]
    if len(known) > _MANY:  # a rim, where the line would drown among the points
        axis.plot(*middle, color="white", linewidth=3.5, zorder=3)
    axis.plot(*middle, color=style["color"], marker=style["marker"], markersize=4.5, markeredgecolor="black",
              markeredgewidth=0.6, linewidth=1.8, zorder=4)  # fmt: skip


def _points(axis: Any, x: FloatArray, y: FloatArray, style: dict[str, Any]) -> None:
    many = len(x) > _MANY
    shape = {"s": 4 if many else 14, "alpha": 0.3 if many else 0.7, "linewidths": 0, "rasterized": many}
    axis.scatter(x, y, **style, **shape)


def _violin(axis: Any, place: float, errors: FloatArray, number: int, width: float) -> None:
    """A violin over the logarithms: a density over the errors themselves would reach below zero."""
    from scipy.stats import gaussian_kde

    known = np.log10(errors[np.isfinite(errors) & (errors > 0)])
    colour = COLOURS[number % len(COLOURS)]
    if len(known) < 3 or np.ptp(known) < 1e-6:
        axis.plot(np.full(len(known), place), 10**known, MARKERS[number % len(MARKERS)], color=colour, markersize=4)
        return
    grid = np.linspace(known.min(), known.max(), 100)
    density = gaussian_kde(known)(grid)
    half = width / 2 * density / density.max()
    hatch = _HATCHES[number % len(_HATCHES)]
    axis.fill_betweenx(
        10**grid, place - half, place + half, facecolor=colour, alpha=0.45, edgecolor=colour, hatch=hatch
    )
    median = 10 ** np.median(known)
    axis.plot([place - width / 3, place + width / 3], [median, median], color="black", linewidth=1.2)


def _label(axis: Any, x: str, y: str, title: str) -> None:
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title)


def _legend(figure: Any, styles: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    shown = list(styles.items())[:MOST_IN_LEGEND]
    handles = [Line2D([], [], linestyle="", label=name, **style) for name, style in shown]
    if len(styles) > len(shown):
        handles.append(Line2D([], [], linestyle="", label=f"... and {len(styles) - len(shown)} more"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))


def _patches(figure: Any, names: list[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=COLOURS[n % len(COLOURS)], alpha=0.45, hatch=_HATCHES[n % len(_HATCHES)], label=name)
        for n, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
