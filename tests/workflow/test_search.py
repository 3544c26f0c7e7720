"""The main job on the model crystal: whole searches, resumed searches, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import model
from defectscout.core.errors import (
    CalculationError,
    CampaignError,
    DefectSelectionError,
    InputFileError,
    NothingFoundError,
    UnstableHostError,
)
from defectscout.core.progress import SilentProgress
from defectscout.workflow.compare import compare
from defectscout.workflow.record import Record
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import Until, check_answered, inputs, resume, search
from defectscout.workflow.settings import SearchSettings, merge
from workflow.killing import run_and_kill

QUICK: dict[str, Any] = {
    "sampling": {"distortions": (-0.6, -0.3, 0.3)},
    "surrogate": {"name": model("surrogate")},
    "reference": {"name": model("reference"), "workers": 2},
}


def settings(**overrides: Any) -> SearchSettings:
    return merge(merge(SearchSettings(), QUICK, "test"), overrides, "test")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ase.build import bulk
    from ase.io import write

    path = tmp_path_factory.mktemp("host") / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path


@pytest.fixture(scope="module")
def scouted(host: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(host, tmp_path_factory.mktemp("scouted") / "mgs", settings())


@pytest.fixture(scope="module")
def reference_only(host: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(host, tmp_path_factory.mktemp("only") / "mgs", settings(strategy="reference-only"))


def test_the_reconstruction_is_found(scouted: SearchResult) -> None:
    ground = scouted.ground_state
    assert list(scouted.defects) == ["v_Mg_0"]
    assert ground.lowering is not None
    assert ground.lowering < -0.5
    (bond, *_) = ground.minimum.new_bonds
    assert bond.species == ("S", "S")
    assert bond.length == pytest.approx(2.14, abs=0.05)
    assert scouted["v_Mg_0"].defect.excess_charge == 2
    unperturbed = next(item for item in scouted.minima if "Unperturbed" in item.candidates)
    assert unperturbed.lowering == pytest.approx(0.0, abs=1e-9)
    assert not unperturbed.minimum.new_bonds


def test_scouting_finds_the_ground_state_of_the_reference_only_search(
    scouted: SearchResult, reference_only: SearchResult
) -> None:
    assert scouted.ground_state.minimum.energy <= reference_only.ground_state.minimum.energy + 0.02
    assert scouted.funnel.reference_calls < reference_only.funnel.reference_calls
    (comparison,) = compare(scouted.folder, reference_only.folder)
    assert comparison.first_found
    assert comparison.second_calls == reference_only.funnel.reference_calls


def test_the_funnel_counts_what_was_done(scouted: SearchResult) -> None:
    funnel = scouted.funnel
    record = Record(scouted.folder / "campaign.db")
    tasks = record.tasks("reference")
    assert funnel.sampling == 4  # three distortions and Unperturbed; explicit distortions make no Dimer
    assert funnel.scouted == 4
    assert funnel.candidates == len(tasks)
    assert funnel.reference_calls == sum(len(record.frames(task.key)) for task in tasks)
    assert funnel.surrogate_calls == sum(len(record.frames(task.key)) for task in record.tasks("scout"))


def test_every_sampling_structure_is_accounted_for(scouted: SearchResult) -> None:
    result = scouted["v_Mg_0"]
    led = [label for item in result.minima for label in item.sampled_by]
    aside = [label for label, _ in result.set_aside]
    assert sorted(led + aside) == sorted(
        ["Unperturbed", "Bond_Distortion_-60.0%", "Bond_Distortion_-30.0%", "Bond_Distortion_30.0%"]
    )


def test_an_untouched_surrogate_that_erases_bonds_is_called_out(host: Path, tmp_path: Path) -> None:
    result = search(host, tmp_path / "blind", settings(surrogate={"name": model("blind_surrogate")}))
    confidence = result["v_Mg_0"].confidence
    assert confidence.level == "low"
    assert any("undid every short bond" in reason for reason in confidence.reasons)


def test_exports(scouted: SearchResult) -> None:
    summary = json.loads((scouted.folder / "summary.json").read_text())
    minima = summary["defects"]["v_Mg_0"]["minima"]
    assert [item["rank"] for item in minima] == list(range(len(scouted.minima)))
    assert minima[0]["new_bonds"][0]["species"] == ["S", "S"]
    rows = (scouted.folder / "minima.csv").read_text().splitlines()
    assert len(rows) == 1 + len(scouted.minima)
    from pymatgen.core import Structure

    for name in ("ground_state.cif", "ground_state.POSCAR"):
        path = scouted.folder / "structures" / "v_Mg_0" / name
        structure = Structure.from_str(path.read_text(), fmt="cif" if name.endswith("cif") else "poscar")
        assert structure.composition.reduced_formula == scouted["v_Mg_0"].defect.atoms.get_chemical_formula(
            empirical=True
        ) or len(structure) == len(scouted["v_Mg_0"].defect.atoms)
        distances = structure.distance_matrix[np.triu_indices(len(structure), 1)]
        assert distances.min() == pytest.approx(scouted.ground_state.minimum.new_bonds[0].length, abs=0.01)
    assert (scouted.folder / "v_Mg_0" / "Unperturbed" / "CONTCAR").is_file()
    assert (scouted.folder / "v_Mg_0" / "v_Mg_0.yaml").is_file()


def test_doped_entries_hold_the_ground_state(scouted: SearchResult) -> None:
    entry = scouted.to_defect_entries()["v_Mg_0"]
    assert entry.sc_entry.energy == scouted.ground_state.minimum.energy
    assert entry.get_ediff() == pytest.approx(scouted.ground_state.minimum.energy - scouted.host.energy)


def test_running_again_repeats_nothing(scouted: SearchResult, host: Path) -> None:
    before = (scouted.folder / "campaign.db").read_bytes()
    again = search(host, scouted.folder, settings())
    assert (scouted.folder / "campaign.db").read_bytes() == before
    assert again.ground_state.minimum.energy == scouted.ground_state.minimum.energy


def test_stages_one_by_one_give_the_same_answer(host: Path, tmp_path: Path, scouted: SearchResult) -> None:
    folder = tmp_path / "stages"
    first = search(host, folder, settings(), until=Until.SAMPLING)
    assert first.minima == ()
    assert (folder / "v_Mg_0" / "Unperturbed" / "POSCAR").is_file()
    with pytest.raises(CampaignError, match="defectscout scout"):
        inputs(folder, None, SilentProgress())
    assert resume(folder, Until.CANDIDATES, SilentProgress())["v_Mg_0"].candidates.n_minima >= 2
    written = inputs(folder, tmp_path / "inputs", SilentProgress())
    assert all((path / "POSCAR").is_file() for path in written.folders)
    last = resume(folder, Until.ANSWER, SilentProgress())
    assert last.ground_state.minimum.energy == pytest.approx(scouted.ground_state.minimum.energy, abs=1e-9)
    assert last.funnel == scouted.funnel


def test_changed_settings_are_named_and_can_be_forked(scouted: SearchResult, host: Path) -> None:
    changed = settings(refinement={"force": 0.1})
    with pytest.raises(CampaignError, match=r"refinement\.force was 0\.03, now 0\.1"):
        search(host, scouted.folder, changed)
    fork = search(host, scouted.folder, changed, fork=True)
    assert fork.folder != scouted.folder
    assert fork.funnel.surrogate_calls == scouted.funnel.surrogate_calls
    assert fork.funnel.reference_calls < scouted.funnel.reference_calls


def test_folders_that_hold_something_else(host: Path, tmp_path: Path, scouted: SearchResult) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("...")
    with pytest.raises(CampaignError, match="not empty"):
        search(host, other, settings())
    assert [path.name for path in other.iterdir()] == ["chapter1.tex"]
    from ase.build import bulk
    from ase.io import write

    host2 = tmp_path / "MgS.cif"
    write(host2, bulk("MgS", "rocksalt", a=5.9))
    with pytest.raises(CampaignError, match="another host"):
        search(host2, scouted.folder, settings())


def test_no_such_defect(host: Path, tmp_path: Path) -> None:
    with pytest.raises(DefectSelectionError, match="v_Mg"):
        search(host, tmp_path / "out", settings(defects={"select": ("v_Cd",)}, host={"keep": True}))


def test_a_reference_that_never_answers_is_an_error(host: Path, tmp_path: Path) -> None:
    broken = settings(reference={"name": model("failing")}, host={"keep": True}, strategy="reference-only")
    with pytest.raises(NothingFoundError, match="did not converge"):
        search(host, tmp_path / "out", broken)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "did not converge" in summary["defects"]["v_Mg_0"]["set_aside"][0]["reason"]


WITHOUT_SULFUR_VACANCIES = """
import sys
sys.path.insert(0, {tests!r})
from model_crystal import ModelCrystal


