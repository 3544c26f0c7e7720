"""One structure at equivalent places of the host.

An interstitial may move on to the next equivalent place, by itself or by taking the place of an atom that moves there,
and a vacancy may hop. What it leaves behind is the same minimum, but seen from where the defect was made it looks like
another one. So structures are also looked at from the places of the host that its symmetry makes equivalent to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.fingerprint import MAX_DISTANCE, cross_distances, site_fingerprints
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import track_site
from defectscout.minima.symmetry import HOST_SYMPREC, space_group_operations

_HERE = np.zeros((1, 3))


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A structure, and where in it the defect may be.

    Attributes:
        atoms: relaxed structure.
        centre: the place where the defect was made, shape (3,), Å.
        elsewhere: vectors from there to equivalent places, zero among them, shape (n, 3), Å.
    """

    atoms: Atoms
    centre: FloatArray
    elsewhere: FloatArray = field(default_factory=_HERE.copy)


def equivalent_places(pristine: Atoms, site: FloatArray, around: FloatArray, reach: float) -> FloatArray:
    """Vectors from `around` to the places that the host's symmetry makes equivalent to `site`.

    Args:
        pristine: the pristine supercell, whose space group decides.
        site: fractional, shape (3,).
        around: fractional, shape (3,).
        reach: the longest vector, Å.

    Returns:
        Shape (n, 3), Å, the shortest first; each place once, at its nearest image.
    """
    rotations, translations = space_group_operations(pristine)
    images = rotations @ np.asarray(site, dtype=float) + translations
    cartesian = (images - around) @ pristine.cell.array
    vectors, lengths = find_mic(cartesian, pristine.cell, pbc=True)
    found: list[FloatArray] = []
    for k in np.argsort(lengths, kind="stable"):
        if lengths[k] > reach:
            break
        apart = find_mic(vectors[k] - np.array(found), pristine.cell, pbc=True)[1] if found else np.array([np.inf])
        if apart.min() > 2 * HOST_SYMPREC:
            found.append(vectors[k])
    return np.array(found).reshape(-1, 3)


def located(defect: Defect, structures: Sequence[Atoms], settings: MinimaSettings) -> list[Located]:
    """Relaxed structures of a defect, which may have moved as far as the fingerprint reaches.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    elsewhere = equivalent_places(defect.bulk, defect.site, defect.site, settings.cutoff)
    return [Located(atoms, track_site(defect, atoms), elsewhere) for atoms in structures]


def nearest_distances(first: Sequence[Located], second: Sequence[Located], settings: MinimaSettings) -> FloatArray:
    """Least cosine distance of each structure of `first` to each of `second`, shape (n_first, n_second).

    Those of `first` are seen from their centres, those of `second` from each of their equivalent places.
    """
    if not first or not second:
        return np.zeros((len(first), len(second)))
    best = np.full((len(first), len(second)), MAX_DISTANCE)
    longest = max(len(one.elsewhere) for one in second)
    for k in range(longest):
        there = [j for j, one in enumerate(second) if k < len(one.elsewhere)]
        # All in one call: the elements of its structures set the meaning of the features.
        features = site_fingerprints(
            [*(one.atoms for one in first), *(second[j].atoms for j in there)],
            [*(one.centre for one in first), *(second[j].centre + second[j].elsewhere[k] for j in there)],
            settings,
        )
        distances = cross_distances(features[: len(first)], features[len(first) :])
        best[:, there] = np.minimum(best[:, there], distances)
    return best


def place_distances(structures: Sequence[Located], settings: MinimaSettings) -> FloatArray:
    """Cosine distance between structures, whichever equivalent places they are at, shape (n, n).

    Where an operation of the host brings one onto the other, each looks from some equivalent place as the other does
    from where the defect was made. So both have to: one alone could be the view of a place that the defect has left.
    """
    seen = nearest_distances(structures, structures, settings)
    return np.asarray(np.maximum(seen, seen.T), dtype=float)
