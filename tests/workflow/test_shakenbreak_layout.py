import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import CampaignError, SamplingError
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.sampling.sample import Sampling, sample
from defectscout.sampling.settings import SamplingSettings
from defectscout.workflow.shakenbreak_layout import write_layout
from sampling.defect_examples import antisite, vacancy


def relaxation(
    start: SamplingStructure, energy: float, state: RelaxationState = RelaxationState.CONVERGED
) -> Relaxation:
    """An end that differs from the start and from all others: every atom moved by the energy, in mÅ."""
    atoms = start.atoms.copy()
    atoms.positions += 0.001 * energy
    frame = Frame(atoms, Prediction(energy, np.zeros((len(atoms), 3))), step=12)
    return Relaxation(start.label, frame, energy + 1.0, state, "", 13)


def relaxed(sampling: Sampling, energies: dict[str, float]) -> dict[str, Relaxation]:
    starts = {start.label: start for start in sampling.structures}
    return {label: relaxation(starts[label], energy) for label, energy in energies.items()}


def run(command: str, folder: Path, *options: str) -> str:
    """Run one of ShakeNBreak's commands as a user does."""
    program = Path(sys.executable).parent / command
    if not program.exists():
        pytest.skip(f"{command} is not installed beside {sys.executable}")
    # ShakeNBreak looks for folders of distortions in the working directory.
    done = subprocess.run(
        [program, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def neutral() -> tuple[Defect, Sampling]:
    defect = vacancy()
    return defect, sample(defect, SamplingSettings())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_full_search(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = neutral
    energies = {start.label: -200.0 - 0.01 * n for n, start in enumerate(sampling.structures)}
    energies["Bond_Distortion_-40.0%"] = -202.15
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, relaxed(sampling, energies))
    before = contents(tmp_path)
    run("snb-plot", tmp_path, "--colorbar")
    assert (tmp_path / "v_Cd_0" / "v_Cd_0.png").stat().st_size > 10_000
    run("snb-groundstate", tmp_path)
    ground_state = tmp_path / "v_Cd_0" / "Groundstate" / "POSCAR"
    assert ground_state.read_bytes() == before["v_Cd_0/Bond_Distortion_-40.0%/CONTCAR"]
    # ShakeNBreak found nothing to correct in what was written.
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


def test_scouted_search(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    """Only `Unperturbed` and two candidates relaxed with the reference."""
    defect, sampling = neutral
    energies = {"Unperturbed": -200.0, "Bond_Distortion_-60.0%": -200.7, "Dimer": -202.1}
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, relaxed(sampling, energies))
    run("snb-plot", tmp_path, "-d", "v_Cd_0")
    assert (tmp_path / "v_Cd_0" / "v_Cd_0.png").exists()
    run("snb-groundstate", tmp_path)
    lowest = read(tmp_path / "v_Cd_0" / "Groundstate" / "POSCAR", format="vasp")
    expected = next(start for start in sampling.structures if start.label == "Dimer").atoms.positions - 0.2021
    assert np.abs(lowest.positions - expected).max() < 1e-9
    assert not (tmp_path / "v_Cd_0" / "Bond_Distortion_10.0%" / "CONTCAR").exists()


def test_pairs_and_own_structures(tmp_path: Path) -> None:
    defect = vacancy()
    sampling = sample(defect, SamplingSettings(pairs=True, distortions=(-0.6, -0.2)))
    own = SamplingStructure("my start", sampling.structures[1].atoms)
    starts = (*sampling.structures, own)
    energies = {start.label: -200.0 - 0.02 * n for n, start in enumerate(starts)}
    energies[starts[4].label] = -201.0
    ends = relaxed(sampling, {label: energies[label] for label in energies if label != "my start"})
    ends["my start"] = relaxation(own, -200.4)
    write_layout(tmp_path, defect, sampling.metadata, starts, ends)
    run("snb-plot", tmp_path)
    assert (tmp_path / "v_Cd_0" / "v_Cd_0.png").exists()
    run("snb-groundstate", tmp_path)
    home = tmp_path / "v_Cd_0"
    assert (home / "Groundstate/POSCAR").read_bytes() == (home / starts[4].label / "CONTCAR").read_bytes()
    assert (home / "Bond_Distortion_0.0%_from_my-start" / "CONTCAR").exists()


def test_energies_as_snb_parse_writes_them(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    from monty.serialization import loadfn

    defect, sampling = neutral
    starts = {start.label: start for start in sampling.structures}
    ends = relaxed(sampling, {"Unperturbed": -200.0, "Dimer": -201.25, "Bond_Distortion_0.0%": -200.5})
    ends["Bond_Distortion_30.0%"] = relaxation(starts["Bond_Distortion_30.0%"], -200.125, RelaxationState.UNCONVERGED)
    ends["Bond_Distortion_50.0%"] = relaxation(starts["Bond_Distortion_50.0%"], -999.0, RelaxationState.FAILED)
    ends["Bond_Distortion_60.0%"] = relaxation(starts["Bond_Distortion_60.0%"], -999.0, RelaxationState.RUNNING)
    ends["Bond_Distortion_-10.0%"] = Relaxation("Bond_Distortion_-10.0%", None, None, RelaxationState.FAILED, "SCF", 1)
    write_layout(tmp_path, defect, None, sampling.structures, ends)
    assert loadfn(tmp_path / "v_Cd_0" / "v_Cd_0.yaml") == {
        "distortions": {0.0: -200.5, 0.3: -200.125, "Dimer": -201.25},
        "Unperturbed": -200.0,
    }
    written = {path.parent.name for path in tmp_path.rglob("CONTCAR")}
    assert written == {"Unperturbed", "Dimer", "Bond_Distortion_0.0%", "Bond_Distortion_30.0%"}
    assert not list(tmp_path.rglob("distortion_metadata.json"))


def test_writing_twice_changes_nothing(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = neutral
    ends = relaxed(sampling, {"Unperturbed": -200.0, "Dimer": -201.0})
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, ends)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, ends)
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_search_in_progress_is_updated(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    from monty.serialization import loadfn

    defect, sampling = neutral
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, {})
    assert not (tmp_path / "v_Cd_0" / "v_Cd_0.yaml").exists()
    (tmp_path / "v_Cd_0" / "notes.txt").write_text("mine")
    for energies in ({"Unperturbed": -200.0}, {"Unperturbed": -200.0, "Dimer": -201.0}):
        write_layout(tmp_path, defect, sampling.metadata, sampling.structures, relaxed(sampling, energies))
        distortions = {label: energy for label, energy in energies.items() if label != "Unperturbed"}
        expected = {"distortions": distortions, "Unperturbed": -200.0}
        assert loadfn(tmp_path / "v_Cd_0" / "v_Cd_0.yaml") == expected
    assert (tmp_path / "v_Cd_0" / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.rglob("*.tmp"))


def test_metadata_of_several_defects(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    for defect in (vacancy(), vacancy(charge=1), antisite()):
        sampling = sample(defect, SamplingSettings(none=True))
        write_layout(tmp_path, defect, sampling.metadata, sampling.structures, {})
    common = json.loads((tmp_path / "distortion_metadata.json").read_text())
    assert {name: sorted(entry["charges"]) for name, entry in common["defects"].items()} == {
        "Cd_Te": ["0"],
        "v_Cd": ["0", "1"],
    }
    own = json.loads((tmp_path / "v_Cd_+1" / "distortion_metadata.json").read_text())
    assert list(own["defects"]["v_Cd"]["charges"]) == ["1"]


def test_files_are_in_shakenbreaks_order(tmp_path: Path) -> None:
    """The antisite comes last in the supercell, and among the other Cd in the files."""
    defect = antisite()
    sampling = sample(defect, SamplingSettings(distortions=(-0.3,)))
    ends = relaxed(sampling, {"Unperturbed": -200.0})
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, ends)
    home = tmp_path / "Cd_Te_0"
    start, end = (read(home / "Unperturbed" / name, format="vasp") for name in ("POSCAR", "CONTCAR"))
    assert start.get_chemical_symbols() == ["Cd"] * 33 + ["Te"] * 31
    assert np.abs(end.positions - start.positions + 0.2).max() < 1e-9
    metadata = json.loads((home / "distortion_metadata.json").read_text())
    index = metadata["defects"]["Cd_Te"]["defect_site_index"]
    assert np.abs(start.get_scaled_positions()[index] - defect.site).max() < 1e-9


def test_names_that_would_share_a_folder(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = neutral
    starts = tuple(SamplingStructure(label, sampling.structures[0].atoms) for label in ("a b", "a_b"))
    with pytest.raises(SamplingError, match="would share the folder"):
        write_layout(tmp_path, defect, None, starts, {})
    assert not list(tmp_path.iterdir())


def test_foreign_metadata_is_not_overwritten(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = neutral
    (tmp_path / "distortion_metadata.json").write_text("{torn")
    with pytest.raises(CampaignError, match=r"distortion_metadata\.json cannot be read"):
        write_layout(tmp_path, defect, sampling.metadata, sampling.structures, {})
    assert (tmp_path / "distortion_metadata.json").read_text() == "{torn"


def test_relaxations_of_another_defect(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, _ = neutral
    other = antisite()
    start = sample(other, SamplingSettings(none=True)).structures[0]
    with pytest.raises(SamplingError, match="belongs to another defect"):
        write_layout(tmp_path, defect, None, (), {start.label: relaxation(start, -1.0)})


def test_round_trip_through_a_folder(neutral: tuple[Defect, Sampling], tmp_path: Path) -> None:
    defect, sampling = neutral
    write_layout(tmp_path, defect, sampling.metadata, sampling.structures, {})
    again = sample(defect, SamplingSettings(folder=tmp_path))
    found = {structure.label: structure.atoms.positions for structure in again.structures}
    for structure in sampling.structures:
        assert np.abs(found[structure.label] - structure.atoms.positions).max() < 1e-10
