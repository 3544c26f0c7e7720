"""What the first round asks: sampling structures, since an untouched surrogate is not trusted with their outcome."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms
from ase.data import covalent_radii

from defectscout.core.defect import UNPERTURBED, Defect, SamplingStructure
from defectscout.learning.frame_sampling import spaced
from defectscout.minima.bonds import new_nonmetal_bonds
from defectscout.relaxation.checks import is_crowded
from defectscout.workflow.learn.questions import Kind, Question
from defectscout.workflow.learn.settings import LearnSettings


def first_questions(
    defect: Defect,
    starts: Sequence[SamplingStructure],
    related: Sequence[str],
    settings: LearnSettings,
    *,
    familiar: bool,
) -> list[Question]:
    """The questions of the first round.

    The unperturbed structure is relaxed, since energy lowerings are measured from it. Models trained on bulk crystals
    undo the bonds that a reconstruction makes, and have nothing to learn from where they never go: so the sampling
    structures that come nearest to such bonds are relaxed, too, step by step corrected by the reference, and some
    others get a single point. A surrogate that knows such hosts is spared all but the first. What the same defect of a
    related host relaxed to, the lowest of it, is relaxed as well: related hosts often share the motif.

    Args:
        defect: the defect.
        starts: its sampling structures.
        related: labels of those that the same defect of a related host relaxed to, the lowest first.
        settings: how many of each.
        familiar: whether the surrogate was tuned on such a host.
    """
    calls = settings.relaxation_calls
    questions = [
        Question(start.label, start.atoms, Kind.CORRECTED, calls, "the unperturbed structure")
        for start in starts
        if start.label == UNPERTURBED
    ]
    questions += [
        Question(start.label, start.atoms, Kind.CORRECTED, 2 * calls, "the ground state of a related host")
        for start in starts
        if start.label in related[:1]
    ]
    if familiar:
        return questions
    own = _roomy([start for start in starts if start.label not in (UNPERTURBED, *related)])
    bonded = by_bonds(defect, own)
    relaxed = [bonded[k] for k in middle(len(bonded), settings.first_relaxations)]
    questions += [
        Question(start.label, start.atoms, Kind.CORRECTED, 2 * calls, "a sampling structure near a new bond")
        for start in relaxed
    ]
    others = [start for start in own if start not in relaxed]
    questions += [
        Question(others[k].label, others[k].atoms, Kind.POINT, 1, "a sampling structure as it stands")
        for k in spaced(len(others), settings.first_points)
    ]
    return questions


def _roomy(starts: Sequence[SamplingStructure]) -> list[SamplingStructure]:
    """The starts in which no atoms are drawn into each other, unless they are in all: of those nothing is learned."""
    return [start for start in starts if not is_crowded(start.atoms)] or list(starts)


def by_bonds(defect: Defect, starts: Sequence[SamplingStructure]) -> list[SamplingStructure]:
    """Starts that have new bonds between non-metals near the site, from the least strained to the most.

    Strain is how far their bonds are from the sum of the covalent radii.
    """
    strained = []
    for position, start in enumerate(starts):
        bonds = new_nonmetal_bonds(defect, start.atoms)
        if bonds:
            strain = sum(abs(bond.length / _single_bond(start.atoms, bond.atoms) - 1) for bond in bonds) / len(bonds)
            strained.append((strain, position))
    return [starts[position] for _, position in sorted(strained)]


def middle(available: int, wanted: int) -> tuple[int, ...]:
    """Positions of `wanted` items around the middle of `available` ones, from the middle outwards.

    The least strained start falls into the nearest bond, and of the most strained the atoms fly apart: in V_Cd of
    CdTe and CdSe those between led to the lowest minima (GFN1-xTB).

    >>> middle(5, 1), middle(4, 2), middle(1, 3)
    ((2,), (2, 1), (0,))
    """
    centre = available // 2
    return tuple(sorted(range(available), key=lambda k: (abs(k - centre), k))[:wanted])


def _single_bond(atoms: Atoms, pair: tuple[int, int]) -> float:
    return float(sum(covalent_radii[atoms.numbers[index]] for index in pair))
