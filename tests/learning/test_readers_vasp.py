"""VASP's files, in the folders that people have them in."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.learning.frames import LabelledFrame, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.learning.readers.vasp_header import functional_name
from learning.vasp_files import IonicStep, VaspSettings, outcar, vasprun

NEUTRAL = VaspSettings(nelect=3 * 12 + 4 * 6.0)
NOTHING = SourceDefaults()


def steps(count: int = 3, first: int = 0, electronic: int = 5, seed: int = 7) -> list[IonicStep]:
    """v_Cd in Cd4Te4."""
    random = np.random.default_rng(seed)
    cell = np.array([[6.5, 0.1, 0.0], [0.0, 6.6, -0.2], [0.3, 0.0, 6.7]])
    places, pulls, stresses = (
        random.random((7, 3)) + 0.01 * random.random((9, 7, 3)),
        random.normal(size=(9, 7, 3)),
        random.normal(size=(9, 6)) / 100,
    )
    return [
        IonicStep(
            Atoms("Cd3Te4", positions=np.round(places[n] @ cell, 5), cell=cell, pbc=True),
            -20.0 - n,
            np.round(pulls[n], 6),
            stresses[n],
            electronic,
        )
        for n in range(first, first + count)
    ]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def read(path: Path, defaults: SourceDefaults = NOTHING) -> tuple[list[LabelledFrame], list[Unreadable]]:
    found = list(read_source(path, defaults))
    frames = [item for item in found if isinstance(item, LabelledFrame)]
    return frames, [item for item in found if isinstance(item, Unreadable)]


@pytest.mark.parametrize(("name", "text"), [("OUTCAR", outcar), ("OUTCAR.gz", outcar), ("vasprun.xml.gz", vasprun)])
def test_every_ionic_step_with_the_free_energy_and_the_sign_of_ase(tmp_path: Path, name: str, text: object) -> None:
    expected = steps()
    write(tmp_path / "v_Cd_0" / "Bond_Distortion_-60.0%" / name, text(expected, NEUTRAL))  # type: ignore[operator]
    frames, unreadable = read(tmp_path)
    assert unreadable == []
    assert [frame.origin.step for frame in frames] == [0, 1, 2]
    for frame, step in zip(frames, expected, strict=True):
        assert str(frame.origin.relaxation) == "CdTe v_Cd_0 Bond_Distortion_-60.0%"
        assert frame.origin.method == "PBE"
        assert frame.scf_converged is True
        assert frame.prediction.energy == pytest.approx(step.energy, abs=1e-9)
        np.testing.assert_allclose(frame.prediction.forces, step.forces, atol=1e-6)
        np.testing.assert_allclose(frame.prediction.stress, step.stress, atol=1e-8)
        np.testing.assert_allclose(frame.atoms.positions, step.atoms.positions, atol=1e-5)
        np.testing.assert_allclose(frame.atoms.cell.array, step.atoms.cell.array, atol=1e-8)


@pytest.mark.parametrize(("nelm", "reached", "expected"), [(5, None, False), (6, None, True), (60, False, False)])
def test_whether_the_electrons_converged(tmp_path: Path, nelm: int, reached: bool | None, expected: bool) -> None:
    settings = VaspSettings(nelm=nelm, nelect=NEUTRAL.nelect)
    write(tmp_path / "v_Cd_0" / "OUTCAR", outcar(steps(), settings, reached))
    assert {frame.scf_converged for frame in read(tmp_path)[0]} == {expected}
    if reached is None:
        write(tmp_path / "xml" / "v_Cd_0" / "vasprun.xml", vasprun(steps(), settings))
        assert {frame.scf_converged for frame in read(tmp_path / "xml")[0]} == {expected}


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_a_killed_run_gives_its_complete_steps(tmp_path: Path, name: str) -> None:
    text = (outcar if name == "OUTCAR" else vasprun)(steps(), NEUTRAL)
    mark = "TOTAL-FORCE" if name == "OUTCAR" else "</calculation>"
    write(tmp_path / "v_Cd_0" / name, text[: text.rindex(mark) + 5 if name == "OUTCAR" else text.rindex(mark)])
    frames, unreadable = read(tmp_path)
    assert len(frames) == 2
    (rest,) = unreadable
    assert "after 2 ionic steps" in rest.reason


def test_a_damaged_file_does_not_end_the_reading_of_a_tree(tmp_path: Path) -> None:
    whole = gzip.compress(outcar(steps(), NEUTRAL).encode())
    for name, data in {"a": b"\x1f\x8bnonsense", "b": whole[: len(whole) // 2], "c": b"", "d": whole}.items():
        folder = tmp_path / name / "v_Cd_0"
        folder.mkdir(parents=True)
        (folder / "OUTCAR.gz").write_bytes(data)
    frames, unreadable = read(tmp_path)
    assert len([frame for frame in frames if "/d/" in frame.origin.source]) == 3
    assert {Path(item.source).parts[-3] for item in unreadable} == {"a", "b", "c"}


def test_restarts_are_joined_without_the_repeated_step(tmp_path: Path) -> None:
    folder = tmp_path / "v_Cd_0" / "Dimer"
    write(folder / "vasprun.xml.0.gz", vasprun(steps(3), NEUTRAL))
    write(folder / "vasprun.xml.1.gz", vasprun(steps(2, first=2), NEUTRAL))
    write(folder / "vasprun.xml.gz", vasprun(steps(1, first=5), NEUTRAL))
    frames, _ = read(tmp_path)
    assert [(frame.origin.step, frame.prediction.energy) for frame in frames] == [
        (n, -20.0 - e) for n, e in enumerate([0, 1, 2, 3, 5])
    ]
    assert len({frame.origin.relaxation for frame in frames}) == 1


def test_runs_in_folders_are_one_relaxation(tmp_path: Path) -> None:
    for number, first in ((2, 2), (10, 4), (1, 0)):
        write(tmp_path / "v_Cd_0" / "Rattled" / f"run{number}" / "OUTCAR", outcar(steps(2, first), NEUTRAL))
    frames, _ = read(tmp_path)
    assert [frame.prediction.energy for frame in frames] == [-20.0 - n for n in range(6)]
    assert {frame.origin.start for frame in frames} == {"Rattled"}


def test_runs_that_begin_elsewhere_are_relaxations_of_their_own(tmp_path: Path) -> None:
    for number in (1, 2):
        path = tmp_path / "v_Cd_0" / f"run{number}" / "OUTCAR"
        write(path, outcar(steps(2, seed=number), NEUTRAL))
    frames, _ = read(tmp_path)
    assert [(frame.origin.start, frame.origin.step) for frame in frames] == [
        ("as_run", 0),
        ("as_run", 1),
        ("as_run/run2", 0),
        ("as_run/run2", 1),
    ]
    assert len(read(tmp_path / "v_Cd_0" / "run2")[0]) == 2  # one of them alone


def test_a_run_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "v_Cd_0"
    write(folder / "OUTCAR", outcar(steps(3), NEUTRAL))
    write(folder / "vasprun.xml", vasprun(steps(3), NEUTRAL))
    frames, _ = read(tmp_path)
    assert len(frames) == 3
    cut = vasprun(steps(3), NEUTRAL)
    write(folder / "vasprun.xml", cut[: cut.index("</calculation>") + 20])
    frames, unreadable = read(tmp_path)
    assert len(frames) == 3  # the OUTCAR has more
    assert unreadable == []


def test_coarser_kpoints_beside_finer_ones_are_left_out(tmp_path: Path) -> None:
    for name in ("vasp_gam", "vasp_nkred_std", "vasp_std"):
        write(tmp_path / "v_Cd_0" / name / "OUTCAR", outcar(steps(2), NEUTRAL))
    frames, unreadable = read(tmp_path)
    assert {Path(frame.origin.source).parent.name for frame in frames} == {"vasp_std"}
    assert {Path(item.source).parent.name for item in unreadable} == {"vasp_gam", "vasp_nkred_std"}
    alone, unreadable = read(tmp_path / "v_Cd_0" / "vasp_gam")
    assert (len(alone), unreadable) == (2, [])


def test_a_charge_that_contradicts_the_electrons_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "v_Cd_-2" / "OUTCAR", outcar(steps(), NEUTRAL))
    frames, (refused,) = read(tmp_path)
    assert frames == []
    assert "charge -2" in refused.reason
    assert "+0" in refused.reason
    assert {frame.origin.charge for frame in read(tmp_path, SourceDefaults(charge=0))[0]} == {0}


def test_the_charge_comes_from_the_electrons_where_no_folder_says_it(tmp_path: Path) -> None:
    write(tmp_path / "v_Cd" / "OUTCAR", outcar(steps(), VaspSettings(nelect=NEUTRAL.nelect + 2)))
    assert {frame.origin.charge for frame in read(tmp_path)[0]} == {-2}


def test_the_host_of_a_complex_is_that_of_the_bulk_beside_it(tmp_path: Path) -> None:
    (bulk,) = steps(1)
    pristine = IonicStep(
        Atoms("Cd4Te4", bulk.atoms.get_scaled_positions()[[0, 0, 1, 2, 3, 4, 5, 6]], cell=bulk.atoms.cell),
        -30,
        np.zeros((8, 3)),
        bulk.stress,
    )
    write(tmp_path / "bulk" / "OUTCAR", outcar([pristine], VaspSettings(nelect=72.0)))
    write(tmp_path / "odd" / "OUTCAR", outcar(steps(), NEUTRAL))
    frames, unreadable = read(tmp_path, SourceDefaults(defect="v_Cd-complex", charge=0))
    assert unreadable == []
    assert {str(frame.origin.defect_id) for frame in frames} == {"CdTe bulk", "CdTe v_Cd-complex_0"}
    _, (refused,) = read(tmp_path / "odd", SourceDefaults(charge=0))
    assert "--defect" in refused.reason


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--", "F", False, 0, 0, 0, False, "PAW_PBE Cd"), "PBE"),
        (("PS", "", False, 0, 0, 0, False, "PAW_PBE Cd"), "PBEsol"),
        (("--", "--", True, 0.25, 0.2, 0, False, "PAW_PBE Cd"), "HSE06"),
        (("PE", "--", True, 0.25, 0.207, 0, False, "PAW_PBE Cd"), "HSE06"),
        (("--", "F", True, 0.345, 0.2, 0, False, "PAW_PBE Cd"), "HSE(0.345)"),
        (("--", "F", True, 0.25, 0.3, 0, False, "PAW_PBE Cd"), "HSE(0.25,0.3)"),
        (("--", "F", True, 0.25, 0, 0, False, "PAW_PBE Cd"), "PBE0"),
        (("CA", "F", False, 0, 0, 0, False, "PAW Cd"), "LDA"),
        (("--", "F", False, 0, 0, 0, False, "PAW Cd"), "LDA"),
        (("PE", "R2SCAN", False, 0, 0, 0, False, "PAW_PBE Cd"), "R2SCAN"),
        (("PE", "F", False, 0, 0, 12, True, "PAW_PBE Cd"), "PBE+D3BJ+SOC"),
    ],
)
def test_names_of_functionals(arguments: tuple[object, ...], name: str) -> None:
    assert functional_name(*arguments) == name  # type: ignore[arg-type]
