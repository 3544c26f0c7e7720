"""Choosing among defects that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import DefectSelectionError
from defectscout.defects.oxidation import element_oxidation_states
from defectscout.defects.selection import Candidate, select
from defectscout.defects.settings import DefectSettings


def select_defects(defects: Sequence[Defect], settings: DefectSettings) -> tuple[Defect, ...]:
    """Those of `defects` that the settings ask for, in their order.

    Unlike `generate_defects` this makes no new charge states: the file says which exist.

    Raises:
        DefectSelectionError: if a pattern, or the charge states asked for, match none of them.
    """
    names = list(dict.fromkeys(defect.name for defect in defects))
    candidates = [_candidate([defect for defect in defects if defect.name == name], settings) for name in names]
    wanted = set(select(candidates, settings.select))
    chosen = tuple(defect for defect in defects if (defect.name, defect.charge) in wanted)
    if not chosen:
        raise DefectSelectionError(
            f"None of the selected defects is in the file in a charge state of {list(settings.charges or ())}. "
            f"It holds: {', '.join(defect.label for defect in defects)}. Ask for other charge states, or for all."
        )
    return chosen


def _candidate(states: Sequence[Defect], settings: DefectSettings) -> Candidate:
    first = states[0]
    host = set(first.bulk.get_chemical_symbols())
    charges = tuple(defect.charge for defect in states)
    return Candidate(
        name=first.name,
        kind=first.kind,
        site_state=_site_state(first),
        is_extrinsic=not set(first.atoms.get_chemical_symbols()) <= host,
        charges=charges if settings.charges is None else tuple(q for q in charges if q in settings.charges),
    )


def _site_state(defect: Defect) -> float:
    """Mean oxidation state in the host of the element whose site the defect takes; 0 for interstitials."""
    if defect.kind is DefectKind.INTERSTITIAL or defect.entry is None:
        return 0.0
    removed = _composition_lost(defect)
    return element_oxidation_states(defect.entry).get(removed, 0.0)


def _composition_lost(defect: Defect) -> str:
    symbols = defect.atoms.get_chemical_symbols()
    bulk = defect.bulk.get_chemical_symbols()
    lost = (symbol for symbol in dict.fromkeys(bulk) if bulk.count(symbol) > symbols.count(symbol))
    return str(next(lost))
