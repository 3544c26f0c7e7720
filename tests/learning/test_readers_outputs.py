"""Outputs of CP2K 2023.1 (H2, PBE) and pw.x 6.7 (Si, LDA): short relaxations of cell and positions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import REPOSITORY
from defectscout.learning.frames import LabelledFrame, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.learning.readers.plausibility import _stresses_at_work

DATA = REPOSITORY / "tests" / "data" / "readers"
FIRST_FORCE = 0.0925752062  # hartree/bohr, first atom, z
BULK = SourceDefaults(defect="bulk")


def frames_of(path: Path) -> list[LabelledFrame]:
    found = list(read_source(path, BULK))
    assert all(isinstance(item, LabelledFrame) for item in found), found
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "count", "method"), [("cp2k", 5, "PBE"), ("espresso", 4, "LDA")])
def test_energies_are_the_work_of_forces_and_stresses(name: str, count: int, method: str) -> None:
    frames = frames_of(DATA / name)
    assert [frame.origin.step for frame in frames] == list(range(count))
    assert {frame.origin.method for frame in frames} == {method}
    assert {frame.origin.charge for frame in frames} == {0}
    assert {frame.scf_converged for frame in frames} == {True}
    # The last steps are small: the trapezoidal rule holds to a few per cent there, units and signs of all three.
    work = _stresses_at_work(frames)
    np.testing.assert_allclose(work.change[-2:], work.work[-2:], rtol=0.03)


def test_cp2k_in_electronvolts() -> None:
    first = frames_of(DATA / "cp2k")[0]
    assert first.prediction.energy == pytest.approx(-1.1405394392 * 27.211386, rel=1e-6)
    assert first.prediction.forces[0, 2] == pytest.approx(FIRST_FORCE * 27.211386 / 0.529177, rel=1e-5)
    # The cell wants to contract, CP2K prints a negative stress.
    assert first.prediction.stress is not None
    assert first.prediction.stress[:3].min() > 0


def test_cp2k_needs_forces_and_cells(tmp_path: Path) -> None:
    for path in (DATA / "cp2k").iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "h2-1.cell").unlink()
    (refused,) = read_source(tmp_path, BULK)
    assert isinstance(refused, Unreadable)
    assert "&CELL" in refused.reason  # the cell changes, so that the restart's last one does not do
    settings = (tmp_path / "h2-1.restart").read_text()
    (tmp_path / "h2-1.restart").write_text(settings.replace("CELL_OPT", "GEO_OPT").replace("CHARGE  0", "CHARGE  -1"))
    fixed = [item for item in read_source(tmp_path, SourceDefaults(defect="v_H")) if isinstance(item, LabelledFrame)]
    assert {frame.origin.charge for frame in fixed} == {-1}
    assert fixed[0].atoms.cell.array[0, 0] == pytest.approx(3.13454076)
    (tmp_path / "h2-frc-1.xyz").unlink()
    (refused,) = read_source(tmp_path, BULK)
    assert isinstance(refused, Unreadable)
    assert "&FORCES" in refused.reason


def test_cp2k_cut_in_the_middle(tmp_path: Path) -> None:
    for path in (DATA / "cp2k").iterdir():
        shutil.copy(path, tmp_path)
    text = (tmp_path / "h2-frc-1.xyz").read_text()
    (tmp_path / "h2-frc-1.xyz").write_text(text[: text.rindex("E =")])
    *frames, rest = read_source(tmp_path, BULK)
    assert len(frames) == 4
    assert isinstance(rest, Unreadable)
