"""A relaxation until it has finished: run again where it ended early, failed or was lost."""

from __future__ import annotations

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import BaseRestartWorkChain, ExitCode, ProcessHandlerReport, ProcessSpec, process_handler, while_

from defectscout.workflow.aiida.functions import NO_REMEDY, NOTHING_TO_GO_ON_FROM, continued_inputs, write_inputs
from defectscout.workflow.aiida.relaxation import RelaxationCalculation

DEFAULT_ITERATIONS = 10
_CODES = RelaxationCalculation.exit_codes


class RelaxationWorkChain(BaseRestartWorkChain):
    """Relaxes a structure, in as many jobs as it takes.

    What a job leaves decides what comes next, as `defectscout restart` decides it for runs by hand. Trouble in
    reaching the computer is AiiDA's to handle: it tries again ever less often, and then pauses the job.
    """

    _process_class = RelaxationCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Inputs, outline and outputs."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData)
        spec.input("task", valid_type=orm.Dict)
        spec.input("code", valid_type=orm.AbstractCode)
        spec.input("options", valid_type=orm.Dict, required=False, help="Options of each job.")
        spec.inputs["max_iterations"].default = lambda: orm.Int(DEFAULT_ITERATIONS)
        spec.outline(
            cls.setup,
            cls.write,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.expose_outputs(RelaxationCalculation, include=("relaxed", "trajectory", "summary", "retrieved"))
        spec.outputs["retrieved"].required = False
        spec.exit_code(310, "ERROR_NO_INPUT", message="The input cannot be written: {reason}")
        spec.exit_code(320, "ERROR_FAILED", message="{reason}")

    def write(self) -> ExitCode | None:
        """Write the first input."""
        _, node = write_inputs.run_get_node(structure=self.inputs.structure, task=self.inputs.task)
        if not node.is_finished_ok:
            reason = node.exit_message or "see verdi process report"
            return self.exit_codes.ERROR_NO_INPUT.format(reason=reason)
        self.ctx.inputs = AttributeDict(
            {
                "structure": self.inputs.structure,
                "task": self.inputs.task,
                "code": self.inputs.code,
                "files": node.outputs.result,
                "metadata": {"options": self.inputs.options.get_dict() if "options" in self.inputs else {}},
            }
        )
        if self.inputs.structure.label:
            self.ctx.inputs.metadata["label"] = self.inputs.structure.label
        return None

    @process_handler(
        priority=500,
        exit_codes=[
            _CODES.ERROR_UNFINISHED,
            _CODES.ERROR_INTERRUPTED,
            _CODES.ERROR_FAILED_WITH_REMEDY,
        ],
    )
    def handle_early_end(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from where it has come, with the remedy if it failed."""
        results, node = continued_inputs.run_get_node(
            files=calculation.inputs.files, retrieved=calculation.outputs.retrieved, task=self.inputs.task
        )
        if node.exit_status == NOTHING_TO_GO_ON_FROM:
            return self._as_it_was(calculation)
        if node.exit_status == NO_REMEDY:
            return ProcessHandlerReport(True, self.exit_codes.ERROR_FAILED.format(reason=node.exit_message))
        self.ctx.inputs.files = results
        if "remote_folder" in calculation.outputs:
            self.ctx.inputs.parent_folder = calculation.outputs.remote_folder
        self.report(f"{calculation.exit_message}. It goes on")
        return ProcessHandlerReport(True)

    @process_handler(priority=400, exit_codes=[_CODES.ERROR_NO_OUTPUT, _CODES.ERROR_NO_RETRIEVED_FOLDER])
    def handle_lost(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """A job that left nothing was lost: it runs again as it was."""
        return self._as_it_was(calculation)

    @process_handler(
        priority=300, exit_codes=[_CODES.ERROR_FAILED, _CODES.ERROR_UNREADABLE, _CODES.ERROR_OUT_OF_MEMORY]
    )
    def handle_failed(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """To go on would end the same way."""
        return ProcessHandlerReport(True, self.exit_codes.ERROR_FAILED.format(reason=calculation.exit_message))

    def _as_it_was(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        self.report(f"{calculation.process_label}<{calculation.pk}> left no output and runs again as it was")
        return ProcessHandlerReport(True)

    def inspect_process(self) -> ExitCode | None:
        """As the base class has it; what there is comes out also where it ends in failure."""
        code: ExitCode | None = super().inspect_process()
        if code is not None and code.status:
            self._attach_outputs(self.ctx.children[self.ctx.iteration - 1])
        return code
