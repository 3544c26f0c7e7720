"""Seeds of the rattle."""

from __future__ import annotations

import hashlib

from defectscout.core.defect import Defect


def rattle_seed(seed: int, defect: Defect, label: str) -> int:
    """Seed of one sampling structure's rattle.

    It depends on nothing but its arguments: the user's seed, composition and
    charge of the defect supercell, and the label. A structure is therefore the
    same whichever other distortions or defects are generated beside it, and
    different labels have independent rattles. The defect's name is left out
    because doped makes names longer where several defects would share one.
    (ShakeNBreak seeds the first distortion of a series with int(100 × factor) and
    all others of the series with the same number, so that there a structure
    depends on which distortion comes first, and all share one rattle.)

    Args:
        seed: the user's seed.
        defect: the defect; composition and charge are used.
        label: label of the sampling structure.

    Returns:
        A seed for numpy's legacy generator, 1 ... 2³² - 1.
    """
    text = f"{seed}|{defect.atoms.get_chemical_formula(mode='hill')}|{defect.charge}|{label}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1
