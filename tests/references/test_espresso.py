"""Quantum ESPRESSO's inputs, and pw.x as a reference, calculated: hydrogen with a soft potential, a second a step."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.errors import (
    CalculationError,
    InputFileError,
    MissingProgramError,
    SettingsError,
    UnsupportedElementError,
)
from defectscout.references.base import ElectronicState, Reference
from defectscout.references.espresso import (
    EspressoEvaluator,
    EspressoReference,
    electronic_state,
    error_message,
    load,
    summary,
    why_failed,
)
from defectscout.references.espresso_input import Task, input_text
from defectscout.references.espresso_pseudos import choose_pseudos, cutoffs
from defectscout.references.espresso_settings import PRESETS, EspressoSettings, settings_of
from references.espresso_runs import hydrogen, needs_espresso, reference, settings_with, soft_hydrogen

FORCE = 3e-4
"""eV/Å. The field is converged to 1e-10 Ry, and differences are extrapolated to no distance."""

STRESS = 2e-4
"""eV/Å³: energies are at a fixed cutoff, and the stress at a fixed number of plane waves."""


@pytest.fixture
def pseudos(tmp_path: Path) -> Path:
    """Not in `tmp_path` itself: what is evaluated looks there for scratch files."""
    folder = tmp_path / "pseudos"
    folder.mkdir()
    soft_hydrogen(folder / "H.UPF")
    return folder


def fresh(folder: Path, charge: int = 0, **changes: object) -> EspressoEvaluator:
    made = reference(folder, **changes)
    evaluator = made.evaluator(made.electronic_state(hydrogen(), charge))
    assert isinstance(evaluator, EspressoEvaluator)
    return evaluator


def derivative(energy: Callable[[float], float], step: float) -> float:
    """At zero, by central differences over two distances, extrapolated to none."""
    coarse, fine = ((energy(h) - energy(-h)) / (2 * h) for h in (step, step / 2))
    return (4 * fine - coarse) / 3


def scratch() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("defectscout-pw-*")}


@needs_espresso
@pytest.mark.parametrize(
    ("charge", "changes"),
    [(0, {"smearing": 3.0}), (-1, {}), (0, {"functional": "HSE06"})],
    ids=["smeared", "anion", "hybrid"],
)
def test_forces_are_derivatives_of_the_energy(pseudos: Path, charge: int, changes: dict[str, object]) -> None:
    """With smeared electrons that of the free energy."""
    atoms = hydrogen()
    evaluator = fresh(pseudos, charge, **changes)
    prediction = evaluator.evaluate(atoms)

    def moved(distance: float) -> float:
        other = atoms.copy()
        other.positions[1, 2] += distance
        return evaluator.evaluate(other).energy

    assert prediction.forces[1, 2] == pytest.approx(-derivative(moved, 0.02), abs=FORCE)
    evaluator.close()


@needs_espresso
def test_the_stress_is_a_derivative_of_the_energy(pseudos: Path) -> None:
    atoms = hydrogen()
    evaluator = fresh(pseudos, cutoff=40.0)
    prediction = evaluator.evaluate(atoms)

    def strained(i: int, j: int, size: float) -> float:
        strain = np.eye(3)
        strain[i, j] += size
        strain[j, i] = strain[i, j]
        other = atoms.copy()
        other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        return evaluator.evaluate(other).energy

    assert prediction.stress is not None
    for voigt, i, j in ((2, 2, 2), (3, 1, 2)):
        # Off the diagonal both strain[i, j] and strain[j, i] are changed.
        slope = (strained(i, j, 0.004) - strained(i, j, -0.004)) / 0.008 / atoms.get_volume() / (1 if i == j else 2)
        assert prediction.stress[voigt] == pytest.approx(slope, abs=STRESS)


@needs_espresso
def test_density_and_wavefunctions_are_used_again(pseudos: Path) -> None:
    atoms = hydrogen()
    evaluator = fresh(pseudos)
    first = evaluator.evaluate(atoms).energy
    steps = evaluator.scf_steps
    atoms.positions[1, 2] += 0.003
    moved = evaluator.evaluate(atoms).energy
    assert 0 < evaluator.scf_steps < steps
    evaluator.close()
    assert moved != first
    assert fresh(pseudos).evaluate(atoms).energy == pytest.approx(moved, abs=1e-6)


@needs_espresso
def test_a_field_that_does_not_converge_is_an_error(pseudos: Path) -> None:
    with pytest.raises(CalculationError, match=r"did not converge in 2 steps \(estimated accuracy .*charge \+0"):
        fresh(pseudos, max_scf=2).evaluate(hydrogen())


@needs_espresso
def test_what_pw_says_when_it_stops_is_passed_on(pseudos: Path) -> None:
    atoms = hydrogen()
    atoms.positions[1] = atoms.positions[0]
    with pytest.raises(CalculationError, match=r"pw\.x ended without a result .*overlap.*\(H2, charge \+0"):
        fresh(pseudos).evaluate(atoms)


@needs_espresso
def test_scratch_files_go(pseudos: Path) -> None:
    before = scratch()
    evaluator = fresh(pseudos)
    evaluator.evaluate(hydrogen())
    assert len(scratch() - before) == 1
    del evaluator
    assert scratch() <= before


@needs_espresso
def test_the_reference_by_name(pseudos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFECTSCOUT_PSEUDO", str(pseudos))
    made = load("espresso:quick")
    assert isinstance(made, Reference)
    assert re.match(r"Quantum ESPRESSO \d\S*, PBE, 25 Ry, potentials of pseudos, settings \w{8}$", made.info.package)
    assert made.info.gamma_only


def test_a_missing_program_says_how_to_get_it(pseudos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(pseudos))
    monkeypatch.delenv("DEFECTSCOUT_ESPRESSO", raising=False)
    with pytest.raises(MissingProgramError, match=r"apt install quantum-espresso.*DEFECTSCOUT_ESPRESSO"):
        load("espresso")


def test_another_program_is_not_taken_for_pw(pseudos: Path, tmp_path: Path) -> None:
    script = tmp_path / "pw.mine"
    script.write_text("#!/bin/sh\necho some other program\n")
    script.chmod(0o755)
    made = EspressoReference("espresso", settings_with(pseudos), (str(script),))
    with pytest.raises(MissingProgramError, match=r"does not answer as pw\.x does, but with 'some other program'"):
        _ = made.info
    with pytest.raises(CalculationError, match=r"ended without a result \(exit status 0\): some other program"):
        made.evaluator(ElectronicState(0, 1)).evaluate(hydrogen())


def test_no_pseudopotentials_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEFECTSCOUT_PSEUDO", raising=False)
    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    with pytest.raises(MissingProgramError, match=r"no folder is named.*DEFECTSCOUT_PSEUDO"):
        choose_pseudos(["H"], EspressoSettings())
    with pytest.raises(MissingProgramError, match="nowhere does not exist"):
        choose_pseudos(["H"], EspressoSettings(pseudopotentials=str(tmp_path / "nowhere")))


def test_a_pseudopotential_for_each_element(pseudos: Path) -> None:
    old = (
        "<PP_HEADER>\n 0 Version Number\n Ge Element\n US Ultrasoft pseudopotential\n 14.0000 Z valence\n</PP_HEADER>\n"
    )
    (pseudos / "ge_pbe_v1.4.uspp.F.UPF").write_text(old)
    (pseudos / "He.txt").write_text("no potential")
    settings = settings_with(pseudos)
    found = choose_pseudos(["Ge", "H", "Ge"], settings)
    assert [(p.symbol, p.valence, p.norm_conserving) for p in found] == [("Ge", 14, False), ("H", 1, True)]
    text = input_text(Atoms("GeH", cell=[4, 4, 4], pbc=True), ElectronicState(0, 2), settings, Task("scf", False))
    assert "ecutrho = 200" in text  # 8 × 25 Ry, as one of them is ultrasoft
    with pytest.raises(UnsupportedElementError, match=r"There is no pseudopotential for He: .* a file such as He\.UPF"):
        choose_pseudos(["He"], settings)


def with_cutoffs(path: Path, wavefunctions: float, density: float) -> None:
    text = soft_hydrogen(path).read_text().replace('wfc_cutoff="0.0"', f'wfc_cutoff="{wavefunctions:.2E}"')
    path.write_text(text.replace('rho_cutoff="0.0"', f'rho_cutoff="{density:.2E}"'))


def test_cutoffs_are_those_that_the_potentials_suggest(tmp_path: Path) -> None:
    with_cutoffs(tmp_path / "H.UPF", 44.0, 352.0)
    (tmp_path / "Ge.UPF").write_text(
        "<PP_HEADER>\n 0 Version Number\n Ge Element\n US Ultrasoft pseudopotential\n 14.0000 Z valence\n"
        " 50.000 300.000 Suggested cutoff for wfc and rho\n</PP_HEADER>\n"
    )
    settings = settings_with(tmp_path, cutoff=0.0)
    found = choose_pseudos(["H", "Ge"], settings)
    assert cutoffs(found[:1], settings) == (44.0, 352.0)
    assert cutoffs(found, settings) == (50.0, 352.0)
    assert cutoffs(found, settings_with(tmp_path, cutoff=70.0)) == (70.0, 560.0)  # 8 times, with an ultrasoft one
    assert cutoffs(found, settings_with(tmp_path, cutoff=0.0, density_cutoff=500.0)) == (50.0, 500.0)


def test_a_cutoff_that_nobody_names_is_asked_for(pseudos: Path) -> None:
    settings = settings_with(pseudos, cutoff=0.0)
    with pytest.raises(SettingsError, match=r"H\.UPF in .* suggests none\. Give one with the setting cutoff \(Ry\)"):
        input_text(hydrogen(), ElectronicState(0, 1), settings, Task("scf", reuse=False))


def test_a_family_says_which_files_are_its_own(tmp_path: Path) -> None:
    with_cutoffs(tmp_path / "H.pbe-rrkjus_psl.1.0.0.UPF", 46.0, 221.0)
    soft_hydrogen(tmp_path / "H_other.UPF")
    entry = {"filename": "H.pbe-rrkjus_psl.1.0.0.UPF", "cutoff_wfc": 60.0, "cutoff_rho": 480.0}
    (tmp_path / "SSSP_1.3.0_PBE_efficiency.json").write_text(json.dumps({"H": entry}))
    (tmp_path / "other.json").write_text('{"of": "another kind"}')
    settings = settings_with(tmp_path, cutoff=0.0)
    found = choose_pseudos(["H"], settings)
    assert found[0].path.name == entry["filename"]
    assert cutoffs(found, settings) == (60.0, 480.0)
    chosen = settings_with(tmp_path, cutoff=0.0, files={"H": "H_other.UPF"})
    assert choose_pseudos(["H"], chosen)[0].cutoff == 0
    (tmp_path / "second.json").write_text(json.dumps({"H": entry}))
    with pytest.raises(InputFileError, match=r"several families .*SSSP_1\.3\.0_PBE_efficiency\.json, second\.json"):
        choose_pseudos(["H"], settings)


def test_several_pseudopotentials_are_for_the_user_to_choose_from(pseudos: Path) -> None:
    (pseudos / "H_soft.upf").write_text((pseudos / "H.UPF").read_text())
    with pytest.raises(UnsupportedElementError, match=r"several .*H\.UPF, H_soft\.upf.*files = \{ H = 'H\.UPF' \}"):
        choose_pseudos(["H"], settings_with(pseudos))
    chosen = settings_with(pseudos, files={"H": "H_soft.upf"})
    assert choose_pseudos(["H"], chosen)[0].path.name == "H_soft.upf"


def test_a_file_for_another_element_is_refused(pseudos: Path) -> None:
    (pseudos / "He.UPF").write_text((pseudos / "H.UPF").read_text())
    with pytest.raises(InputFileError, match="is for H, not for He"):
        choose_pseudos(["He"], settings_with(pseudos))
    (pseudos / "Li.UPF").write_text("nothing")
    with pytest.raises(InputFileError, match="is no UPF file"):
        choose_pseudos(["Li"], settings_with(pseudos))


@pytest.mark.parametrize(("charge", "multiplicity"), [(0, 1), (-1, 2), (1, 2)])
def test_an_odd_electron_is_left_unpaired(pseudos: Path, charge: int, multiplicity: int) -> None:
    settings = settings_with(pseudos)
    state = electronic_state(hydrogen(), charge, settings)
    assert state.multiplicity == multiplicity
    text = input_text(hydrogen(), state, settings, Task("scf", reuse=False))
    assert ("nspin = 2" in text) is (multiplicity == 2)
    assert ("tot_magnetization = 1\n" in text) is (multiplicity == 2)
    assert f"tot_charge = {charge}\n" in text


def test_structure_to_the_last_digit(pseudos: Path) -> None:
    atoms = hydrogen()
    atoms.positions[1] = [1.234567890123, -0.1, 1 / 3]
    text = input_text(atoms, ElectronicState(0, 1), settings_with(pseudos), Task("scf", reuse=True, title="a title"))
    assert text.startswith("! a title\n&CONTROL\n")
    assert "  H 1.234567890123 -0.100000000000 0.333333333333\n" in text
    assert "K_POINTS gamma\nCELL_PARAMETERS angstrom\n  4.000000000000 0.000000000000" in text
    assert "startingwfc = 'file'" in text


def test_hse06_has_a_quarter_of_screened_exchange(pseudos: Path) -> None:
    settings = settings_with(pseudos, functional="HSE06")
    text = input_text(hydrogen(), ElectronicState(0, 1), settings, Task("relax", reuse=False))
    values = dict(re.findall(r"^  (\w+) = (\S+)$", text, re.MULTILINE))
    assert values["input_dft"] == "'HSE'"
    assert float(values["exx_fraction"]) == 0.25
    assert float(values["screening_parameter"]) == pytest.approx(0.11, abs=1e-4)


def test_smearing(pseudos: Path) -> None:
    settings = settings_with(pseudos, smearing=0.1)
    text = input_text(hydrogen(), ElectronicState(0, 1), settings, Task("scf", reuse=False))
    values = dict(re.findall(r"^  (\w+) = (\S+)$", text, re.MULTILINE))
    assert values["occupations"] == "'smearing'"
    assert float(values["degauss"]) == pytest.approx(0.1 / 13.605693, rel=1e-6)  # Ry
    fixed = input_text(hydrogen(), ElectronicState(0, 1), settings_with(pseudos, smearing=0.0), Task("scf", False))
    assert "occupations = 'fixed'" in fixed


def test_a_relaxation_ends_by_its_forces(pseudos: Path) -> None:
    settings = settings_with(pseudos, walltime=2.0)
    text = input_text(hydrogen(), ElectronicState(0, 1), settings, Task("relax", reuse=False))
    values = dict(re.findall(r"^  (\w+) = (\S+)$", text, re.MULTILINE))
    assert float(values["forc_conv_thr"]) == pytest.approx(0.01 / 25.71103, rel=1e-5)  # Ry/bohr
    assert values["max_seconds"] == "7200"
    assert "&IONS" in text
    assert "&CELL\n" not in text
    assert "&CELL\n" in input_text(hydrogen(), ElectronicState(0, 1), settings, Task("vc-relax", reuse=False))


def test_a_host_may_be_a_primitive_cell(pseudos: Path) -> None:
    atoms = Atoms("H", cell=[[0, 2, 2], [2, 0, 2], [2, 2, 0]], pbc=True)  # reciprocal vectors of 2.72 1/Å
    settings = settings_with(pseudos, host_kpoint_spacing=0.7, functional="HSE06")
    host = input_text(atoms, ElectronicState(0, 1), settings, Task("vc-relax", reuse=False))
    assert "K_POINTS automatic\n  4 4 4 0 0 0\n" in host
    assert "nqx1 = 4\n" in host
    assert "nosym = .false." in host
    defect = input_text(atoms, ElectronicState(0, 1), settings, Task("relax", reuse=False))
    assert "K_POINTS gamma\n" in defect
    assert "nosym = .true." in defect


def test_settings_by_name_and_file(tmp_path: Path) -> None:
    assert settings_of("") == settings_of("pbe") == EspressoSettings()
    path = tmp_path / "mine.toml"
    path.write_text('preset = "quick"\ncutoff = 30\n')
    assert settings_of(str(path)) == PRESETS["quick"][1].model_copy(update={"cutoff": 30.0})
    path.write_text("cutof = 30\n")
    with pytest.raises(SettingsError, match="'cutof' is not a setting"):
        settings_of(str(path))
    with pytest.raises(SettingsError, match="no preset 'paper'"):
        settings_of("paper")


def test_the_fingerprint_is_of_what_energies_depend_on(pseudos: Path) -> None:
    plain = summary(settings_with(pseudos))
    assert summary(settings_with(pseudos, threads=4, walltime=3.0)) == plain
    assert summary(settings_with(pseudos, conv_thr=1e-6)) != plain
    (pseudos / "He.UPF").write_text("another")
    assert summary(settings_with(pseudos)) != plain


def test_what_pw_says_of_its_field_and_its_errors() -> None:
    achieved = (
        "     estimated scf accuracy    <       0.00000001 Ry\n\n     convergence has been achieved in  11 iterations\n"
    )
    failed = (
        "     estimated scf accuracy    <       0.02 Ry\n     convergence NOT achieved after   2 iterations: stopping\n"
    )
    assert why_failed(achieved) == why_failed("") == why_failed(failed + achieved) == ""
    assert why_failed(achieved + failed).endswith("in 2 steps (estimated accuracy 0.02 Ry at the end)")
    loop = "     EXX convergence NOT achieved after 100 iterations: stopping\n"
    assert why_failed(achieved + loop).startswith("exact exchange did not converge in 100 steps")
    assert why_failed(achieved + loop + "     EXX self-consistency reached\n") == ""
    line = " " + "%" * 80
    assert error_message(f"{line}\n     Error in routine setup (3):\n     no atoms\n{line}\n") == (
        "Error in routine setup (3): no atoms"
    )
