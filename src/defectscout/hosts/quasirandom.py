"""Alloy supercells as random as their size allows: special quasirandom structures.

sqsgenerator draws arrangements of given composition and keeps those whose Warren–Cowley parameters add up to the least
(DOI 10.1016/j.cpc.2023.108664). What it is told here, and why:

- One thread and a seed, without which it draws others each time. Arrangements that it finds equally good come in an
  order that changes from run to run, so that one of them is drawn here.
- What a random alloy would have (its `prefactors`), since its own guess takes all sites for one sublattice.
- Weights of shells with those of pairs, since version 0.5.6 leaves `shell_weights` out of what it minimises.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from defectscout.core.defect import Host
from defectscout.core.errors import AlloyError, MissingExtraError
from defectscout.core.frames import FloatArray
from defectscout.hosts.arrangement import AlloySupercell, arranged, arrangement_seed, occupations_of
from defectscout.hosts.short_range_order import PairShell, mixed_shares, pair_shells, species_pairs
from defectscout.hosts.substitution import Substitution

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SHELLS: Final = 3
"""Shells that are made random, the s-th with weight 1/s; fewer where periodic images blur them."""

_DRAWN: Final = 200_000
"""Arrangements that are looked at."""

_MARGIN: Final = 1e-3
"""Å between a shell's distances and its bounds."""


@dataclass(frozen=True, slots=True, eq=False)
class _Objective:
    """What is minimised: the sum of weight × |1 − pairs × prefactor| over windows of distance and pairs of elements.

    Attributes:
        species: in the order of their atomic numbers, as sqsgenerator sorts them.
        bounds: shape (n + 1,), Å; between two of them lies a window.
        prefactors: shape (n, n_species, n_species), inverse number of pairs in a random alloy of infinite size.
        weights: shape (n, n_species, n_species).
    """

    species: tuple[str, ...]
    bounds: FloatArray
    prefactors: FloatArray
    weights: FloatArray


def quasirandom_alloy(
    parent: Host, substitutions: Sequence[Substitution], realisation: int, seed: int
) -> AlloySupercell:
    """Share the sites out so that pairs of elements are as frequent as in a random alloy of infinite size.

    Special quasirandom structures (DOI 10.1103/PhysRevLett.65.353), as far as pairs go: within every mixed sublattice
    and between two of them, in the nearest three shells. The same arguments give the same supercell; realisations are
    independent of each other. In a small supercell few arrangements are that random, so that realisations may be
    equivalent by symmetry.

    Args:
        parent: crystal with the supercell whose sites are shared out.
        substitutions: one for each mixed sublattice.
        realisation: number of the supercell, from 1.
        seed: the user's seed.

    Raises:
        AlloyError: no alloy can be made, or the supercell is so small that even its nearest neighbours are images of
            each other.
        MissingExtraError: sqsgenerator is not installed.
        KeyboardInterrupt: stopped by the user.
    """
    held = occupations_of(parent, substitutions)
    alone = {item.element: symbol for item in held for symbol, count in item.counts if count == item.sites}
    symbols = [alone.get(site.specie.symbol, site.specie.symbol) for site in parent.supercell]
    plain = arranged(parent, symbols, held, "sqs", realisation)
    if shares := mixed_shares(plain):
        sites = [index for index, site in enumerate(parent.supercell) if site.specie.symbol in shares]
        counts = [dict(item.counts) for item in held if item.element in shares]
        objective = _objective(parent.supercell, shares)
        drawn = _drawn(
            parent.supercell, sites, counts, list(shares), objective, arrangement_seed(held, realisation, seed)
        )
        for index, symbol in zip(sites, drawn, strict=True):
            symbols[index] = symbol
    return arranged(parent, symbols, held, "sqs", realisation)


