"""Relaxation of the host with its symmetry kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from defectscout.core.defect import Host
from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Frame, Prediction, Relaxation, RelaxationState
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.hosts.settings import HostSettings
from defectscout.hosts.supercell import repeat_host
from defectscout.relaxation.checks import finite
from defectscout.relaxation.generalised import gradient, moved, stiffness
from defectscout.relaxation.lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.symmetry import Folding, SymmetryOperations, fold, symmetry_operations

Evaluate = Callable[[Atoms], Prediction]
OnStep = Callable[[Checkpoint], None]


LABEL: Final = "host"


@dataclass(frozen=True, slots=True, eq=False)
class CellRelaxation:
    """The host at the reference's own lattice.

    Attributes:
        host: relaxed primitive cell and supercell, atoms in the order of before.
        relaxation: its end; frames are supercells.
        length_changes: shape (3,), change of the conventional lattice parameters a, b, c as fractions.
        space_group: Hermann–Mauguin symbol before.
        space_group_after: the symbol after; it can only have become a supergroup's.
    """

    host: Host
    relaxation: Relaxation
    length_changes: FloatArray
    space_group: str
    space_group_after: str


def relax_cell(
    evaluate: Evaluate,
    host: Host,
    settings: HostSettings,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> CellRelaxation:
    """Relax the lattice, unless it is held fixed, and the positions that the space group leaves free.

    Energy, forces and stress come from the supercell; forces are averaged over the
    translational images, and forces and stress over the operations of the space group.

    Args:
        evaluate: energy, forces and stress of a supercell.
        host: the host before, also when the relaxation is resumed.
        settings: fixed_cell, fmax, smax, max_steps and symprec.
        on_step: told each frame (a supercell) before the next is evaluated.
        checkpoint: where an earlier relaxation of the same host was interrupted.

    Raises:
        HostError: if the supercell does not repeat the primitive cell.
        CalculationError: if an evaluation fails or gives no stress.
    """
    folding = fold(host)
    before = _atoms(host)
    symmetry = symmetry_operations(before, settings.symprec, host.source)
    while True:
        if checkpoint is None:
            primitive, state = before, lbfgs_init(len(before) + 2)
        else:
            end = _end(checkpoint, folding, symmetry, settings)
            if end is not None:
                return _result(host, end, folding.primitive(checkpoint.frame.atoms), before, symmetry, settings)
            primitive, state = _next(checkpoint, folding, symmetry, settings, stiffness(before))
        atoms = folding.supercell(primitive)
        prediction = _checked(evaluate(atoms), host, settings)
        step = 0 if checkpoint is None else checkpoint.frame.step + 1
        initial = prediction.energy if checkpoint is None else checkpoint.initial_energy
        checkpoint = Checkpoint(Frame(atoms, prediction, step), state, initial)
        if on_step is not None:
            on_step(checkpoint)


def _atoms(host: Host) -> Atoms:
    return Atoms(
        numbers=[site.specie.Z for site in host.primitive],
        positions=host.primitive.cart_coords,
        cell=host.primitive.lattice.matrix,
        pbc=True,
    )


def _checked(prediction: Prediction, host: Host, settings: HostSettings) -> Prediction:
    reason = finite(prediction)
    if not reason and prediction.stress is None and not settings.fixed_cell:
        reason = "there is no stress, without which no lattice can be relaxed"
    if reason:
        raise CalculationError(
            f"The host {host.formula} ({host.source}) cannot be relaxed with this reference: {reason}. "
            "Relax it elsewhere and keep it as it is (keep = true), or choose another reference."
        )
    return prediction


def _driving(
    prediction: Prediction, folding: Folding, symmetry: SymmetryOperations, settings: HostSettings
) -> tuple[FloatArray, FloatArray]:
    """Forces on the primitive cell's atoms, shape (n, 3), and stress, shape (3, 3), with the crystal's symmetry.

    A cell that is held fixed feels no stress.
    """
    forces = symmetry.vectors(folding.mean(prediction.forces))
    if settings.fixed_cell:
        return forces, np.zeros((3, 3))
    return forces, symmetry.tensor(np.asarray(voigt_6_to_full_3x3_stress(prediction.stress)))


def _next(
    checkpoint: Checkpoint,
    folding: Folding,
    symmetry: SymmetryOperations,
    settings: HostSettings,
    first_guess: FloatArray,
) -> tuple[Atoms, LbfgsState]:
    if not isinstance(checkpoint.optimiser, LbfgsState):
        raise TypeError("a relaxation of the cell goes on from an LbfgsState")
    forces, stress = _driving(checkpoint.frame.prediction, folding, symmetry, settings)
    primitive = folding.primitive(checkpoint.frame.atoms)
    energy = checkpoint.frame.prediction.energy / folding.n_cells
    slope = gradient(primitive, forces, stress)
    step, state = lbfgs_step(checkpoint.optimiser, energy, slope, first_guess)
    return moved(primitive, step), state


def _end(
    checkpoint: Checkpoint, folding: Folding, symmetry: SymmetryOperations, settings: HostSettings
) -> Relaxation | None:
    """The relaxation's end if its last frame is the last one; None if it goes on."""
    frame = checkpoint.frame
    forces, stress = _driving(frame.prediction, folding, symmetry, settings)
    fmax = float(np.linalg.norm(forces, axis=1).max())
    smax = float(np.abs(stress).max()) * EV_PER_A3_IN_GPA
    if fmax < settings.fmax and smax < settings.smax:
        state, reason = RelaxationState.CONVERGED, ""
    elif frame.step >= settings.max_steps:
        state = RelaxationState.UNCONVERGED
        stress_left = "" if settings.fixed_cell else f" and stress of {smax:.2g} GPa"
        reason = f"forces of {fmax:.2g} eV/Å{stress_left} are left after {frame.step} steps"
    else:
        return None
    return Relaxation(LABEL, frame, checkpoint.initial_energy, state, reason, frame.step + 1)


def _result(
    host: Host,
    end: Relaxation,
    primitive: Atoms,
    before: Atoms,
    symmetry: SymmetryOperations,
    settings: HostSettings,
) -> CellRelaxation:
    from pymatgen.core import Lattice, Structure

    relaxed = Structure(
        Lattice(primitive.cell.array),
        host.primitive.species_and_occu,
        primitive.positions,
        coords_are_cartesian=True,
        site_properties=host.primitive.site_properties,
    )
    lengths = symmetry.lengths(primitive.cell.array)
    return CellRelaxation(
        host=repeat_host(host, relaxed),
        relaxation=end,
        length_changes=lengths / symmetry.lengths(before.cell.array) - 1.0,
        space_group=symmetry.symbol,
        space_group_after=symmetry_operations(primitive, settings.symprec, host.source).symbol,
    )
