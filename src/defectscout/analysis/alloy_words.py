"""Names that an alloy's analysis uses: of the alloy, of a kind of defect, of bonds; and the order of environments."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from defectscout.analysis.bond_groups import joins_likes
from defectscout.core.defect import Defect, Minimum, label_of
from defectscout.hosts.substitution import Occupation
from defectscout.workflow.alloys.study import SearchedSite, StudiedSupercell

NO_BONDS: Final = "none"
"""What a ground state has that made no bond between likes."""

_AMOUNT: Final = re.compile(r"([A-Z][a-z]?)(\d*)")


def alloy_title(supercells: Sequence[StudiedSupercell]) -> str:
    """The alloy by what stands on its sublattices: `Cd(Te,Se)`, `(Cd,Zn)(Te,Se,S)`, `Ga(Cu,Ag)S2`."""
    if not supercells:
        return ""
    first = supercells[0]
    mixed = {symbol: item for item in first.occupations for symbol, _ in item.counts}
    sublattices: dict[str, int] = {}
    for symbol, amount in _AMOUNT.findall(first.formula):
        name = _sublattice(mixed[symbol]) if symbol in mixed else symbol
        sublattices[name] = mixed[symbol].sites if symbol in mixed else int(amount or 1)
    divisor = math.gcd(*sublattices.values())
    counts = {name: count // divisor for name, count in sublattices.items()}
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts.items())


def composition_variable(supercells: Sequence[StudiedSupercell]) -> str:
    """The element whose share tells every composition of the alloy; empty if one number does not tell it."""
    pairs = {
        tuple(symbol for symbol, _ in item.occupations[0].counts) if len(item.occupations) == 1 else ()
        for item in supercells
    }
    if len(pairs) != 1:
        return ""
    pair = next(iter(pairs))
    return pair[1] if len(pair) == 2 else ""


def kind_of(defect: Defect, site: SearchedSite) -> str:
    """A defect and its charge without the name of its site: `v_Cd_0` of `v_Cd_Te3Se_0`."""
    return label_of(defect.name.removesuffix(f"_{site.name}"), defect.charge)


def bond_words(minimum: Minimum) -> str:
    """Kinds of the new bonds between likes, most frequent first: `2 Te–Te + Se–Te`; `none` without any."""
    counts = Counter("–".join(bond.species) for bond in minimum.new_bonds if joins_likes(bond))
    kinds = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return " + ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds) or NO_BONDS


def environment_order(environment: str, occupations: Sequence[Occupation]) -> tuple[tuple[int, ...], str]:
    """A key that sorts environments by how many atoms of the parent's own element they have, the most first.

    `Te4`, `Te3Se`, `Te2Se2`, `TeSe3`, `Se4`, where Te is the parent's own.
    """
    species = [symbol for item in occupations for symbol, _ in item.counts]
    numbers: list[int] = []
    for shell in environment.split("-"):
        amounts = {symbol: int(amount or 1) for symbol, amount in _AMOUNT.findall(shell)}
        numbers += [-amounts.get(symbol, 0) for symbol in species]
    return tuple(numbers), environment


def _sublattice(occupation: Occupation) -> str:
    return f"({','.join(symbol for symbol, _ in occupation.counts)})"
