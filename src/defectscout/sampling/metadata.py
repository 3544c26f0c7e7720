"""What ShakeNBreak's `distortion_metadata.json` says of a defect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.sampling.poscar import poscar_order


@dataclass(frozen=True, slots=True)
class Omission:
    """A sampling structure that was asked for and not made."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class DistortionMetadata:
    """How the sampling structures of one defect were made.

    Attributes:
        defect: doped's name without the charge, such as `v_Cd`.
        charge: charge state, e.
        n_distorted_neighbours: how many neighbours each bond distortion moves; None
            if the structures came from a folder and it is not known.
        distorted_atoms: index in the defect supercell (from 0) and symbol of the
            distorted neighbours; None if not known. With `pairs`, all neighbours.
        bond_distortions: fractions of the bond length.
        has_dimer: whether a `Dimer` structure was made.
        rattle: standard deviation of the rattle, Å.
        unique_site: fractional coordinates of the defect in the supercell.
        site_index: index of the antisite or interstitial atom in the defect
            supercell (from 0); None for a vacancy.
        omissions: structures that were asked for and not made, with the reason.
        related: labels of those that the same defect of a related host relaxed to.
    """

    defect: str
    charge: int
    n_distorted_neighbours: int | None
    distorted_atoms: tuple[tuple[int, str], ...] | None
    bond_distortions: tuple[float, ...]
    has_dimer: bool
    rattle: float
    unique_site: tuple[float, float, float]
    site_index: int | None = None
    omissions: tuple[Omission, ...] = ()
    related: tuple[str, ...] = ()


def to_shakenbreak(metadata: DistortionMetadata, atoms: Atoms) -> dict[str, Any]:
    """Contents of ShakeNBreak's `distortion_metadata.json` for one defect.

    Args:
        metadata: how the structures were made.
        atoms: the defect supercell, for the order of atoms in POSCAR files.

    Returns:
        JSON-ready; indices count from 0 in the order of the POSCAR files.
    """
    file_index = np.argsort(poscar_order(atoms)).tolist()
    distortions: list[float | str] = [*metadata.bond_distortions, *(["Dimer"] if metadata.has_dimer else [])]
    parameters = {
        "distortion_increment": None,
        "bond_distortions": distortions,
        "local_rattle": False,
        "mc_rattle_parameters": {"stdev": metadata.rattle},
    }
    distorted = metadata.distorted_atoms
    charge = {
        "num_nearest_neighbours": metadata.n_distorted_neighbours,
        "distorted_atoms": None if distorted is None else [[file_index[index], symbol] for index, symbol in distorted],
        "distortion_parameters": parameters,
    }
    defect: dict[str, Any] = {
        "unique_site": list(metadata.unique_site),
        "charges": {str(metadata.charge): charge},
    }
    if metadata.site_index is not None:
        defect["defect_site_index"] = file_index[metadata.site_index]
    return {"distortion_parameters": parameters, "defects": {metadata.defect: defect}}


def merge_shakenbreak(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """One `distortion_metadata.json` for several defects and charge states.

    Args:
        old: what the file holds.
        new: the same form, of one defect; its entries replace those of `old`.

    Returns:
        Both together. Where their distortions or rattle differ, the general entry
        is that of `new`; the one of each charge state stays its own.
    """
    defects = dict(old.get("defects", {}))
    for name, defect in new["defects"].items():
        charges = {**defects.get(name, {}).get("charges", {}), **defect["charges"]}
        defects[name] = {**defect, "charges": dict(sorted(charges.items()))}
    return {**old, **new, "defects": dict(sorted(defects.items()))}
