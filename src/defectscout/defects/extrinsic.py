"""Extrinsic elements and given oxidation states, checked against the host."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from defectscout.core.errors import DefectSelectionError
from defectscout.defects.selection import DefectGroup
from defectscout.defects.settings import DefectSettings

if TYPE_CHECKING:
    from doped.core import DefectEntry


def check_extrinsic(own: Collection[str], formula: str, settings: DefectSettings) -> None:
    """Check that extrinsic elements are none of the host's, and that no oxidation state is given for nothing.

    Args:
        own: elements of the host.
        formula: of the host, for messages.
        settings: extrinsic elements and oxidation states.

    Raises:
        DefectSelectionError: they do not fit the host.
    """
    intrinsic = [symbol for symbol in settings.extrinsic if symbol in own]
    if intrinsic:
        raise DefectSelectionError(
            f"{', '.join(intrinsic)} cannot be extrinsic in {formula}, which contains it. Its antisites and "
            "interstitials are selected by their names, or by antisites and interstitials."
        )
    if settings.oxidation_states is not None:
        foreign = sorted(settings.oxidation_states.keys() - set(own) - set(settings.extrinsic))
        if foreign:
            raise DefectSelectionError(
                f"The setting oxidation_states names {', '.join(foreign)}, which {formula} does not contain and "
                "which is not among the extrinsic elements. Correct or remove it."
            )


def check_extrinsic_selected(settings: DefectSettings, is_any_selected: bool) -> None:
    """Check that extrinsic elements are given for something.

    Raises:
        DefectSelectionError: no pattern selects a defect with them.
    """
    if settings.extrinsic and not is_any_selected:
        raise DefectSelectionError(
            f"Extrinsic elements are given ({', '.join(settings.extrinsic)}), but no pattern of "
            f"{', '.join(settings.select)} selects a defect with them. Add the pattern {DefectGroup.SUBSTITUTIONS} or "
            f"{settings.extrinsic[0]}_*, or leave the extrinsic elements out."
        )


def carry_given_state(entry: DefectEntry, settings: DefectSettings) -> None:
    """Let an extrinsic atom carry the oxidation state that the user gives it."""
    from pymatgen.core import PeriodicSite, Species

    site = entry.defect.site
    symbol = site.specie.symbol
    given = settings.oxidation_states or {}
    if symbol in settings.extrinsic and symbol in given:
        entry.defect.site = PeriodicSite(Species(symbol, given[symbol]), site.frac_coords, site.lattice)
