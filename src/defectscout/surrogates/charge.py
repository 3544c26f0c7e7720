"""How a surrogate is told the charge state of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ase import Atoms

from defectscout.core.frames import Prediction
from defectscout.surrogates.base import Surrogate, SurrogateInfo

CHARGE: Final = "charge"
"""Where a structure says its charge state, units of e: `atoms.info["charge"]`. Most surrogates take no notice."""


def with_charge(atoms: Atoms, charge: int) -> Atoms:
    """A copy of a structure that says its charge state, for surrogates that take the charge as an input."""
    copy = atoms.copy()
    copy.info[CHARGE] = charge
    return copy


@dataclass(frozen=True, slots=True, eq=False)
class AtCharge:
    """A surrogate that is told one charge state with every structure.

    Attributes:
        surrogate: what is told.
        charge: charge state, units of e.
    """

    surrogate: Surrogate
    charge: int

    @property
    def info(self) -> SurrogateInfo:
        return self.surrogate.info

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Predictions of `structures`, whatever charge they say themselves."""
        return self.surrogate.predict([with_charge(atoms, self.charge) for atoms in structures])
