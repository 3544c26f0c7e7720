"""A search whose reference is run by hand: inputs, runs that end in every way, collecting, going on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from defectscout.core.errors import CampaignError, SettingsError, UnknownMethodError
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.names import Said
from defectscout.learning.readers.vasp import read_relaxation, vasp_relaxations
from defectscout.references.engines.retries import read_retries
from defectscout.workflow.inputs import InputChoices
from defectscout.workflow.record import REFERENCE, Record, Task, TaskKey
from defectscout.workflow.restart import ENDED, ENDED_OR_KILLED, restart
from defectscout.workflow.search import collect_results, inputs, search
from defectscout.workflow.settings import SearchSettings, merge
from listening import Listening
from workflow.vasp_stand_in import StandIn

SILENT = SilentProgress()
LABELS = ("Unperturbed", "Bond_Distortion_-40.0%", "Bond_Distortion_-60.0%", "Bond_Distortion_-50.0%")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign that waits for reference relaxations of v_Mg."""
    from ase.build import bulk

    base = tmp_path_factory.mktemp("by_hand")
    write(base / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    overrides: dict[str, Any] = {
        "defects": {"select": ("v_Mg",), "charges": (0,)},
        "sampling": {"distortions": (-0.6, -0.5, -0.4)},
        "reference": {"name": "none"},
        "strategy": "reference-only",
    }
    search(base / "MgS.cif", base / "out", merge(SearchSettings(), overrides, "test"))
    return base / "out"


@pytest.fixture
def campaign(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "inputs")
    inputs(tmp_path / "out", None, SILENT, InputChoices(preset="pbe"))
    return tmp_path / "out"


def folder_of(campaign: Path, label: str) -> Path:
    return campaign / "inputs" / "v_Mg_0" / label


def task(campaign: Path, label: str) -> Task:
    found = [one for one in Record(campaign / "campaign.db").tasks(REFERENCE) if one.key.label == label]
    return found[0]


def lines(notes: Listening) -> dict[str, str]:
    """What was said of each candidate."""
    said = [text.partition(": ") for text in (*notes.messages, *notes.warnings)]
    return {name.removeprefix("v_Mg_0/"): rest for name, _, rest in said if name.startswith("v_Mg_0/")}


def test_the_candidates_are_these(campaign: Path) -> None:
    assert {path.name for path in (campaign / "inputs" / "v_Mg_0").iterdir()} == set(LABELS)


def test_from_a_first_batch_to_the_answer(campaign: Path) -> None:
    StandIn().run(folder_of(campaign, "Unperturbed"))
    StandIn(steps=5).run(folder_of(campaign, LABELS[1]))
    StandIn(steps=4, killed=True).run(folder_of(campaign, LABELS[3]))

    notes = Listening()
    first = collect_results(campaign, None, notes)
    said = lines(notes)
    assert said["Unperturbed"].startswith("finished; ")
    assert said[LABELS[1]].startswith("unfinished; 5 ionic steps, largest force")
    assert "step limit" in said[LABELS[1]]
    assert said[LABELS[3]].startswith("running; 4 ionic steps")
    assert said[LABELS[2]] == "not run"
    assert any("defectscout restart" in text for text in notes.messages)
    # Only what has finished is in the answer; what is not at its end keeps its frames.
    assert [item.candidates for item in first.minima] == [("Unperturbed",)]
    assert task(campaign, LABELS[1]).state is RelaxationState.RUNNING
    assert task(campaign, LABELS[3]).evaluations == 4
    assert task(campaign, LABELS[2]).state is RelaxationState.PENDING
    assert first["v_Mg_0"].confidence.level != "high"

    done = restart(campaign, None, ENDED, SILENT)
    assert [item.name for item in done] == [f"v_Mg_0/{LABELS[1]}"]
    assert [item.name for item in restart(campaign, None, ENDED_OR_KILLED, SILENT)] == [f"v_Mg_0/{LABELS[3]}"]
    assert restart(campaign, None, ENDED_OR_KILLED, SILENT) == ()
    # Prepared and not run yet: nothing is lost meanwhile.
    again = collect_results(campaign, None, SILENT)
    assert [item.candidates for item in again.minima] == [("Unperturbed",)]
    assert task(campaign, LABELS[1]).evaluations == 5

    for label in LABELS[1:]:
        StandIn().run(folder_of(campaign, label))
    notes = Listening()
    result = collect_results(campaign, None, notes)
    assert all(said.startswith("finished") for said in lines(notes).values())
    assert {label for item in result.minima for label in item.candidates} == set(LABELS)
    assert result.ground_state.lowering is not None
    assert result.ground_state.lowering < -0.5
    # The frames of both runs, joined, without the repeated one.
    frames = Record(campaign / "campaign.db").frames(TaskKey(REFERENCE, "v_Mg_0", LABELS[1]))
    assert [frame.step for frame in frames] == list(range(len(frames)))
    assert len(frames) > 6
    assert len(result.ground_state.minimum.new_bonds) >= 1


def test_frames_come_back_in_the_order_of_the_defect(campaign: Path) -> None:
    """Forces belong to the atoms that the model would give them to."""
    from model_crystal import ModelCrystal

    StandIn(steps=3).run(folder_of(campaign, LABELS[3]))
    collect_results(campaign, None, SILENT)
    for frame in Record(campaign / "campaign.db").frames(TaskKey(REFERENCE, "v_Mg_0", LABELS[3])):
        atoms = frame.atoms.copy()
        atoms.calc = ModelCrystal()
        assert np.abs(atoms.get_forces() - frame.prediction.forces).max() < 2e-3  # OUTCAR has five decimals
        assert atoms.get_potential_energy() == pytest.approx(frame.prediction.energy, abs=1e-3)


def test_a_failure_and_its_remedy(campaign: Path) -> None:
    StandIn().run(folder_of(campaign, "Unperturbed"))
    StandIn(electronic=60).run(folder_of(campaign, LABELS[2]))
    notes = Listening()
    result = collect_results(campaign, None, notes)
    assert lines(notes)[LABELS[2]].startswith("failed; ")
    assert "remedy: ALGO" in lines(notes)[LABELS[2]]
    assert task(campaign, LABELS[2]).state is RelaxationState.FAILED
    assert [item.candidates for item in result.minima] == [("Unperturbed",)]
    (done,) = restart(campaign, None, ENDED, SILENT)
    assert done.changed.startswith("ALGO Normal → All")
    assert [retry.failure for retry in read_retries(done.folder)] == ["scf"]
    StandIn().run(done.folder)
    result = collect_results(campaign, None, SILENT)
    assert task(campaign, LABELS[2]).state is RelaxationState.CONVERGED
    assert LABELS[2] in {label for item in result.minima for label in item.candidates}


def test_what_cannot_be_compared_is_not_read(campaign: Path) -> None:
    StandIn().run(folder_of(campaign, "Unperturbed"))
    StandIn().run(folder_of(campaign, LABELS[3]))
    StandIn(hybrid=True).run(folder_of(campaign, LABELS[2]))
    StandIn(charge=-1).run(folder_of(campaign, LABELS[1]))
    notes = Listening()
    result = collect_results(campaign, None, notes)
    said = lines(notes)
    assert "its functional is HSE06, and PBE in most" in said[LABELS[2]]
    assert "charge -1, not 0" in said[LABELS[1]]
    assert {label for item in result.minima for label in item.candidates} == {"Unperturbed", LABELS[3]}
    assert task(campaign, LABELS[2]).state is RelaxationState.PENDING


def test_results_in_another_folder(campaign: Path, tmp_path: Path) -> None:
    StandIn().run(folder_of(campaign, "Unperturbed"))
    shutil.move(campaign / "inputs", tmp_path / "cluster")
    result = collect_results(campaign, tmp_path / "cluster", SILENT)
    assert [item.candidates for item in result.minima] == [("Unperturbed",)]


def test_inputs_are_not_written_over_calculations(campaign: Path) -> None:
    folder = folder_of(campaign, LABELS[3])
    StandIn(steps=3).run(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder_of(campaign, LABELS[2]) / "INCAR").write_text("spoilt")
    notes = Listening()
    written = inputs(campaign, None, notes)  # the preset as before
    assert written.kept == (folder.resolve(),) or written.kept == (folder,)
    assert any("1 folder" in text for text in notes.warnings)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "LHFCALC = False" in (folder_of(campaign, LABELS[2]) / "INCAR").read_text()
    with pytest.raises(CampaignError, match="energies of two methods"):
        inputs(campaign, None, SILENT, InputChoices(preset="paper"))
    other = inputs(campaign, campaign / "paper", SILENT, InputChoices(preset="paper"))
    assert len(other.folders) == 4


def test_job_scripts_and_mistakes(campaign: Path, tmp_path: Path) -> None:
    job = tmp_path / "submit.sh"
    job.write_text("#!/bin/sh\necho {name} in {defect}/{structure} ${HOME}\n")
    written = inputs(campaign, None, SILENT, InputChoices(job=job))
    for folder in written.folders:
        script = folder / "submit.sh"
        assert os.access(script, os.X_OK)
        assert f" in v_Mg_0/{folder.name} ${{HOME}}\n" in script.read_text()
    with pytest.raises(SettingsError, match="cannot be read"):
        inputs(campaign, None, SILENT, InputChoices(job=tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="VASP has no preset 'quick'"):
        inputs(campaign, None, SILENT, InputChoices(preset="quick"))
    with pytest.raises(UnknownMethodError, match="no engine called 'abinit'"):
        inputs(campaign, None, SILENT, InputChoices(engine="abinit"))


def test_an_engine_that_only_writes(campaign: Path, tmp_path: Path) -> None:
    """Its ionic steps come back by way of ASE."""
    inputs(campaign, tmp_path / "castep", SILENT, InputChoices(engine="castep"))
    folder = tmp_path / "castep" / "v_Mg_0" / "Unperturbed"
    assert {path.name for path in folder.iterdir()} == {"castep.cell", "castep.param"}
    StandIn().run(folder_of(campaign, "Unperturbed"))
    (output,) = vasp_relaxations([folder_of(campaign, "Unperturbed") / "OUTCAR"])
    steps = [item.step for item in read_relaxation(output, Said(), SourceDefaults()) if isinstance(item, Item)]
    for step in steps:
        step.atoms.calc = SinglePointCalculator(step.atoms, energy=step.energy, forces=step.forces)
    write(folder / "relaxation.extxyz", [step.atoms for step in steps])
    notes = Listening()
    result = collect_results(campaign, None, notes)  # where they were written
    assert lines(notes)["Unperturbed"].startswith(f"finished; {len(steps)} ionic steps")
    assert [item.candidates for item in result.minima] == [("Unperturbed",)]


def test_restart_without_anything(campaign: Path, tmp_path: Path) -> None:
    from defectscout.core.errors import InputFileError

    assert restart(campaign, None, ENDED, SILENT) == ()
    with pytest.raises(InputFileError, match="does not exist"):
        restart(campaign, tmp_path / "nowhere", ENDED, SILENT)
