"""Which defects a user means: names, patterns and groups."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from defectscout.core.defect import DefectKind, label_of
from defectscout.core.errors import DefectSelectionError

_CHARGED = re.compile(r"(?P<name>.+)_(?P<charge>0|[+-]\d+)")
_WILDCARD = re.compile(r"[*?\[]")


class DefectGroup(StrEnum):
    """Words that select defects by what they are."""

    CATION_VACANCIES = "cation-vacancies"
    ANION_VACANCIES = "anion-vacancies"
    VACANCIES = "vacancies"
    ANTISITES = "antisites"
    SUBSTITUTIONS = "substitutions"
    INTERSTITIALS = "interstitials"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What selection needs to know of a defect that exists.

    Attributes:
        name: doped's name without the charge.
        kind: vacancy, substitution or interstitial.
        site_state: mean oxidation state in the host of the element whose site it
            takes; 0 for interstitials.
        is_extrinsic: whether it brings in an element that the host lacks.
        charges: charge states if the pattern names none.
    """

    name: str
    kind: DefectKind
    site_state: float
    is_extrinsic: bool
    charges: tuple[int, ...]

    def belongs_to(self, group: DefectGroup) -> bool:
        """Whether the group word selects it."""
        vacancy = self.kind is DefectKind.VACANCY
        substitution = self.kind is DefectKind.SUBSTITUTION
        members: Mapping[DefectGroup, bool] = {
            DefectGroup.CATION_VACANCIES: vacancy and self.site_state > 0,
            DefectGroup.ANION_VACANCIES: vacancy and self.site_state < 0,
            DefectGroup.VACANCIES: vacancy,
            DefectGroup.ANTISITES: substitution and not self.is_extrinsic,
            DefectGroup.SUBSTITUTIONS: substitution and self.is_extrinsic,
            DefectGroup.INTERSTITIALS: self.kind is DefectKind.INTERSTITIAL,
            DefectGroup.ALL: True,
        }
        return members[group]


def select(candidates: Sequence[Candidate], patterns: Sequence[str]) -> list[tuple[str, int]]:
    """Name and charge of each defect that the patterns select, without repetition.

    A pattern is a group word; a name, which also selects the sites that doped tells apart
    below it (`v_Cu` selects `v_Cu_C1_S2.30` and `v_Cu_Cs`); a name with wildcards; or
    any of these names with a charge (`v_Cd_-2`, `v_*_+1`), which then selects that charge
    state only, whatever `Candidate.charges` says.

    Args:
        candidates: the defects that exist, in the order in which they are returned.
        patterns: what the user wrote.

    Raises:
        DefectSelectionError: if a pattern selects nothing; the message lists what exists.
    """
    chosen: set[tuple[str, int]] = set()
    for pattern in patterns:
        found = _matches(candidates, pattern)
        if not found:
            raise DefectSelectionError(_nothing(candidates, pattern))
        chosen.update(found)
    rank = {candidate.name: index for index, candidate in enumerate(candidates)}
    return sorted(chosen, key=lambda item: (rank[item[0]], -item[1]))


def interstitial_elements(patterns: Sequence[str], elements: Sequence[str]) -> list[str]:
    """Elements whose interstitials a pattern may select; making them takes long, so only these are made."""
    return [symbol for symbol in elements if any(_may_be_interstitial(p, symbol) for p in patterns)]


def _may_be_interstitial(pattern: str, symbol: str) -> bool:
    if pattern.lower() in tuple(DefectGroup):
        return pattern.lower() in (DefectGroup.INTERSTITIALS, DefectGroup.ALL)
    if re.search(r"_[A-Z][a-z]?$", pattern) and not pattern.startswith(f"{symbol}_i_"):
        return False  # ends in an element, as vacancies and substitutions do
    # doped's names are `Te_i_...`: some beginning of the pattern has to match that of the name.
    return any(fnmatchcase(f"{symbol}_i", pattern[:length]) for length in range(1, len(pattern) + 1))


def _matches(candidates: Sequence[Candidate], pattern: str) -> list[tuple[str, int]]:
    if pattern.lower() in tuple(DefectGroup):
        group = DefectGroup(pattern.lower())
        return [(c.name, q) for c in candidates if c.belongs_to(group) for q in c.charges]
    named = [(c.name, q) for c in candidates if _names(pattern, c.name) for q in c.charges]
    if named:
        return named
    if charged := _CHARGED.fullmatch(pattern):
        charge = int(charged["charge"])
        return [(c.name, charge) for c in candidates if _names(charged["name"], c.name)]
    return [(c.name, q) for c in candidates for q in c.charges if fnmatchcase(label_of(c.name, q), pattern)]


def _names(pattern: str, name: str) -> bool:
    if _WILDCARD.search(pattern):
        return fnmatchcase(name, pattern)
    return name == pattern or name.startswith(f"{pattern}_")


def _nothing(candidates: Sequence[Candidate], pattern: str) -> str:
    names = [candidate.name for candidate in candidates]
    known = (
        names + [group.value for group in DefectGroup] + [label_of(c.name, q) for c in candidates for q in c.charges]
    )
    folded = {word.lower(): word for word in reversed(known)}
    close = difflib.get_close_matches(pattern.lower(), folded, n=1, cutoff=0.6)
    hint = f" Did you mean {folded[close[0]]}?" if close else ""
    if any(_names(pattern, name) for name in names):
        hint = " It is there, but in none of the charge states asked for: give others with --charge, or --charge all."
    elif pattern.lower() in tuple(DefectGroup):
        hint = " The host has none of that group; name a defect with --defect."
    unmade = "" if any(c.kind is DefectKind.INTERSTITIAL for c in candidates) else (
        "; interstitials are made when a pattern such as interstitials or Te_i asks for them"
    )  # fmt: skip
    return (
        f"The pattern '{pattern}' selects no defect.{hint} There are: {', '.join(names)}{unmade}. Groups: "
        f"{', '.join(DefectGroup)}. Add a charge to a name (v_Cd_-2) to select that charge state."
    )
