"""Names and numbers as a reader of a web page sees them: subscripts, charges, minus signs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from defectscout.reporting.table import UNKNOWN, Cell, Column

MINUS = "\N{MINUS SIGN}"

_HYPHEN_MINUS = re.compile(r"(?<![\w.\-–])-(?=\d)")
_LABEL = re.compile(r"(?P<name>[^_]+(?:_[^_]+)+)_(?P<charge>[+-]?\d+)")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_FORMULA = re.compile(r"(?:\(*[A-Z][a-z]?\d*(?:\.\d+)?(?:\)\d*(?:\.\d+)?)*)+")


def minus_signs(text: str) -> str:
    """Minus signs for the hyphens before numbers; names such as `v_Cd_-2` and ranges keep theirs."""
    return _HYPHEN_MINUS.sub(MINUS, text)


def signed_text(value: float | None) -> str:
    """An energy in eV with its sign."""
    return minus_signs(Column("", "", digits=2, numeric=True, signed=True).text(value))


def percent_text(share: float | None) -> str:
    """A share in per cent."""
    return UNKNOWN if share is None or math.isnan(share) else minus_signs(f"{100 * share:.0f} %")


def defect_markup(label: str) -> Markup:
    """A defect's label, typeset: `v_Cd_-2` as V with subscript Cd and superscript −2.

    The plain label stays in the text for searching, copying and screen readers; what is typeset is for the eye. A
    label of another form is shown as it stands.
    """
    match = _LABEL.fullmatch(label)
    if match is None:
        return escape(label)
    species, *places = match["name"].split("_")
    return Markup(
        '<span class="defect" title="{0}"><span class="plain">{0}</span><span class="typeset" aria-hidden="true">'
        '{1}<span class="scripts"><sub>{2}</sub><sup>{3}</sup></span></span></span>'
    ).format(label, "V" if species == "v" else species, ",".join(places), minus_signs(match["charge"]))


def formula_markup(formula: str) -> Markup:
    """A formula with its numbers as subscripts, and what stands behind it to tell hosts apart; any other name as it
    stands."""
    name, blank, behind = formula.partition(" (")
    if not _FORMULA.fullmatch(name):
        return escape(formula)
    return Markup(_DIGITS.sub(lambda match: f"<sub>{match[0]}</sub>", str(escape(name)))) + escape(blank + behind)


@dataclass(frozen=True, slots=True)
class Typesetter:
    """Typesets the defects and hosts of one report wherever a sentence names them.

    Attributes:
        labels: of defects.
        names: pattern of all labels and of the formulas that have numbers; None without any.
    """

    labels: frozenset[str]
    names: re.Pattern[str] | None

    def prose(self, text: str) -> Markup:
        """A sentence, escaped, with names typeset and minus signs."""
        if self.names is None:
            return escape(minus_signs(text))
        parts = self.names.split(text)  # odd parts are names
        return Markup("").join(
            self._name(part) if index % 2 else escape(minus_signs(part)) for index, part in enumerate(parts)
        )

    def cell(self, column: Column, cell: Cell) -> Markup:
        """A cell of a table."""
        text = column.text(cell)
        return escape(minus_signs(text)) if column.numeric else self.prose(text)

    def _name(self, name: str) -> Markup:
        return defect_markup(name) if name in self.labels else formula_markup(name)


def typesetter(labels: Iterable[str], formulas: Iterable[str]) -> Typesetter:
    """A typesetter for these defects and hosts."""
    known = frozenset(labels)
    names = {*known, *(formula for formula in formulas if _DIGITS.search(formula) and _FORMULA.fullmatch(formula))}
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    pattern = "|".join(re.escape(name) for name in longest_first)
    return Typesetter(known, re.compile(rf"(?<![\w\-])({pattern})(?![\w\-])") if names else None)