def _objective(supercell: Structure, shares: dict[str, dict[str, float]]) -> _Objective:
    """What is minimised in a supercell whose mixed sublattices hold these shares of elements."""
    parents = [site.specie.symbol for site in supercell]
    nearest = np.asarray(supercell.distance_matrix)
    np.fill_diagonal(nearest, 0.0)
    kept = [shell for shell in pair_shells(supercell, parents, list(shares), _SHELLS) if _is_plain(shell, nearest)]
    lacking = [element for element in shares if not any(shell.sublattices == (element, element) for shell in kept)]
    if lacking:
        raise AlloyError(
            f"In this supercell of {len(supercell)} atoms the nearest sites of {lacking[0]} are neighbours of each "
            "other through several periodic images at once, so that no arrangement in it is quasirandom. Take a larger "
            "supercell (--min-image-distance), or a random arrangement (--arrangement random)."
        )
    species = tuple(sorted((s for held in shares.values() for s in held), key=lambda symbol: atomic_numbers[symbol]))
    ends = [end for shell in kept for end in (shell.reach[0] - _MARGIN, shell.reach[1] + _MARGIN)]
    bounds = np.unique(np.round(ends, 6))
    prefactors = np.zeros((len(bounds) - 1, len(species), len(species)))
    weights = np.zeros_like(prefactors)
    # A shell that those of other sublattices cut into several windows is made random in each of them.
    for window, (low, high) in enumerate(pairwise(bounds)):
        inside = (nearest > low) & (nearest <= high)
        for shell in kept:
            pairs = shell.pairs * inside
            if not pairs.any():
                continue
            # sqsgenerator counts two sites once, however many images they have in the shell.
            images, total = int(pairs.max()), int(pairs.sum())
            for one, other in species_pairs(shell.sublattices, shares):
                i, j = species.index(one), species.index(other)
                random = total * shares[shell.sublattices[0]][one] * shares[shell.sublattices[1]][other]
                prefactors[window, [i, j], [j, i]] = images / random
                weights[window, [i, j], [j, i]] = total / int(shell.pairs.sum()) / shell.number
    return _Objective(species, bounds, prefactors, weights)


def _is_plain(shell: PairShell, nearest: FloatArray) -> bool:
    """Whether the nearest images alone tell what the shell holds, all in equal number."""
    between = shell.pairs - np.diag(np.diag(shell.pairs))
    linked = between > 0
    if not linked.any() or np.diag(shell.pairs).any():
        return False
    in_reach = (nearest[linked] >= shell.reach[0] - _MARGIN) & (nearest[linked] <= shell.reach[1] + _MARGIN)
    return bool(in_reach.all()) and len(np.unique(between[linked])) == 1


def _drawn(
    supercell: Structure,
    sites: Sequence[int],
    counts: Sequence[dict[str, int]],
    sublattices: Sequence[str],
    objective: _Objective,
    seed: int,
) -> list[str]:
    """Elements on `sites` in one of the best arrangements that sqsgenerator finds."""
    try:
        from sqsgenerator import optimize
    except ImportError as error:
        raise MissingExtraError("A special quasirandom structure", "sqsgenerator", "sqs") from error
    parents = [supercell[index].specie.symbol for index in sites]
    config: dict[str, Any] = {
        "structure": {
            "lattice": supercell.lattice.matrix.tolist(),
            "coords": supercell.frac_coords[list(sites)].tolist(),
            "species": parents,
        },
        "composition": [
            {"sites": [k for k, symbol in enumerate(parents) if symbol == element]}
            | {symbol: count for symbol, count in held.items() if count}
            for element, held in zip(sublattices, counts, strict=True)
        ],
        "shell_radii": objective.bounds.tolist(),
        "shell_weights": dict.fromkeys(range(2, len(objective.bounds) + 1), 1.0),
        "prefactors": objective.prefactors.tolist(),
        "pair_weights": objective.weights.tolist(),
        "iterations": _DRAWN,
        "chunk_size": _DRAWN,
        "thread_config": 1,
        "seed": seed,
    }
    with _own_signal_handlers():
        best = optimize(dict(config))
        # It keeps an interrupt to itself, says that it has finished, and from then on finds nothing.
        if not len(optimize(config | {"iterations": 1, "chunk_size": 1})):
            raise KeyboardInterrupt
    _, equal = best[0]
    candidates = sorted(tuple(found.species) for found in equal)
    chosen = candidates[np.random.default_rng(seed).integers(len(candidates))]
    return [chemical_symbols[number] for number in chosen]


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put Python's handlers of SIGINT and SIGTERM back, which sqsgenerator replaces and does not restore."""
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
    put.argtypes, put.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    before = {number: get(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            put(number, handler)
