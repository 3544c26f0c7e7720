"""From a campaign's snapshot to candidates, and from their relaxations to ground states, recorded by AiiDA."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction

from defectscout.core.errors import DefectscoutError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.aiida.data import folder_node, to_atoms, to_node, unpack, unpacked
from defectscout.workflow.aiida.functions import OTHER_HOST, REFUSED
from defectscout.workflow.aiida.links import candidate_key, defect_keys
from defectscout.workflow.aiida.snapshots import (
    FILES,
    Method,
    collect_into,
    newest_candidates,
    open_tasks,
    place_of,
    runs_as_data,
)
from defectscout.workflow.aiida.tasks import task_from_dict, task_to_dict
from defectscout.workflow.campaign import reopen_campaign
from defectscout.workflow.exports import summary_json


def method_of(settings: Mapping[str, Any]) -> Method:
    """The engine and its settings, as a search is given them."""
    return Method(settings["engine"], settings["preset"], settings.get("preset_text", ""))


@calcfunction
def candidates_of(
    campaign: orm.FolderData, host: orm.StructureData, settings: orm.Dict, defects: orm.List
) -> Mapping[str, Any] | ExitCode:
    """Structure and task of each candidate of some defects of a snapshot that has no finished relaxation.

    AiiDA's cost of a process grows with the square of the number of its links, so that a large search asks for a few
    defects at a time.

    Outputs `structures.d000_c000`, `tasks.d000_c000`, ...; none if there is nothing left to do.
    """
    with unpacked(campaign) as folder:
        try:
            with reopen_campaign(folder) as opened:
                prepared, found = open_tasks(opened, method_of(settings.get_dict()), defects.get_list())
            if settings.get_dict().get("newest_round"):
                newest = newest_candidates(folder)
                found = [item for item in found if item[0].candidate in newest.get(item[0].defect, ())]
        except DefectscoutError as error:
            return ExitCode(REFUSED, str(error))
    known, given = prepared.defects[0].bulk, to_atoms(host)
    if len(known) != len(given) or not np.allclose(known.cell.array, given.cell.array, atol=1e-6):
        return ExitCode(OTHER_HOST, f"the host {given.get_chemical_formula()} is not that of the campaign")
    places = {defect.label: number for number, defect in enumerate(prepared.defects)}
    outputs: dict[str, dict[str, Any]] = {"structures": {}, "tasks": {}}
    seen: Counter[str] = Counter()
    for task, atoms in found:
        key = candidate_key(places[task.defect], seen[task.defect])
        seen[task.defect] += 1
        outputs["structures"][key] = to_node(atoms, task.title)
        outputs["tasks"][key] = orm.Dict(task_to_dict(task))
    return outputs if found else {}


@calcfunction
def gathered(**nodes: Any) -> orm.FolderData:
    """What the relaxations of a defect have left, in one folder with the layout of runs by hand.

    Args:
        nodes: `tasks`, `files` and `retrieved`, each by the candidate's name.
    """
    files, retrieved = nodes.get("files", {}), nodes.get("retrieved", {})
    with TemporaryDirectory(prefix="defectscout-") as name:
        inputs = Path(name)
        for key, task in nodes["tasks"].items():
            unpack([files.get(key), retrieved.get(key)], place_of(inputs, task_from_dict(task.get_dict())))
        return folder_node(inputs)


@calcfunction
def collected(campaign: orm.FolderData, settings: orm.Dict, **nodes: Any) -> Mapping[str, Any] | ExitCode:
    """The answer of a search, read from what its relaxations have left.

    Args:
        campaign: snapshot with the candidates.
        settings: of the search.
        nodes: `defects`, a folder of each, see `gathered`.

    Returns:
        The new snapshot, `results`, and the ground state of each defect that has one.
    """
    with unpacked(campaign) as folder, unpacked(*nodes.get("defects", {}).values()) as inputs:
        try:
            found = collect_into(folder, inputs, method_of(settings.get_dict()), SilentProgress())
        except DefectscoutError as error:
            return ExitCode(REFUSED, str(error))
        snapshot = folder_node(folder, FILES)
    content = json.loads(summary_json(found.result))
    content.pop("folder")
    content["relaxations"] = runs_as_data(found.runs)
    keys = defect_keys(tuple(found.result.defects))
    states = {
        keys[label]: to_node(item.ground_state.minimum.atoms, f"{label} ground state")
        for label, item in found.result.defects.items()
        if item.minima
    }
    outputs: dict[str, Any] = {"campaign": snapshot, "results": orm.Dict(content)}
    if states:
        outputs["ground_states"] = states
    return outputs
