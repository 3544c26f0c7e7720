"""One relaxation after the other: as many of these as relaxations may run at once."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec, ToContext, WorkChain, while_

from defectscout.workflow.aiida.restarts import DEFAULT_ITERATIONS, RelaxationWorkChain


class RelaxationLane(WorkChain):
    """Relaxes candidates, each when the one before has ended in whatever way.

    Structures and tasks are inputs of the relaxations alone, and named here by their UUIDs: the cost of a process grows
    with the square of the number of its links.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Inputs and outline."""
        super().define(spec)
        spec.input("candidates", valid_type=orm.List, help="Name of each, and UUIDs of its structure and its task.")
        spec.input("code", valid_type=orm.AbstractCode)
        spec.input("options", valid_type=orm.Dict, required=False)
        spec.input("max_iterations", valid_type=orm.Int, default=lambda: orm.Int(DEFAULT_ITERATIONS))
        spec.outline(cls.begin, while_(cls.are_some_left)(cls.relax))

    def begin(self) -> None:
        """Start with the first."""
        self.ctx.number = 0

    def are_some_left(self) -> bool:
        """Whether there is one more."""
        return bool(self.ctx.number < len(self.inputs.candidates.get_list()))

    def relax(self) -> ToContext:
        """The next one."""
        key, structure_uuid, task_uuid = self.inputs.candidates.get_list()[self.ctx.number]
        self.ctx.number += 1
        structure = orm.load_node(structure_uuid)
        inputs = {
            "structure": structure,
            "task": orm.load_node(task_uuid),
            "code": self.inputs.code,
            "max_iterations": self.inputs.max_iterations,
            "metadata": {"label": structure.label, "call_link_label": key},
        }
        if "options" in self.inputs:
            inputs["options"] = self.inputs.options
        return ToContext(last=self.submit(RelaxationWorkChain, **inputs))
