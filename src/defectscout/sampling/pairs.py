"""Bond distortions of every pair of neighbours."""

from __future__ import annotations

from itertools import combinations

from defectscout.core.defect import Defect
from defectscout.sampling.distortions import Distortion
from defectscout.sampling.geometry import nearest_neighbours
from defectscout.sampling.labels import pair_label

PAIR_DISTORTIONS: tuple[float, ...] = (-0.6, -0.5, -0.4, -0.3, -0.2)
"""Bond distortions applied to every pair (paper, section IV B)."""


def pair_distortions(defect: Defect, distortions: tuple[float, ...] = PAIR_DISTORTIONS) -> tuple[Distortion, ...]:
    """Every bond distortion of every pair of the defect's nearest neighbours.

    ShakeNBreak distorts only the neighbours nearest to the defect, one set of them.
    Where the neighbours differ (alloys, low symmetry) another pair may be the one
    that bonds (paper, section IV B).

    Args:
        defect: the defect.
        distortions: fractions of the bond length.

    Returns:
        len(distortions) × n(n - 1)/2 of them for n neighbours: 30 for a fourfold site.
    """
    symbols = defect.atoms.get_chemical_symbols()
    return tuple(
        Distortion(
            label=pair_label(distortion, ((first, symbols[first]), (second, symbols[second]))),
            factor=1 + distortion,
            n_neighbours=2,
            among=(first, second),
        )
        for first, second in combinations(nearest_neighbours(defect), 2)
        for distortion in distortions
    )
