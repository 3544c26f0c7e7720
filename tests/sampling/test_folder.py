from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read
from ase.io import write

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import InputFileError, SamplingError
from defectscout.sampling.poscar import poscar_text
from defectscout.sampling.sample import Sampling, sample
from defectscout.sampling.settings import SamplingSettings
from sampling.defect_examples import antisite, vacancy


@pytest.fixture(scope="module")
def made() -> tuple[Defect, Sampling]:
    defect = vacancy()
    return defect, sample(defect, SamplingSettings(distortions=(-0.6, 0.2)))


def read(folder: Path, defect: Defect) -> dict[str, np.ndarray]:
    sampling = sample(defect, SamplingSettings(folder=folder))
    assert sampling.structures[0].label == "Unperturbed"
    for structure in sampling.structures:
        assert structure.atoms.get_chemical_symbols() == defect.atoms.get_chemical_symbols()
        assert np.array_equal(structure.atoms.cell, defect.atoms.cell)
    return {structure.label: structure.atoms.positions for structure in sampling.structures}


@pytest.mark.parametrize("inner", ["v_Cd_0", "."])
@pytest.mark.parametrize("name", ["POSCAR", "CONTCAR"])
def test_layout_of_shakenbreak(made: tuple[Defect, Sampling], tmp_path: Path, inner: str, name: str) -> None:
    defect, sampling = made
    for structure in sampling.structures:
        path = tmp_path / inner / structure.label / name
        path.parent.mkdir(parents=True)
        path.write_text(poscar_text(structure.atoms, "start"))
    found = read(tmp_path, defect)
    assert set(found) == {structure.label for structure in sampling.structures}
    for structure in sampling.structures:
        assert np.abs(found[structure.label] - structure.atoms.positions).max() < 1e-10


def test_unperturbed_is_added(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = made
    write(tmp_path / "mine.cif", sampling.structures[1].atoms)
    found = read(tmp_path, defect)
    assert list(found) == ["Unperturbed", "mine"]
    assert np.array_equal(found["Unperturbed"], defect.atoms.positions)
    assert np.abs(found["mine"] - sampling.structures[1].atoms.positions).max() < 1e-4


def test_any_order_orientation_and_image(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = made
    start = sampling.structures[1].atoms
    shuffled = start[np.random.default_rng(1).permutation(len(start))]
    shuffled.positions[::3] += np.array(shuffled.cell)[0]
    shuffled.rotate(37, (1, 2, 3), rotate_cell=True)
    write(tmp_path / "turned.extxyz", shuffled)
    assert np.abs(read(tmp_path, defect)["turned"] - start.positions).max() < 1e-6


def test_antisite_keeps_its_order(tmp_path: Path) -> None:
    """Its atoms are not sorted by species, so that the file's order differs from the supercell's."""
    defect = antisite()
    start = sample(defect, SamplingSettings(distortions=(-0.3,))).structures[1]
    (tmp_path / "start.vasp").write_text(poscar_text(start.atoms, "antisite"))
    assert np.abs(read(tmp_path, defect)["start"] - start.atoms.positions).max() < 1e-10


def test_every_unreadable_file_is_named(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = made
    write(tmp_path / "good.cif", sampling.structures[1].atoms)
    (tmp_path / "torn.vasp").write_text("v_Cd\n1.0\n 6.6 0")
    (tmp_path / "broken.cif").write_text("not a crystal")
    (tmp_path / "Bond_Distortion_10.0%").mkdir()
    with pytest.raises(InputFileError) as caught:
        sample(defect, SamplingSettings(folder=tmp_path))
    message = str(caught.value)
    assert message.startswith("3 of 4")
    assert all(name in message for name in ("torn.vasp", "broken.cif", "Bond_Distortion_10.0%"))
    assert "good.cif" not in message


def test_another_composition(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = made
    write(tmp_path / "bulk.cif", defect.bulk)
    with pytest.raises(SamplingError, match=r"bulk\.cif: it holds Cd32Te32, not Cd31Te32"):
        sample(defect, SamplingSettings(folder=tmp_path))


def test_another_cell(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = made
    strained = defect.atoms.copy()
    strained.set_cell(strained.cell * 1.01, scale_atoms=True)
    write(tmp_path / "strained.cif", strained)
    with pytest.raises(SamplingError, match=r"strained\.cif: its cell is 13\.372"):
        sample(defect, SamplingSettings(folder=tmp_path))


def test_another_origin(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = made
    shifted = defect.atoms.copy()
    shifted.positions += np.array([6.62 / 4] * 3)
    write(tmp_path / "shifted.cif", shifted)
    found = read(tmp_path, defect)
    np.testing.assert_allclose(found["shifted"], defect.atoms.positions, atol=1e-4)


def test_another_orientation(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = made
    inverted = defect.atoms.copy()
    inverted.positions *= -1
    write(tmp_path / "inverted.cif", inverted)
    with pytest.raises(SamplingError, match=r"inverted\.cif: half of its atoms"):
        sample(defect, SamplingSettings(folder=tmp_path))


def test_missing_or_empty_folder(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = made
    with pytest.raises(InputFileError, match="does not exist"):
        sample(defect, SamplingSettings(folder=tmp_path / "nowhere"))
    with pytest.raises(InputFileError, match="holds no sampling structures for v_Cd_0"):
        sample(defect, SamplingSettings(folder=tmp_path))


def test_two_files_of_one_name(made: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = made
    for suffix in ("cif", "xyz"):
        write(tmp_path / f"mine.{suffix}", sampling.structures[1].atoms)
    with pytest.raises(InputFileError, match="share the names mine"):
        sample(defect, SamplingSettings(folder=tmp_path))


def test_folder_of_an_older_shakenbreak(shared_data: Path) -> None:
    """Real HSE structures of v_Cd_-1 in CdTe, in folders such as `-50.0%`."""
    folder = shared_data / "dft_raw" / "CdTe_HSE"
    atoms = ase_read(folder / "v_Cd_-1" / "Unperturbed" / "POSCAR", format="vasp")
    defect = Defect("v_Cd", -1, DefectKind.VACANCY, atoms, atoms, np.zeros(3), 1, "Td", 1)
    found = read(folder, defect)
    assert set(found) == {"Unperturbed", *(f"Bond_Distortion_{10.0 * step}%" for step in range(-6, 7))}
    for label, positions in found.items():
        moved = np.linalg.norm(positions - atoms.positions, axis=1)
        assert (moved.max() < 1e-6) == (label == "Unperturbed")
