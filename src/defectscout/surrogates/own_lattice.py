"""A surrogate that sees crystals in its own lattice, where the host's comes from another method.

At a lattice that is too small for it a surrogate feels the whole crystal under pressure, and favours minima that take
less room: universal models of PBE rank the minima of InP's divacancy the wrong way round at LDA's lattice, which is
2.2 % less than theirs, and rank them well at their own (`benchmarks/lattice_mismatch.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ase import Atoms
from ase.units import GPa

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction
from defectscout.surrogates.base import Surrogate, SurrogateInfo

LARGEST: Final = 0.08
"""Change of the lattice parameters up to which two methods may be said to mean the same crystal."""

_SMALL: Final = 0.01
"""Pressure that counts as none, GPa."""

_FIRST_STEP: Final = 0.005
_STEPS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class InOwnLattice:
    """A surrogate that is shown every structure with cell and positions scaled alike.

    Energies stay as they are; forces and stresses are those of the structure as it was given, so that it relaxes in the
    host's lattice on the surrogate's surface at its own.

    Attributes:
        surrogate: what is shown them.
        scale: factor of all lengths.
    """

    surrogate: Surrogate
    scale: float

    @property
    def info(self) -> SurrogateInfo:
        return replace(self.surrogate.info, lattice_scale=self.scale)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        found = self.surrogate.predict([scaled(atoms, self.scale) for atoms in structures])
        return [
            Prediction(
                item.energy,
                item.forces * self.scale,
                item.stress * self.scale**3 if item.stress is not None else None,
            )
            for item in found
        ]


def scaled(atoms: Atoms, scale: float) -> Atoms:
    """A copy whose lengths are all `scale` times as long."""
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array * scale, scale_atoms=True)
    return copy


def pressure(surrogate: Surrogate, crystal: Atoms) -> float:
    """Pressure that a surrogate feels a crystal under, GPa; positive where it would have a larger one.

    Raises:
        CalculationError: it gives no stress.
    """
    (found,) = surrogate.predict([crystal])
    if found.stress is None:
        raise CalculationError(f"The surrogate {surrogate.info.name} gives no stress: its lattice cannot be found.")
    return float(-found.stress[:3].mean() / GPa)


def own_scale(surrogate: Surrogate, crystal: Atoms) -> float:
    """Factor of all lengths of a pristine crystal at which a surrogate feels no pressure, by secants.

    Args:
        surrogate: any that gives stresses.
        crystal: as the host's own method has it.

    Raises:
        CalculationError: there is none within `LARGEST`, or no stress.
    """
    before, now = 1.0, pressure(surrogate, crystal)
    felt = now
    if abs(now) < _SMALL:
        return 1.0
    scale = before + (_FIRST_STEP if now > 0 else -_FIRST_STEP)
    for _ in range(_STEPS):
        if abs(scale - 1) > LARGEST:
            break
        last, now = now, pressure(surrogate, scaled(crystal, scale))
        if abs(now) < _SMALL:
            return scale
        if now == last:
            break
        before, scale = scale, scale - now * (scale - before) / (now - last)
    raise CalculationError(
        f"The surrogate {surrogate.info.name} feels {crystal.get_chemical_formula(mode='metal', empirical=True)} under "
        f"{felt:.1f} GPa, and has no lattice of its own within {100 * LARGEST:.0f} % of the "
        "host's. Is this the crystal that was meant? Keep to the host's lattice (surrogate.lattice = host), or choose "
        "another surrogate."
    )
