"""Reconstruction motifs, named by what formed (paper, fig. S2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from defectscout.analysis.bond_groups import BondedGroup, bonded_groups, name_of
from defectscout.analysis.places import (
    LEFT,
    between_two_sites,
    distance_off_centre,
    largest_displacement,
    sharing_a_site,
)
from defectscout.analysis.words import in_words, listed
from defectscout.core.defect import Bond, Defect, DefectKind, Minimum
from defectscout.sampling.geometry import site_index
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.results import RankedMinimum


class Motif(StrEnum):
    """What a reconstruction is, from the bonds that it made and how the atoms around the site moved."""

    SYMMETRIC = "symmetric"  # no new bond between likes, and the symmetry of the unperturbed structure
    DISTORTED = "distorted"  # no new bond between likes, and less symmetry
    OFF_CENTRE = "off-centre"  # the impurity, antisite or interstitial atom has left its place
    SPLIT = "split"  # two atoms share one site, or one atom lies between two
    DIMER = "dimer"
    SEVERAL_DIMERS = "several dimers"
    TRIMER = "trimer"
    CLUSTER = "larger cluster"  # four bonded atoms or more


@dataclass(frozen=True, slots=True)
class NamedMinimum:
    """A minimum and its motif.

    Attributes:
        host: formula.
        defect: label.
        rank: 0 for the ground state.
        motif: what it is.
        name: in words, such as `Te–Te dimer` or `two S–S dimers`.
        bonds: its new bonds.
        relative_energy: above the ground state, eV.
        lowering: energy less that of the relaxed `Unperturbed` structure, eV; None if not known.
        symmetry: point group of the relaxed supercell.
    """

    host: str
    defect: str
    rank: int
    motif: Motif
    name: str
    bonds: tuple[Bond, ...]
    relative_energy: float
    lowering: float | None
    symmetry: str


@dataclass(frozen=True, slots=True)
class MotifGroup:
    """A motif and everything that has it.

    Attributes:
        motif: which one.
        hosts: formulas in which it occurs, sorted.
        ground_states: how many ground states have it.
        members: all minima that have it, ground states first, then by host, defect and rank.
    """

    motif: Motif
    hosts: tuple[str, ...]
    ground_states: int
    members: tuple[NamedMinimum, ...]


def motif_of(defect: Defect, minimum: Minimum, symmetry_before: str) -> tuple[Motif, str]:
    """The motif of a minimum, and its name in words.

    What it is called by, the first that applies:

    1. split: two atoms share a site of the host at a substitution or an interstitial (`places.sharing_a_site`), and
       there is no bond between likes (two non-metals or two metals), or none but that between the two: a dumbbell is
       bonded, and still is one;
    2. bonds between likes that the unperturbed structure lacks: larger cluster, trimer, several dimers or dimer, by
       the largest group of atoms that they join (`bond_groups.bonded_groups`). A new bond between a metal and a
       non-metal is what an impurity makes that moves, and is told by the rules below;
    3. split: an atom has moved halfway into a vacancy of its own element;
    4. off-centre: no atom of the element that was brought in lies within 0.5 Å of the site;
    5. symmetric if the point group has as many operations as before, or more, else distorted. Where there was no
       symmetry to lose, distorted if an atom has moved by more than 0.5 Å.

    Neither a rigid motion nor the order of the atoms changes it. A periodic supercell has no more symmetry than its
    shape allows, so that rule 5 compares supercells alone.

    Args:
        defect: the defect.
        minimum: a relaxed structure of it.
        symmetry_before: point group of the unperturbed supercell.

    Raises:
        SamplingError: the minimum has other atoms, another order or another cell than the defect.
    """
    atoms = minimum.atoms
    groups = bonded_groups(defect, minimum)
    shared = sharing_a_site(defect, atoms)
    if shared is not None and all(group.atoms == shared for group in groups):
        pair = "–".join(sorted(str(atoms.symbols[i]) for i in shared))
        interstitial = defect.kind is DefectKind.INTERSTITIAL
        return Motif.SPLIT, f"{pair} split interstitial" if interstitial else f"{pair} pair on one site"
    if groups:
        return _by_size(groups), name_of(groups)
    halfway = between_two_sites(defect, atoms)
    if halfway is not None:
        return Motif.SPLIT, f"split {atoms.symbols[halfway]} vacancy"
    if distance_off_centre(defect, atoms) > LEFT:
        return Motif.OFF_CENTRE, _with_new_bonds(f"off-centre {_brought_in(defect)}", minimum)
    if symmetry_before == "C1":
        if largest_displacement(defect, atoms) <= LEFT:
            return Motif.SYMMETRIC, _with_new_bonds("as unperturbed", minimum)
        return Motif.DISTORTED, _with_new_bonds("distorted", minimum)
    if _ORDER[minimum.site_symmetry] >= _ORDER[symmetry_before]:
        return Motif.SYMMETRIC, _with_new_bonds(f"symmetric ({minimum.site_symmetry})", minimum)
    return Motif.DISTORTED, _with_new_bonds(f"distorted ({minimum.site_symmetry})", minimum)


def motifs(overviews: Sequence[Overview]) -> tuple[MotifGroup, ...]:
    """All minima of all hosts by motif, the motif of most ground states first.

    Two campaigns of one defect give its minima twice: leave one of them out.
    """
    named = [
        _named(overview.formula, item, ranked)
        for overview in overviews
        for item in overview.defects.values()
        for ranked in item.result.minima
    ]
    groups = []
    for motif in Motif:
        members = [member for member in named if member.motif is motif]
        members.sort(key=lambda member: (member.rank > 0, member.host, member.defect, member.rank))
        if members:
            groups.append(
                MotifGroup(
                    motif=motif,
                    hosts=tuple(sorted({member.host for member in members})),
                    ground_states=sum(member.rank == 0 for member in members),
                    members=tuple(members),
                )
            )
    return tuple(sorted(groups, key=lambda group: (-group.ground_states, -len(group.members))))


def _named(host: str, item: DefectOverview, ranked: RankedMinimum) -> NamedMinimum:
    motif, name = motif_of(item.defect, ranked.minimum, item.result.symmetry_before)
    return NamedMinimum(
        host=host,
        defect=item.defect.label,
        rank=ranked.rank,
        motif=motif,
        name=name,
        bonds=ranked.minimum.new_bonds,
        relative_energy=ranked.relative_energy,
        lowering=ranked.lowering,
        symmetry=ranked.minimum.site_symmetry,
    )


def _by_size(groups: Sequence[BondedGroup]) -> Motif:
    """By the largest, which is the first."""
    if len(groups[0]) > 3:
        return Motif.CLUSTER
    if len(groups[0]) == 3:
        return Motif.TRIMER
    return Motif.DIMER if len(groups) == 1 else Motif.SEVERAL_DIMERS


def _brought_in(defect: Defect) -> str:
    index = site_index(defect)
    return "" if index is None else str(defect.atoms.symbols[index])


def _with_new_bonds(name: str, minimum: Minimum) -> str:
    """A motif that is not told by its bonds, with those that it has (of a metal and a non-metal)."""
    counts = Counter("–".join(bond.species) for bond in minimum.new_bonds)
    if not counts:
        return name
    bonds = listed([f"{in_words(count)} new {kind} bond{'s' if count > 1 else ''}" for kind, count in counts.items()])
    return f"{name}, with {bonds}"


_ORDER: Final = {
    "C1": 1, "Ci": 2, "C2": 2, "Cs": 2, "C2h": 4, "D2": 4, "C2v": 4, "D2h": 8, "C4": 4, "S4": 4, "C4h": 8, "D4": 8,
    "C4v": 8, "D2d": 8, "D4h": 16, "C3": 3, "C3i": 6, "D3": 6, "C3v": 6, "D3d": 12, "C6": 6, "C3h": 6, "C6h": 12,
    "D6": 12, "C6v": 12, "D3h": 12, "D6h": 24, "T": 12, "Th": 24, "O": 24, "Td": 24, "Oh": 48,
}  # fmt: skip
"""Operations of each point group."""
