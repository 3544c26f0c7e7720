"""Extended XYZ, trajectories, databases, and trees of them."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from defectscout.core.errors import InputFileError
from defectscout.learning.frames import DefectId, LabelledFrame, SiteRecord, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source
from learning.relaxations import vacancy_relaxation

METHOD = SourceDefaults(method="gfn1-xtb")


def calculated(energy: float = -1.0, **info: object) -> Atoms:
    atoms = Atoms("CdTe2", positions=[[0, 0, 0], [1.7, 1.7, 1.7], [3, 3, 3]], cell=[6.0, 6.1, 6.2], pbc=True)
    atoms.info = dict(info)
    stress = np.array([1, 2, 3, 4, 5, 6]) / 100
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.arange(9).reshape(3, 3) / 10, stress=stress)
    return atoms


def frames_of(path: Path, defaults: SourceDefaults = METHOD) -> list[LabelledFrame]:
    found = list(read_source(path, defaults))
    assert all(isinstance(item, LabelledFrame) for item in found), found
    return found  # type: ignore[return-value]


def test_keys_of_a_frame(tmp_path: Path) -> None:
    write(
        tmp_path / "a.extxyz",
        [calculated(host="Cd3Te6", defect="v_Cd", charge=-1, label="Dimer", step=4, functional="HSE")],
    )
    (frame,) = frames_of(tmp_path / "a.extxyz", SourceDefaults(host="ZnS", charge=0))
    assert frame.origin.defect_id == DefectId("CdTe2", "v_Cd", -1, "HSE")
    assert (frame.origin.start, frame.origin.step) == ("Dimer", 4)
    np.testing.assert_allclose(frame.prediction.stress, np.array([1, 2, 3, 4, 5, 6]) / 100)
    np.testing.assert_allclose(frame.prediction.forces, np.arange(9).reshape(3, 3) / 10)
    assert frame.atoms.calc is None
    assert frame.atoms.info == {}


def test_the_free_energy_goes_before_the_extrapolated_one_and_maces_keys_before_both(tmp_path: Path) -> None:
    atoms = calculated(-1.0, config_type="CdTe_v_Cd_-2")
    atoms.calc.results["free_energy"] = -1.5
    write(tmp_path / "free.extxyz", atoms)
    (frame,) = frames_of(tmp_path / "free.extxyz")
    assert frame.prediction.energy == -1.5
    assert str(frame.origin.defect_id) == "CdTe v_Cd_-2"
    atoms.info["REF_energy"] = -7.0
    atoms.arrays["REF_forces"] = np.ones((3, 3))
    write(tmp_path / "mace.extxyz", atoms)
    (frame,) = frames_of(tmp_path / "mace.extxyz")
    assert frame.prediction.energy == -7.0
    np.testing.assert_allclose(frame.prediction.forces, 1.0)


def test_a_folder_as_a_reference_only_search_leaves_it(tmp_path: Path) -> None:
    folder = tmp_path / "CdTe_v_Cd_0"
    folder.mkdir()
    for name in ("Dimer", "Unperturbed", "bulk"):
        write(tmp_path / "plain.extxyz", [calculated(-1.0 - n) for n in range(2)])
        with gzip.open(folder / f"{name}.extxyz.gz", "wt") as file:
            file.write((tmp_path / "plain.extxyz").read_text())
    (tmp_path / "plain.extxyz").unlink()
    site = {"defects": {"v_Cd": {"unique_site": [0.25, 0.5, 0.75], "charges": {"0": {}}}}}
    (folder / "metadata.json").write_text(json.dumps(site))
    other = tmp_path / "ZnS_v_Cd_0"
    other.mkdir()
    (other / "metadata.json").write_text(json.dumps({"defects": {"v_Cd": {"unique_site": [0, 0, 0]}}}))
    found = list(read_source(tmp_path, METHOD))
    assert [item for item in found if isinstance(item, SiteRecord)] == [
        SiteRecord(DefectId("CdTe", "v_Cd", 0, "gfn1-xtb"), "vacancy", (0.25, 0.5, 0.75))
    ]
    frames = [item for item in found if isinstance(item, LabelledFrame)]
    starts = [(str(frame.origin.relaxation), frame.origin.step) for frame in frames]
    assert starts == [
        *((f"CdTe v_Cd_0 {name}", step) for name in ("Dimer", "Unperturbed") for step in (0, 1)),
        *(("CdTe bulk bulk", step) for step in (0, 1)),
    ]


def test_without_a_method_the_file_is_refused_once(tmp_path: Path) -> None:
    write(tmp_path / "v_Cd_0.extxyz", [calculated() for _ in range(3)])
    (refused,) = read_source(tmp_path, SourceDefaults())
    assert isinstance(refused, Unreadable)
    assert "--method" in refused.reason


@pytest.mark.parametrize("suffix", ["extxyz.xz", "traj", "db"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v_Cd_0.{suffix}"
    images = [calculated(-1.0 - n) for n in range(3)]
    if suffix == "extxyz.xz":
        write(tmp_path / "x.extxyz", images)
        path.write_bytes(lzma.compress((tmp_path / "x.extxyz").read_bytes()))
        (tmp_path / "x.extxyz").unlink()
    else:
        write(path, images)
    frames = frames_of(tmp_path)
    assert [frame.prediction.energy for frame in frames] == [-1.0, -2.0, -3.0]
    assert {str(frame.origin.relaxation) for frame in frames} == {"CdTe v_Cd_0 v_Cd_0"}


def test_a_cut_file_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "v_Cd_0.extxyz"
    write(path, [calculated() for _ in range(3)])
    text = path.read_text()
    path.write_text(text[:-9])
    *frames, rest = read_source(path, METHOD)
    assert len(frames) == 2
    assert isinstance(rest, Unreadable)
    assert "frame 2" in rest.reason


def test_frames_without_energy_forces_or_cell_are_counted(tmp_path: Path) -> None:
    bare, isolated, infinite = calculated(), calculated(), calculated(float("nan"))
    bare.calc = None
    isolated.pbc = False
    write(tmp_path / "v_Cd_0.extxyz", [bare, isolated, infinite, calculated()])
    found = list(read_source(tmp_path, METHOD))
    reasons = " ".join(item.reason for item in found if isinstance(item, Unreadable))
    assert len([item for item in found if isinstance(item, LabelledFrame)]) == 1
    assert "no energy" in reasons
    assert "not periodic" in reasons
    assert "not finite" in reasons


def test_what_is_not_there_and_what_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no file or folder"):
        read_source(tmp_path / "nowhere", METHOD)
    (tmp_path / "notes.txt").write_text("nothing")
    (nothing,) = read_source(tmp_path, METHOD)
    assert isinstance(nothing, Unreadable)
    (nothing, *_) = read_source(tmp_path / "notes.txt", METHOD)
    assert isinstance(nothing, Unreadable)


def test_frames_come_one_at_a_time(tmp_path: Path) -> None:
    """A second malformed file is not touched before the first is through."""
    write(tmp_path / "1_v_Cd_0.extxyz", [calculated(config_type="v_Cd_0", label=f"start{n}") for n in range(3)])
    (tmp_path / "2.extxyz").write_text("not a number\n")
    stream = read_source(tmp_path, METHOD)
    assert isinstance(next(stream), LabelledFrame)
    assert isinstance(list(stream)[-1], Unreadable)


def test_wrong_units_refuse_the_relaxation(tmp_path: Path) -> None:
    images = []
    for frame in vacancy_relaxation():
        atoms = frame.atoms.copy()
        atoms.calc = SinglePointCalculator(
            atoms, energy=frame.prediction.energy / 27.2114, forces=frame.prediction.forces
        )
        images.append(atoms)
    write(tmp_path / "v_Mg_0.extxyz", images)
    (refused,) = read_source(tmp_path, METHOD)
    assert isinstance(refused, Unreadable)
    assert "8 frames" in refused.reason
    assert "hartree" in refused.reason


@pytest.mark.slow
def test_sites_from_doped(tmp_path: Path, cdte_cif: Path) -> None:
    from doped.generation import DefectsGenerator

    from defectscout.core.quiet import quiet
    from defectscout.hosts.read import read_structure

    supercell = read_structure(str(cdte_cif)).make_supercell([[-2, 2, 2], [2, -2, 2], [2, 2, -2]], in_place=False)
    with quiet():
        generator = DefectsGenerator(supercell, generate_supercell=False, interstitial_gen_kwargs=False, processes=1)
    generator.to_json(str(tmp_path / "generator.json.gz"))
    write(tmp_path / "v_Cd_-2.extxyz", calculated(host="CdTe"))
    frame, site = read_source(tmp_path, METHOD)
    assert isinstance(frame, LabelledFrame)
    assert isinstance(site, SiteRecord)
    assert (site.defect_id, site.kind) == (frame.origin.defect_id, "vacancy")
    assert site.fractional == pytest.approx(generator["v_Cd_-2"].defect_supercell_site.frac_coords, abs=1e-6)
