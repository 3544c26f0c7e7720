"""What is written is read back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import DatasetError
from defectscout.core.frames import Prediction
from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.learning.frames import LabelledFrame
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.learning.writers import Format, write_frames
from learning.relaxations import bulk_relaxation, vacancy_relaxation


def some_frames() -> list[LabelledFrame]:
    first, *rest = vacancy_relaxation()
    charged = replace(first.origin, charge=-2, start="Bond_Distortion_-60.0%", method="HSE(0.345)")
    without = Prediction(first.prediction.energy, first.prediction.forces, None)
    return [*rest, replace(first, origin=charged, prediction=without, scf_converged=False), *bulk_relaxation()[:3]]


@pytest.mark.parametrize(
    ("format", "name"),
    [("extxyz", "a.extxyz"), ("extxyz", "a.extxyz.gz"), ("traj", "a.traj"), ("db", "a.db"), ("json", "a.json.gz")],
)
def test_round_trip(tmp_path: Path, format: Format, name: str) -> None:
    expected = some_frames()
    path = tmp_path / name
    assert write_frames(iter(expected), path, format) == len(expected)
    assert [child.name for child in tmp_path.iterdir()] == [name]
    found = list(read_source(path, SourceDefaults()))
    assert len(found) == len(expected)
    for frame, known in zip(found, expected, strict=True):
        assert isinstance(frame, LabelledFrame)
        assert frame.origin == replace(known.origin, source=str(path))
        assert frame.scf_converged == known.scf_converged
        assert frame.prediction.energy == pytest.approx(known.prediction.energy, abs=1e-9)
        np.testing.assert_allclose(frame.prediction.forces, known.prediction.forces, atol=1e-7)
        np.testing.assert_allclose(frame.atoms.positions, known.atoms.positions, atol=1e-7)
        np.testing.assert_allclose(frame.atoms.cell.array, known.atoms.cell.array, atol=1e-12)
        assert (frame.prediction.stress is None) == (known.prediction.stress is None)
        if known.prediction.stress is not None:
            np.testing.assert_allclose(frame.prediction.stress, known.prediction.stress, atol=1e-12)


def test_json_is_what_pymatgen_and_m3gnet_take(tmp_path: Path) -> None:
    from pymatgen.core import Structure

    frame = bulk_relaxation()[0]
    write_frames([frame], tmp_path / "a.json", "json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert list(content) == ["structures", "energies", "forces", "stresses", "labels"]
    structure = Structure.from_dict(content["structures"][0])
    np.testing.assert_allclose(structure.cart_coords, frame.atoms.positions, atol=1e-10)
    assert frame.prediction.stress is not None
    assert content["stresses"][0][0][0] == pytest.approx(frame.prediction.stress[0] * EV_PER_A3_IN_GPA)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    with pytest.raises(DatasetError, match="no frame"):
        write_frames([], path, "extxyz")

    def failing():  # type: ignore[no-untyped-def]
        yield vacancy_relaxation()[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_frames(failing(), path, "extxyz")
    assert list(tmp_path.iterdir()) == []
    write_frames(vacancy_relaxation(), path, "extxyz")
    with pytest.raises(DatasetError, match="exists"):
        write_frames(vacancy_relaxation(), path, "extxyz")
