"""Mean errors, rank correlations and their intervals (paper, tables I, S10, S11, S13 and S14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.evaluation.bootstrap import FEWEST_UNITS, Bootstrap, Interval, weighted_ratio, weighted_spearman
from defectscout.evaluation.errors import FrameErrors, IntArray, Landscape
from defectscout.learning.frames import FrameOrigin
from defectscout.learning.ranking import FEWEST_FRAMES

LOW_ENERGY: Final = 5.0
"""eV above the ground state of its defect, below which a frame counts as low in energy (paper, section II B)."""

Resampled = Literal["defects", "relaxations", "nothing"]


@dataclass(frozen=True, slots=True)
class ErrorPair:
    """Mean absolute error and root mean square error of one quantity.

    Attributes:
        mae: with its interval.
        rmse: with its interval.
        n_frames: frames that they are over.
    """

    mae: Interval
    rmse: Interval
    n_frames: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Errors over a set of frames. What the frames do not determine is NaN.

    Attributes:
        n_frames: frames.
        n_defects: defects, each in each of its supercells.
        n_relaxations: relaxations that the frames come from.
        energy: absolute energies, meV/atom.
        energy_shifted: the same after the mean error of each composition (of one method and one charge state) was
            taken off, meV/atom: for a surrogate whose zero of energy is another one. Frames that are alone in their
            composition are left out.
        relative: energies above the ground state of each defect, eV for the cell: the lowest frame of the
            reference is the zero of both. Defects with one frame are left out.
        relative_per_atom: the same, meV/atom.
        low: `relative` of frames less than `LOW_ENERGY` above the ground state, eV.
        low_per_atom: the same, meV/atom.
        force: force components, meV/Å.
        stress: the nine components of the stress tensor, GPa.
        spearman: rank correlation of energies, calculated for each defect and then averaged over defects.
        n_ranked: defects in that average.
        n_unranked: defects left out of it: fewer than three frames, or all energies equal.
        resampled: what the intervals were made by drawing again; `nothing` if there are none.
    """

    n_frames: int
    n_defects: int
    n_relaxations: int
    energy: ErrorPair
    energy_shifted: ErrorPair
    relative: ErrorPair
    relative_per_atom: ErrorPair
    low: ErrorPair
    low_per_atom: ErrorPair
    force: ErrorPair
    stress: ErrorPair
    spearman: Interval
    n_ranked: int
    n_unranked: int
    resampled: Resampled


@dataclass(frozen=True, slots=True, eq=False)
class ErrorTable:
    """Errors of a surrogate on a set of frames.

    Attributes:
        overall: over the frames of defects.
        bulk: over frames of pristine hosts; None if there are none.
        by_host: over the frames of each host's defects, sorted by host.
        by_defect: of each defect in each supercell, sorted by name.
        failed: frames that could not be evaluated.
    """

    overall: Metrics
    bulk: Metrics | None
    by_host: Mapping[str, Metrics]
    by_defect: Mapping[Landscape, Metrics]
    failed: tuple[FrameOrigin, ...]


def error_table(errors: FrameErrors, bootstrap: Bootstrap | None = None) -> ErrorTable:
    """Mean errors overall, by host and by defect.

    The intervals come from drawing defects again, where there are at least five, since
    frames of one defect resemble each other; else from drawing relaxations. The ground
    states and the shifts of compositions stay as they are in all frames.

    Args:
        errors: of each frame.
        bootstrap: how intervals are made; None for none.
    """
    bootstrap = bootstrap or Bootstrap(resamples=0)
    table = _Quantities.of(errors)
    of_defect = ~errors.is_bulk
    hosts = np.array(errors.hosts)
    landscapes = sorted(range(len(errors.landscapes)), key=lambda index: str(errors.landscapes[index]))

    def over(mask: NDArray[np.bool_]) -> Metrics:
        return _metrics(errors, table, np.flatnonzero(mask), bootstrap)

    return ErrorTable(
        overall=over(of_defect),
        bulk=over(~of_defect) if (~of_defect).any() else None,
        by_host={str(host): over(of_defect & (hosts == host)) for host in sorted(set(hosts[of_defect]))},
        by_defect={
            errors.landscapes[index]: over(errors.landscape == index)
            for index in landscapes
            if not errors.landscapes[index].defect_id.is_bulk
        },
        failed=errors.failed,
    )


