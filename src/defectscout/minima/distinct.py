"""Distinct minima among relaxed structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import FloatArray, Frame, Relaxation, RelaxationState
from defectscout.minima.bonds import new_bonds
from defectscout.minima.cluster import cluster
from defectscout.minima.fingerprint import MAX_DISTANCE, cosine_distances, site_fingerprints
from defectscout.minima.lattice import fell_apart
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.symmetry import site_symmetry


@dataclass(frozen=True, slots=True)
class Flagged:
    """A relaxation that is no minimum of this defect, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class DistinctMinima:
    """What a set of relaxations found.

    Attributes:
        minima: distinct minima, lowest energy first.
        flagged: failed or unfinished relaxations and structures whose host fell apart,
            in the order they were given.
    """

    minima: tuple[Minimum, ...]
    flagged: tuple[Flagged, ...]


def distinct_minima(defect: Defect, relaxed: Sequence[Relaxation], settings: MinimaSettings) -> DistinctMinima:
    """Tell the minima of one defect on one surface apart.

    Two structures are one minimum if the fingerprints of the defect site, or under an operation of
    the host those of places equivalent to it (`places.fingerprint_distances`), lie within
    `settings.threshold` and the energies within `settings.energy_tolerance`
    (`cluster.cluster` says what holds for more than two). Relaxations that
    reached their step limit take part and are marked. The result does not depend on the
    order of `relaxed`, up to the order of `flagged`.

    Args:
        defect: the defect.
        relaxed: ends of relaxations on one surface, atoms in the defect's order.
        settings: fingerprint, threshold, tolerances.

    Returns:
        Minima and flagged relaxations; each label of `relaxed` is in exactly one of them. There
        may be no minimum at all.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    flagged: list[Flagged] = []
    usable: list[tuple[Relaxation, Frame]] = []
    for relaxation in relaxed:
        reason = _reason_to_flag(defect, relaxation, settings)
        if reason or relaxation.final is None:
            flagged.append(Flagged(relaxation.label, reason))
        else:
            usable.append((relaxation, relaxation.final))
    distances = fingerprint_distances(defect, [frame.atoms for _, frame in usable], settings)
    groups = _groups(distances, [frame.prediction.energy for _, frame in usable], settings)
    minima = [_minimum(defect, [usable[i] for i in group], settings) for group in groups]
    return DistinctMinima(
        minima=tuple(sorted(minima, key=lambda minimum: (minimum.energy, minimum.representative))),
        flagged=tuple(flagged),
    )


def group_structures(
    structures: Sequence[Atoms], centres: Sequence[FloatArray], energies: Sequence[float], settings: MinimaSettings
) -> tuple[tuple[int, ...], ...]:
    """Indices of the structures of each minimum, by the fingerprint of the site and by energy; see `distinct_minima`.

    The structures may have different orders of atoms and orientations: fingerprints do not see those.

    Args:
        structures: relaxed structures of one defect on one surface.
        centres: the defect site in each, shape (3,), Å.
        energies: their energies, eV.
        settings: fingerprint, threshold, energy tolerance.
    """
    return _groups(cosine_distances(site_fingerprints(structures, centres, settings)), energies, settings)


def _groups(distances: FloatArray, energies: Sequence[float], settings: MinimaSettings) -> tuple[tuple[int, ...], ...]:
    values = np.array(energies, dtype=float)
    apart = np.abs(values[:, None] - values[None, :]) > settings.energy_tolerance
    return cluster(np.where(apart, MAX_DISTANCE, distances), settings.threshold)


def _reason_to_flag(defect: Defect, relaxation: Relaxation, settings: MinimaSettings) -> str:
    if relaxation.state is RelaxationState.FAILED:
        return relaxation.reason or "the relaxation failed"
    if not relaxation.state.is_finished:
        return "the relaxation has not finished"
    if relaxation.state is RelaxationState.MERGED:
        return f"the relaxation fell into a known minimum: {relaxation.reason}"
    if relaxation.final is None:
        return relaxation.reason or "the relaxation left no structure"
    if not np.isfinite(relaxation.final.prediction.energy):
        return "the relaxed energy is not a finite number"
    return fell_apart(defect, relaxation.final.atoms, settings)


def _minimum(defect: Defect, members: Sequence[tuple[Relaxation, Frame]], settings: MinimaSettings) -> Minimum:
    """One minimum of its members; a converged one stands for it where there is one."""
    ordered = sorted(members, key=lambda member: (member[1].prediction.energy, member[0].label))
    converged = [member for member in ordered if member[0].state is RelaxationState.CONVERGED]
    relaxation, frame = (converged or ordered)[0]
    return Minimum(
        representative=relaxation.label,
        members=tuple(member[0].label for member in ordered),
        atoms=frame.atoms,
        energy=frame.prediction.energy,
        new_bonds=new_bonds(defect, frame.atoms),
        site_symmetry=site_symmetry(frame.atoms, settings.symprec),
        converged=bool(converged),
    )
