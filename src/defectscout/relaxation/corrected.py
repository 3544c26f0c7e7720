"""Relaxation in which the surrogate proposes and the reference corrects.

At each step the surrogate's surface, corrected by what the reference has said so far
(`residual`), is minimised within a trust radius around the best point (`inner`), and the
reference is asked once, at the minimum. What it says corrects the surface further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.frames import FloatArray, Frame, Prediction
from defectscout.relaxation.corrected_model import Known, corrected_surface, learned, predict, stretch_of
from defectscout.relaxation.inner import FIRST_SOFTNESS, minimise, within
from defectscout.relaxation.settings import CorrectedSettings
from defectscout.surrogates.base import Surrogate

INNER_FRACTION: Final = 0.3
"""The corrected surface is minimised to this fraction of the relaxation's own threshold ..."""

INNER_PROGRESS: Final = 0.05
"""... or of the force at the best point, whichever is larger."""

NOISE: Final = 1e-3
"""eV. Energies that differ by less are the same."""

CALMER: Final = 0.7
"""A point is no worse, whatever its energy, if the largest force fell to this fraction."""

GOOD: Final = 0.7
"""The radius grows where the energy fell by this fraction of what was promised ..."""

POOR: Final = 0.25
"""... and shrinks where it fell by less than this."""

SAME_ENERGY: Final = 2e-3
"""eV. What the same surrogate says of the same structure differs by rounding only."""

SAME_FORCE: Final = 2e-3
"""eV/Å."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedState:
    """What the corrected relaxation remembers from one step to the next.

    Attributes:
        known: points that the reference has evaluated, oldest first, and the best of them, which the last
            proposal started from; no points before the first frame.
        trust: radius of that proposal, largest displacement of an atom, Å.
        expected: change of the energy that it promised, eV.
    """

    known: Known
    trust: float
    expected: float


def corrected_init(n: int, settings: CorrectedSettings) -> CorrectedState:
    """State before the first frame of `n` atoms."""
    none, nothing = np.zeros((0, n, 3)), np.zeros(0)
    return CorrectedState(Known(none, nothing, none, nothing, none, -1), settings.trust_start, 0.0)


def propose(
    state: CorrectedState, frame: Frame, surrogate: Surrogate, force: float, settings: CorrectedSettings
) -> tuple[FloatArray, CorrectedState]:
    """The next point to ask the reference at, after it has evaluated `frame`.

    The surrogate may be another one than at the step before, such as one that was tuned since: what it says
    of the earlier points is asked anew then.

    Args:
        state: from `corrected_init` or the step before.
        frame: what the reference has said of the last proposal, or of the first structure.
        surrogate: proposes. On the same state and frame it proposes the same.
        force: the relaxation's threshold, eV/Å; the corrected surface is minimised to a fraction of it.
        settings: trust radius, points kept, calls of the surrogate.

    Returns:
        Positions, shape (n_atoms, 3), Å, and the state that goes with them.

    Raises:
        CalculationError: if the surrogate cannot evaluate a point that the reference has evaluated.
    """
    atoms = frame.atoms
    known = _extended(state.known, frame, surrogate)
    best, trust = _judge(state, known, settings)
    known = _nearest(replace(known, best=best), settings.points)
    forces = known.forces[known.best]
    correction = learned(known, surrogate, atoms, settings.length)
    threshold = max(INNER_FRACTION * force, INNER_PROGRESS * _fmax(forces))
    surface = corrected_surface(known, surrogate, atoms, correction, 1.0)
    found = minimise(surface, known.anchor, trust, threshold, settings.inner_calls)
    stretch = stretch_of(found.positions - known.anchor)
    if found.fall < 0 and stretch > 1.0:
        surface = corrected_surface(known, surrogate, atoms, correction, stretch)
        smooth = minimise(surface, known.anchor, trust, threshold, settings.inner_calls)
        found = smooth if smooth.fall < 0 else found
    positions, expected = found.positions, found.fall
    if expected >= 0:
        # The surrogate has nothing to say around here: down the reference's own force.
        positions = within(known.anchor + FIRST_SOFTNESS * forces, known.anchor, trust)
        expected = -0.5 * float(np.vdot(positions - known.anchor, forces))
    return positions, CorrectedState(known, trust, expected)


def _extended(known: Known, frame: Frame, surrogate: Surrogate) -> Known:
    """The points with that of `frame`; what another surrogate said of the earlier ones is replaced."""
    positions = np.concatenate([known.positions, frame.atoms.positions[None]])
    if known.best < 0:
        (model,) = predict(surrogate, frame.atoms, positions)
    else:
        same, model = predict(surrogate, frame.atoms, positions[[known.best, -1]])
        if _differs(same, known.model):
            known = _asked_anew(known, surrogate, frame.atoms)
    return Known(
        positions=positions,
        energies=np.append(known.energies, frame.prediction.energy),
        forces=np.concatenate([known.forces, frame.prediction.forces[None]]),
        surrogate_energies=np.append(known.surrogate_energies, model.energy),
        surrogate_forces=np.concatenate([known.surrogate_forces, model.forces[None]]),
        best=known.best,
    )


def _differs(said: Prediction, before: Prediction) -> bool:
    """Whether the surrogate is another one than before."""
    return abs(said.energy - before.energy) > SAME_ENERGY or bool(
        np.abs(said.forces - before.forces).max() > SAME_FORCE
    )


def _asked_anew(known: Known, surrogate: Surrogate, atoms: Atoms) -> Known:
    said = predict(surrogate, atoms, known.positions)
    return replace(
        known,
        surrogate_energies=np.array([prediction.energy for prediction in said]),
        surrogate_forces=np.array([prediction.forces for prediction in said]),
    )


def _judge(state: CorrectedState, known: Known, settings: CorrectedSettings) -> tuple[int, float]:
    """The best point now that the last proposal has been evaluated, and the radius of the next."""
    new, old = len(known.energies) - 1, known.best
    if old < 0:
        return new, settings.trust_start
    change = float(known.energies[new] - known.energies[old])
    step = _fmax(known.positions[new] - known.positions[old])
    calmer = _fmax(known.forces[new]) < CALMER * _fmax(known.forces[old])
    ratio = change / state.expected if state.expected < 0 else 0.0
    trust = state.trust
    if ratio > GOOD:
        trust = max(trust, min(settings.growth * step, settings.trust_max))
    elif ratio < POOR and change - state.expected > NOISE:
        trust = max(0.5 * step, settings.trust_min)
    return (new if change < NOISE or calmer else old), trust


def _nearest(known: Known, n: int) -> Known:
    """The `n` points nearest to the best, oldest first."""
    distance = np.linalg.norm((known.positions - known.anchor).reshape(len(known.positions), -1), axis=1)
    rows = np.sort(np.argsort(distance, kind="stable")[:n])
    return Known(
        positions=known.positions[rows],
        energies=known.energies[rows],
        forces=known.forces[rows],
        surrogate_energies=known.surrogate_energies[rows],
        surrogate_forces=known.surrogate_forces[rows],
        best=int(np.flatnonzero(rows == known.best)[0]),
    )


def _fmax(vectors: FloatArray) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())
