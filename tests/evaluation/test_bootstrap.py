"""Intervals: they cover, they repeat, and they know what resembles what."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from defectscout.evaluation.bootstrap import Bootstrap, weighted_ratio, weighted_spearman
from defectscout.evaluation.errors import FrameErrors, Landscape
from defectscout.evaluation.metrics import error_table, overall_metrics
from defectscout.learning.frames import DefectId, RelaxationId


def synthetic(n_defects: int, n_relaxations: int, n_frames: int, seed: int, between: float = 0.0) -> FrameErrors:
    """Frames whose surrogate is off by noise of 1 eV, and by `between` eV with each defect."""
    generator = np.random.default_rng(seed)
    ids = [DefectId("AB", f"v_{index}", 0, "model") for index in range(n_defects)]
    landscape = np.repeat(np.arange(n_defects), n_relaxations * n_frames)
    relaxation = np.repeat(np.arange(n_defects * n_relaxations), n_frames)
    total = len(landscape)
    reference = generator.normal(size=total)
    offset = np.abs(generator.normal(between, 1e-6 + between / 2, size=n_defects))
    zeros = np.zeros(total)
    return FrameErrors(
        landscapes=tuple(Landscape(item, f"A{index + 1}") for index, item in enumerate(ids)),
        relaxations=tuple(RelaxationId(ids[i // n_relaxations], f"s{i}", "") for i in range(n_defects * n_relaxations)),
        landscape=landscape,
        relaxation=relaxation,
        step=np.arange(total),
        n_atoms=np.ones(total, dtype=np.int64),
        energy_reference=reference,
        energy_predicted=reference + offset[landscape] + generator.normal(size=total),
        force_absolute=zeros,
        force_square=zeros,
        force_error=zeros,
        fmax_reference=zeros,
        stress_absolute=np.full(total, np.nan),
        stress_square=np.full(total, np.nan),
        failed=(),
    )


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = 1000 * np.sqrt(2 / np.pi)  # mean of |N(0, 1)|, meV
    hits = 0
    for seed in range(60):
        mae = overall_metrics(synthetic(20, 2, 5, seed), Bootstrap(200, seed=seed)).energy.mae
        assert mae.low < mae.value < mae.high
        hits += mae.low < truth < mae.high
    assert 50 <= hits <= 60


def test_seeds_repeat_and_matter() -> None:
    errors = synthetic(6, 3, 4, 0)
    one, again, other = (overall_metrics(errors, Bootstrap(100, seed=seed)) for seed in (1, 1, 2))
    assert (one.energy, one.spearman) == (again.energy, again.spearman)
    assert one.energy.mae != other.energy.mae
    assert one.energy.mae.value == other.energy.mae.value


def test_defects_are_drawn_where_there_are_five_else_relaxations() -> None:
    assert overall_metrics(synthetic(5, 2, 3, 0), Bootstrap(50)).resampled == "defects"
    assert overall_metrics(synthetic(4, 2, 3, 0), Bootstrap(50)).resampled == "relaxations"
    few = overall_metrics(synthetic(2, 2, 3, 0), Bootstrap(50))
    assert few.resampled == "nothing"
    assert np.isnan(few.energy.mae.low)
    assert overall_metrics(synthetic(5, 2, 3, 0)).resampled == "nothing"


def test_frames_of_one_defect_do_not_count_as_independent() -> None:
    """Where defects differ, more frames of each must not narrow the interval."""
    few, many = (overall_metrics(synthetic(8, 3, n, 3, between=20.0), Bootstrap(400)).energy.mae for n in (2, 60))
    assert (many.high - many.low) > 0.5 * (few.high - few.low)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=3, max_size=10),
)
def test_weighted_correlation_is_that_of_repeated_elements(rows: list[tuple[int, int, int]]) -> None:
    first, second, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = weighted_spearman(first, second, weights[None])[0]
    repeat = weights.astype(int)
    one, other = np.repeat(first, repeat), np.repeat(second, repeat)
    if (repeat > 0).sum() < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(one, other).statistic)


def test_correlation_of_resampled_relaxations_lies_around_the_value() -> None:
    found = overall_metrics(synthetic(1, 12, 6, 0), Bootstrap(300))
    assert found.resampled == "relaxations"
    assert found.spearman.low < found.spearman.value < found.spearman.high


def test_ratio_without_denominator_is_not_a_number() -> None:
    ratio = weighted_ratio(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([3.0, 4.0]), np.array([0.0, 2.0]))
    assert np.isnan(ratio[0])
    assert ratio[1] == pytest.approx(2.0)


def test_twenty_thousand_frames_take_seconds() -> None:
    errors = synthetic(40, 10, 50, 0)
    begin = time.perf_counter()
    table = error_table(errors, Bootstrap())
    assert len(table.by_defect) == 40
    assert time.perf_counter() - begin < 20
