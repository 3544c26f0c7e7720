"""The model crystal with a surface for each charge state."""

from __future__ import annotations

from model_crystal import ModelCrystal


def reference(charge: int) -> ModelCrystal:
    """Electrons added to a vacancy weaken the bond that its neighbours make: by 0.2 eV each."""
    return ModelCrystal(bond=4.5 + 0.2 * charge)
