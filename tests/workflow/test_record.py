"""The record: what is written is read back to the last digit, also after a crash."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect

from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.record import Record, TaskKey

KEY = TaskKey("reference", "v_Cd_0", "Dimer")


def _checkpoint(atoms: Atoms, step: int, seed: int = 0) -> Checkpoint:
    random = np.random.default_rng(seed + step)
    moved = atoms.copy()
    moved.positions += random.normal(size=(len(atoms), 3))
    prediction = Prediction(float(random.normal()), random.normal(size=(len(atoms), 3)), random.normal(size=6))
    optimiser = FireState(random.normal(size=(len(atoms), 3)), 0.1234567890123, 0.1, 3)
    return Checkpoint(Frame(moved, prediction, step), optimiser, initial_energy=-1.5)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "campaign.db")


@pytest.fixture
def atoms() -> Atoms:
    return bulk("CdTe", "zincblende", a=6.5, cubic=True)


def test_checkpoint_comes_back_bit_for_bit(record: Record, atoms: Atoms) -> None:
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms)])
    written = _checkpoint(atoms, 4)
    record.write_steps([(KEY, written)], seconds=2.0)
    (task,) = Record(record.path).tasks("reference")
    assert task.state is RelaxationState.RUNNING
    assert (task.evaluations, task.seconds, task.initial_energy) == (5, 2.0, -1.5)
    read = task.checkpoint
    assert read is not None
    np.testing.assert_array_equal(read.frame.atoms.positions, written.frame.atoms.positions)
    np.testing.assert_array_equal(read.frame.prediction.forces, written.frame.prediction.forces)
    np.testing.assert_array_equal(read.frame.prediction.stress, written.frame.prediction.stress)
    assert read.frame.prediction.energy == written.frame.prediction.energy
    assert isinstance(read.optimiser, FireState)
    assert isinstance(written.optimiser, FireState)
    np.testing.assert_array_equal(read.optimiser.velocities, written.optimiser.velocities)
    assert read.optimiser.dt == written.optimiser.dt
    np.testing.assert_array_equal(task.start.positions, atoms.positions)


def test_tasks_are_added_once(record: Record, atoms: Atoms) -> None:
    record.add_tasks("scout", "v_Cd_0", [("Unperturbed", atoms)])
    record.write_steps([(TaskKey("scout", "v_Cd_0", "Unperturbed"), _checkpoint(atoms, 0))], seconds=0.0)
    record.add_tasks("scout", "v_Cd_0", [("Unperturbed", atoms), ("Dimer", atoms)])
    assert [(task.key.label, task.evaluations) for task in record.tasks("scout")] == [("Unperturbed", 1), ("Dimer", 0)]


def test_frames_are_an_ase_database(record: Record, atoms: Atoms) -> None:
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms)])
    for step in range(12):
        record.write_steps([(KEY, _checkpoint(atoms, step))], seconds=0.0)
    frames = record.frames(KEY)
    assert [frame.step for frame in frames] == list(range(12))
    rows = list(connect(record.path).select(stage="reference", defect="v_Cd_0", label="Dimer", step=3))
    assert len(rows) == 1
    assert rows[0].energy == frames[3].prediction.energy
    np.testing.assert_allclose(rows[0].forces, frames[3].prediction.forces)


def test_a_step_is_written_whole_or_not_at_all(record: Record, atoms: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms)])
    record.write_steps([(KEY, _checkpoint(atoms, 0))], seconds=0.0)

    def fail(checkpoint: Checkpoint) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("defectscout.workflow.record._pack", fail)
    with pytest.raises(CampaignError, match="disk has room"):
        record.write_steps([(KEY, _checkpoint(atoms, 1))], seconds=0.0)
    monkeypatch.undo()
    again = Record(record.path)
    assert [frame.step for frame in again.frames(KEY)] == [0]
    assert again.tasks("reference")[0].evaluations == 1


def test_a_record_without_configurations_can_be_read(record: Record) -> None:
    assert record.tasks("scout") == []
    assert record.frames(KEY) == []


def test_labels_that_read_like_numbers(record: Record, atoms: Atoms) -> None:
    """As of a user's own files 1.cif and -0.6.cif, which `ase.db` refuses as texts."""
    labels = ["1", "-0.6", "nan", "true", "1e5"]
    record.add_tasks("scout", "v_Cd_0", [(label, atoms) for label in labels])
    key = TaskKey("scout", "v_Cd_0", "1")
    record.write_steps([(key, _checkpoint(atoms, 0))], seconds=0.0)
    assert [task.key.label for task in record.tasks("scout")] == labels
    assert len(record.frames(key)) == 1


def test_forgetting_frames_leaves_those_of_other_relaxations(record: Record, atoms: Atoms) -> None:
    other = TaskKey(KEY.stage, KEY.defect, "Unperturbed")
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms), (other.label, atoms)])
    for key in (KEY, other):
        record.write_steps([(key, _checkpoint(atoms, 0))], seconds=0.0)
    record.forget_frames(KEY)
    assert (len(record.frames(KEY)), len(record.frames(other))) == (0, 1)
    assert connect(record.path).count(stage="reference") == 1
    record.write_steps([(KEY, _checkpoint(atoms, 0))], seconds=0.0)  # as when it is collected again
    assert len(record.frames(KEY)) == 1


def test_forgetting_is_all_or_nothing(record: Record, atoms: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms)])
    record.write_steps([(KEY, _checkpoint(atoms, 0))], seconds=0.0)
    with pytest.raises(CampaignError, match="disk has room"):
        record.forget(["reference"], [object()])  # type: ignore[list-item] # fails after the stages are gone
    again = Record(record.path)
    assert len(again.tasks("reference")) == len(again.frames(KEY)) == 1


def test_a_large_campaign_is_read_quickly(record: Record, atoms: Atoms) -> None:
    """One query for a stage, whatever its size: opening the file for each row would take seconds."""
    for number in range(20):
        record.add_tasks("scout", f"v_{number}", [(f"start {index}", atoms) for index in range(15)])
    opened = 0
    connect_to = record._database._connect

    def counting() -> sqlite3.Connection:
        nonlocal opened
        opened += 1
        return connect_to()

    record._database._connect = counting
    assert len(record.tasks("scout")) == 300
    assert opened == 1


def test_finish_and_forget(record: Record, atoms: Atoms) -> None:
    record.add_tasks(KEY.stage, KEY.defect, [(KEY.label, atoms)])
    record.write_steps([(KEY, _checkpoint(atoms, 0))], seconds=0.0)
    record.finish(KEY, RelaxationState.FAILED, "no SCF convergence", 1)
    record.write_document("candidates", "{}")
    (task,) = record.tasks("reference")
    assert (task.state, task.reason) == (RelaxationState.FAILED, "no SCF convergence")
    record.forget(["reference"], ["candidates"])
    assert record.tasks("reference") == []
    assert record.read_document("candidates") is None
    assert connect(record.path).count() == 0
