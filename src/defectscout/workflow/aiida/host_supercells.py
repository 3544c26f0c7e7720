"""A host's own relaxation in the provenance of the searches that follow from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from defectscout.core.errors import CalculationError, DefectscoutError
from defectscout.core.progress import Progress, SilentProgress
from defectscout.workflow.aiida.data import to_atoms, to_node, unpacked
from defectscout.workflow.aiida.functions import OTHER_HOST, REFUSED
from defectscout.workflow.campaign import Campaign, reopen_campaign
from defectscout.workflow.host_runs import RELAXED_NAME
from defectscout.workflow.search import Prepared, prepare

if TYPE_CHECKING:
    from pymatgen.core import Structure

_MADE = "defectscout_relaxed_sha256"
"""On a relaxed crystal in AiiDA: hash of the file that `collect` has made of it."""

_VOLUME = 1e-3
"""Relative difference in volume up to which a file holds the crystal that AiiDA has: what its digits leave."""


def remember_relaxed(folder: Path, node: orm.WorkChainNode) -> None:
    """Have AiiDA know the file with the relaxed crystal again when a search in it is submitted."""
    content = (folder / RELAXED_NAME).read_bytes()
    node.outputs.relaxed.base.extras.set(_MADE, hashlib.sha256(content).hexdigest())


def host_node(
    campaign: Campaign, prepared: Prepared, snapshot: orm.FolderData, progress: Progress
) -> orm.StructureData:
    """The pristine supercell of a search: from its own relaxation, where that ran through this profile.

    Args:
        campaign: the open campaign.
        prepared: its host and defects.
        snapshot: the campaign as a node.
        progress: told where the supercell cannot be had so.
    """
    digest = campaign.source.sha256
    query = orm.QueryBuilder().append(orm.StructureData, filters={f"extras.{_MADE}": digest}, project="*")
    relaxed = query.first(flat=True) if digest else None
    if relaxed is None:
        return _supercell_node(prepared)
    results, node = supercell_of.run_get_node(relaxed=relaxed, campaign=snapshot)
    if node.is_finished_ok:
        found: orm.StructureData = results
        return found
    progress.warn(f"The provenance of this search does not go back to the relaxation of its host: {node.exit_message}.")
    return _supercell_node(prepared)


def _supercell_node(prepared: Prepared) -> orm.StructureData:
    return to_node(prepared.defects[0].bulk, prepared.host.formula)


@calcfunction
def supercell_of(relaxed: orm.StructureData, campaign: orm.FolderData) -> orm.StructureData | ExitCode:
    """The pristine supercell that a campaign has made of a relaxed crystal."""
    with unpacked(campaign) as folder:
        try:
            with reopen_campaign(folder) as opened:
                prepared = prepare(opened, SilentProgress())
        except DefectscoutError as error:
            return ExitCode(REFUSED, str(error))
    try:
        _check_same_crystal(to_atoms(relaxed), prepared.host.primitive)
    except CalculationError as error:
        return ExitCode(OTHER_HOST, str(error))
    return _supercell_node(prepared)


def _check_same_crystal(relaxed: Atoms, primitive: Structure) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from defectscout.sampling.geometry import to_structure

    known = to_structure(relaxed)
    change = (known.volume / len(known)) / (primitive.volume / len(primitive)) - 1
    if abs(change) > _VOLUME or not StructureMatcher(scale=False).fit(known, primitive):
        raise CalculationError(
            f"the campaign's host is no longer the crystal that was relaxed (volume {100 * -change:+.2f} %): its cell "
            "was relaxed again, or changed"
        )