class Picky(ModelCrystal):
    def calculate(self, atoms=None, *options):
        if (atoms.numbers == 16).sum() < (atoms.numbers == 12).sum():
            raise RuntimeError("the self-consistent field did not converge")
        super().calculate(atoms, *options)


def make():
    return Picky()
"""


def test_a_defect_that_fails_altogether_leaves_the_others_their_answer(host: Path, tmp_path: Path) -> None:
    script = tmp_path / "picky.py"
    script.write_text(WITHOUT_SULFUR_VACANCIES.format(tests=str(Path(__file__).parents[1])))
    picky = settings(
        reference={"name": f"ase:{script}:make"},
        defects={"select": ("v_Mg", "v_S")},
        sampling={"distortions": None, "none": True},
        host={"keep": True},
        strategy="reference-only",
    )
    result = search(host, tmp_path / "out", picky)
    assert len(result["v_Mg_0"].minima) == 1
    assert result["v_S_0"].minima == ()
    with pytest.raises(NothingFoundError, match=r"of v_S_0 has given .*did not converge"):
        check_answered(result)


def test_a_folder_of_structures_that_is_not_there_is_said_before_the_host_relaxes(host: Path, tmp_path: Path) -> None:
    own = settings(sampling={"distortions": None, "folder": tmp_path / "none"})
    with pytest.raises(InputFileError, match="does not exist"):
        search(host, tmp_path / "out", own)
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_cannot_be_calculated(host: Path, tmp_path: Path) -> None:
    with pytest.raises(CalculationError, match=r"The host MgS \(54 atoms\) could not be relaxed: .*did not converge"):
        search(host, tmp_path / "out", settings(reference={"name": model("failing")}))


def test_a_host_that_the_reference_does_not_hold(tmp_path: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    path = tmp_path / "stretched.cif"
    write(path, bulk("MgS", "rocksalt", a=5.3))
    one_start = {"distortions": None, "none": True}
    with pytest.raises(UnstableHostError, match="lattice parameter"):
        search(path, tmp_path / "out", settings(sampling=one_start))
    accepted = search(path, tmp_path / "out", settings(host={"accept_unstable": True}, sampling=one_start))
    assert "host is unstable" in accepted["v_Mg_0"].confidence.reasons[0]
    assert resume(tmp_path / "out", Until.ANSWER, SilentProgress()).funnel == accepted.funnel


def test_reference_none_writes_inputs(host: Path, tmp_path: Path) -> None:
    result = search(host, tmp_path / "dft", settings(reference={"name": "none"}))
    assert result.minima == ()
    assert result.host.kept
    for candidate in result["v_Mg_0"].candidates.candidates:
        folder = tmp_path / "dft" / "inputs" / "v_Mg_0" / candidate.label
        assert {"POSCAR", "INCAR", "KPOINTS"} <= {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "before"), [("host", None), ("scout", Until.SAMPLING), ("reference", Until.CANDIDATES)]
)
def test_kill_and_resume(stage: str, before: Until | None, host: Path, tmp_path: Path, scouted: SearchResult) -> None:
    """kill -9 in each stage; the resumed search ends as the uninterrupted one did."""
    folder = tmp_path / "killed"
    if before is not None:
        search(host, folder, settings(), until=before)
    code = f"""
from workflow.test_search import search, settings
search({str(host)!r}, {str(folder)!r}, settings())
"""
    run_and_kill(code, folder, f"stage = '{stage}'", 4, delay=0.05)
    again = search(host, folder, settings())
    assert again.ground_state.minimum.energy == pytest.approx(scouted.ground_state.minimum.energy, abs=1e-6)
    assert [item.candidates for item in again.minima] == [item.candidates for item in scouted.minima]
    assert again.funnel == scouted.funnel
    assert again.host.evaluations == scouted.host.evaluations
