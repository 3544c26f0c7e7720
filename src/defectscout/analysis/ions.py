"""The atoms around a defect as ions: their states, which can oxidise, and the bonds that anions have already."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from ase.neighborlist import neighbor_list

from defectscout.core.defect import Defect, DefectKind
from defectscout.minima.alignment import site_distances
from defectscout.minima.bonds import bond_limit
from defectscout.sampling.geometry import nearest_neighbours, site_index
from defectscout.workflow.overview import Overview

MAX_SECOND_IONISATION = 21.0
"""eV. A cation of state +1 with a lower second ionisation energy can oxidise: Cu 20.3 eV, but not Ag, 21.5 eV (paper,
section II A, with fig. S3: V_Ga dimerises in GaAgS2 and not in GaCuS2)."""


@dataclass(frozen=True, slots=True)
class Oxidation:
    """A cation that can take up holes by oxidising.

    Attributes:
        symbol: element.
        state: its mean state in the host.
        next_state: the next of its common ones.
        ionisation_energy: to take one more electron from the free ion of that state, eV (of +1 for a mean state
            below that); None between other whole states, or where it is not known.
    """

    symbol: str
    state: float
    next_state: int
    ionisation_energy: float | None

    def __str__(self) -> str:
        energy = ""
        if self.ionisation_energy is not None:
            energy = f" ({self.ionisation_energy:.1f} eV to ionise the free {self.symbol}{max(self.state, 1):+.0f} ion)"
        return f"{self.symbol} {self.state:+.3g} can oxidise to {self.next_state:+d} and take up holes{energy}"


@dataclass(frozen=True, slots=True)
class ExistingBond:
    """A bond that the unperturbed defect has already.

    Attributes:
        species: elements, sorted.
        length: Å.
        distance: of the nearer of its atoms from the defect site, Å.
    """

    species: tuple[str, str]
    length: float
    distance: float


def states_with_impurity(overview: Overview, defect: Defect) -> dict[str, float]:
    """State of every element of a defect supercell: the host's mean ones, and that of an impurity.

    The impurity has the state with which its electrons were counted, which follows from the holes: a substitution
    of z by z' leaves z - z' + q of them in charge state q, an interstitial -z' + q (`defects.excess_charge`). So the
    kinds of its bonds cannot contradict the number of holes that they are set against.

    Returns:
        Empty where the host's states are not known.
    """
    states = dict(overview.oxidation_states)
    brought_in = site_index(defect)
    if not states or brought_in is None:
        return states
    symbol = str(defect.atoms.symbols[brought_in])
    if symbol not in states:
        replaced = 0.0 if defect.kind is DefectKind.INTERSTITIAL else _state_of_site(states, defect)
        states[symbol] = defect.charge + replaced - defect.excess_charge
    return states


def oxidations(states: Mapping[str, float]) -> tuple[Oxidation, ...]:
    """The d and f cations that have a common state above their own, by symbol (paper, section II A).

    Common states are pymatgen's. Of a cation of state +1 the second ionisation energy must lie below
    `MAX_SECOND_IONISATION`, too, which is what the paper tells Cu(I) from Ag(I) by: tables differ in whether Ag(II) is
    common. That limit is from one pair of elements and for that one step. There is none for the others: the more an
    ion is charged, the more the next electron costs and the more the lattice gives back for it, and the free ions
    alone do not part Co(II), 33.5 eV, which oxidises, from Ni(II), 35.2 eV, which commonly does not. Neither rule says
    whether the host lets a cation oxidise: that takes a calculation.

    Args:
        states: mean state by element.
    """
    from pymatgen.core import Element

    found = []
    for symbol, state in sorted(states.items()):
        element = Element(symbol)
        above = sorted(int(other) for other in element.common_oxidation_states if other > state)
        if state <= 0 or element.block not in ("d", "f") or not above:
            continue
        energy = _ionisation_energy(symbol, state)
        if state <= 1 and (energy is None or energy >= MAX_SECOND_IONISATION):
            continue
        found.append(Oxidation(symbol, state, above[0], energy))
    return tuple(found)


def existing_bonds(defect: Defect, elements: Set[str]) -> tuple[ExistingBond, ...]:
    """Bonds between atoms of some elements that the unperturbed defect has at its site, shortest first.

    At the site are those with an atom of its first coordination shell, or with the antisite, impurity or interstitial
    atom itself. Each pair counts once; bonded is what `minima.bonds` calls so.
    """
    atoms = defect.atoms
    present = [symbol for symbol in dict.fromkeys(atoms.symbols) if symbol in elements]
    if not present:
        return ()
    number = {str(symbol): int(z) for symbol, z in zip(atoms.symbols, atoms.numbers, strict=True)}
    cutoffs = {(a, b): bond_limit(number[a], number[b]) for a in present for b in present}
    around = {*nearest_neighbours(defect)} | ({site_index(defect)} - {None})
    distances = site_distances(defect, atoms.get_positions())
    lengths: dict[tuple[int, int], float] = {}
    for i, j, length in zip(*neighbor_list("ijd", atoms, cutoffs), strict=True):
        if i < j and (i in around or j in around):
            pair = (int(i), int(j))
            lengths[pair] = min(float(length), lengths.get(pair, np.inf))
    found = []
    for (i, j), length in lengths.items():
        first, second = sorted((str(atoms.symbols[i]), str(atoms.symbols[j])))
        found.append(ExistingBond((first, second), length, float(min(distances[i], distances[j]))))
    return tuple(sorted(found, key=lambda bond: (bond.length, bond.distance, bond.species)))


def _state_of_site(states: Mapping[str, float], defect: Defect) -> float:
    """State of the atom that was replaced: that of the very site where doped's entry knows it, else the mean one."""
    entry = defect.entry
    if entry is not None:
        site = min(entry.defect.structure, key=lambda site: float(site.distance(entry.defect.site)))
        own = getattr(site.specie, "oxi_state", None)
        if own is not None:
            return float(round(own))
    index = int(site_distances(defect, defect.bulk.get_positions()).argmin())
    return float(round(states[str(defect.bulk.symbols[index])]))


def _ionisation_energy(symbol: str, state: float) -> float | None:
    """Energy to take one more electron from the free ion, eV; None between whole states, or where it is not known."""
    from pymatgen.core import Element

    energies = Element(symbol).ionization_energies
    # Where the mean is below 1, ions of +1 would have to give the second electron.
    step = 1 if state <= 1 else int(state)
    known = (state <= 1 or state == step) and step < len(energies) and energies[step] is not None
    return float(energies[step]) if known else None
