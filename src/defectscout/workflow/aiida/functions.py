"""What happens between jobs, recorded by AiiDA: inputs are written, and prepared to go on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from defectscout.core.errors import DefectscoutError
from defectscout.references.engines.base import RunState
from defectscout.workflow.aiida.data import folder_node, to_atoms, unpacked
from defectscout.workflow.aiida.tasks import (
    leave_out,
    runnable_engine,
    task_from_dict,
    usable_preset,
    write_task,
)

NOTHING_TO_GO_ON_FROM = 10
NO_REMEDY = 11
REFUSED = 12
OTHER_HOST = 13
"""Exit statuses of functions that AiiDA records, here and in `answers` and `host_supercells`."""


@calcfunction
def write_inputs(structure: orm.StructureData, task: orm.Dict) -> orm.FolderData | ExitCode:
    """The engine's input files of a task, without those that may not be stored."""
    asked = task_from_dict(task.get_dict())
    with TemporaryDirectory(prefix="defectscout-") as name:
        folder = Path(name) / "inputs"
        try:
            write_task(folder, to_atoms(structure), asked)
            leave_out(folder, asked)
        except DefectscoutError as error:
            return ExitCode(REFUSED, str(error))
        return folder_node(folder)


@calcfunction
def continued_inputs(files: orm.FolderData, retrieved: orm.FolderData, task: orm.Dict) -> orm.FolderData | ExitCode:
    """Input files that go on from where a job has come, what failed mended, as `defectscout restart` does it.

    What the job before was given and gave is in them under a number.
    """
    asked = task_from_dict(task.get_dict())
    engine = runnable_engine(asked.engine)
    with unpacked(files, retrieved) as folder, usable_preset(asked.preset, asked.preset_text) as preset:
        if engine.diagnose(folder).state is RunState.NOT_RUN:
            return ExitCode(NOTHING_TO_GO_ON_FROM, "the job has left no output")
        try:
            engine.go_on(folder, preset)
        except DefectscoutError as error:
            return ExitCode(NO_REMEDY, str(error))
        return folder_node(folder)
