"""Scouting and learning as jobs: `defectscout` itself on a computer with a queue, such as one with GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from defectscout.workflow.aiida.data import unpack
from defectscout.workflow.aiida.options import default_options
from defectscout.workflow.aiida.snapshots import rename_surrogate, surrogate_name
from defectscout.workflow.aiida.weights import FOLDER, name_there
from defectscout.workflow.campaign import LEARNING_FOLDER, RECORD_NAME

CAMPAIGN = "campaign"
"""Folder of the campaign on the computer."""

OUTPUT = "defectscout.out"


def job_inputs(search: Mapping[str, Any], campaign: orm.FolderData, link: str) -> dict[str, Any]:
    """Inputs of a job of `defectscout` itself.

    Args:
        search: inputs of the work chain: scouting_code, and where they are given scouting_options and surrogate.
        campaign: snapshot that it goes on with.
        link: name of the link to the job.
    """
    options = search["scouting_options"].get_dict() if "scouting_options" in search else {}
    inputs = {
        "campaign": campaign,
        "code": search["scouting_code"],
        "metadata": {"options": options, "call_link_label": link},
    }
    return {**inputs, "surrogate": search["surrogate"]} if "surrogate" in search else inputs


class ScoutingCalculation(CalcJob):
    """Scouts the sampling structures of a campaign and chooses its candidates; one that was cut short goes on."""

    _COMMAND: ClassVar[tuple[str, ...]] = ("candidates", CAMPAIGN, "--quiet")
    _PARSER: ClassVar[str] = "defectscout.scouting"
    _FOLDERS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Inputs, outputs and the ways in which it ends."""
        super().define(spec)
        spec.input("campaign", valid_type=orm.FolderData, help="Snapshot of a campaign.")
        spec.input(
            "surrogate", valid_type=orm.FolderData, required=False, help="Weights that the computer does not have."
        )
        options = spec.inputs["metadata"]["options"]
        options["resources"].default = default_options()["resources"]
        options["parser_name"].default = cls._PARSER
        options["withmpi"].default = False
        spec.output("campaign", valid_type=orm.FolderData, required=False, help="Snapshot with what was scouted.")
        spec.exit_code(310, "ERROR_NO_OUTPUT", message="No record of the campaign came back.")
        spec.exit_code(400, "ERROR_UNFINISHED", message="It ended before all was scouted: {reason}")
        spec.exit_code(410, "ERROR_FAILED", message="It failed: {reason}")

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """The snapshot, the weights, and the command."""
        target = Path(folder.abspath) / CAMPAIGN
        unpack([self.inputs.campaign], target)
        if "surrogate" in self.inputs:
            rename_surrogate(target, name_there(surrogate_name(target)))
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = list(self._COMMAND)
        code.stdout_name = OUTPUT
        code.join_files = True
        info = CalcInfo()
        info.codes_info = [code]
        # With a journal beside it, where the job was killed in the middle of a write.
        info.retrieve_list = [OUTPUT, (f"{CAMPAIGN}/{RECORD_NAME}*", ".", 0), (f"{CAMPAIGN}/settings.toml", ".", 0)]
        info.retrieve_list += [(f"{CAMPAIGN}/{name}", ".", 0) for name in self._FOLDERS]
        info.local_copy_list, info.remote_copy_list, info.remote_symlink_list = [], [], []
        if "surrogate" in self.inputs:
            info.local_copy_list = [(self.inputs.surrogate.uuid, ".", FOLDER)]
        # The snapshot is an input node already, but for the surrogate's name.
        files = (path for path in target.rglob("*") if path.is_file())
        info.provenance_exclude_list = [path.relative_to(folder.abspath).as_posix() for path in files]
        return info


class LearningCalculation(ScoutingCalculation):
    """Tunes the surrogate of a campaign on what has been relaxed, and scouts again; one that was cut short goes on."""

    _COMMAND = ("learn", CAMPAIGN, "--no-inputs", "--quiet")
    _PARSER = "defectscout.learning"
    _FOLDERS = (LEARNING_FOLDER,)