def overall_metrics(errors: FrameErrors, bootstrap: Bootstrap | None = None) -> Metrics:
    """Mean errors over the frames of defects alone, without the tables by host and defect."""
    frames = np.flatnonzero(~errors.is_bulk)
    return _metrics(errors, _Quantities.of(errors), frames, bootstrap or Bootstrap(resamples=0))


@dataclass(frozen=True, slots=True, eq=False)
class RelativeEnergies:
    """Energies above the ground state of each frame's defect, eV; NaN where a defect has one frame.

    Attributes:
        reference: E(frame) − lowest E of its defect, by the reference.
        predicted: E(frame) − E of that same lowest frame, by the surrogate.
    """

    reference: FloatArray
    predicted: FloatArray


def relative_energies(errors: FrameErrors) -> RelativeEnergies:
    """Energies above the ground state of the defect in its supercell: the lowest evaluated frame of the reference."""
    reference, predicted = np.full(len(errors), np.nan), np.full(len(errors), np.nan)
    for frames in _groups(errors.landscape, len(errors.landscapes)):
        if len(frames) > 1:
            lowest = frames[np.argmin(errors.energy_reference[frames])]
            reference[frames] = errors.energy_reference[frames] - errors.energy_reference[lowest]
            predicted[frames] = errors.energy_predicted[frames] - errors.energy_predicted[lowest]
    return RelativeEnergies(reference, predicted)


def rank_correlations(errors: FrameErrors) -> FloatArray:
    """Spearman's ρ of each landscape; NaN for fewer than three frames or where all energies are equal."""
    found = np.full(len(errors.landscapes), np.nan)
    for index, frames in enumerate(_groups(errors.landscape, len(errors.landscapes))):
        if len(frames) >= FEWEST_FRAMES:
            once = np.ones((1, len(frames)))
            found[index] = weighted_spearman(errors.energy_reference[frames], errors.energy_predicted[frames], once)[0]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Absolute and squared errors of a quantity, summed in each frame, and how many they are (0: undetermined)."""

    absolute: FloatArray
    square: FloatArray
    count: FloatArray

    @classmethod
    def of(cls, error: FloatArray) -> _Sums:
        known = np.isfinite(error)
        kept = np.where(known, error, 0.0)
        return cls(np.abs(kept), kept**2, known.astype(float))


@dataclass(frozen=True, slots=True, eq=False)
class _Quantities:
    """Every quantity in the units that are reported."""

    energy: _Sums
    energy_shifted: _Sums
    relative: _Sums
    relative_per_atom: _Sums
    low: _Sums
    low_per_atom: _Sums
    force: _Sums
    stress: _Sums
    correlations: FloatArray

    @classmethod
    def of(cls, errors: FrameErrors) -> _Quantities:
        per_atom = 1000.0 / np.maximum(errors.n_atoms, 1)
        difference = errors.energy_predicted - errors.energy_reference
        relative = relative_energies(errors)
        relative_error = relative.predicted - relative.reference
        low_error = np.where(relative.reference < LOW_ENERGY, relative_error, np.nan)
        has_stress = np.isfinite(errors.stress_absolute)
        return cls(
            energy=_Sums.of(difference * per_atom),
            energy_shifted=_Sums.of((difference - _offsets(errors, difference)) * per_atom),
            relative=_Sums.of(relative_error),
            relative_per_atom=_Sums.of(relative_error * per_atom),
            low=_Sums.of(low_error),
            low_per_atom=_Sums.of(low_error * per_atom),
            force=_Sums(errors.force_absolute * 1e3, errors.force_square * 1e6, 3.0 * errors.n_atoms.astype(float)),
            stress=_Sums(
                np.where(has_stress, errors.stress_absolute, 0.0) * EV_PER_A3_IN_GPA,
                np.where(has_stress, errors.stress_square, 0.0) * EV_PER_A3_IN_GPA**2,
                np.where(has_stress, 9.0, 0.0),
            ),
            correlations=rank_correlations(errors),
        )


def _offsets(errors: FrameErrors, difference: FloatArray) -> FloatArray:
    """Mean error of the frames of one composition, method and charge; NaN for a frame that is alone there."""
    keys = [(item.composition, item.defect_id.method, item.defect_id.charge) for item in errors.landscapes]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group = np.array([numbers[key] for key in keys], dtype=np.int64)[errors.landscape]
    offsets = np.full(len(errors), np.nan)
    for frames in _groups(group, len(numbers)):
        if len(frames) > 1:
            offsets[frames] = difference[frames].mean()
    return offsets


def _groups(labels: IntArray, n_labels: int) -> list[IntArray]:
    """Positions of each label, in order."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=n_labels))[:-1]
    return [np.asarray(part, dtype=np.int64) for part in np.split(order, ends)] if n_labels else []


