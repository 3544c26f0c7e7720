"""Excess charge against the bonds that it makes (paper, section II A and fig. 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from defectscout.analysis.ions import existing_bonds, oxidations, states_with_impurity
from defectscout.analysis.words import in_words, listed
from defectscout.core.defect import Defect
from defectscout.evaluation.confidence import HOLES_THAT_BOND
from defectscout.learning.ranking import spearman
from defectscout.minima.bonds import NONMETALS
from defectscout.workflow.overview import DefectOverview, Overview


class BondKind(StrEnum):
    """What a bond joins, by the oxidation states in the host."""

    ANION_ANION = "anion–anion"
    CATION_CATION = "cation–cation"
    MIXED = "cation–anion"


@dataclass(frozen=True, slots=True)
class ChargeAndBonds:
    """The excess charge of one defect and the bonds that its ground state has made.

    Attributes:
        host: formula.
        defect: label, such as `v_Cd_0`.
        holes: excess charge, e; negative for electrons.
        anion_anion, cation_cation, mixed: numbers of new bonds of the ground state of each kind; None where there is
            no ground state yet, or where the oxidation states of the host are not known.
        lowering: energy less that of the relaxed `Unperturbed` structure, eV; None if not known.
        follows: whether it keeps to the trend: two holes or more make at least one anion–anion bond, fewer make none;
            None where that cannot be said: there is no ground state yet, the defect has excess electrons, the
            oxidation states of the host are not known, or the host has no anions (an element, a metal).
        reasons: what may be why it does not follow, or why that cannot be said, in words; empty if it follows, or if
            nothing known applies.
    """

    host: str
    defect: str
    holes: int
    anion_anion: int | None
    cation_cation: int | None
    mixed: int | None
    lowering: float | None
    follows: bool | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BondShare:
    """How many of the defects with so many holes have formed so many anion–anion bonds (fig. 3b).

    Attributes:
        holes: excess charge, e.
        bonds: anion–anion bonds formed.
        count: how many defects.
        share: of those with as many holes, 0 to 1.
    """

    holes: int
    bonds: int
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Trend:
    """All defects together.

    Attributes:
        rows: one for each defect.
        shares: for fig. 3b, by holes and then bonds.
        spearman: rank correlation of holes and anion–anion bonds; None for fewer than three defects or where either
            does not vary.
    """

    rows: tuple[ChargeAndBonds, ...]
    shares: tuple[BondShare, ...]
    spearman: float | None


def trend(overviews: Sequence[Overview]) -> Trend:
    """Set the excess charge of each defect against the bonds of its ground state."""
    rows = tuple(_row(overview, item) for overview in overviews for item in overview.defects.values())
    known = [(row.holes, row.anion_anion) for row in rows if row.anion_anion is not None]
    holes, bonds = np.array(known, dtype=float).reshape(-1, 2).T
    rho = spearman(holes, bonds)
    return Trend(rows=rows, shares=_shares(known), spearman=rho if np.isfinite(rho) else None)


def bond_kind(states: Mapping[str, float], species: tuple[str, str]) -> BondKind:
    """What a bond joins.

    Two atoms of negative states are anions, two of positive ones cations, and all else is mixed, an atom of state 0
    with an ion too. Two atoms that both are of state 0, as all are in an element, share their electrons in equal
    parts: between non-metals that is the bond that anions make (Se–Se in selenium and in RhSe2), between metals the
    one that cations make.

    Args:
        states: mean oxidation state by element.
        species: the two elements.
    """
    signs = {float(np.sign(states[symbol])) for symbol in species}
    if signs == {0.0}:
        return BondKind.ANION_ANION if NONMETALS.issuperset(species) else BondKind.CATION_CATION
    if signs == {-1.0}:
        return BondKind.ANION_ANION
    return BondKind.CATION_CATION if signs == {1.0} else BondKind.MIXED


def _row(overview: Overview, item: DefectOverview) -> ChargeAndBonds:
    defect, ground = item.defect, item.ground_state
    states = states_with_impurity(overview, defect)
    counts: Counter[BondKind] | None = None
    if ground is not None and states:
        counts = Counter(bond_kind(states, bond.species) for bond in ground.minimum.new_bonds)
    follows, reasons = _judged(overview, item, states, counts)
    return ChargeAndBonds(
        host=overview.formula,
        defect=defect.label,
        holes=defect.excess_charge,
        anion_anion=counts[BondKind.ANION_ANION] if counts is not None else None,
        cation_cation=counts[BondKind.CATION_CATION] if counts is not None else None,
        mixed=counts[BondKind.MIXED] if counts is not None else None,
        lowering=ground.lowering if ground is not None else None,
        follows=follows,
        reasons=reasons,
    )


def _judged(
    overview: Overview, item: DefectOverview, states: Mapping[str, float], counts: Mapping[BondKind, int] | None
) -> tuple[bool | None, tuple[str, ...]]:
    """Whether a defect follows the trend, and why it may not, or why nothing can be said."""
    if item.ground_state is None:
        return None, ("it has no ground state yet",)
    if counts is None:
        return None, ("the oxidation states of the host are not known, and with them what its anions are",)
    if all(state >= 0 for state in overview.oxidation_states.values()):
        return None, ("the host has no anions by its oxidation states, so that the trend says nothing of it",)
    if item.defect.excess_charge < 0:
        return None, ("the trend is about holes, and this defect has excess electrons",)
    expected = item.defect.excess_charge >= HOLES_THAT_BOND
    if expected == (counts[BondKind.ANION_ANION] > 0):
        return True, ()
    there = _bonds_there(item.defect, {symbol for symbol, state in states.items() if state < 0})
    if expected:
        takers = [str(oxidation) for oxidation in oxidations(states)]
        takers += [f"{bonds}, which can take up holes" for bonds in there]
    else:
        takers = [f"{bonds}: its anions bond to each other without holes" for bonds in there]
    return False, (*takers, *_doubts(item))


def _bonds_there(defect: Defect, anions: Set[str]) -> Iterator[str]:
    """Bonds between anions that the unperturbed structure has at the site, in words; nothing if it has none."""
    bonds = existing_bonds(defect, anions)
    if not bonds:
        return
    kinds = Counter("–".join(bond.species) for bond in bonds)
    told = listed([f"{in_words(count)} {kind} bond{'s' if count > 1 else ''}" for kind, count in kinds.items()])
    shortest, longest = min(bond.length for bond in bonds), max(bond.length for bond in bonds)
    lengths = f"{shortest:.2f}" if longest - shortest < 0.005 else f"{shortest:.2f} to {longest:.2f}"
    nearest = min(bond.distance for bond in bonds)
    where = f"the nearest atom {nearest:.1f} Å from the site" if nearest > 0.05 else "with the atom on the site"
    yield f"the unperturbed structure has {told} around the site already ({lengths} Å, {where})"


def _doubts(item: DefectOverview) -> Iterator[str]:
    """Whether the ground state is certain enough to be an exception."""
    if not item.finished:
        yield f"the search has not finished: it waits for {item.step}"
    elif item.result.confidence.level == "low":
        yield f"confidence in the ground state is low: {item.result.confidence.reasons[0]}"


def _shares(known: Sequence[tuple[int, int]]) -> tuple[BondShare, ...]:
    totals = Counter(holes for holes, _ in known)
    return tuple(
        BondShare(holes, bonds, count, count / totals[holes])
        for (holes, bonds), count in sorted(Counter(known).items())
    )
