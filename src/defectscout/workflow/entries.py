"""Ground states as doped's `DefectEntry` objects."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from defectscout.core.errors import NothingFoundError
from defectscout.workflow.results import DefectResult

if TYPE_CHECKING:
    from doped.core import DefectEntry


def ground_state_entry(result: DefectResult, host_energy: float | None) -> DefectEntry:
    """doped's entry of a defect with its ground state in it.

    Args:
        result: the defect's answer.
        host_energy: energy of the pristine supercell on the same surface, eV; None
            where it was not calculated (the entry then has no bulk energy).

    Raises:
        NothingFoundError: if the defect has no ground state, or was made without doped.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.ase import AseAtomsAdaptor

    ground_state = result.ground_state
    if result.defect.entry is None:
        raise NothingFoundError(
            f"{result.defect.label} was not made by doped, so there is no DefectEntry to put its ground state in."
        )
    entry = deepcopy(result.defect.entry)
    structure = AseAtomsAdaptor.get_structure(ground_state.minimum.atoms)
    entry.sc_entry = ComputedStructureEntry(structure, ground_state.minimum.energy)
    entry.defect_supercell = structure
    if host_energy is not None:
        bulk = AseAtomsAdaptor.get_structure(result.defect.bulk)
        entry.bulk_entry = ComputedStructureEntry(bulk, host_energy)
    return entry
