from __future__ import annotations

import re
from pathlib import Path

import pytest
from ase import Atoms

from defectscout.core.errors import InputFileError, MissingProgramError, SettingsError, UnsupportedElementError
from defectscout.references.base import ElectronicState
from defectscout.references.cp2k import electronic_state, summary
from defectscout.references.cp2k_data import choose_kinds, data_folder
from defectscout.references.cp2k_input import Section, evaluation_input, relaxation_input, text_of
from defectscout.references.cp2k_settings import PRESETS, Cp2kSettings, settings_of
from references.cp2k_runs import data_files


@pytest.fixture
def settings(tmp_path: Path) -> Cp2kSettings:
    return PRESETS["quick"][1].model_copy(update={"data": str(data_files(tmp_path))})


def silicon_hydride(charge: int = 0) -> tuple[Atoms, ElectronicState]:
    atoms = Atoms("SiH2", positions=[[0, 0, 0], [1.4, 0.1, 0], [-0.5, 1.3, 0]], cell=[5, 6, 7], pbc=True)
    return atoms, ElectronicState(charge, 1 if charge % 2 == 0 else 2)


def sections(text: str) -> dict[str, str]:
    """Paths of sections to the keywords in them; checks that each one is closed by its own name."""
    found: dict[str, str] = {}
    path: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#"):
            continue
        if words[0] == "&END":
            assert words[1] == path.pop()
        elif words[0].startswith("&"):
            path.append(words[0][1:])
            found["/".join(path)] = " ".join(words[1:])
        else:
            found["/".join([*path, words[0]])] = " ".join(words[1:])
    assert not path
    return found


def test_sections_are_indented_and_closed() -> None:
    text = text_of([Section("A", ["X 1", Section("B", ["Y 2"], "ON")])], "what it is")
    assert text == "# what it is\n&A\n  X 1\n  &B ON\n    Y 2\n  &END B\n&END A\n"


def test_a_closed_shell_is_restricted_and_an_open_one_is_not(settings: Cp2kSettings) -> None:
    closed = sections(evaluation_input(*silicon_hydride(0), settings, "p"))
    opened = sections(evaluation_input(*silicon_hydride(-1), settings, "p"))
    assert "FORCE_EVAL/DFT/UKS" not in closed
    assert "FORCE_EVAL/DFT/UKS" in opened
    assert (closed["FORCE_EVAL/DFT/CHARGE"], closed["FORCE_EVAL/DFT/MULTIPLICITY"]) == ("0", "1")
    assert (opened["FORCE_EVAL/DFT/CHARGE"], opened["FORCE_EVAL/DFT/MULTIPLICITY"]) == ("-1", "2")


def test_a_triplet_is_unrestricted(settings: Cp2kSettings) -> None:
    atoms, _ = silicon_hydride()
    found = sections(evaluation_input(atoms, ElectronicState(0, 3), settings, "p"))
    assert "FORCE_EVAL/DFT/UKS" in found
    assert found["FORCE_EVAL/DFT/MULTIPLICITY"] == "3"


def test_structure_to_the_last_digit(settings: Cp2kSettings) -> None:
    atoms, state = silicon_hydride()
    atoms.positions[1] = [1.234567890123, -0.1, 1 / 3]
    text = evaluation_input(atoms, state, settings, "p")
    assert re.search(r"^ *H 1\.234567890123 -0\.100000000000 0\.333333333333$", text, re.MULTILINE)
    found = sections(text)
    assert found["FORCE_EVAL/SUBSYS/CELL/C"] == found["FORCE_EVAL/SUBSYS/CELL/CELL_REF/C"]
    assert [float(x) for x in found["FORCE_EVAL/SUBSYS/CELL/B"].split()] == [0, 6, 0]


def test_kinds_fit_together(settings: Cp2kSettings) -> None:
    text = evaluation_input(*silicon_hydride(), settings, "p")
    assert re.findall(r"&KIND (\w+)\n +BASIS_SET (\S+)\n +POTENTIAL_FILE_NAME (\S+)\n +POTENTIAL (\S+)", text) == [
        ("Si", "SZV-MOLOPT-SR-GTH-q4", "GTH_POTENTIALS", "GTH-PBE-q4"),
        ("H", "SZV-MOLOPT-SR-GTH-q1", "GTH_POTENTIALS", "GTH-PBE-q1"),
    ]


