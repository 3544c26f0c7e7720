"""Inputs of FHI-aims and CASTEP, against ShakeNBreak's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from defectscout.core.errors import CalculationError, SettingsError, UnsupportedElementError
from defectscout.references.base import ElectronicState
from defectscout.references.engines.ase_writers import load
from defectscout.references.engines.base import Calculation, Engine, Purpose, RunState
from sampling.defect_examples import vacancy

AIMS, CASTEP = load("fhi-aims"), load("castep")


@pytest.fixture
def species(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "species"
    folder.mkdir()
    for number, symbol in ((48, "Cd"), (52, "Te")):
        (folder / f"{number}_{symbol}_default").write_text(f"  species {symbol}\n    nucleus {number}\n")
    monkeypatch.setenv("AIMS_SPECIES_DIR", str(folder))
    return folder


def calculation(charge: int, engine: Engine) -> Calculation:
    atoms = vacancy(charge=charge).atoms
    return Calculation(f"v_Cd_{charge} Rattled", atoms, engine.electronic_state(atoms, charge))


def keywords(text: str) -> dict[str, str]:
    pairs = [line.split("#")[0].replace(":", " ", 1).split(maxsplit=1) for line in text.splitlines()]
    return {pair[0].upper(): pair[1].strip() for pair in pairs if len(pair) == 2}


@pytest.mark.parametrize("charge", [-1, 0])
def test_aims_as_shakenbreak_writes_it(species: Path, tmp_path: Path, charge: int) -> None:
    """The parameters are handed to ASE in the same way, and read back from its file."""
    from ase.calculators.aims import AimsProfile, AimsTemplate

    job = calculation(charge, AIMS)
    assert AIMS.write(tmp_path / "ours", job, "shakenbreak") == ()
    parameters = {
        "k_grid": (1, 1, 1), "relax_geometry": ("bfgs", 5e-3), "xc": ("hse06", 0.11), "hse_unit": "A",
        "spin": "collinear", "default_initial_moment": -charge, "hybrid_xc_coeff": 0.25, "charge": charge,
    }  # fmt: skip
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    AimsTemplate().write_input(AimsProfile(command="aims.x"), theirs, job.atoms, parameters, [])
    ours = keywords((tmp_path / "ours" / "control.in").read_text())
    expected = keywords((theirs / "control.in").read_text())
    ours.pop("SPECIES_DIR", None)
    assert {name: ours.get(name) for name in expected} == expected
    assert ours["SPECIES"] == "Te"
    back = read(tmp_path / "ours" / "geometry.in", format="aims")
    assert np.abs(back.positions - job.atoms.positions).max() < 1e-6
    assert back.get_chemical_symbols() == job.atoms.get_chemical_symbols()


def test_aims_without_species(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIMS_SPECIES_DIR", raising=False)
    (missing,) = AIMS.write(tmp_path, calculation(1, AIMS), "shakenbreak")
    text = (tmp_path / "control.in").read_text()
    assert f"# {missing}\n" in text
    assert "Cd, Te" in missing
    assert keywords(text)["CHARGE"] == "1"
    assert keywords(text)["XC"] == "hse06 0.11"


def test_aims_with_a_species_missing(species: Path, tmp_path: Path) -> None:
    (species / "52_Te_default").unlink()
    with pytest.raises(UnsupportedElementError, match="52_Te_default"):
        AIMS.write(tmp_path / "a", calculation(0, AIMS), "shakenbreak")


def test_castep(tmp_path: Path) -> None:
    import shakenbreak

    job = calculation(-1, CASTEP)
    assert CASTEP.write(tmp_path, job, "shakenbreak") == ()
    ours = keywords((tmp_path / "castep.param").read_text())
    shipped = Path(str(shakenbreak.__file__)).parent / "SnB_input_files" / "castep.param"
    theirs = keywords(shipped.read_text())
    assert {name: ours[name] for name in theirs} == theirs
    added = {"TASK": "GeometryOptimization", "CHARGE": "-1", "SPIN_POLARIZED": "TRUE", "SPIN": "1"}
    assert {name: ours[name] for name in ours.keys() - theirs.keys()} == added
    text = (tmp_path / "castep.cell").read_text()
    assert "KPOINTS_MP_GRID : 1 1 1" in text
    assert "FIX_ALL_CELL : TRUE" in text  # CASTEP relaxes cells unless told otherwise
    body = text.split("%BLOCK POSITIONS_FRAC\n")[1].split("%ENDBLOCK")[0].split("\n")[:-1]
    places = np.array([[float(number) for number in line.split()[1:]] for line in body])
    assert np.abs(places - job.atoms.get_scaled_positions(wrap=False)).max() < 1e-10


@pytest.mark.parametrize("engine", [AIMS, CASTEP])
def test_what_they_do_not_do(engine: Engine, tmp_path: Path) -> None:
    assert isinstance(engine, Engine)
    with pytest.raises(SettingsError, match="no preset 'paper'"):
        engine.write(tmp_path, calculation(0, engine), "paper")
    host = Calculation("host", vacancy().bulk, ElectronicState(0, 1), Purpose.HOST)
    with pytest.raises(SettingsError, match="defects alone"):
        engine.write(tmp_path, host, "shakenbreak")
    with pytest.raises(CalculationError, match="by hand"):
        engine.go_on(tmp_path, "shakenbreak")
    assert engine.diagnose(tmp_path).state is RunState.NOT_RUN
    (tmp_path / "aims.out").write_text("...")
    (tmp_path / "castep.castep").write_text("...")
    assert "ase convert" in engine.diagnose(tmp_path).reason
    (tmp_path / "relaxation.extxyz").write_text("...")
    assert engine.diagnose(tmp_path).state is RunState.FINISHED
