"""Families of hosts, and whether a model has seen the like of a host before.

A family is what the field writes in Roman numerals: CdTe, CdSe and ZnTe are II-VI, InP is III-V,
Li4SnS4, Li4GeS4 and Li4TiS4 are I4-IV-VI4, BiSI and SbSeBr are V-VI-VII. Elements of one class are
one component of it, so that an alloy (Cd13Zn14Te27) is of the family of its end members.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ase.data import atomic_numbers
from ase.formula import Formula

from defectscout.core.errors import DatasetError

NOBLE_GASES: Final = (2, 10, 18, 36, 54, 86, 118)
ROMAN: Final = {1: "I", 2: "II", 3: "III", 4: "IV", 5: "V", 16: "VI", 17: "VII", 18: "VIII"}


@dataclass(frozen=True, slots=True)
class Family:
    """A family of hosts: classes of elements and how many atoms of each the reduced formula has.

    Attributes:
        parts: (class, count), in the order of the classes. A class is a group of the periodic table, where
            groups 11 to 15 count as 1 to 5 since they have as many valence electrons (Li and Cu, Mg and Zn,
            Ti and Sn, V and P); groups 6 to 10 and 16 to 18 stand for themselves, so that Cr and S
            or Mn and Cl, a cation and an anion, are kept apart.
    """

    parts: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        names = (f"{ROMAN.get(group, f'group{group}')}{count if count > 1 else ''}" for group, count in self.parts)
        return "-".join(names)


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What a model has seen of a host's kind.

    Attributes:
        new_elements: symbols that were in no training frame, sorted.
        family: the host's family.
        family_known: whether a host of that family was trained on.
        nearest_host: the trained host of the nearest composition; None without trained hosts.
        distance: how far it is, see `composition_distance`; infinite without trained hosts.
        sentence: the above in words, for reports.
    """

    new_elements: tuple[str, ...]
    family: Family
    family_known: bool
    nearest_host: str | None
    distance: float
    sentence: str

    @property
    def is_familiar(self) -> bool:
        """Whether elements and family were both seen."""
        return self.family_known and not self.new_elements


def composition_of(formula: str) -> dict[str, int]:
    """Number of atoms of each element in a formula such as `Li4SnS4` or `Cd(ClO4)2`.

    Raises:
        DatasetError: if it is no formula.
    """
    try:
        counts = {str(symbol): int(count) for symbol, count in Formula(formula).count().items()}
    except (ValueError, KeyError, IndexError) as error:
        raise DatasetError(f"The host '{formula}' is not a chemical formula. Write it as in Li4SnS4.") from error
    unknown = [symbol for symbol in counts if symbol not in atomic_numbers or symbol == "X"]
    if unknown or not counts:
        raise DatasetError(
            f"The host '{formula}' is not a chemical formula: {', '.join(unknown) or 'it is empty'}. "
            f"Write it as in Li4SnS4."
        )
    return counts


def group_of(symbol: str) -> int:
    """Group of the periodic table, 1 to 18; 3 for lanthanides and actinides."""
    number = int(atomic_numbers[symbol])
    if number <= 2:
        return 1 if number == 1 else 18
    shell = bisect_right(NOBLE_GASES, number - 1)
    place = number - NOBLE_GASES[shell - 1]
    length = NOBLE_GASES[shell] - NOBLE_GASES[shell - 1]
    if place <= 2:
        return place
    if length == 32 and place <= 17:
        return 3
    return place + 18 - length


def valence_class(symbol: str) -> int:
    """The class of an element in a family: its group, with 11 to 15 as 1 to 5."""
    group = group_of(symbol)
    return group - 10 if 11 <= group <= 15 else group


def family_of(host: str | Mapping[str, int]) -> Family:
    """The family of a host, from its formula or composition.

    Raises:
        DatasetError: if the formula is none.
    """
    counts = composition_of(host) if isinstance(host, str) else host
    classes: Counter[int] = Counter()
    for symbol, count in counts.items():
        classes[valence_class(symbol)] += count
    divisor = math.gcd(*classes.values())
    return Family(tuple((group, classes[group] // divisor) for group in sorted(classes) if classes[group]))


def composition_distance(first: str, second: str) -> float:
    """How far two compositions are apart on Pettifor's scale of the elements.

    The earth mover's distance of the atomic fractions, where an atom moves along Pettifor's Mendeleev
    numbers (Solid State Commun. 51, 31 (1984), doi:10.1016/0038-1098(84)90765-8), on which neighbours replace
    each other in crystals: CdTe and ZnTe are 0.5 apart, because half of the atoms move by one. Hargreaves et al.
    proposed it (Chem. Mater. 32, 10610 (2020), doi:10.1021/acs.chemmater.0c03381).
    """
    from pymatgen.core.periodic_table import Element

    change: dict[float, float] = {}
    for formula, sign in ((first, 1.0), (second, -1.0)):
        counts = composition_of(formula)
        for symbol, count in counts.items():
            place = float(Element(symbol).mendeleev_no)
            change[place] = change.get(place, 0.0) + sign * count / sum(counts.values())
    places = sorted(change)
    carried, distance = 0.0, 0.0
    for here, there in pairwise(places):
        carried += change[here]
        distance += abs(carried) * (there - here)
    return distance


def familiarity(
    host_formula: str, trained_elements: Sequence[str], trained_hosts: Sequence[str], *, extrinsic: Sequence[str] = ()
) -> Familiarity:
    """Say whether a model has seen a host's elements and its family.

    Args:
        host_formula: the host that is to be searched.
        trained_elements: symbols in the model's training frames; those of `trained_hosts` are added.
        trained_hosts: formulas of the hosts that it was trained on.
        extrinsic: symbols of the defects that the host does not have.

    Raises:
        DatasetError: if a host is no formula.
    """
    seen = set(trained_elements).union(*(composition_of(host) for host in trained_hosts))
    wanted = set(composition_of(host_formula)) | set(extrinsic)
    new = tuple(sorted(wanted - seen))
    family = family_of(host_formula)
    known = family in {family_of(host) for host in trained_hosts}
    distances = sorted((composition_distance(host_formula, host), host) for host in dict.fromkeys(trained_hosts))
    distance, nearest = distances[0] if distances else (math.inf, None)
    return Familiarity(
        new, family, known, nearest, distance, _sentence(host_formula, new, family, known, nearest, distance)
    )


def _sentence(host: str, new: Sequence[str], family: Family, known: bool, nearest: str | None, distance: float) -> str:
    if nearest is None:
        return f"The model was trained on no host, so that nothing can be said of how well it knows {host}."
    if distance < 1e-9 and not new:
        return f"The model was trained on frames of {host}."
    elements = f"It has not seen {_enumerate(new)}. " if new else ""
    kin = f"hosts of the family of {host} ({family})" if known else f"no host of the family of {host} ({family})"
    advice = (
        ""
        if known and not new
        else " Expect larger errors and confirm more candidates with the reference, or add frames of a related host."
    )
    return f"{elements}The model was trained on {kin}; the nearest is {nearest}.{advice}"


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
