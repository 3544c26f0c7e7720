"""FIRE as two functions over one small state.

Fast inertial relaxation engine (Bitzek et al., DOI 10.1103/PhysRevLett.97.170201),
in the variant of `ase.optimize.FIRE` without its downhill check: the same forces
give the same steps as there, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from defectscout.core.frames import FloatArray
from defectscout.relaxation.settings import FireSettings


@dataclass(frozen=True, slots=True, eq=False)
class FireState:
    """What FIRE remembers from one step to the next.

    Attributes:
        velocities: shape (n_atoms, 3), Å per ASE time unit; all zero before the first step.
        dt: time step, ASE time units.
        alpha: how much of the velocity is turned into the direction of the force.
        n_downhill: steps since the velocity last pointed against the force.
    """

    velocities: FloatArray
    dt: float
    alpha: float
    n_downhill: int


def fire_init(n: int, settings: FireSettings) -> FireState:
    """State before the first step of `n` atoms: at rest."""
    return FireState(np.zeros((n, 3)), settings.dt, settings.alpha_start, 0)


def fire_step(state: FireState, forces: FloatArray, settings: FireSettings) -> tuple[FloatArray, FireState]:
    """One step along `forces` (eV/Å).

    Returns:
        The displacement, shape (n_atoms, 3), Å, and the state for the next step. The
        norm of the whole displacement is at most `settings.maxstep`.
    """
    # At rest there is no direction to judge yet. (After a step the velocities vanish
    # only if the forces did, and then no atom moves, whatever the time step is.)
    moved = _mix(state, forces, settings) if state.velocities.any() else state
    velocities = moved.velocities + moved.dt * forces
    displacement = moved.dt * velocities
    norm = float(np.sqrt(np.vdot(displacement, displacement)))
    if norm > settings.maxstep:
        displacement = settings.maxstep * displacement / norm
    return displacement, replace(moved, velocities=velocities)


def _mix(state: FireState, forces: FloatArray, settings: FireSettings) -> FireState:
    """Turn the velocities towards the forces when going downhill, stop when going uphill."""
    if np.vdot(forces, state.velocities) > 0.0:
        # Operations in ASE's order, so that rounding is the same as there.
        direction = state.alpha * forces / np.sqrt(np.vdot(forces, forces))
        speed = np.sqrt(np.vdot(state.velocities, state.velocities))
        velocities = (1.0 - state.alpha) * state.velocities + direction * speed
        dt, alpha = state.dt, state.alpha
        if state.n_downhill > settings.n_min:
            dt = min(dt * settings.f_inc, settings.dtmax)
            alpha *= settings.f_alpha
        return FireState(velocities, dt, alpha, state.n_downhill + 1)
    return FireState(np.zeros_like(state.velocities), state.dt * settings.f_dec, settings.alpha_start, 0)
