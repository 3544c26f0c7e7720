"""A campaign of the model crystal whose relaxations are filled in by hand, as a running search would record them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from conftest import model
from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import RECORD_NAME, reopen_campaign
from defectscout.workflow.record import REFERENCE, Record, TaskKey
from defectscout.workflow.search import Until, search
from defectscout.workflow.serial import defects_from_json
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.candidates import choose_candidates
from defectscout.workflow.stages.reference import record_reference
from defectscout.workflow.stages.sampling import sampling_structures

PAIRED = "Bond_Distortion_-40.0%"
STARTS = (UNPERTURBED, PAIRED, "Bond_Distortion_30.0%")


def begin(host: Path, folder: Path) -> Path:
    """A reference-only campaign up to its candidates, three for v_Mg, none of them relaxed."""
    quick = {
        "host": {"keep": True},
        "supercell": {"min_image_distance": 8.0, "min_atoms": 30},
        "sampling": {"distortions": (-0.4, 0.3)},
        "reference": {"name": model("reference")},
        "strategy": "reference-only",
    }
    search(str(host), folder, merge(SearchSettings(), quick, "test"), until=Until.SAMPLING)
    with reopen_campaign(folder) as campaign:
        defects = defects_from_json(campaign.record.read_document("defects") or "[]")
        choose_candidates(campaign, defects, SilentProgress())
        record_reference(campaign, SilentProgress())
        for defect in defects:
            starts = [(item.label, item.atoms) for item in sampling_structures(campaign, defect)]
            campaign.record.add_tasks(REFERENCE, defect.label, starts)
    return folder


def relax(folder: Path, start: str, energy: float, finish: bool = True) -> None:
    """Record one step of a relaxation, and its end."""
    with reopen_campaign(folder) as campaign:
        (task,) = [task for task in campaign.record.tasks(REFERENCE) if task.key.label == start]
        write_step(campaign.record, task.key, task.start, energy)
        if finish:
            campaign.record.finish(task.key, RelaxationState.CONVERGED, "", 1)


def write_step(record: Record, key: TaskKey, atoms: Atoms, energy: float) -> None:
    zeros = np.zeros((len(atoms), 3))
    checkpoint = Checkpoint(Frame(atoms, Prediction(energy, zeros), 0), FireState(zeros, 0.1, 0.1, 0), energy)
    record.write_steps([(key, checkpoint)], seconds=1.0)


def finish_all(folder: Path) -> None:
    """Relax what is left: the distorted one is the ground state."""
    record = Record(folder / RECORD_NAME)
    pending = [task.key.label for task in record.tasks(REFERENCE) if task.state is RelaxationState.PENDING]
    for start in pending:
        relax(folder, start, -1.0 if start == PAIRED else 0.1 * STARTS.index(start))
