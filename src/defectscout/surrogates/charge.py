"""How a surrogate is told the charge state of a structure."""

from __future__ import annotations

from typing import Final

from ase import Atoms

CHARGE: Final = "charge"
"""Where a structure says its charge state, units of e: `atoms.info["charge"]`. Most surrogates take no notice."""


def with_charge(atoms: Atoms, charge: int) -> Atoms:
    """A copy of a structure that says its charge state, for surrogates that take the charge as an input."""
    copy = atoms.copy()
    copy.info[CHARGE] = charge
    return copy
