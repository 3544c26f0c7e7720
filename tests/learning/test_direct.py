"""DIRECT: covers what even picks miss, and is the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from defectscout.learning.direct import direct, stratified, weighted_components


def _blobs(sizes: list[int], dimensions: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.normal(scale=10.0, size=(len(sizes), dimensions))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return (centres[labels] + random.normal(scale=0.1, size=(len(labels), dimensions))).astype(np.float32), labels


def test_each_cluster_gives_its_share_however_rare() -> None:
    features, labels = _blobs([300, 40, 5, 1])
    choice = direct(features, threshold=0.3, clusters=4, per_cluster=3)
    assert choice.clusters == 4
    assert np.bincount(labels[list(choice.indices)]).tolist() == [3, 3, 3, 1]
    assert choice.indices == direct(features, threshold=0.3, clusters=4, per_cluster=3).indices


def test_a_coarse_threshold_is_lowered_until_there_are_enough_clusters() -> None:
    features, labels = _blobs([50, 50, 50])
    choice = direct(features, threshold=100.0, clusters=3, per_cluster=1)
    assert choice.threshold < 100.0
    assert sorted(labels[list(choice.indices)]) == [0, 1, 2]


def test_more_clusters_than_distinct_frames() -> None:
    features, _ = _blobs([4, 4])
    repeated = np.concatenate([features, features])
    choice = direct(repeated, threshold=0.02, clusters=4000, per_cluster=1)
    assert choice.clusters == 8
    assert len({index % 8 for index in choice.indices}) == 8 == len(choice.indices)


@pytest.mark.parametrize("features", [np.zeros((5, 3)), np.ones((1, 4)), np.full((6, 2), 1e6)])
def test_features_without_spread(features: np.ndarray) -> None:
    assert len(direct(features, threshold=0.1, clusters=3, per_cluster=2).indices) == min(2, len(features))


def test_no_frames() -> None:
    assert direct(np.empty((0, 0)), threshold=0.1, clusters=3, per_cluster=2).indices == ()


def test_components_follow_kaisers_rule_and_are_weighted_by_their_variance() -> None:
    random = np.random.default_rng(0)
    signal = random.normal(size=(4000, 2))
    mixing = np.zeros((2, 9))
    mixing[0, :6] = 1.0
    mixing[1, 6:] = 1.0
    features = (signal @ mixing + 0.05 * random.normal(size=(4000, 9))).astype(np.float32)
    # The correlation matrix has the eigenvalues 6 and 3 (of 9), and seven near zero.
    components = weighted_components(features * np.float32([1, 10, 100, 1, 1, 1, 0.1, 5, 1]) + 7)
    assert components.shape == (4000, 2)
    np.testing.assert_allclose(components.std(axis=0), [np.sqrt(6) * 6 / 9, np.sqrt(3) * 3 / 9], rtol=0.02)
    np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-3)


def test_stratified_picks_go_from_the_centre_to_the_edge() -> None:
    points = np.float32([[0], [1], [-1], [2], [-2], [3], [-3]])
    names = np.arange(10, 17)
    assert stratified(points, names, 1) == [10]
    picked = stratified(points, names, 3)
    assert picked[0] == 10
    assert picked[-1] in (15, 16)
    assert len(set(picked)) == 3
    assert stratified(points, names, 7) == list(range(10, 17))


def test_the_choice_does_not_change_with_the_scale_of_a_feature() -> None:
    features, _ = _blobs([60, 20, 3])
    scaled = features * np.float32(1024.0)
    one, other = (direct(item, threshold=0.05, clusters=5, per_cluster=2) for item in (features, scaled))
    assert one.indices == other.indices
