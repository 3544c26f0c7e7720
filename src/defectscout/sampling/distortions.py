"""Bond distortions, the dimer and the rattle, one structure at a time, by ShakeNBreak's functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import SamplingError
from defectscout.core.frames import FloatArray
from defectscout.core.quiet import quiet
from defectscout.sampling.geometry import bare_atoms, site_index, to_structure
from defectscout.sampling.labels import DIMER
from defectscout.sampling.metadata import Omission
from defectscout.sampling.seeds import rattle_seed

SHAKENBREAK_DISTORTIONS: tuple[float, ...] = tuple(round(0.1 * step, 3) + 0.0 for step in range(-6, 7))
"""ShakeNBreak's default bond distortions, -0.6 ... 0.6 in steps of 0.1."""

_MIN_DISTANCE = 1.0  # Å; closer atoms give explosive forces, and ShakeNBreak leaves the structure out


@dataclass(frozen=True, slots=True)
class Distortion:
    """What is done to the neighbours of a defect before the other atoms are rattled.

    Attributes:
        label: label of the sampling structure.
        factor: distances to the defect are multiplied by this; None pushes the two
            neighbours nearest to each other together into a dimer.
        n_neighbours: how many of the nearest neighbours are distorted.
        among: indices of the atoms that may be distorted; None for all.
    """

    label: str
    factor: float | None
    n_neighbours: int
    among: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DistortedStructure:
    """A sampling structure with the atoms that were distorted.

    Attributes:
        structure: the sampling structure.
        distorted_atoms: index in the defect supercell and symbol.
    """

    structure: SamplingStructure
    distorted_atoms: tuple[tuple[int, str], ...]


def n_distorted_neighbours(excess_charge: int) -> int:
    """Number of neighbours to distort by the octet rule (ShakeNBreak; paper, section II A).

    Args:
        excess_charge: holes (positive) or electrons (negative) left around the defect.

    Returns:
        |excess charge| up to 4, and |8 - |excess charge|| beyond.
    """
    excess = abs(excess_charge)
    return excess if excess <= 4 else abs(8 - excess)


def distort(defect: Defect, distortion: Distortion, rattle: float, seed: int) -> DistortedStructure | Omission:
    """One sampling structure: distorted neighbours, and all other host atoms rattled.

    ShakeNBreak's own functions do it (bond distortions of the nearest neighbours, its
    dimer, hiphive's Monte-Carlo rattle); defect and distorted atoms are not rattled.

    Args:
        defect: the defect.
        distortion: what is distorted and by how much.
        rattle: standard deviation of the rattle, Å; 0 for none.
        seed: the user's seed, from which the structure's own is derived.

    Returns:
        The structure, or why there is none: two atoms closer than 1 Å.

    Raises:
        SamplingError: if ShakeNBreak cannot make it.
    """
    with quiet():
        from shakenbreak import distortions as shakenbreak

        site: dict[str, Any] = {"site_index": site_index(defect)}
        if site["site_index"] is None:
            site = {"frac_coords": np.array(defect.site, dtype=np.float64)}
        among = None if distortion.among is None else list(distortion.among)
        structure = to_structure(defect.atoms)
        try:
            if rattle > 0:
                result = shakenbreak.distort_and_rattle(
                    structure=structure,
                    distortion_factor=DIMER if distortion.factor is None else distortion.factor,
                    num_nearest_neighbours=distortion.n_neighbours,
                    distorted_atoms=among,
                    stdev=rattle,
                    seed=rattle_seed(seed, defect, distortion.label),
                    **site,
                )
            elif distortion.factor is None:
                result = shakenbreak.apply_dimer_distortion(structure, **site)
            else:
                result = shakenbreak.distort(
                    structure,
                    num_nearest_neighbours=distortion.n_neighbours,
                    distortion_factor=distortion.factor,
                    distorted_atoms=among,
                    **site,
                )
        except Exception as error:
            raise SamplingError(
                f"ShakeNBreak could not make the sampling structure {distortion.label} of {defect.label}: "
                f"{error}. Check that the host has no atoms on top of each other, lower the rattle, or leave "
                "this distortion out."
            ) from error
        atoms = bare_atoms(defect.atoms, _unwrapped(defect.atoms, np.array(result["distorted_structure"].cart_coords)))
        distorted = tuple((int(index), str(symbol)) for index, symbol in result["distorted_atoms"])
    reason = too_close(atoms)
    if reason:
        return Omission(distortion.label, reason)
    return DistortedStructure(SamplingStructure(distortion.label, atoms), distorted)


def _unwrapped(reference: Atoms, positions: FloatArray) -> FloatArray:
    """`positions` with every atom in the periodic image next to where it is in `reference`."""
    cell = np.array(reference.get_cell())
    shifts = np.round((positions - reference.get_positions()) @ np.linalg.inv(cell))
    return np.asarray(positions - shifts @ cell, dtype=np.float64)


def too_close(atoms: Atoms) -> str:
    """Why a structure is left out whose atoms come closer than 1 Å; empty if none do, or there is hydrogen."""
    distances = atoms.get_all_distances(mic=True)
    shortest = float(distances[np.triu_indices(len(atoms), k=1)].min())
    if shortest >= _MIN_DISTANCE or "H" in atoms.get_chemical_symbols():
        return ""
    return f"two atoms would be {shortest:.2f} Å apart"
