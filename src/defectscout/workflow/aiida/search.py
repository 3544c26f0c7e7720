"""A whole search as one workflow: scouting, candidates, their relaxations, the answer."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, WorkChain, while_

from defectscout.workflow.aiida.answers import candidates_of, collected, gathered
from defectscout.workflow.aiida.data import unpacked
from defectscout.workflow.aiida.graph import candidates_made, folders_gathered, relaxations_of
from defectscout.workflow.aiida.lanes import RelaxationLane
from defectscout.workflow.aiida.restarts import DEFAULT_ITERATIONS
from defectscout.workflow.aiida.scouting import ScoutingCalculation, job_inputs
from defectscout.workflow.aiida.snapshots import defect_labels, is_scouted

DEFECTS_AT_ONCE = 4
"""Defects whose candidates are made in one step; see `candidates_of`."""

MAX_SCOUTING = 10
"""Jobs that scouting may take, each going on where the one before was cut short."""


class SearchWorkChain(WorkChain):
    """From a campaign's snapshot to the ground states of its defects.

    Relaxations run in lanes, as many as may run at once. One that fails is counted and said, and stops nothing.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Inputs, outline, outputs and the ways in which it ends."""
        super().define(spec)
        spec.input("campaign", valid_type=orm.FolderData, help="Snapshot of a campaign with sampling structures.")
        spec.input("host", valid_type=orm.StructureData, help="The pristine supercell of its defects.")
        spec.input("code", valid_type=orm.AbstractCode, help="The DFT code.")
        spec.input("settings", valid_type=orm.Dict, help="engine, preset, preset_text, max_concurrent, max_iterations.")
        spec.input("options", valid_type=orm.Dict, required=False, help="Options of each job of the DFT code.")
        spec.input("scouting_code", valid_type=orm.AbstractCode, required=False, help="defectscout itself.")
        spec.input("scouting_options", valid_type=orm.Dict, required=False, help="Options of a job that scouts.")
        spec.input("surrogate", valid_type=orm.FolderData, required=False, help="Weights to be taken along.")
        spec.outline(
            cls.begin,
            while_(cls.is_to_be_scouted)(cls.scout, cls.inspect_scouting),
            cls.look,
            while_(cls.are_defects_left)(cls.choose),
            cls.relax,
            cls.look,
            while_(cls.are_defects_left)(cls.gather),
            cls.collect,
        )
        spec.output("campaign", valid_type=orm.FolderData, help="Snapshot with all that has come.")
        spec.output(
            "results", valid_type=orm.Dict, help="The answer as in summary.json, and how each candidate stands."
        )
        spec.output_namespace("ground_states", valid_type=orm.StructureData, dynamic=True)
        spec.exit_code(
            310, "ERROR_NOT_SCOUTED", message="The campaign has to be scouted, and no scouting_code is given."
        )
        spec.exit_code(320, "ERROR_SCOUTING", message="Scouting failed: {reason}")
        spec.exit_code(330, "ERROR_NO_CANDIDATES", message="The candidates cannot be had: {reason}")
        spec.exit_code(340, "ERROR_NOT_COLLECTED", message="What came of the relaxations cannot be read: {reason}")
        spec.exit_code(400, "ERROR_NO_ANSWER", message="No relaxation of {defects} has given a structure.")

    def begin(self) -> ExitCode | None:
        """See what has been done."""
        self.ctx.campaign = self.inputs.campaign
        self.ctx.n_scouting = 0
        with unpacked(self.ctx.campaign) as folder:
            self.ctx.scouted = is_scouted(folder)
        if not self.ctx.scouted and "scouting_code" not in self.inputs:
            return self.exit_codes.ERROR_NOT_SCOUTED
        return None

    def is_to_be_scouted(self) -> bool:
        """Whether candidates are still to be found."""
        return not self.ctx.scouted

    def scout(self) -> ToContext:
        """One job of scouting, which goes on where the one before ended."""
        self.ctx.n_scouting += 1
        inputs = job_inputs(self.inputs, self.ctx.campaign, f"scouting_{self.ctx.n_scouting:02d}")
        return ToContext(scouting=self.submit(ScoutingCalculation, **inputs))

    def inspect_scouting(self) -> ExitCode | None:
        """Whether the candidates are there, or another job has to go on."""
        job = self.ctx.scouting
        if "campaign" in job.outputs:
            self.ctx.campaign = job.outputs.campaign
        if job.is_finished_ok:
            self.ctx.scouted = True
            return None
        reason = job.exit_message or f"{job.process_label}<{job.pk}> is {job.process_state.value}"
        unfinished = job.exit_status in (
            ScoutingCalculation.exit_codes.ERROR_UNFINISHED.status,
            ScoutingCalculation.exit_codes.ERROR_NO_OUTPUT.status,
        )
        if unfinished and self.ctx.n_scouting < MAX_SCOUTING:
            self.report(f"scouting goes on: {reason}")
            return None
        return self.exit_codes.ERROR_SCOUTING.format(reason=reason)

    def look(self) -> None:
        """Begin a round over the defects."""
        with unpacked(self.ctx.campaign) as folder:
            self.ctx.defects = list(defect_labels(folder))

    def are_defects_left(self) -> bool:
        """Whether the round goes on."""
        return bool(self.ctx.defects)

    def choose(self) -> ExitCode | None:
        """One structure and one task for each candidate of the next few defects."""
        defects, self.ctx.defects = self.ctx.defects[:DEFECTS_AT_ONCE], self.ctx.defects[DEFECTS_AT_ONCE:]
        _, node = candidates_of.run_get_node(
            campaign=self.ctx.campaign,
            host=self.inputs.host,
            settings=self.inputs.settings,
            defects=orm.List(defects),
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_NO_CANDIDATES.format(reason=node.exit_message or "see verdi process report")
        return None

    def relax(self) -> ToContext:
        """Share the candidates out among the lanes, as cards are dealt: those of one defect go to different lanes."""
        candidates = candidates_made(self.node)
        settings = self.inputs.settings.get_dict()
        n_lanes = min(len(candidates), max(1, int(settings["max_concurrent"])))
        lanes = {}
        for number in range(n_lanes):
            inputs = {
                "candidates": orm.List([list(item) for item in candidates[number::n_lanes]]),
                "code": self.inputs.code,
                "max_iterations": orm.Int(settings.get("max_iterations", DEFAULT_ITERATIONS)),
                "metadata": {"call_link_label": f"lane_{number:03d}"},
            }
            if "options" in self.inputs:
                inputs["options"] = self.inputs.options
            lanes[f"lane_{number:03d}"] = self.submit(RelaxationLane, **inputs)
        self.report(f"{len(candidates)} candidates, at most {n_lanes} at once")
        return ToContext(**lanes)

    def gather(self) -> None:
        """What the relaxations of the next defect have left."""
        label, self.ctx.defects = self.ctx.defects[0], self.ctx.defects[1:]
        found = relaxations_of(self.node, label)
        if not found:
            return
        nodes = {
            "tasks": {item.key: item.task for item in found},
            "files": {item.key: item.files for item in found if item.files is not None},
            "retrieved": {item.key: item.retrieved for item in found if item.retrieved is not None},
        }
        gathered(**{name: values for name, values in nodes.items() if values})

    def collect(self) -> ExitCode | None:
        """Read all of it."""
        folders = {f"defect_{number:03d}": node for number, node in enumerate(folders_gathered(self.node))}
        _, node = collected.run_get_node(
            campaign=self.ctx.campaign,
            settings=self.inputs.settings,
            **({"defects": folders} if folders else {}),
        )
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_NOT_COLLECTED.format(reason=node.exit_message or "see verdi process report")
        self.out("campaign", node.outputs.campaign)
        self.out("results", node.outputs.results)
        if "ground_states" in node.outputs:
            self.out("ground_states", dict(node.outputs.ground_states.items()))
        content = node.outputs.results.get_dict()
        missing = [label for label, item in content["defects"].items() if not item["minima"]]
        if missing and len(missing) == len(content["defects"]):
            return self.exit_codes.ERROR_NO_ANSWER.format(defects=", ".join(missing))
        return None