def test_a_relaxation_prints_all_that_is_read_back(settings: Cp2kSettings) -> None:
    atoms, state = silicon_hydride()
    found = sections(relaxation_input("v_Si_0 Unperturbed", atoms, state, settings, "cp2k", cell=False))
    for name in ("TRAJECTORY", "FORCES", "CELL", "STRESS"):
        assert f"MOTION/PRINT/{name}" in found
    assert "FORCE_EVAL/PRINT/FORCES" in found
    assert found["FORCE_EVAL/STRESS_TENSOR"] == "ANALYTICAL"
    assert found["GLOBAL/RUN_TYPE"] == "GEO_OPT"
    # 0.01 eV/Å in hartree/bohr
    assert float(found["MOTION/GEO_OPT/MAX_FORCE"]) == pytest.approx(0.01 / 51.42206747, rel=1e-6)
    assert found["FORCE_EVAL/DFT/SCF/SCF_GUESS"] == "RESTART"


def test_a_host_relaxes_its_cell(settings: Cp2kSettings) -> None:
    atoms, state = silicon_hydride()
    found = sections(relaxation_input("bulk", atoms, state, settings, "cp2k", cell=True))
    assert found["GLOBAL/RUN_TYPE"] == "CELL_OPT"
    assert found["MOTION/CELL_OPT/PRESSURE_TOLERANCE"] == "[bar] 200"
    assert "MOTION/GEO_OPT" not in found


def test_walltime_ends_inputs_for_queues_alone(settings: Cp2kSettings) -> None:
    atoms, state = silicon_hydride()
    limited = settings.model_copy(update={"walltime": 1.5})
    assert sections(relaxation_input("t", atoms, state, limited, "p", cell=False))["GLOBAL/WALLTIME"] == "5400"
    assert "GLOBAL/WALLTIME" not in sections(evaluation_input(atoms, state, limited, "p"))
    assert "GLOBAL/WALLTIME" not in sections(relaxation_input("t", atoms, state, settings, "p", cell=False))


def test_hse06_has_a_quarter_of_screened_exchange_in_an_auxiliary_basis(settings: Cp2kSettings) -> None:
    hybrid = settings.model_copy(update={"functional": "HSE06"})
    text = evaluation_input(*silicon_hydride(), hybrid, "p")
    found = sections(text)
    exchange = "FORCE_EVAL/DFT/XC/HF"
    functional = "FORCE_EVAL/DFT/XC/XC_FUNCTIONAL"
    assert float(found[f"{exchange}/FRACTION"]) == 0.25
    assert float(found[f"{functional}/XWPBE/SCALE_X"]) == -0.25
    omega = float(found[f"{exchange}/INTERACTION_POTENTIAL/OMEGA"])
    assert omega == float(found[f"{functional}/XWPBE/OMEGA"]) == pytest.approx(0.208 * 0.529177, abs=1e-6)
    assert "FORCE_EVAL/DFT/AUXILIARY_DENSITY_MATRIX_METHOD" in found
    assert re.findall(r"BASIS_SET AUX_FIT (\S+)", text) == ["admm-dzp-q4", "admm-dzp-q1"]
    assert re.findall(r"BASIS_SET_FILE_NAME (\S+)", text) == ["BASIS_MOLOPT", "BASIS_ADMM_UZH"]


def test_pbesol_is_said_to_cp2k(settings: Cp2kSettings) -> None:
    found = sections(evaluation_input(*silicon_hydride(), settings.model_copy(update={"functional": "PBEsol"}), "p"))
    assert found["FORCE_EVAL/DFT/XC/XC_FUNCTIONAL/PBE/PARAMETRIZATION"] == "PBESOL"


def test_diagonalisation_in_place_of_ot(settings: Cp2kSettings) -> None:
    metal = settings.model_copy(update={"solver": "diagonalisation", "smearing": 300.0})
    found = sections(evaluation_input(*silicon_hydride(), metal, "p"))
    assert "FORCE_EVAL/DFT/SCF/OT" not in found
    assert found["FORCE_EVAL/DFT/SCF/SMEAR/ELECTRONIC_TEMPERATURE"] == "[K] 300"
    assert found["FORCE_EVAL/DFT/QS/EXTRAPOLATION"] == "USE_PREV_P"
    assert found["FORCE_EVAL/DFT/SCF/MAX_SCF"] == "300"


