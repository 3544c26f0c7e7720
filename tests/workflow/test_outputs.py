"""Ionic steps of runs elsewhere, joined, and in the order and orientation of the defect."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from scipy.spatial.transform import Rotation

from defectscout.core.errors import InputFileError, SamplingError
from defectscout.learning.readers.steps import Step
from defectscout.workflow.fitting import fit_frames
from defectscout.workflow.outputs import read_output
from references.vasp_runs import ionic_steps, outcar_text
from sampling.defect_examples import vacancy

RUN = ionic_steps([0.5, 0.4, 0.3, 0.2])


def test_nothing(tmp_path: Path) -> None:
    assert read_output(tmp_path / "nowhere") is None
    (tmp_path / "INCAR").write_text("NSW = 3\n")
    assert read_output(tmp_path) is None


def test_runs_are_joined_whatever_they_are_packed_in(tmp_path: Path) -> None:
    (tmp_path / "OUTCAR.1.gz").write_bytes(gzip.compress(outcar_text(RUN[:2]).encode()))
    (tmp_path / "OUTCAR").write_text(outcar_text(RUN[1:]))  # the second begins where the first ended
    output = read_output(tmp_path)
    assert output is not None
    assert [number for number, _ in output.steps] == [0, 1, 2, 3]
    assert [step.energy for _, step in output.steps] == pytest.approx([step.energy for step in RUN])
    assert (output.method, output.charge, output.notes) == ("PBE", 0, ())


def test_folders_of_runs_and_a_cut(tmp_path: Path) -> None:
    for number, steps in enumerate((RUN[:2], RUN[1:]), 1):
        (tmp_path / f"run{number}").mkdir()
        (tmp_path / f"run{number}" / "OUTCAR").write_text(outcar_text(steps).partition(" General")[0])
    output = read_output(tmp_path)
    assert output is not None
    assert output.taken == 4
    assert all("stopped or the file cut" in note for note in output.notes)


def test_a_repeated_step_that_converges_now_counts(tmp_path: Path) -> None:
    (tmp_path / "OUTCAR.1").write_text(outcar_text(RUN[:1], scf=False))
    (tmp_path / "OUTCAR").write_text(outcar_text(RUN[:1]))
    output = read_output(tmp_path)
    assert output is not None
    assert [number for number, _ in output.steps] == [1]
    assert "did not converge" in output.notes[0]


def test_a_run_that_starts_over(tmp_path: Path) -> None:
    away = ionic_steps([5.0, 900.0])
    away[1].atoms.positions[1, 2] += 3.0
    (tmp_path / "OUTCAR.1").write_text(outcar_text(away))
    (tmp_path / "OUTCAR").write_text(outcar_text(RUN))
    output = read_output(tmp_path)
    assert output is not None
    assert output.taken == 4
    assert output.steps[0][1].energy == pytest.approx(RUN[0].energy)
    assert "2 ionic steps of earlier runs" in output.notes[-1]


def test_two_calculations_in_one_folder(tmp_path: Path) -> None:
    for name in ("pbe", "hse"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "OUTCAR").write_text(outcar_text(RUN))
    with pytest.raises(InputFileError, match="holds 2 calculations"):
        read_output(tmp_path)


def test_other_formats_are_joined_too(tmp_path: Path) -> None:
    frames = []
    for step in RUN:
        atoms = step.atoms.copy()
        atoms.calc = SinglePointCalculator(atoms, energy=step.energy, forces=step.forces)
        frames.append(atoms)
    (tmp_path / "run1").mkdir()
    write(tmp_path / "run1" / "relaxation.extxyz", frames[:3])
    write(tmp_path / "relaxation.extxyz", frames[2:])
    output = read_output(tmp_path)
    assert output is not None
    assert [step.energy for _, step in output.steps] == pytest.approx([step.energy for step in RUN])


@pytest.mark.parametrize("seed", [0, 1])
def test_order_orientation_and_translation_come_back(seed: int) -> None:
    """Forces turn with the cell, and stresses; distances stay."""
    defect = vacancy()
    random = np.random.default_rng(seed)
    moved = defect.atoms.copy()
    moved.positions += random.normal(0, 0.1, moved.positions.shape)
    forces = random.normal(0, 1, moved.positions.shape)
    order = random.permutation(len(moved))
    turn = Rotation.random(random_state=seed).as_matrix()
    shift = np.array([1.7, 0.9, 0.4])
    there = Atoms(
        moved.get_chemical_symbols(), (moved.positions + shift) @ turn, cell=moved.cell.array @ turn, pbc=True
    )[order]
    stress = np.diag([1.0, 2.0, 3.0])
    turned = (turn.T @ stress @ turn).ravel()[[0, 4, 8, 5, 2, 1]]
    later = there.copy()
    later.positions += 0.2 * random.normal(0, 1, later.positions.shape)
    steps = [Step(atoms, -1.0, (forces @ turn)[order], turned) for atoms in (there, later)]
    first, second = fit_frames(((0, steps[0]), (4, steps[1])), defect)
    assert (first.step, second.step) == (0, 4)
    vectors = first.atoms.positions - moved.positions
    # Translated back onto the sites, but for what the displaced atom that it is anchored to has of its own.
    assert np.abs(vectors - vectors[0]).max() < 1e-9
    assert np.linalg.norm(vectors[0]) < 0.4
    assert np.abs(first.prediction.forces - forces).max() < 1e-9
    assert first.prediction.stress is not None
    assert first.prediction.stress == pytest.approx([1, 2, 3, 0, 0, 0], abs=1e-9)
    # The assignment of the first frame holds for the later ones.
    moves = (later.positions - there.positions) @ turn.T
    assert np.abs((second.atoms.positions - first.atoms.positions)[order] - moves).max() < 1e-9


def test_another_defect_does_not_fit() -> None:
    atoms = vacancy().bulk
    step = Step(atoms, 0.0, np.zeros((len(atoms), 3)), None)
    with pytest.raises(SamplingError, match="it holds"):
        fit_frames(((0, step),), vacancy())
