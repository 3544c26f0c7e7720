"""Does the host keep its structure on the reference's surface?

The symmetric crystal may be a saddle point there, or the lattice may relax to something
else altogether; then every defect in it would only trigger the host's own reconstruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.defect import Host
from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Frame, Relaxation, RelaxationState
from defectscout.hosts.settings import HostSettings
from defectscout.relaxation.cell import CellRelaxation, Evaluate, OnStep
from defectscout.relaxation.checks import finite
from defectscout.relaxation.generalised import FORCE_CONSTANT
from defectscout.relaxation.lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.symmetry import fold

LABEL: Final = "rattled host"

SETTLED_FORCE: Final = 0.1
"""eV/Å. Below this force on every atom the stiff modes are at rest; what is left shows the soft ones."""

SETTLED_FRACTION: Final = 0.5
"""The root mean square displacement has to fall below this fraction of the rattle's before
the crystal counts as falling back. An unstable mode keeps or increases its share."""

LEFT_SITE: Final = 0.5
"""Å. An atom farther than this from its site has left it: ten times the rattle, a fifth of a bond."""


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """Whether defects can be searched in this host.

    Attributes:
        stable: True if there is no reason against.
        energy_gain_per_atom: energy of the symmetric crystal less that of the rattled
            one at the end, eV/atom; positive if breaking the symmetry gains energy.
        max_displacement: farthest atom from its site at the end, without drift, Å.
        length_changes: shape (3,), of the cell relaxation; zero if there was none.
        reasons: why it is unstable, a sentence each.
        relaxation: of the rattled supercell; None if the rattle is zero.
    """

    stable: bool
    energy_gain_per_atom: float
    max_displacement: float
    length_changes: FloatArray
    reasons: tuple[str, ...]
    relaxation: Relaxation | None


def stability_test(
    evaluate: Evaluate,
    host: Host,
    settings: HostSettings,
    seed: int,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
    relaxed: CellRelaxation | None = None,
) -> Stability:
    """Rattle the supercell, relax the positions at fixed cell, and see whether it falls back.

    The relaxation is judged early, to save evaluations: unstable as soon as its energy
    is lower than the symmetric crystal's by more than `max_energy_gain`, stable as soon
    as no force exceeds `SETTLED_FORCE`, the energy is not lower than the symmetric
    crystal's and the atoms are on their way back (`SETTLED_FRACTION`). So it finds the
    instabilities that a defect's relaxation would run into as well; a phonon mode that
    is only just unstable takes a phonon calculation to find.

    Args:
        evaluate: energy and forces of a supercell.
        host: the (relaxed) host.
        settings: rattle, stability_steps, max_energy_gain, max_length_change, fmax.
        seed: of the rattle.
        on_step: told each frame before the next is evaluated.
        checkpoint: where an earlier test with the same seed was interrupted.
        relaxed: what `relax_cell` returned: gives the energy of the symmetric crystal
            and the changes of the lattice. Without it that energy takes one more evaluation.

    Raises:
        HostError: if the supercell does not repeat the primitive cell.
        CalculationError: if an evaluation fails.
    """
    changes = np.zeros(3) if relaxed is None else relaxed.length_changes
    lattice = _lattice_reasons(changes, relaxed, settings)
    if settings.rattle == 0:
        return Stability(not lattice, 0.0, 0.0, changes, lattice, None)
    sites = _sites(host)
    symmetric = _symmetric_energy(evaluate, sites, relaxed)
    rattled = sites.copy()
    rattled.positions += np.random.default_rng(seed).normal(0.0, settings.rattle, (len(sites), 3))
    end = _relax(evaluate, sites, rattled, symmetric, settings, on_step, checkpoint)
    assert end.final is not None  # an evaluation that fails raises
    gain = (symmetric - end.final.prediction.energy) / len(sites)
    farthest = float(np.linalg.norm(_displacements(end.final.atoms, sites), axis=1).max())
    reasons = lattice + _position_reasons(gain, farthest, settings)
    return Stability(not reasons, gain, farthest, changes, reasons, end)


def _lattice_reasons(changes: FloatArray, relaxed: CellRelaxation | None, settings: HostSettings) -> tuple[str, ...]:
    reasons = []
    worst = int(np.abs(changes).round(9).argmax())  # rounded: a, not b, where symmetry makes them equal
    if abs(changes[worst]) > settings.max_length_change:
        reasons.append(
            f"its lattice parameter {'abc'[worst]} changes by {100 * changes[worst]:+.1f} % "
            f"(limit {100 * settings.max_length_change:g} %)"
        )
    if relaxed is not None:
        if relaxed.space_group != relaxed.space_group_after:
            reasons.append(f"its space group changes from {relaxed.space_group} to {relaxed.space_group_after}")
        if relaxed.relaxation.state is not RelaxationState.CONVERGED:
            what = "its atoms do" if settings.fixed_cell else "its lattice does"
            reasons.append(f"{what} not come to rest: {relaxed.relaxation.reason}")
    return tuple(reasons)


def _position_reasons(gain: float, farthest: float, settings: HostSettings) -> tuple[str, ...]:
    reasons = []
    if gain > settings.max_energy_gain:
        reasons.append(
            f"breaking its symmetry gains {1000 * gain:.0f} meV/atom or more "
            f"(limit {1000 * settings.max_energy_gain:g} meV/atom)"
        )
    if farthest > LEFT_SITE:
        reasons.append(f"atoms leave their sites by up to {farthest:.1f} Å (limit {LEFT_SITE:g} Å)")
    return tuple(reasons)


def _sites(host: Host) -> Atoms:
    folding = fold(host)
    return Atoms(
        numbers=folding.numbers,
        positions=host.supercell.cart_coords,
        cell=host.supercell.lattice.matrix,
        pbc=True,
    )


def _symmetric_energy(evaluate: Evaluate, sites: Atoms, relaxed: CellRelaxation | None) -> float:
    if relaxed is not None and relaxed.relaxation.final is not None:
        return relaxed.relaxation.final.prediction.energy
    return evaluate(sites).energy


def _displacements(atoms: Atoms, sites: Atoms) -> FloatArray:
    """From the sites, without the drift of the crystal as a whole, shape (n_atoms, 3), Å."""
    moved = atoms.positions - sites.positions
    return np.asarray(moved - moved.mean(axis=0))


def _relax(
    evaluate: Evaluate,
    sites: Atoms,
    rattled: Atoms,
    symmetric: float,
    settings: HostSettings,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> Relaxation:
    """Relax the positions until the crystal can be judged."""
    stiffness = np.full((len(sites), 1), FORCE_CONSTANT)
    while True:
        if checkpoint is None:
            atoms, state = rattled, lbfgs_init(len(sites))
        else:
            end = _end(checkpoint, sites, rattled, symmetric, settings)
            if end is not None:
                return end
            if not isinstance(checkpoint.optimiser, LbfgsState):
                raise TypeError("a stability test goes on from an LbfgsState")
            last = checkpoint.frame
            step, state = lbfgs_step(checkpoint.optimiser, last.prediction.energy, -last.prediction.forces, stiffness)
            atoms = last.atoms.copy()
            atoms.positions += step
        prediction = evaluate(atoms)
        reason = finite(prediction)
        if reason:
            raise CalculationError(f"The stability of the host cannot be tested with this reference: {reason}.")
        number = 0 if checkpoint is None else checkpoint.frame.step + 1
        initial = prediction.energy if checkpoint is None else checkpoint.initial_energy
        checkpoint = Checkpoint(Frame(atoms, prediction, number), state, initial)
        if on_step is not None:
            on_step(checkpoint)


def _end(
    checkpoint: Checkpoint, sites: Atoms, rattled: Atoms, symmetric: float, settings: HostSettings
) -> Relaxation | None:
    """The relaxation's end if the last frame suffices to judge; None if it goes on."""
    frame = checkpoint.frame
    gain = (symmetric - frame.prediction.energy) / len(sites)
    spread = _rms(_displacements(frame.atoms, sites))
    back = spread < SETTLED_FRACTION * _rms(_displacements(rattled, sites))
    settled = frame.prediction.fmax < SETTLED_FORCE and gain <= 0 and back
    if settled or frame.prediction.fmax < settings.fmax or gain > settings.max_energy_gain:
        state, reason = RelaxationState.CONVERGED, ""
    elif frame.step >= settings.stability_steps:
        state = RelaxationState.UNCONVERGED
        reason = f"forces of {frame.prediction.fmax:.2g} eV/Å are left after {frame.step} steps"
    else:
        return None
    return Relaxation(LABEL, frame, checkpoint.initial_energy, state, reason, frame.step + 1)


def _rms(displacements: FloatArray) -> float:
    return float(np.sqrt((displacements**2).sum(axis=1).mean()))
