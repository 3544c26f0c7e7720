"""`defectscout evaluate` as its user sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import find_mic
from typer.testing import CliRunner, Result

from conftest import model
from defectscout.cli.main import app
from defectscout.core.frames import Prediction
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import BULK, FrameOrigin, LabelledFrame
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings
from model_crystal import reference

EXACT, WEAK, BLIND, FAILING = (model(name) for name in ("reference", "surrogate", "blind_surrogate", "failing"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def labelled() -> Iterator[LabelledFrame]:
    """Frames of rattled MgS with v_Mg and v_S, two relaxations each, and of the pristine crystal."""
    host = make_supercell(bulk("MgS", "rocksalt", a=5.8, cubic=True), np.diag([2, 2, 2]))
    generator = np.random.default_rng(0)
    for defect, symbol in (("v_Mg", "Mg"), ("v_S", "S"), (BULK, "")):
        atoms = host.copy()
        if symbol:
            del atoms[next(index for index, atom in enumerate(atoms) if atom.symbol == symbol)]
        for start in ("Rattled", "Dimer"):
            for step in range(3):
                frame = atoms.copy()
                frame.positions += generator.normal(scale=0.25 / (step + 1), size=frame.positions.shape)
                yield LabelledFrame(
                    frame, labels_of(frame), FrameOrigin("MgS", defect, 0, start, step, "model", "here")
                )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "MgS.db"
    with Dataset.create(path) as new:
        new.add(labelled())
        rows = new.index()
        new.mark_selected([row.row for row in rows if row.origin.step < 3])
        new.write_subsets({row.row: "test" if row.origin.defect == "v_Mg" else "train" for row in rows})
    return path


def test_the_reference_itself_has_no_error_and_another_has(dataset: Path) -> None:
    result = run("evaluate", dataset, "--surrogate", EXACT, "--surrogate", WEAK, "--subset", "all", "--json")
    assert result.exit_code == 0, result.output
    exact, weak = json.loads(result.stdout)["surrogates"]
    for name in ("energy_mae_meV_per_atom", "relative_mae_eV", "force_rmse_meV_per_A", "stress_mae_GPa"):
        assert exact["overall"][name]["value"] == pytest.approx(0, abs=1e-6)
        assert weak["overall"][name]["value"] > 1e-3
    assert exact["overall"]["spearman"]["value"] == pytest.approx(1)
    assert exact["overall"]["n_frames"] == 12
    assert exact["bulk"]["n_frames"] == 6


def test_the_test_set_is_the_default_and_others_can_be_chosen(dataset: Path) -> None:
    def defects(*options: str) -> list[str]:
        answer = json.loads(run("evaluate", dataset, "--surrogate", EXACT, "--json", *options).stdout)
        return [item["defect"] for item in answer["surrogates"][0]["by_defect"]]

    assert defects() == ["v_Mg"]
    assert defects("--subset", "train") == ["v_S"]
    assert defects("--subset", "all", "--defect", "MgS/v_*") == ["v_Mg", "v_S"]
    assert defects("--subset", "all", "--defect", "v_S", "--charge", "0") == ["v_S"]


def test_tables_files_and_figures(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    result = run("evaluate", dataset, "-s", WEAK, "-s", BLIND, "--subset", "all", "-o", out, "--figures", "-q")
    assert result.exit_code == 0, result.output
    assert "by defect" in result.stdout
    assert "model_crystal.py:blind_surrogate" in result.stdout
    names = {"evaluation.json", "evaluation.csv", "frames.csv", "forces.csv", "parity.png", "errors.png", "violins.png"}
    assert {path.name for path in out.iterdir()} == names


def test_minima_without_a_finished_search_are_not_judged(dataset: Path) -> None:
    """These relaxations end nowhere near a minimum: their last frames are rattled."""
    result = run("evaluate", dataset, "--surrogate", EXACT, "--minima", "--json", "-q")
    assert result.exit_code == 0, result.output
    (verdict,) = json.loads(result.stdout)["minima"]["surrogates"][0]["defects"]
    assert verdict["reference_minima"] == 0
    assert verdict["ground_state_identified"] is None
    assert {item["start"] for item in verdict["left_out"]} == {"Rattled", "Dimer"}


def searched() -> Iterator[LabelledFrame]:
    """First and last frame of relaxations of v_Mg with the reference: unperturbed, and from a close pair of sulfurs."""
    host = make_supercell(bulk("MgS", "rocksalt", a=5.8, cubic=True), np.diag([2, 2, 2]))
    origin = FrameOrigin("MgS", "v_Mg", 0, "", 0, "model", "here")
    yield LabelledFrame(host, labels_of(host), replace(origin, defect=BULK, start="bulk"))
    hole = next(atom.index for atom in host if atom.symbol == "Mg")
    site = host.positions[hole].copy()
    unperturbed = host.copy()
    del unperturbed[hole]
    pair = unperturbed.copy()
    near = np.argsort(np.linalg.norm(host_vectors(pair, site), axis=1))[:2]
    pair.positions[near] -= 0.6 * host_vectors(pair, site)[near]
    rattled = unperturbed.copy()
    rattled.rattle(0.05, seed=1)
    surrogate = load_surrogate(SurrogateSettings(name=EXACT))
    starts = [Start("Unperturbed", unperturbed), Start("Dimer", pair), Start("Rattled", rattled)]
    for start, end in zip(starts, relax_batch(surrogate, starts, RelaxationSettings(force=0.02)), strict=True):
        assert end.final is not None
        yield LabelledFrame(start.atoms, labels_of(start.atoms), replace(origin, start=start.label))
        yield LabelledFrame(
            end.final.atoms, end.final.prediction, replace(origin, start=start.label, step=end.final.step)
        )


def host_vectors(atoms: Atoms, site: np.ndarray) -> np.ndarray:
    """Vectors from the site to the nearest image of each atom, Å."""
    return find_mic(atoms.positions - site, atoms.cell)[0]


def labels_of(atoms: Atoms) -> Prediction:
    frame = atoms.copy()
    frame.calc = reference()
    return Prediction(frame.get_potential_energy(), frame.get_forces(), frame.get_stress())


def test_minima_are_found_by_the_reference_and_missed_by_a_model_without_the_bond(tmp_path: Path) -> None:
    path = tmp_path / "search.db"
    with Dataset.create(path) as new:
        new.add(searched())
    out = tmp_path / "out"
    result = run("evaluate", path, "-s", EXACT, "-s", BLIND, "--minima", "-o", out, "-q")
    assert result.exit_code == 0, result.output
    assert "Ground states identified: 1 of 1" in result.stdout
    assert "Ground states identified: 0 of 1" in result.stdout
    exact, blind = (item["defects"][0] for item in json.loads((out / "minima.json").read_text())["surrogates"])
    assert exact["reference_minima"] == exact["reference_minima_found"] == 2
    assert exact["minima"][0]["new_bonds"][0].startswith("S–S")
    assert exact["ground_state_rank"] == 1
    assert exact["ground_state_farthest_atom_A"] < 0.05
    assert exact["symmetry_broken"] is True
    assert (blind["ground_state_identified"], blind["ground_state_rank"]) == (False, None)
    lines = (out / "minima.csv").read_text().splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--subset", "validation"], "no validation set"),
        (["--subset", "tset"], "no subset called 'tset'"),
        (["--defect", "v_S"], "In 'test' there are: MgS/v_Mg +0"),
        (["--charge", "-2"], "with -2"),
        (["--charge", "two"], "--charge two"),
        (["--surrogate", "chgnett"], "chgnet"),
        (["--figures"], "-o FOLDER"),
        (["--device", "abacus"], "--device abacus"),
    ],
)
def test_bad_input_is_a_paragraph_and_exit_code_2(options: list[str], words: str, dataset: Path) -> None:
    result = run("evaluate", dataset, *options, *([] if "--surrogate" in options else ["--surrogate", EXACT]))
    assert result.exit_code == 2, result.output
    assert words in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def test_a_missing_dataset_is_said(tmp_path: Path) -> None:
    result = run("evaluate", tmp_path / "none.db", "--surrogate", EXACT)
    assert result.exit_code == 2
    assert "none.db" in result.stderr


def test_a_surrogate_that_fails_everywhere_gives_no_answer(dataset: Path) -> None:
    result = run("evaluate", dataset, "--surrogate", FAILING, "-q")
    assert result.exit_code == 3, result.output
    assert "self-consistent field" in result.stderr.replace("\n", " ")
    assert "none of the 6 frames" in result.stderr.replace("\n", " ")
