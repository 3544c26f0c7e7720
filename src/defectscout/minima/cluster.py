"""Clustering of structures by their distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from defectscout.core.frames import FloatArray


def cluster(distances: FloatArray, threshold: float) -> tuple[tuple[int, ...], ...]:
    """Partition into clusters in which no two members lie farther apart than `threshold`.

    The clusters are the largest branches of the single-linkage tree whose
    diameter (largest distance between two members) is at most `threshold`.

    Plain single linkage would chain: a row of structures, each within the
    threshold of the next, becomes one cluster however different its ends are,
    and the minima at the ends are lost. The limit on the diameter rules that out: a
    chain that is longer than the threshold is cut at its longest links. Complete
    linkage bounds the diameter as well, but which pair it joins first among equal
    distances depends on the order of its input. Here all links of one length
    are cut at once, so the partition is a function of the distances alone.
    Where the two differ, this errs towards more clusters: a wrong split costs one
    more reference relaxation, a wrong merge may lose the ground state.

    Args:
        distances: shape (n, n), symmetric, finite, zero on the diagonal.
        threshold: largest distance inside a cluster.

    Returns:
        Clusters as ascending indices, ordered by their first member.

    Raises:
        ValueError: `distances` is not a symmetric matrix of finite distances.
    """
    distances = np.asarray(distances, dtype=float)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise ValueError(f"distances have shape {distances.shape}, not (n, n)")
    if not np.isfinite(distances).all() or not np.array_equal(distances, distances.T):
        raise ValueError("distances must be finite and symmetric")
    accepted: list[tuple[int, ...]] = []
    waiting = _components(np.arange(len(distances)), distances <= threshold)
    while waiting:
        members = waiting.pop()
        block = distances[np.ix_(members, members)]
        if block.max(initial=0.0) <= threshold:
            accepted.append(tuple(int(i) for i in members))
            continue
        longest_link = linkage(squareform(block, checks=False), "single")[-1, 2]
        waiting += _components(members, block < longest_link)
    return tuple(sorted(accepted))


def _components(members: NDArray[np.intp], linked: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Connected components of `members` under the adjacency matrix `linked`."""
    if len(members) == 0:
        return []
    count, labels = connected_components(linked, directed=False)
    return [members[labels == k] for k in range(count)]
