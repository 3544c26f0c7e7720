"""What networks with new weights are made with, where their packages would ask the training set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ase.data import chemical_symbols

ALL_ELEMENTS: Final = tuple(chemical_symbols[1:95])
"""Hydrogen to plutonium: what universal models cover."""

_NEIGHBOURS_AT_5_ANGSTROM: Final = 35.98
"""Mean number of neighbours within 5 Å over the relaxations of the Materials Project, as the
checkpoints of 7net-0 and 7net-l3i5 record it."""


def mean_neighbours(cutoff: float) -> float:
    """Mean number of neighbours of an atom within `cutoff` (Å) in an inorganic crystal.

    Message-passing networks divide sums over neighbours by it. It only sets the scale that weights start from.
    """
    return float(_NEIGHBOURS_AT_5_ANGSTROM * (cutoff / 5.0) ** 3)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers on the CPU from `seed` inside, and go on as if nothing had been drawn afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
