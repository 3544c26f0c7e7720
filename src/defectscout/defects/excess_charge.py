"""Holes and electrons that making a defect leaves behind (paper, section II A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defectscout.core.errors import DefectSelectionError
from defectscout.defects.oxidation import element_oxidation_states

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import PeriodicSite


def excess_charge(defect_entry: DefectEntry, charge: int) -> int:
    """Holes left in the bonds around a defect, after its charge state.

    The change in the number of valence electrons available for bonding, with every
    element in its oxidation state in the host (paper, section II A and its footnote b):
    a vacancy of an ion of oxidation state z leaves z + q holes in charge state q, so 2
    for v_Cd_0 in CdTe, 0 for v_Cd_-2 and 3 for v_Cd_+1; a substitution of z by z' leaves
    z - z' + q, an interstitial -z' + q. Negative for excess electrons.

    An atom that is brought in has the oxidation state of its element in the host, as for
    ShakeNBreak (doped's `Defect.oxi_state` has the highest one: +6 for Te_i in CdTe). An
    extrinsic one has its own, if it carries one; or else, of its common ones, that
    nearest to the state of the atom that it replaces (As -3 on Te, +3 on Cd), or the most
    common one where it replaces none.

    Args:
        defect_entry: doped's object, its host decorated with oxidation states.
        charge: charge state, e.

    Raises:
        DefectSelectionError: if the host's or the new element's oxidation state is unknown.
    """
    kind = defect_entry.defect.defect_type.name.lower()
    removed = 0 if kind == "interstitial" else round(float(_host_site(defect_entry).specie.oxi_state))
    if kind == "vacancy":
        return charge + removed
    return charge + removed - _state_brought_in(defect_entry, None if kind == "interstitial" else removed)


def _state_brought_in(entry: DefectEntry, replaced: int | None) -> int:
    from pymatgen.core import Element

    specie = entry.defect.site.specie
    states = element_oxidation_states(entry)
    own = getattr(specie, "oxi_state", None)
    if own is not None:
        return round(float(own))
    if specie.symbol in states:
        # An element with several states in the host comes in its mean one.
        return round(states[specie.symbol])
    common = [int(state) for state in Element(specie.symbol).common_oxidation_states]
    if not common:
        raise DefectSelectionError(
            f"The oxidation state of {specie.symbol} is not known. Give it in the setting oxidation_states."
        )
    if replaced is not None:
        return min(common, key=lambda state: (abs(state - replaced), abs(state)))
    from doped.core import most_common_oxi

    return int(most_common_oxi(specie.symbol))


def _host_site(entry: DefectEntry) -> PeriodicSite:
    element_oxidation_states(entry)  # raises if there are none
    return min(entry.defect.structure, key=lambda site: float(site.distance(entry.defect.site)))
