"""Groups are shared out by weight first, then by what they hold."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from defectscout.learning.balance import Group, _Problem, assign


def shares_of(groups: list[Group], subsets: list[int]) -> list[float]:
    total = sum(group.weight for group in groups)
    return [sum(g.weight for g, s in zip(groups, subsets, strict=True) if s == subset) / total for subset in range(3)]


def test_a_needed_feature_outweighs_balance() -> None:
    # Balance alone would put the first group into the last subset: it is the only one without a family.
    common = frozenset(f"y{i}" for i in range(9))
    groups = [Group(1, frozenset({"x"})), *(Group(1, common, frozenset({name})) for name in "bcd")]
    subsets = assign(groups, (0.75, 0.0, 0.25), seed=0)
    assert sorted(subsets) == [0, 0, 0, 2]
    assert subsets[0] == 0


@pytest.mark.parametrize(("seed", "n_groups"), [(0, 7), (3, 7), (0, 8), (1, 8), (2, 8)])
def test_as_good_as_trying_everything(seed: int, n_groups: int) -> None:
    rng = random.Random(seed)
    groups = [
        Group(rng.randint(1, 5), frozenset(rng.sample("abcdef", 2)), frozenset(rng.sample("xyz", 1)))
        for _ in range(n_groups)
    ]
    shares = (0.6, 0.15, 0.25)
    problem = _Problem.of(groups, shares)

    def cost(subsets: list[int]) -> float:
        return float(problem.cost(problem.sums(np.array(subsets))[None])[0])

    best = min(cost(list(subsets)) for subsets in product(range(3), repeat=len(groups)))
    assert cost(assign(groups, shares, seed=0)) <= 1.1 * best


def test_many_groups() -> None:
    rng = random.Random(1)
    groups = [Group(rng.randint(1, 6), frozenset(rng.sample("abcdefghijkl", 3))) for _ in range(150)]
    assert shares_of(groups, assign(groups, (0.68, 0.05, 0.27), seed=3)) == pytest.approx([0.68, 0.05, 0.27], abs=0.01)


def test_the_seed_decides() -> None:
    groups = [Group(1) for _ in range(12)]
    assert assign(groups, (0.5, 0.25, 0.25), 0) == assign(groups, (0.5, 0.25, 0.25), 0)
    assert len({tuple(assign(groups, (0.5, 0.25, 0.25), seed)) for seed in range(5)}) > 1
