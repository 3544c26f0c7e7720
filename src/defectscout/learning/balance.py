"""Share groups among subsets so that sizes and features are balanced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

MOST_STARTS: Final = 40
PLACED: Final = 600
"""Starts times groups: few groups, where a local search sticks easily, are placed from many starts."""
ENUMERATED: Final = 5000
"""So many assignments, those of seven groups to three subsets, are all tried."""
EXHAUSTIVE: Final = 100
"""A group tries to swap with this many others at most."""
TOLERATED: Final = 0.02
"""Deviation of a subset's share beyond which the cost rises steeply."""


@dataclass(frozen=True, slots=True)
class Group:
    """What stays together, such as a host.

    Attributes:
        weight: how much it counts towards the shares, such as its number of defects.
        needed: features that the first subset (training) should have if any other has them, such as elements.
        balanced: further features to balance, such as its family.
    """

    weight: float
    needed: frozenset[str] = field(default_factory=frozenset)
    balanced: frozenset[str] = field(default_factory=frozenset)


def assign(groups: Sequence[Group], shares: Sequence[float], seed: int) -> list[int]:
    """The subset of each group, as an index of `shares`.

    Minimises, trying all if they are few, else by moves and swaps from seeded greedy starts: the squared deviations
    of the subsets' weights from `shares`; the mean squared deviation of every feature's shares from them;
    the number of needed features that the first subset lacks; and the number of subsets
    with a share and no group.

    Args:
        groups: in an order that does not depend on chance; weights positive.
        shares: one for each subset, adding up to 1; the first is training.
        seed: of the orders in which groups are placed.
    """
    problem = _Problem.of(groups, shares)
    rng = np.random.default_rng(seed)
    if len(shares) ** len(groups) <= ENUMERATED:
        return _best_of_all(problem, rng)
    best: NDArray[np.int64] | None = None
    best_cost = np.inf
    for start in range(max(1, min(MOST_STARTS, PLACED // len(groups)))):
        order = rng.permutation(len(groups))
        if start % 2 == 0:  # large groups first, which fits the shares best; the other orders are for variety
            order = order[np.argsort(-problem.features[order, 0], kind="stable")]
        found = _improve(problem, _greedy(problem, order), rng)
        cost = float(problem.cost(problem.sums(found)[None])[0])
        if cost < best_cost - 1e-12:
            best, best_cost = found, cost
    assert best is not None
    return [int(subset) for subset in best]


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Features of the groups, each normalised to add up to one over all groups.

    Attributes:
        features: shape (n_groups, n_features): the weight, whether there is a group, the needed and the balanced ones.
        shares: shape (n_subsets,).
        n_needed: how many features from the third on are needed ones.
    """

    features: Matrix
    shares: Matrix
    n_needed: int

    @staticmethod
    def of(groups: Sequence[Group], shares: Sequence[float]) -> _Problem:
        needed = sorted(set().union(*(group.needed for group in groups)))
        balanced = sorted(set().union(*(group.balanced for group in groups)))
        rows = [
            [group.weight, 1.0]
            + [group.weight * (name in group.needed) for name in needed]
            + [group.weight * (name in group.balanced) for name in balanced]
            for group in groups
        ]
        features = np.array(rows)
        return _Problem(features / features.sum(axis=0), np.asarray(shares, dtype=np.float64), len(needed))

    def sums(self, subsets: NDArray[np.int64]) -> Matrix:
        """Share of each feature in each subset, shape (n_subsets, n_features)."""
        sums = np.zeros((len(self.shares), self.features.shape[1]))
        np.add.at(sums, subsets[subsets >= 0], self.features[subsets >= 0])
        return sums

    def cost(self, sums: Matrix) -> Matrix:
        """Cost of shapes (n, n_subsets, n_features) -> (n,)."""
        deviation = sums[..., 0] - self.shares
        beyond = np.maximum(np.abs(deviation) - TOLERATED, 0.0)
        cost = 100.0 * (deviation**2).sum(axis=-1) + 2000.0 * (beyond**2).sum(axis=-1)
        empty = (sums[..., 1] < 1e-9) & (self.shares > 0)
        filled = (sums[..., 1] > 1e-9) & (self.shares == 0)
        cost = cost + 1e4 * (empty | filled).sum(axis=-1)
        needed = sums[..., 2 : 2 + self.n_needed]
        balanced = sums[..., 2 + self.n_needed :]
        for features in (needed, balanced):
            if features.shape[-1]:
                squares = (features - self.shares[:, None]) ** 2
                cost = cost + squares.sum(axis=-2).mean(axis=-1)
        lacking = (needed[..., 0, :] < 1e-9) & (needed[..., 1:, :].sum(axis=-2) > 1e-9)
        return np.asarray(cost + 0.2 * lacking.sum(axis=-1))


def _best_of_all(problem: _Problem, rng: np.random.Generator) -> list[int]:
    every = np.array(list(product(range(len(problem.shares)), repeat=len(problem.features))))
    every = every[rng.permutation(len(every))]  # which of equally good ones is taken is left to the seed
    one_hot = every[:, None, :] == np.arange(len(problem.shares))[None, :, None]
    best = every[int(np.argmin(problem.cost(one_hot @ problem.features).round(12)))]
    return [int(subset) for subset in best]


def _greedy(problem: _Problem, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each group in turn where the weight is most wanting."""
    weights = problem.features[:, 0]
    subsets = np.full(len(weights), -1, dtype=np.int64)
    wanting = problem.shares.copy()
    for group in order:
        subset = int(np.argmax(wanting))
        subsets[group] = subset
        wanting[subset] -= weights[group]
    return subsets


def _improve(problem: _Problem, subsets: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Best moves until none helps, then swaps, until neither helps."""
    subsets = subsets.copy()
    cost = float(problem.cost(problem.sums(subsets)[None])[0])
    while True:
        move = _best_move(problem, subsets)
        if move[0] < cost - 1e-12:
            cost, group, subset = move
            subsets[group] = subset
            continue
        swapped = False
        for group in range(len(subsets)):
            swap_cost, other = _best_swap(problem, subsets, group, rng)
            if swap_cost < cost - 1e-12:
                cost, swapped = swap_cost, True
                subsets[group], subsets[other] = subsets[other], subsets[group]
        if not swapped:
            return subsets


def _best_move(problem: _Problem, subsets: NDArray[np.int64]) -> tuple[float, int, int]:
    n_groups, n_subsets = len(subsets), len(problem.shares)
    groups = np.repeat(np.arange(n_groups), n_subsets)
    targets = np.tile(np.arange(n_subsets), n_groups)
    sums = np.repeat(problem.sums(subsets)[None], len(groups), axis=0)
    trial = np.arange(len(groups))
    sums[trial, subsets[groups]] -= problem.features[groups]
    sums[trial, targets] += problem.features[groups]
    costs = problem.cost(sums)
    best = int(np.argmin(costs))
    return float(costs[best]), int(groups[best]), int(targets[best])


def _best_swap(
    problem: _Problem, subsets: NDArray[np.int64], group: int, rng: np.random.Generator
) -> tuple[float, int]:
    others = np.flatnonzero(subsets != subsets[group])
    if not len(others):
        return np.inf, group
    if len(others) > EXHAUSTIVE:
        others = rng.choice(others, EXHAUSTIVE, replace=False)
    change = problem.features[others] - problem.features[group]
    sums = np.repeat(problem.sums(subsets)[None], len(others), axis=0)
    trial = np.arange(len(others))
    sums[:, subsets[group]] += change
    sums[trial, subsets[others]] -= change
    costs = problem.cost(sums)
    best = int(np.argmin(costs))
    return float(costs[best]), int(others[best])