def _metrics(errors: FrameErrors, table: _Quantities, frames: IntArray, bootstrap: Bootstrap) -> Metrics:
    landscapes, landscape = np.unique(errors.landscape[frames], return_inverse=True)
    relaxations, relaxation = np.unique(errors.relaxation[frames], return_inverse=True)
    resampled: Resampled = "defects" if len(landscapes) >= FEWEST_UNITS else "relaxations"
    unit = landscape if resampled == "defects" else relaxation
    weights = bootstrap.weights(len(landscapes) if resampled == "defects" else len(relaxations))

    def pair(sums: _Sums) -> ErrorPair:
        absolute, square, count = (
            np.bincount(unit, values[frames], weights.shape[1]).astype(float)
            for values in (sums.absolute, sums.square, sums.count)
        )
        once = np.ones((1, weights.shape[1]))
        return ErrorPair(
            mae=bootstrap.interval(
                float(weighted_ratio(once, absolute, count)[0]), weighted_ratio(weights, absolute, count)
            ),
            rmse=bootstrap.interval(
                float(np.sqrt(weighted_ratio(once, square, count)[0])), np.sqrt(weighted_ratio(weights, square, count))
            ),
            n_frames=int((sums.count[frames] > 0).sum()),
        )

    rho = table.correlations[landscapes]
    ranked = np.isfinite(rho)
    if resampled == "defects":
        mean_rho = weighted_ratio(weights, np.where(ranked, rho, 0.0), ranked.astype(float))
    else:
        mean_rho = _resampled_correlation(errors, frames, landscape, relaxation, weights, np.flatnonzero(ranked))
    return Metrics(
        n_frames=len(frames),
        n_defects=len(landscapes),
        n_relaxations=len(relaxations),
        energy=pair(table.energy),
        energy_shifted=pair(table.energy_shifted),
        relative=pair(table.relative),
        relative_per_atom=pair(table.relative_per_atom),
        low=pair(table.low),
        low_per_atom=pair(table.low_per_atom),
        force=pair(table.force),
        stress=pair(table.stress),
        spearman=bootstrap.interval(float(rho[ranked].mean()) if ranked.any() else np.nan, mean_rho),
        n_ranked=int(ranked.sum()),
        n_unranked=int((~ranked).sum()),
        resampled=resampled if len(weights) else "nothing",
    )


def _resampled_correlation(
    errors: FrameErrors,
    frames: IntArray,
    landscape: IntArray,
    relaxation: IntArray,
    weights: FloatArray,
    ranked: IntArray,
) -> FloatArray:
    """Mean ρ of each resample, in which the frames of a relaxation count `weights[resample, relaxation]` times."""
    total, known = np.zeros(len(weights)), np.zeros(len(weights))
    for index in ranked:
        inside = np.flatnonzero(landscape == index)
        rows, counts = frames[inside], weights[:, relaxation[inside]]
        rho = weighted_spearman(errors.energy_reference[rows], errors.energy_predicted[rows], counts)
        total += np.where(np.isfinite(rho), rho, 0.0)
        known += np.isfinite(rho)
    mean: FloatArray = np.divide(total, known, out=np.full(len(weights), np.nan), where=known > 0)
    return mean
