"""When to give a relaxation up.

Sampling structures start far from equilibrium on purpose: bonds shortened by 60 %
put atoms 1 to 2 Å apart and the energy tens of eV up. The checks on distances and
forces therefore wait for `GRACE_STEPS`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray, Frame, Prediction

GRACE_STEPS: Final = 30
"""Steps in which short distances and large forces are no reason yet. FIRE moves all atoms
together by at most 0.2 Å a step, and undoing a -60 % distortion of four to eight bonds is a
move of 3 to 5 Å in that norm."""

OVERLAP_FRACTION: Final = 0.5
"""Atoms closer than this fraction of the sum of their covalent radii lie on top of each other.
The shortest real bonds (N2, CO) are 0.77 of that sum."""

CROWDED_FRACTION: Final = 0.65
"""The energy of atoms closer than this fraction of the sum of their covalent radii says nothing of the
crystal: with the neighbours of Te_Cd in CdTe drawn in by 50 % (0.51 of the sum) GFN1-xTB finds 24 eV/atom and
1600 eV/Å. Bonds that sampling makes between neighbours of a site, 2 Å long, are at least 0.66 of it."""

MAX_DISPLACEMENT: Final = 6.0
"""Å. Twice a bond length: farther than any reconstruction or hop to the next site."""

MAX_FORCE: Final = 100.0
"""eV/Å. After the first steps, forces like this come only from atoms inside each other's core."""

MAX_ENERGY_FALL: Final = 10.0
"""eV/atom below the first frame. Whole crystals are bound by 2 to 9 eV/atom, and a -60 %
distortion starts 1 to 3 eV/atom up; only a hole in a surrogate goes deeper. It says nothing
of a crowded start, whose energy has no bounds."""


def finite(prediction: Prediction) -> str:
    """Why `prediction` is no number; empty if energy and forces are finite."""
    if not np.isfinite(prediction.energy):
        return "the energy is not a finite number"
    if not np.isfinite(prediction.forces).all():
        bad = int(np.flatnonzero(~np.isfinite(prediction.forces).all(axis=1))[0])
        return f"the force on atom {bad} is not a finite number"
    if prediction.stress is not None and not np.isfinite(prediction.stress).all():
        return "the stress is not a finite number"
    return ""


def hopeless(frame: Frame, initial: Atoms, initial_energy: float) -> str:
    """Why a relaxation that has come to `frame` leads nowhere; empty if it may go on.

    Args:
        frame: the frame to judge.
        initial: structure at step 0; atoms in the same order, not wrapped back into the cell since.
        initial_energy: energy of frame 0, eV.
    """
    reason = finite(frame.prediction)
    if reason:
        return reason
    fall = (initial_energy - frame.prediction.energy) / len(frame.atoms)
    if fall > MAX_ENERGY_FALL and not is_crowded(initial):
        return (
            f"the energy collapsed: {fall:.1f} eV/atom below the first frame at step {frame.step} "
            f"(limit {MAX_ENERGY_FALL:g} eV/atom)"
        )
    moved = np.linalg.norm(frame.atoms.positions - initial.positions, axis=1)
    if moved.max() > MAX_DISPLACEMENT:
        worst = int(moved.argmax())
        return (
            f"the structure exploded: atom {worst} ({frame.atoms.symbols[worst]}) moved {moved[worst]:.1f} Å "
            f"by step {frame.step} (limit {MAX_DISPLACEMENT:g} Å)"
        )
    if frame.step < GRACE_STEPS:
        return ""
    if frame.prediction.fmax > MAX_FORCE:
        return (
            f"the forces exploded: {frame.prediction.fmax:.0f} eV/Å at step {frame.step} "
            f"(limit {MAX_FORCE:g} eV/Å after {GRACE_STEPS} steps)"
        )
    return overlap(frame.atoms)


def overlap(atoms: Atoms) -> str:
    """Which two atoms lie on top of each other; empty if none do."""
    found = _closest(atoms, OVERLAP_FRACTION)
    if found is None:
        return ""
    i, j, distance = found
    return (
        f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) lie on top of each other: {distance:.2f} Å apart"
    )


def is_crowded(atoms: Atoms, fraction: float = CROWDED_FRACTION) -> bool:
    """Whether two atoms are closer than a fraction of the sum of their covalent radii.

    By default so close that the energy and the forces tell of nothing else.
    """
    return _closest(atoms, fraction) is not None


def _closest(atoms: Atoms, fraction: float) -> tuple[int, int, float] | None:
    """The closest two atoms, and their distance (Å), of those within a fraction of the sum of their covalent radii."""
    radii = fraction * covalent_radii[atoms.numbers]
    first, second, distance = _pairs_within(atoms, radii)
    if len(distance) == 0:
        return None
    closest = int(distance.argmin())
    return int(first[closest]), int(second[closest]), float(distance[closest])


def _pairs_within(atoms: Atoms, radii: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """Pairs of atoms closer than the sum of their radii, and their distances, Å.

    Every step of a relaxation asks. In a supercell that is wide enough the nearest image of an atom so close is the one
    less than half a lattice vector away, which is found some ten times faster than by ASE's neighbour list.
    """
    if not _is_wide(atoms, 4 * float(radii.max())):
        first, second, distances = neighbor_list("ijd", atoms, radii.tolist())
        return first, second, distances
    scaled = atoms.get_scaled_positions(wrap=False)
    apart = scaled[:, None] - scaled
    distances = np.linalg.norm((apart - np.round(apart)) @ atoms.cell.array, axis=-1)
    near = distances < radii[:, None] + radii
    np.fill_diagonal(near, False)
    first, second = np.nonzero(near)
    return first, second, distances[first, second]


def _is_wide(atoms: Atoms, width: float) -> bool:
    """Whether a periodic cell's opposite faces are more than `width` (Å) apart."""
    return bool(atoms.pbc.all()) and 1 / float(np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0).max()) > width
