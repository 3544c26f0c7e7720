"""Defects of the same atoms that were made at different sites, beside each other.

doped puts an interstitial at several sites. They hold the same atoms in the same supercell, so that their energies
compare as they stand, and more than one of them may relax to the same structure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.minima.alignment import drift
from defectscout.minima.places import CAUTION, distances_under_operations, equivalent_places
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.results import DefectResult, Sibling


def with_siblings(results: Mapping[str, DefectResult], settings: MinimaSettings) -> dict[str, DefectResult]:
    """The results of a search, each told of the others with the same atoms and charge.

    Two ground states are the same by the measure that tells minima apart: energy, and fingerprint seen from equivalent
    places.

    Args:
        results: by the defect's label.
        settings: how minima are told apart.
    """
    told = dict(results)
    groups: dict[object, list[DefectResult]] = defaultdict(list)
    for item in results.values():
        if item.minima:
            atoms = item.defect.atoms
            groups[item.defect.charge, str(atoms.symbols.formula.format("hill")), atoms.cell.array.tobytes()].append(
                item
            )
    for group in groups.values():
        for item in group:
            siblings = sorted(_siblings(item, group, settings), key=lambda one: (one.above, one.label))
            told[item.defect.label] = replace(item, siblings=tuple(siblings))
    return told


def _siblings(item: DefectResult, group: Sequence[DefectResult], settings: MinimaSettings) -> Iterator[Sibling]:
    own = item.ground_state.minimum
    for other in group:
        if other is not item:
            lowest = other.ground_state.minimum
            above = lowest.energy - own.energy
            same = abs(above) <= settings.energy_tolerance and _is_same(
                (item.defect, own.atoms), (other.defect, lowest.atoms), settings
            )
            yield Sibling(other.defect.label, above, same)


def _is_same(one: tuple[Defect, Atoms], other: tuple[Defect, Atoms], settings: MinimaSettings) -> bool:
    """Whether an operation of the host brings one structure onto the other, seen from the sites of both defects."""
    drifts = [drift(defect, atoms) for defect, atoms in (one, other)]
    structures = [atoms for _, atoms in (one, other)]
    for defect, _ in (one, other):
        places = equivalent_places(defect.bulk, defect.site, settings.cutoff)
        site = defect.bulk.cell.cartesian_positions(defect.site)
        apart = distances_under_operations(places, structures, [site + moved for moved in drifts], settings)[0, 1]
        if CAUTION * apart > settings.threshold:
            return False
    return True