def test_the_valence_that_the_plain_name_means_is_taken(settings: Cp2kSettings) -> None:
    # The basis set of Rh has no plain name here: then most electrons.
    assert [(kind.symbol, kind.valence) for kind in choose_kinds(["Ga", "Rh", "Ga"], settings)] == [
        ("Ga", 13),
        ("Rh", 17),
    ]
    chosen = settings.model_copy(update={"valence": {"Ga": 3}})
    assert choose_kinds(["Ga"], chosen)[0].potential == "GTH-PBE-q3"


def test_an_auxiliary_basis_may_be_for_any_number_of_electrons(settings: Cp2kSettings) -> None:
    hybrid = settings.model_copy(update={"functional": "HSE06", "auxiliary_basis": "cFIT3"})
    assert choose_kinds(["H"], hybrid)[0].auxiliary == "cFIT3"


@pytest.mark.parametrize(
    ("symbol", "changes", "said"),
    [
        ("U", {}, "for q32; potential GTH-PBE for q14"),
        ("Pu", {}, "for no number of electrons"),
        ("Ga", {"valence": {"Ga": 5}}, "for Ga with 5 valence electrons"),
        ("Ga", {"functional": "HSE06", "valence": {"Ga": 3}}, "auxiliary basis set admm-dzp for q13"),
        ("Si", {"functional": "HSE06", "auxiliary_basis": "cFIT3"}, "auxiliary basis set cFIT3 for no"),
    ],
)
def test_an_element_without_basis_or_potential_is_refused(
    settings: Cp2kSettings, symbol: str, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UnsupportedElementError, match=re.escape(said)):
        choose_kinds(["H", symbol], settings.model_copy(update=changes))


@pytest.mark.parametrize(("charge", "multiplicity"), [(0, 1), (-1, 2), (1, 2), (2, 1)])
def test_an_odd_electron_is_left_unpaired(settings: Cp2kSettings, charge: int, multiplicity: int) -> None:
    atoms = Atoms("GaH", cell=[4, 4, 4], pbc=True)  # 14 valence electrons; 32 in all
    assert electronic_state(atoms, charge, settings).multiplicity == multiplicity
    atoms = Atoms("Ga", cell=[4, 4, 4], pbc=True)
    assert electronic_state(atoms, charge, settings).multiplicity == 3 - multiplicity


def test_data_files_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingProgramError, match="apt install cp2k-data"):
        data_folder(Cp2kSettings(data=str(tmp_path)))


def test_data_files_by_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path)))
    assert data_folder(Cp2kSettings()) == tmp_path


def test_presets_by_name() -> None:
    assert settings_of("") == settings_of("pbe") == Cp2kSettings()
    assert settings_of("hse06").hybrid
    with pytest.raises(SettingsError, match="no preset 'pbee'"):
        settings_of("pbee")


def test_a_file_changes_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "quick"\ncutoff = 300\n[valence]\nGa = 3\n')
    assert settings_of(str(path)) == PRESETS["quick"][1].model_copy(update={"cutoff": 300.0, "valence": {"Ga": 3}})


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("cutof = 300", SettingsError, "'cutof' is not a setting"),
        ("cutoff = -3", SettingsError, "cutoff = -3"),
        ('preset = "slow"', SettingsError, "no preset 'slow'"),
        ("smearing = 300", SettingsError, "needs solver = 'diagonalisation'"),
        ("cutoff =", InputFileError, "not valid TOML"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(error, match=said):
        settings_of(str(path))
    with pytest.raises(InputFileError, match="Cannot read"):
        settings_of(str(tmp_path / "other.toml"))


def test_the_fingerprint_is_of_what_energies_depend_on() -> None:
    plain = summary(Cp2kSettings())
    assert plain.startswith("PBE, DZVP-MOLOPT-SR-GTH, GTH-PBE, 400 Ry, settings ")
    assert summary(Cp2kSettings(threads=4, command="mpirun cp2k", walltime=3)) == plain
    assert summary(Cp2kSettings(eps_default=1e-14)) != plain
