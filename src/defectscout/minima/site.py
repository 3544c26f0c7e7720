"""Where the defect site lies in a relaxed structure."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.alignment import drift


def track_site(defect: Defect, atoms: Atoms) -> FloatArray:
    """Cartesian position of the defect site in a relaxed structure, shape (3,), Å.

    The site is a place in the host, not an atom: the vacant site of a vacancy,
    the substituted site of a substitution, the place where an interstitial was
    inserted. It is carried along with the host's rigid drift (see
    `alignment.drift`), so that it is defined just as well after the impurity or
    the interstitial has moved off it, and two structures are compared at the
    same place. Not wrapped into the cell.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    home = atoms.cell.cartesian_positions(defect.site)
    return np.asarray(home + drift(defect, atoms), dtype=float)


def is_near_site(defect: Defect, atoms: Atoms, radius: float) -> NDArray[np.bool_]:
    """Which atoms lie within `radius` (Å) of the defect site or a periodic image of it, shape (n_atoms,).

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    _, away = find_mic(atoms.positions - track_site(defect, atoms), atoms.cell, pbc=True)
    return np.asarray(away <= radius)
