"""Frame sampling: even spacing with both ends, bulk on top, nothing that was taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectscout.learning.frame_sampling import sample_frames, spaced
from defectscout.learning.frames import IndexRow
from defectscout.learning.settings import FrameSamplingSettings
from learning.toy_relaxations import origin, row


def no_features(rows: Sequence[int]) -> np.ndarray:
    raise AssertionError("features are for DIRECT alone")


def _relaxation(first: int, steps: int, **where: object) -> list[IndexRow]:
    return [row(first + step, origin(step, **where)) for step in range(steps)]  # type: ignore[arg-type]


@given(available=st.integers(1, 400), wanted=st.integers(2, 50))
def test_spacing_is_even_and_has_both_ends(available: int, wanted: int) -> None:
    found = spaced(available, wanted)
    assert len(found) == min(available, wanted) == len(set(found))
    assert (found[0], found[-1]) == (0, available - 1)
    gaps = np.diff(found)
    if len(gaps):
        assert gaps.max() - gaps.min() <= 1


def test_one_frame_is_the_relaxed_one() -> None:
    assert spaced(9, 1) == (8,)
    assert spaced(9, 0) == ()
    assert spaced(0, 3) == ()


def test_ms_takes_frames_of_each_relaxation_by_step() -> None:
    index = [
        *_relaxation(100, 41)[::-1],
        *_relaxation(200, 3, start="Dimer"),
        *_relaxation(300, 11, charge=-1),
        *_relaxation(400, 9, defect="bulk", start="a"),
        *_relaxation(500, 9, defect="bulk", start="b"),
        *_relaxation(600, 4, defect="bulk", host="CdSe"),
    ]
    chosen = sample_frames(index, FrameSamplingSettings(frames_per_relaxation=5, bulk_frames=3), no_features)
    assert chosen == (100, 110, 120, 130, 140, 200, 201, 202, 300, 302, 305, 308, 310, 400, 408, 508, 600, 602, 603)
    without = sample_frames(index, FrameSamplingSettings(frames_per_relaxation=5, bulk_frames=0), no_features)
    assert without == chosen[:13]


def test_frames_taken_out_are_never_chosen() -> None:
    index = _relaxation(0, 20)
    index[0] = row(0, origin(0), dropped="far above ground state")
    index[19] = row(19, origin(19), dropped="near-duplicate")
    assert sample_frames(index, FrameSamplingSettings(frames_per_relaxation=2), no_features) == (1, 18)
    every = sample_frames(index, FrameSamplingSettings(method="all"), no_features)
    assert every == tuple(range(1, 19))


def test_all_takes_the_same_bulk_frames() -> None:
    index = [*_relaxation(0, 3), *_relaxation(100, 20, defect="bulk")]
    chosen = sample_frames(index, FrameSamplingSettings(method="all", bulk_frames=2), no_features)
    assert chosen == (0, 1, 2, 100, 119)


def test_two_restarts_are_two_relaxations() -> None:
    index = [*_relaxation(0, 5, source="one"), *_relaxation(10, 5, source="two")]
    assert sample_frames(index, FrameSamplingSettings(frames_per_relaxation=2), no_features) == (0, 4, 10, 14)


@pytest.mark.parametrize("clusters", [2, 1000])
def test_direct_asks_for_features_of_defect_frames(clusters: int) -> None:
    index = [*_relaxation(0, 12), *_relaxation(100, 4, defect="bulk")]
    asked: list[int] = []

    def featurise(rows: Sequence[int]) -> np.ndarray:
        asked.extend(rows)
        return np.array([[0.0 if r < 6 else 50.0, r * 0.01, -r] for r in rows], dtype=np.float32)

    settings = FrameSamplingSettings(
        method="DIRECT", bulk_frames=1, direct_clusters=clusters, direct_per_cluster=1, direct_threshold=0.5
    )
    chosen = sample_frames(index, settings, featurise)
    assert asked == list(range(12))
    if clusters == 2:
        assert len(chosen) == 3
        assert chosen[0] < 6 <= chosen[1] < 12
        assert chosen[2] == 103
    else:  # fewer frames than clusters: every frame is one
        assert chosen == (*range(12), 103)


def test_direct_without_defect_frames() -> None:
    index = _relaxation(100, 4, defect="bulk")
    settings = FrameSamplingSettings(method="DIRECT", bulk_frames=2)
    assert sample_frames(index, settings, lambda rows: np.empty((0, 0), np.float32)) == (100, 103)
