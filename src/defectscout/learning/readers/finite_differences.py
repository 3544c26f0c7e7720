"""Whether a source's energies, forces and stresses are those of a method at hand."""

from __future__ import annotations

import numpy as np

from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.learning.frames import LabelledFrame
from defectscout.references.base import Reference

ENERGY_TOLERANCE = 1e-3  # eV/atom
FORCE_TOLERANCE = 0.02  # eV/Å
STRESS_TOLERANCE = 0.1  # GPa
DISPLACEMENT = 1e-3
"""Å, of the finite difference: small beside a bond, large beside the noise of a self-consistent field."""


def check_against(reference: Reference, frame: LabelledFrame, seed: int = 0) -> str:
    """Recompute a frame with the method that it is said to come from, and say where it differs.

    Energy, forces and stress are compared, and the forces besides with a central difference of
    the reference's energies along one random direction of all atoms.

    Args:
        reference: the method.
        frame: a frame of the source.
        seed: of the direction.

    Returns:
        A sentence; empty if the frame agrees.

    Raises:
        UnsupportedElementError: if the reference has no parameters for an element.
        CalculationError: if it fails on this frame.
    """
    reference.check_elements(sorted(set(frame.atoms.get_chemical_symbols())))
    evaluator = reference.evaluator(reference.electronic_state(frame.atoms, frame.origin.charge))
    known, found = frame.prediction, evaluator.evaluate(frame.atoms.copy())
    differences = []
    energy = (known.energy - found.energy) / len(frame.atoms)
    if abs(energy) > ENERGY_TOLERANCE:
        differences.append(f"energy by {energy:+.4g} eV/atom")
    force = float(np.abs(known.forces - found.forces).max())
    if force > FORCE_TOLERANCE:
        differences.append(f"forces by up to {force:.3g} eV/Å")
    if known.stress is not None and found.stress is not None:
        stress = float(np.abs(known.stress - found.stress).max()) * EV_PER_A3_IN_GPA
        if stress > STRESS_TOLERANCE:
            differences.append(f"stress by up to {stress:.3g} GPa")
    direction = np.random.default_rng(seed).normal(size=(len(frame.atoms), 3))
    direction /= np.linalg.norm(direction)
    energies = []
    for sign in (1, -1):
        moved = frame.atoms.copy()
        moved.positions += sign * DISPLACEMENT * direction
        energies.append(evaluator.evaluate(moved).energy)
    slope = (energies[0] - energies[1]) / (2 * DISPLACEMENT)
    along = -float((known.forces * direction).sum())
    if abs(slope - along) > FORCE_TOLERANCE:
        differences.append(
            f"the forces along a random direction give a slope of {along:.4g} eV/Å, energies {slope:.4g}"
        )
    if not differences:
        return ""
    return (
        f"Step {frame.origin.step} of {frame.origin.relaxation} differs from {reference.info.name} as it is here: "
        f"{'; '.join(differences)}. Check the units of {frame.origin.source}, and that the method is that one."
    )
