"""Whole searches of several charge states on the model crystal, whose S–S bond depends on the charge."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from defectscout.core.progress import SilentProgress
from defectscout.workflow.campaign import reopen_campaign
from defectscout.workflow.record import Record
from defectscout.workflow.results import DefectResult, SearchResult
from defectscout.workflow.search import Until, prepare, resume, search
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages import other_charges
from defectscout.workflow.stages.borrowed import read_borrowed
from defectscout.workflow.stages.candidates import Origin, choose_candidates
from defectscout.workflow.stages.other_charges import relax_borrowed
from defectscout.workflow.stages.reference import relax_candidates
from listening import InterruptError
from workflow.killing import run_and_kill

TESTS = Path(__file__).parents[1]
SETTINGS = merge(
    SearchSettings(),
    {
        "sampling": {"distortions": (-0.6,)},
        "host": {"keep": True},
        "defects": {"select": ("v_Mg",), "charges": (-2, 0)},
        "strategy": "reference-only",
        "refinement": {"force": 0.1},
        "reference": {"name": f"ase:{TESTS / 'workflow' / 'charged_crystal.py'}:reference", "workers": 1},
    },
    "test",
)


def together(folder: Path, progress: SilentProgress | None = None) -> bool:
    """What a search does with --charges, from wherever it stands."""
    progress = progress or SilentProgress()
    with reopen_campaign(folder) as campaign:
        defects = prepare(campaign, progress).defects
        candidates = choose_candidates(campaign, defects, progress)
        relax_candidates(campaign, defects, candidates, progress)
        return relax_borrowed(campaign, defects, candidates, progress)


def bonds(result: DefectResult) -> int:
    return len(result.ground_state.minimum.new_bonds)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    folder = tmp_path_factory.mktemp("charges")
    write(folder / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    return search(folder / "MgS.cif", folder / "alone", SETTINGS)


@pytest.fixture
def campaign(alone: SearchResult, tmp_path: Path) -> Path:
    """The searched charge states, before they have heard of each other."""
    return Path(shutil.copytree(alone.folder, tmp_path / "campaign"))


@pytest.fixture(scope="module")
def both(alone: SearchResult, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    folder = Path(shutil.copytree(alone.folder, tmp_path_factory.mktemp("both") / "campaign"))
    assert together(folder)
    return resume(folder, Until.ANSWER, SilentProgress())


def test_a_ground_state_that_its_own_sampling_structures_never_reach(alone: SearchResult, both: SearchResult) -> None:
    """Without excess charge there is no bond to distort, and the rattled structure relaxes back."""
    before, after = alone["v_Mg_-2"], both["v_Mg_-2"]
    assert (len(before.minima), bonds(before)) == (1, 0)
    assert bonds(after) > 0
    ground = after.ground_state
    assert ground.lowering is not None
    assert ground.lowering < -0.5
    assert ground.sampled_by == ("Bond_Distortion_-60.0%_from_0",)
    assert ground.minimum.converged


def test_a_charge_state_keeps_its_own_answer(alone: SearchResult, both: SearchResult) -> None:
    """The neutral vacancy had both structures: nothing to try, no call more."""
    assert both["v_Mg_0"].funnel == alone["v_Mg_0"].funnel
    assert both["v_Mg_0"].ground_state.minimum.energy == alone["v_Mg_0"].ground_state.minimum.energy


def test_what_was_tried_is_counted(alone: SearchResult, both: SearchResult) -> None:
    before, after = alone["v_Mg_-2"].funnel, both["v_Mg_-2"].funnel
    assert after.sampling == before.sampling
    assert after.candidates == before.candidates + 1
    (candidate,) = [item for item in both["v_Mg_-2"].candidates.candidates if item.origin is Origin.BORROWED]
    record = Record(both.folder / "campaign.db")
    tasks = {task.key.label: task for task in record.tasks("reference", "v_Mg_-2")}
    assert len(tasks) == after.candidates
    assert after.reference_calls == before.reference_calls + tasks[candidate.label].evaluations
    assert len(record.frames(tasks[candidate.label].key)) == tasks[candidate.label].evaluations


def test_a_search_with_the_setting_does_it(campaign: Path, both: SearchResult) -> None:
    record = Record(campaign / "campaign.db")
    content = json.loads(record.read_document("campaign") or "")
    content["settings"]["defects"]["cross_charges"] = True
    record.write_document("campaign", json.dumps(content))
    _check_same(resume(campaign, Until.ANSWER, SilentProgress()), both)


def test_nothing_is_tried_twice(both: SearchResult) -> None:
    before = (both.folder / "campaign.db").read_bytes()
    assert not together(both.folder)
    assert (both.folder / "campaign.db").read_bytes() == before


def test_shakenbreak_reads_the_layout(both: SearchResult, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(both.folder, tmp_path / "layout"))
    home = folder / "v_Mg_-2"
    label = "Bond_Distortion_-60.0%_from_0"
    assert {path.name for path in (home / label).iterdir()} == {"POSCAR", "CONTCAR"}
    environment = {"PATH": "/usr/bin:/bin", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    for command in (["snb-plot", "-d", "v_Mg_-2"], ["snb-groundstate"]):
        program = Path(sys.executable).parent / command[0]
        if not program.exists():
            pytest.skip(f"{command[0]} is not installed beside {sys.executable}")
        done = subprocess.run(
            [program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "v_Mg_-2.png").is_file()
    assert (home / "Groundstate" / "POSCAR").read_bytes() == (home / label / "CONTCAR").read_bytes()


@pytest.mark.parametrize("moment", ["before it is recorded", "when it is recorded", "during its relaxation"])
def test_an_interruption_changes_nothing(
    moment: str, campaign: Path, both: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(SilentProgress):
        def message(self, text: str) -> None:
            if moment == "before it is recorded" and "trying" in text:
                raise InterruptError

        def advance(self, name: str, done: float, detail: str = "") -> None:
            if moment == "during its relaxation" and "_from_0, step 2" in detail:
                raise InterruptError

    def record_and_die(*arguments: object) -> None:
        record_borrowed(*arguments)
        raise InterruptError

    record_borrowed = other_charges.record_borrowed
    with monkeypatch.context() as patch:
        if moment == "when it is recorded":
            patch.setattr(other_charges, "record_borrowed", record_and_die)
        with pytest.raises(InterruptError):
            together(campaign, Interrupting())
    together(campaign)
    _check_same(resume(campaign, Until.ANSWER, SilentProgress()), both)


def _check_same(again: SearchResult, expected: SearchResult) -> None:
    for label, result in again.defects.items():
        assert result.funnel == expected[label].funnel
        assert [item.candidates for item in result.minima] == [item.candidates for item in expected[label].minima]
        energies = [item.minimum.energy for item in expected[label].minima]
        assert [item.minimum.energy for item in result.minima] == pytest.approx(energies, abs=1e-9)
    with reopen_campaign(again.folder) as one:
        labels = [(item.defect, item.label) for item in read_borrowed(one)]
    assert labels == [("v_Mg_-2", "Bond_Distortion_-60.0%_from_0")]


@pytest.mark.slow
def test_kill_and_resume(campaign: Path, both: SearchResult) -> None:
    code = f"""
from pathlib import Path
from workflow.test_charges_together import together
together(Path({str(campaign)!r}))
"""
    run_and_kill(code, campaign, "stage = 'reference' AND label LIKE '%from%'", 2, delay=0.1)
    together(campaign)
    _check_same(resume(campaign, Until.ANSWER, SilentProgress()), both)
