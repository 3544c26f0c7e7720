from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.minima.cluster import cluster


def on_a_line(*places: float) -> np.ndarray:
    return np.abs(np.subtract.outer(np.array(places), np.array(places)))


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 9))
    # Few values, so that equal distances are common: they are where the order could matter.
    upper = draw(st.lists(st.integers(0, 5), min_size=n * n, max_size=n * n))
    matrix = np.triu(np.array(upper, dtype=float).reshape(n, n), 1)
    return matrix + matrix.T


@settings(max_examples=300, deadline=None)
@given(distances=matrices(), threshold=st.sampled_from([0.5, 1, 2, 3]), seed=st.integers(0, 99))
def test_the_order_does_not_matter(distances: np.ndarray, threshold: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(distances))
    shuffled = cluster(distances[np.ix_(order, order)], threshold)
    back = {frozenset(int(order[i]) for i in group) for group in shuffled}
    assert back == {frozenset(group) for group in cluster(distances, threshold)}


@settings(max_examples=300, deadline=None)
@given(distances=matrices(), threshold=st.sampled_from([0.5, 1, 2, 3]))
def test_a_partition_into_clusters_no_wider_than_the_threshold(distances: np.ndarray, threshold: float) -> None:
    groups = cluster(distances, threshold)
    assert sorted(i for group in groups for i in group) == list(range(len(distances)))
    assert all(list(group) == sorted(group) for group in groups)
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    for group in groups:
        assert distances[np.ix_(group, group)].max() <= threshold


def test_well_separated_groups() -> None:
    assert cluster(on_a_line(5.0, 0.0, 5.1, 0.1, 9.0), 0.5) == ((0, 2), (1, 3), (4,))


def test_a_chain_is_not_one_cluster() -> None:
    places = np.arange(8) * 0.875  # each within the threshold of the next, the ends far apart
    assert len(cluster(on_a_line(*places), 1.0)) == 8


def test_a_chain_is_cut_at_its_longest_link() -> None:
    assert cluster(on_a_line(0.0, 0.3, 0.6, 1.4, 1.7), 1.0) == ((0, 1, 2), (3, 4))


def test_the_edges() -> None:
    assert cluster(np.zeros((0, 0)), 1.0) == ()
    assert cluster(np.zeros((1, 1)), 1.0) == ((0,),)
    assert cluster(np.zeros((3, 3)), 1.0) == ((0, 1, 2),)
    assert cluster(on_a_line(0, 1), 1.0) == ((0, 1),)  # the threshold itself is inside


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.array([[0, 1], [2, 0]]), np.array([[0, np.nan], [np.nan, 0]])])
def test_what_is_no_distance_matrix_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="distances"):
        cluster(bad, 1.0)
