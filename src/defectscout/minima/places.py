"""One structure at equivalent places of the host.

An interstitial may move on to the next equivalent place, by itself or by pushing an atom out of its place, and a
vacancy may hop. What it leaves behind is the same minimum, but seen from where the defect was made it looks like
another one. So structures are also looked at from the places of the host that its symmetry makes equivalent to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.fingerprint import MAX_DISTANCE, cosine_distances, site_fingerprints
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from defectscout.minima.symmetry import HOST_SYMPREC, space_group_operations

CAUTION: Final = 4.0
"""Factor of distances under operations that move the site. Copies of one minimum are at most 0.005e-3 apart (Te_i in
CdTe, GFN1-xTB), the nearest different structures 0.23e-3 (In_i in InP, LDA, 0.10 eV apart): there are many operations,
and one of them may bring two structures close to each other by chance."""

_SITES_KEPT: Final = 64
"""Sites whose equivalent places are remembered: an alloy has tens of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places of a host that its symmetry makes equivalent to a site, and how its operations exchange them.

    Attributes:
        vectors: from the site to each place, shape (n, 3), Å; zero, the site itself, comes first.
        exchanges: for each operation that brings the site to one of the places, two arrays of indices: places, and
            those that they are brought to.
    """

    vectors: FloatArray
    exchanges: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]


def equivalent_places(pristine: Atoms, site: FloatArray, reach: float) -> Places:
    """The places equivalent to a site.

    Args:
        pristine: the pristine supercell, whose space group decides.
        site: fractional, shape (3,).
        reach: how far from the site, Å.
    """
    positions, cell = np.asarray(pristine.positions, dtype=float), np.asarray(pristine.cell.array, dtype=float)
    numbers = np.asarray(pristine.numbers, dtype=np.int64)
    site = np.asarray(site, dtype=float)
    return _equivalent_places(numbers.tobytes(), positions.tobytes(), cell.tobytes(), site.tobytes(), reach)


@lru_cache(maxsize=_SITES_KEPT)
def _equivalent_places(numbers: bytes, positions: bytes, cell_vectors: bytes, place: bytes, reach: float) -> Places:
    """`equivalent_places` of arrays as bytes: one search asks about its site hundreds of times."""
    site, cell = np.frombuffer(place), np.frombuffer(cell_vectors).reshape(3, 3)
    atoms = np.frombuffer(numbers, dtype=np.int64), np.frombuffer(positions).reshape(-1, 3)
    pristine = Atoms(*atoms, cell=cell, pbc=True)
    rotations, translations = space_group_operations(pristine)
    inverse = np.linalg.inv(cell)
    moved, lengths = find_mic((rotations @ site + translations - site) @ cell, pristine.cell, pbc=True)
    near = np.flatnonzero(lengths <= reach)
    places = np.zeros((1, 3))
    for vector in moved[near[np.argsort(lengths[near], kind="stable")]]:
        if not _coincide(vector @ inverse, places @ inverse, cell).any():
            places = np.vstack([places, vector])
    scaled = site + places @ inverse
    exchanges = {}
    for k in near:
        images = scaled @ rotations[k].T + translations[k]
        first, second = np.nonzero(_coincide(images[:, None], scaled[None], cell))
        exchanges[first.tobytes(), second.tobytes()] = (first, second)
    return Places(places, tuple(exchanges.values()))


def _coincide(first: FloatArray, second: FloatArray, cell: FloatArray) -> NDArray[np.bool_]:
    """Whether places, fractional, are the same up to lattice vectors."""
    apart = first - second
    lengths = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
    return np.asarray(lengths <= 2 * HOST_SYMPREC, dtype=bool)


def fingerprint_distances(defect: Defect, structures: Sequence[Atoms], settings: MinimaSettings) -> FloatArray:
    """Cosine distances between the fingerprints of the defect site, shape (n, n).

    Where an operation of the host brings two structures closer to each other than they are seen from the site, what
    counts is that distance (see `distances_under_operations`), times `CAUTION`.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    centres = [track_site(defect, atoms) for atoms in structures]
    here = cosine_distances(site_fingerprints(structures, centres, settings))
    places = equivalent_places(defect.bulk, defect.site, settings.cutoff)
    if len(places.vectors) == 1 or not (here > settings.threshold).any():
        return here
    moved = distances_under_operations(places, structures, centres, settings)
    return np.asarray(np.minimum(here, CAUTION * moved), dtype=float)


def distances_under_operations(
    places: Places, structures: Sequence[Atoms], sites: Sequence[FloatArray], settings: MinimaSettings
) -> FloatArray:
    """How far structures are apart under the operation of the host that brings them closest, shape (n, n).

    An operation that brings one structure onto the other exchanges the places that both are seen from. All of these
    pairs of views have to be alike: a single one may be that of a place that both defects have left. So the largest of
    their cosine distances counts, for the operation for which that is least.

    Args:
        places: of the host, in whose frame the structures are.
        structures: relaxed structures.
        sites: where the places' site lies in each, shape (3,), Å.
        settings: of the fingerprint.
    """
    n, m = len(structures), len(places.vectors)
    features = site_fingerprints(
        [atoms for atoms in structures for _ in range(m)],
        [site + vector for site in sites for vector in places.vectors],
        settings,
    )
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    views = np.clip(1.0 - units @ units.T, 0.0, MAX_DISTANCE).reshape(n, m, n, m)
    best = np.full((n, n), MAX_DISTANCE)
    for first, second in places.exchanges:
        best = np.minimum(best, views[:, first, :, second].max(axis=0))
    return np.asarray(np.minimum(best, best.T), dtype=float)
