"""DIRECT: frames that cover the space of their features (Qi et al., arXiv 2307.13710).

Features are scaled, reduced to the principal components that count, clustered with BIRCH, and
a few frames are taken from each cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

MOST_SUBCLUSTERS = 20_000
"""Subclusters that are merged into clusters; the merging takes memory with the square of them (1.6 GB here)."""


@dataclass(frozen=True, slots=True)
class DirectChoice:
    """What DIRECT picked.

    Attributes:
        indices: positions of the frames picked, sorted.
        components: principal components that were kept.
        clusters: clusters that frames were taken from.
        threshold: BIRCH's threshold that gave them.
    """

    indices: tuple[int, ...]
    components: int
    clusters: int
    threshold: float


def direct(features: ArrayLike, *, threshold: float, clusters: int, per_cluster: int) -> DirectChoice:
    """Pick frames that cover the space of their features; the same ones whenever features are the same.

    Where the threshold is too coarse to give as many subclusters as clusters are asked for, it is
    lowered in proportion, as in the paper; where there are fewer distinct frames than that, each is a cluster.

    Args:
        features: shape (n_frames, n_features).
        threshold: radius of BIRCH's subclusters, in weighted principal components (t).
        clusters: clusters (n).
        per_cluster: most frames of each cluster (k).
    """
    data = np.array(features, dtype=np.float32)
    if len(data) == 0:
        return DirectChoice((), 0, 0, threshold)
    # One set of components for all frames with the same features: the last digits of a product of matrices may depend
    # on the row, with which two such frames would count as two.
    _, kinds, kind_of = np.unique(data, axis=0, return_index=True, return_inverse=True)
    components = weighted_components(data)[kinds][kind_of.reshape(-1)]
    width = components.shape[1]
    labels, used = _clusters(components, threshold, clusters)
    picked: list[int] = []
    order = np.argsort(labels, kind="stable")
    members_of = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    for members in members_of:
        picked += stratified(components[members], members, per_cluster)
    return DirectChoice(tuple(sorted(picked)), width, len(members_of), used)


def weighted_components(features: Floats) -> Floats:
    """Principal components with eigenvalues above 1 of the standardised features, times their share of the variance.

    Args:
        features: shape (n_frames, n_features); overwritten.

    Returns:
        Shape (n_frames, n_components); at least one component.
    """
    from sklearn.decomposition import PCA

    features -= features.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.mean(np.square(features), axis=0, dtype=np.float64)).astype(np.float32)
    # A feature without spread stays without spread.
    features /= np.where(deviation > 1e-7, deviation, np.float32(np.inf))
    if len(features) == 1 or not features.any():
        return np.zeros((len(features), 1), dtype=np.float32)
    pca = PCA(svd_solver="covariance_eigh" if len(features) > features.shape[1] else "full", copy=True)
    components = pca.fit_transform(features)
    kept = max(1, int((pca.explained_variance_ > 1).sum()))  # Kaiser's rule
    weighted = components[:, :kept] * pca.explained_variance_ratio_[:kept]
    return np.asarray(weighted, dtype=np.float32)


def stratified(points: Floats, names: NDArray[np.intp], most: int) -> list[int]:
    """Up to `most` of the points, evenly from the nearest to the farthest from their centroid."""
    if len(points) <= most:
        return [int(name) for name in names]
    distances = np.linalg.norm(points - points.mean(axis=0), axis=1)
    order = np.argsort(distances, kind="stable")
    ranks = np.round(np.linspace(0, len(points) - 1, most)).astype(int)
    return [int(names[order[rank]]) for rank in ranks]


def _clusters(points: Floats, threshold: float, clusters: int) -> tuple[NDArray[np.intp], float]:
    """Cluster of each point, and the threshold that was used."""
    _, distinct = np.unique(points, axis=0, return_inverse=True)
    if int(distinct.max()) + 1 <= clusters:
        return np.asarray(distinct.reshape(-1), dtype=np.intp), 0.0
    model, found = _birch(points, threshold)
    while found < clusters and threshold > 1e-12:
        threshold *= min(0.9, found / clusters)
        model, found = _birch(points, threshold)
    while found > max(MOST_SUBCLUSTERS, clusters):
        threshold *= 1.1
        model, found = _birch(points, threshold)
    if found > clusters:
        model.set_params(n_clusters=clusters)
        model.partial_fit(None)  # merges the subclusters, without looking at the points again
    return np.asarray(model.predict(points), dtype=np.intp), float(threshold)


def _birch(points: Floats, threshold: float) -> tuple[Any, int]:
    from sklearn.cluster import Birch

    model = Birch(threshold=threshold, n_clusters=None).fit(points)
    return model, len(model.subcluster_centers_)
