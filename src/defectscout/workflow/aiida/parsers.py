"""What came back from a job."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser

from defectscout.core.errors import DefectscoutError
from defectscout.references.engines.base import Diagnosis, RunState
from defectscout.workflow.aiida.data import folder_node, to_atoms, to_node, unpacked
from defectscout.workflow.aiida.scouting import OUTPUT
from defectscout.workflow.aiida.snapshots import FILES, is_scouted, n_rounds, rename_surrogate, surrogate_name
from defectscout.workflow.aiida.tasks import RelaxationTask, in_given_order, runnable_engine, task_from_dict
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.outputs import Output, read_output

_OUT_OF_MEMORY = 110
"""AiiDA's exit status where the queue says so."""


class RelaxationParser(Parser):
    """Reads a relaxation with its engine's own eyes: how it stands, its ionic steps, its last structure."""

    def parse(self, **kwargs: object) -> ExitCode:
        """Outputs and exit code; bad output is never an exception."""
        task = task_from_dict(self.node.inputs.task.get_dict())
        out_of_memory = self.node.exit_status == _OUT_OF_MEMORY
        with unpacked(self.node.inputs.files, self.retrieved) as folder:
            diagnosis = runnable_engine(task.engine).diagnose(folder)
            try:
                output = read_output(folder)
                if output is not None and output.steps:
                    self._steps(task, output)
            except (DefectscoutError, ValueError, ArithmeticError, LookupError) as error:
                reason = " ".join(str(error).replace(str(folder), ".").split())
                self.out("summary", orm.Dict(_summary(Diagnosis(RunState.FAILED, reason), None)))
                return self._exit("ERROR_UNREADABLE", diagnosis=Diagnosis(RunState.FAILED, reason))
            if diagnosis.state is RunState.FINISHED and (output is None or not output.steps):
                note = output.notes[-1] if output is not None and output.notes else "there are none"
                diagnosis = Diagnosis(RunState.FAILED, f"none of its ionic steps can be used ({note})")
            self.out("summary", orm.Dict(_summary(diagnosis, output)))
        if out_of_memory and diagnosis.state is not RunState.FINISHED:
            return self._exit("ERROR_OUT_OF_MEMORY", diagnosis)
        return self._exit(_exit_label(diagnosis), diagnosis)

    def _exit(self, label: str, diagnosis: Diagnosis) -> ExitCode:
        if not label:
            return ExitCode(0)
        code: ExitCode = self.exit_codes[label]
        reason = diagnosis.reason or "nothing is known of why"
        return code.format(reason=reason, remedy=diagnosis.remedy)

    def _steps(self, task: RelaxationTask, output: Output) -> None:
        start = to_atoms(self.node.inputs.structure)
        last = output.steps[-1][1].atoms
        order = in_given_order(start, last, task)
        self.out("relaxed", to_node(last[order], task.title))
        steps = [step for _, step in output.steps]
        node = orm.TrajectoryData()
        node.set_trajectory(
            symbols=start.get_chemical_symbols(),
            positions=np.array([step.atoms.positions[order] for step in steps]),
            stepids=np.array([number for number, _ in output.steps]),
            cells=np.array([step.atoms.cell.array for step in steps]),
            pbc=(True, True, True),
        )
        node.set_array("energies", np.array([step.energy for step in steps]))
        node.set_array("forces", np.array([step.forces[order] for step in steps]))
        self.out("trajectory", node)


def _exit_label(diagnosis: Diagnosis) -> str:
    """Name of the exit code; empty for none."""
    if diagnosis.state is RunState.FAILED:
        return "ERROR_FAILED_WITH_REMEDY" if diagnosis.remedy else "ERROR_FAILED"
    return {
        RunState.FINISHED: "",
        RunState.NOT_RUN: "ERROR_NO_OUTPUT",
        RunState.RUNNING: "ERROR_INTERRUPTED",
        RunState.UNFINISHED: "ERROR_UNFINISHED",
    }[diagnosis.state]


def _summary(diagnosis: Diagnosis, output: Output | None) -> dict[str, object]:
    last = output.steps[-1][1] if output is not None and output.steps else None
    return {
        "state": diagnosis.state.value,
        "reason": diagnosis.reason,
        "remedy": diagnosis.remedy,
        "steps": output.taken if output is not None else 0,
        "fmax": last.fmax if last is not None else None,
        "energy": float(last.energy) if last is not None else None,
        "method": output.method if output is not None else "",
        "notes": list(output.notes) if output is not None else [],
    }


class ScoutingParser(Parser):
    """Takes what was scouted back, finished or not."""

    @staticmethod
    def _is_done(folder: Path, before: Path) -> bool:
        return is_scouted(folder)

    def parse(self, **kwargs: object) -> ExitCode:
        """The snapshot, and whether the candidates are chosen."""
        names = self.retrieved.base.repository.list_object_names()
        said = ""
        if OUTPUT in names:
            said = " ".join(self.retrieved.base.repository.get_object_content(OUTPUT).split())[-400:]
        if RECORD_NAME not in names:
            self.logger.warning(said)
            return self.exit_codes.ERROR_NO_OUTPUT
        with unpacked(self.retrieved) as folder, unpacked(self.node.inputs.campaign) as before:
            try:
                rename_surrogate(folder, surrogate_name(before))
                done = self._is_done(folder, before)
            except (DefectscoutError, ValueError, LookupError, sqlite3.Error) as error:
                self.logger.warning(str(error))
                return self.exit_codes.ERROR_NO_OUTPUT
            self.out("campaign", folder_node(folder, FILES))
        if done:
            return ExitCode(0)
        code = self.exit_codes.ERROR_FAILED if "Error:" in said else self.exit_codes.ERROR_UNFINISHED
        return code.format(reason=said[said.find("Error:") :] if "Error:" in said else "see its output")


class LearningParser(ScoutingParser):
    """Takes what was learned back, finished or not."""

    @staticmethod
    def _is_done(folder: Path, before: Path) -> bool:
        return n_rounds(folder) > n_rounds(before)
