"""Oxidation states of a host's atoms.

doped guesses them as well, but in a subprocess that runs the caller's script a second
time where the script has no main guard, and with time limits of 25 s that polysulphides
reach. The same methods run here in the process itself, on the primitive cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from defectscout.core.defect import charge_text
from defectscout.core.errors import DefectSelectionError
from defectscout.core.progress import Progress
from defectscout.core.quiet import quiet
from defectscout.hosts.symmetry import symmetry_dataset

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import Structure

_REMEDY = "If they are wrong, give them in the setting oxidation_states, such as {Cd = 2, Te = -2}."


def assign_oxidation_states(
    primitive: Structure, given: Mapping[str, int] | None, symprec: float, progress: Progress
) -> tuple[int, ...]:
    """Oxidation state of each atom of the primitive cell.

    The given ones; or else those of the bond-valence method (DOI 10.1107/S0108768190011041,
    pymatgen's BVAnalyzer), in which an element may have several; or else the most probable
    set of whole numbers that balances the composition; or else each element's most common
    one, which does not balance, with a warning.

    Args:
        primitive: ordered cell.
        given: state of each element, extrinsic ones allowed; None guesses.
        symprec: symmetry tolerance, Å.
        progress: told what was assigned.

    Raises:
        DefectSelectionError: if `given` lacks an element of the host, or nothing is known
            of an element.
    """
    states = _given(primitive, given)
    if states is None:
        states = _by_bond_valence(primitive, symprec) or _by_composition(primitive)
    return _assigned(primitive, states, progress)


def assign_element_states(supercell: Structure, given: Mapping[str, int] | None, progress: Progress) -> tuple[int, ...]:
    """Oxidation state of each atom of an alloy supercell, the same for all atoms of an element.

    The given ones; or else the set that balances the composition and whose states the elements most often have in
    the ICSD; or else each element's most common one, with a warning. Bond valences say nothing here: on the ideal
    sites of an alloy they follow the mismatch of the radii (Hg⁺ and S⁻ beside Hg²⁺ and S²⁻ in (Cd,Hg)(Te,S)).

    Args:
        supercell: ordered, of any symmetry.
        given: state of each element, extrinsic ones allowed; None guesses.
        progress: told what was assigned.

    Raises:
        DefectSelectionError: as `assign_oxidation_states`.
    """
    states = _given(supercell, given)
    if states is None:
        states = _one_for_each_element(supercell)
    return _assigned(supercell, states, progress)


def _given(structure: Structure, given: Mapping[str, int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    symbols = [site.specie.symbol for site in structure]
    missing = sorted(set(symbols) - given.keys())
    if missing:
        raise DefectSelectionError(
            f"The setting oxidation_states lacks {', '.join(missing)}. Give one for each element of "
            f"{structure.composition.reduced_formula}, or leave the setting out to have them guessed."
        )
    return tuple(given[symbol] for symbol in symbols)


def _assigned(structure: Structure, states: tuple[int, ...] | None, progress: Progress) -> tuple[int, ...]:
    """The states, or the most common ones if there are none; `progress` is told where they do not balance."""
    symbols = [site.specie.symbol for site in structure]
    if states is None:
        states = _most_common(structure)
        progress.warn(
            f"No balanced oxidation states were found for {structure.composition.reduced_formula}; each element's most "
            f"common one is taken: {_described(symbols, states)}. They fix which elements are cations and the "
            f"excess charge of each defect. {_REMEDY}"
        )
    elif sum(states):
        progress.warn(
            f"The oxidation states {_described(symbols, states)} leave {structure.composition.reduced_formula} with a "
            f"charge of {sum(states):+d} e in the primitive cell."
        )
    else:
        progress.message(f"oxidation states: {_described(symbols, states)}")
    return states


def element_oxidation_states(entry: DefectEntry) -> dict[str, float]:
    """Mean oxidation state of each element of the host that doped's entry was made in.

    Raises:
        DefectSelectionError: if the entry's host carries no oxidation states.
    """
    found: dict[str, list[float]] = {}
    for site in entry.defect.structure:
        state = getattr(site.specie, "oxi_state", None)
        if state is None:
            raise DefectSelectionError(
                f"The host of {entry.name} carries no oxidation states. Give them in the setting oxidation_states."
            )
        found.setdefault(site.specie.symbol, []).append(float(state))
    return {symbol: float(np.mean(states)) for symbol, states in found.items()}


def _by_bond_valence(primitive: Structure, symprec: float) -> tuple[int, ...] | None:
    from pymatgen.analysis.bond_valence import BVAnalyzer

    if len(primitive.composition.elements) == 1:
        return (0,) * len(primitive)
    orbits = np.asarray(symmetry_dataset(primitive, symprec).equivalent_atoms)
    for tolerance in (0.1, 0.0):
        try:
            with quiet():
                valences = BVAnalyzer(symm_tol=tolerance).get_valences(primitive)
        except ValueError:  # no assignment balances the charges
            continue
        states = tuple(round(valence) for valence in valences)
        # Different states on equivalent sites would lower the host's symmetry.
        symmetric = all(states[k] == states[orbit] for k, orbit in enumerate(orbits))
        if symmetric and np.allclose(states, valences):
            return states
    return None


def _by_composition(primitive: Structure) -> tuple[int, ...] | None:
    with quiet():
        guesses = primitive.composition.reduced_composition.oxi_state_guesses()
    for guess in guesses:  # most probable first
        if all(float(state).is_integer() for state in guess.values()) and any(guess.values()):
            return tuple(int(guess[site.specie.symbol]) for site in primitive)
    return None


def _one_for_each_element(structure: Structure) -> tuple[int, ...] | None:
    """The most probable set of states that balances, by how often the elements have them in the ICSD.

    pymatgen's own guess lets every atom of an element have another state, which takes hours on an alloy supercell
    of six elements. Here sums of charges are followed from element to element.
    """
    counts = {str(element): round(amount) for element, amount in structure.composition.element_composition.items()}
    if len(counts) == 1:
        return (0,) * len(structure)
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for symbol, count in counts.items():
        reached: dict[int, tuple[float, tuple[int, ...]]] = {}
        for charge, (score, chosen) in best.items():
            for state, probability in _probabilities(symbol).items():
                option = score + count * math.log(probability), (*chosen, state)
                total = charge + count * state
                if total not in reached or option > reached[total]:
                    reached[total] = option
        best = reached
    if 0 not in best:
        return None
    found = dict(zip(counts, best[0][1], strict=True))
    return tuple(found[site.specie.symbol] for site in structure)


def _probabilities(symbol: str) -> dict[int, float]:
    """Share of each oxidation state, other than 0, among an element's sites in the ICSD."""
    from pymatgen.core import Composition

    if Composition.oxi_prob is None:  # pymatgen reads its table on the first guess
        Composition("NaCl").oxi_state_guesses()
    table: Mapping[Any, float] = Composition.oxi_prob or {}
    found = {round(species.oxi_state): n for species, n in table.items() if species.symbol == symbol and n > 0}
    found.pop(0, None)
    total = sum(found.values())
    return {state: number / total for state, number in found.items()}


def _most_common(primitive: Structure) -> tuple[int, ...]:
    from doped.core import most_common_oxi

    states = {}
    for element in primitive.composition.elements:
        if not element.common_oxidation_states:
            raise DefectSelectionError(
                f"Nothing is known of the oxidation state of {element.symbol} in "
                f"{primitive.composition.reduced_formula}. Give one for each element in the setting oxidation_states."
            )
        states[element.symbol] = int(most_common_oxi(element.symbol))
    return tuple(states[site.specie.symbol] for site in primitive)


def _described(symbols: Sequence[str], states: Sequence[int]) -> str:
    pairs = dict.fromkeys(zip(symbols, states, strict=True))
    return ", ".join(f"{symbol} {charge_text(state)}" for symbol, state in pairs)
