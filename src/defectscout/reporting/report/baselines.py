"""Which reference-only search each campaign is compared with, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from defectscout.analysis.acceleration import counterpart
from defectscout.core.errors import SettingsError
from defectscout.workflow.compare import arranged_alike
from defectscout.workflow.overview import Overview


def baselines(
    overviews: Sequence[Overview], names: Sequence[str], given: Sequence[Overview]
) -> tuple[dict[str, Overview], list[tuple[Path, str]]]:
    """Reference-only campaigns by the name of the campaign that each is compared with, and notes with their folders.

    A campaign is compared with that of the same host and supercell, atom for atom: realisations of an alloy of one
    composition are told apart.

    Args:
        overviews: the campaigns.
        names: what each of them is called.
        given: reference-only campaigns.

    Raises:
        SettingsError: if two that are given fit one campaign.
    """
    kept: dict[str, Overview] = {}
    notes: list[tuple[Path, str]] = []
    for baseline in given:
        fitting, reasons = _fitting(baseline, overviews)
        for number in fitting:
            name = names[number]
            if name in kept:
                raise SettingsError(
                    f"--reference-only: both {kept[name].folder} and {baseline.folder} are of the supercell that "
                    f"{overviews[number].folder} searches. Give one for each."
                )
            kept[name] = baseline
        folder = baseline.folder
        notes += [(folder, f"{folder} is not compared with: {reason}.") for reason in reasons]
        if fitting and not baseline.finished:
            notes.append((folder, f"The reference-only search in {folder} has not ended: its minima are those so far."))
    return kept, notes


def _fitting(baseline: Overview, overviews: Sequence[Overview]) -> tuple[list[int], list[str]]:
    """Which campaigns a reference-only one fits, and why none, or not all of their defects, can be compared."""
    if not baseline.is_reference_only:
        return [], ["it is no reference-only search"]
    formula = baseline.formula
    same_host = [number for number, overview in enumerate(overviews) if overview.formula == formula]
    if not same_host:
        return [], [f"no campaign here is on {formula}"]
    fitting: list[int] = []
    reasons: list[str] = []
    others: list[str] = []
    for number in same_host:
        overview = overviews[number]
        compared = [counterpart(overview, label, {formula: baseline}) for label in overview.defects]
        why = [reason for _, reason in compared if reason]
        if any(item is not None for item, _ in compared):
            fitting.append(number)
        if _is_other_realisation(overview, baseline):
            others += why
        else:
            reasons += why
    if fitting:
        return fitting, list(dict.fromkeys(reasons))
    none = f"it has none of the defects that are searched here in {formula}"
    return [], list(dict.fromkeys([*reasons, *others])) or [none]


def _is_other_realisation(overview: Overview, baseline: Overview) -> bool:
    """Whether the elements are arranged otherwise: such a supercell of an alloy is not meant to be compared with."""
    return any(
        Counter(item.defect.atoms.symbols) == Counter(baseline.defects[label].defect.atoms.symbols)
        and not arranged_alike(item.defect, baseline.defects[label].defect)
        for label, item in overview.defects.items()
        if label in baseline.defects
    )
