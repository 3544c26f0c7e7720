"""One relaxation with a DFT code as a job of AiiDA's."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from aiida import orm
from aiida.common import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from defectscout.workflow.aiida.data import to_atoms, unpack
from defectscout.workflow.aiida.options import default_options
from defectscout.workflow.aiida.tasks import put_back, runnable_engine, task_from_dict

SHARE_OF_WALLTIME = 0.95
"""After which a program is told to end: what is left is for writing its files."""


class RelaxationCalculation(CalcJob):
    """A relaxation whose input files an engine of defectscout has written.

    The same files as by hand go to the computer, but for those of earlier runs; what may not be stored (`POTCAR`) is
    made on the way and kept out of the provenance.
    """

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Inputs, outputs and the ways in which it ends."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="What the first input was written for.")
        spec.input("files", valid_type=orm.FolderData, help="The engine's input files.")
        spec.input("task", valid_type=orm.Dict, help="Engine, settings, charge, spin and what it is.")
        spec.input(
            "parent_folder",
            valid_type=orm.RemoteData,
            required=False,
            help="Where the run before it ran: its wavefunction is taken, if it is still there.",
        )
        options = spec.inputs["metadata"]["options"]
        options["resources"].default = default_options()["resources"]
        options["parser_name"].default = "defectscout.relaxation"
        spec.inputs.validator = validate
        spec.output("relaxed", valid_type=orm.StructureData, required=False, help="The last structure with an energy.")
        spec.output(
            "trajectory", valid_type=orm.TrajectoryData, required=False, help="Ionic steps; energies eV, forces eV/Å."
        )
        spec.output("summary", valid_type=orm.Dict, required=False, help="How it stands, and why.")
        spec.exit_code(310, "ERROR_NO_OUTPUT", message="There is no output: {reason}")
        spec.exit_code(320, "ERROR_UNREADABLE", message="The output cannot be read: {reason}")
        spec.exit_code(400, "ERROR_UNFINISHED", message="It ended early: {reason}")
        spec.exit_code(410, "ERROR_INTERRUPTED", message="It was killed, or its machine failed: {reason}")
        spec.exit_code(420, "ERROR_FAILED_WITH_REMEDY", message="It failed: {reason}; remedy: {remedy}")
        spec.exit_code(430, "ERROR_FAILED", message="It failed: {reason}")
        spec.exit_code(440, "ERROR_OUT_OF_MEMORY", message="It ran out of memory: ask for more in the job's options")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the files that go to the computer, and say how it is run there."""
        task = task_from_dict(self.inputs.task.get_dict())
        engine = runnable_engine(task.engine)
        execution = engine.execution
        with TemporaryDirectory(prefix="defectscout-") as name:
            made = Path(name)
            unpack([self.inputs.files], made, without=execution.history)
            secret = put_back(made, to_atoms(self.inputs.structure), task)
            walltime = self.inputs.metadata.options.get("max_wallclock_seconds")
            if walltime:
                engine.end_in_time(made, SHARE_OF_WALLTIME * walltime)
            for path in sorted(made.rglob("*")):
                target = Path(folder.abspath) / path.relative_to(made)
                if path.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    target.write_bytes(path.read_bytes())
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = list(execution.arguments)
        code.stdout_name = execution.stdout
        code.stderr_name = execution.stderr
        if execution.stdin:
            code.stdin_name = execution.stdin
        info = CalcInfo()
        info.codes_info = [code]
        info.retrieve_list = list(execution.retrieve)
        info.local_copy_list, info.remote_copy_list, info.remote_symlink_list = [], [], []
        info.provenance_exclude_list = list(secret)
        if "parent_folder" in self.inputs and execution.carry:
            info.prepend_text = carrying(self.inputs.parent_folder.get_remote_path(), execution.carry)
        return info


def carrying(remote_path: str, names: tuple[str, ...]) -> str:
    """Lines of a job script that copy files from where the run before ran; where one is gone, nothing happens.

    AiiDA's own way to copy them stops the job, after many attempts, where one is missing.
    """
    copies = [f"cp -rp {shlex.quote(str(PurePosixPath(remote_path) / name))} . 2>/dev/null || true" for name in names]
    return "\n".join(["# from the run before, what is still there", *copies])


def validate(inputs: object, _: object) -> str | None:
    """Whether the task can be run at all."""
    from aiida.engine.processes.calcjobs.calcjob import validate_calc_job

    from defectscout.core.errors import DefectscoutError

    problem = validate_calc_job(inputs, _)
    if problem:
        return str(problem)
    try:
        runnable_engine(task_from_dict(inputs["task"].get_dict()).engine)  # type: ignore[index]
    except (KeyError, ValueError, DefectscoutError) as error:
        return f"task: {error}"
    return None
