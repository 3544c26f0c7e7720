"""A search with a trained model: what is recorded and compared of it, and what the answer says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import model
from defectscout.core.errors import CampaignError, ModelFileError, SettingsError, UnsupportedElementError
from defectscout.core.progress import SilentProgress
from defectscout.surrogates import registry
from defectscout.surrogates.model_folder import TrainedOn
from defectscout.workflow.campaign import open_campaign, read_campaign, source_of
from defectscout.workflow.plan import plan
from defectscout.workflow.record import Record, TaskKey
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import Until, resume, search
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.defects import prepare_defects
from defectscout.workflow.stages.host import prepare_host
from defectscout.workflow.stages.sampling import prepare_sampling
from defectscout.workflow.stages.scout import scout, surrogate_info
from listening import Listening
from workflow.crystal_family import CHARGES_SEEN, write_model

MGS = TrainedOn(("MgS",), ("Mg", "S"), (0,), model("reference"), "better", "Better on 2 unseen defects.")
BOND = 4.2
"""eV, a little less than the reference's 4.5."""


@pytest.fixture(autouse=True)
def crystal_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter as an installed package would bring it."""
    brought = EntryPoint("crystal", "workflow.crystal_family:load", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*entry_points(group=group), brought])
    CHARGES_SEEN.clear()


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a model folder `mgs` in the test's folder."""

    def write_it(trained_on: TrainedOn = MGS, *bonds: float, base: str = "crystal") -> Path:
        return write_model(tmp_path / "mgs", trained_on, *(bonds or (BOND,)), base=base)

    return write_it


def settings(name: str, **overrides: Any) -> SearchSettings:
    quick = {
        "host": {"keep": True},
        "sampling": {"distortions": (-0.6, -0.3)},
        "scouting": {"force": 0.05},
        "refinement": {"force": 0.1},
        "surrogate": {"name": name},
        "reference": {"name": model("reference"), "workers": 2},
    }
    return merge(merge(SearchSettings(), quick, "test"), overrides, "test")


def scouted_energies(result: SearchResult) -> list[float]:
    record = Record(result.folder / "campaign.db")
    return [record.frames(task.key)[-1].prediction.energy for task in record.tasks("scout")]


def test_a_whole_search(write: Write, model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one folder with a relative path, gone on with from another, noticed when trained further."""
    folder = write()
    monkeypatch.chdir(tmp_path)
    progress = Listening()
    first = search(model_host, "out", settings("mgs"), until=Until.SAMPLING, progress=progress)
    assert first.surrogate == ""
    assert progress.warnings == []  # host, charge and method are those that it was trained on
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = resume(tmp_path / "out", Until.ANSWER, SilentProgress())
    assert result.surrogate == str(folder)
    assert result.ground_state.lowering is not None
    assert result.ground_state.lowering < -0.5
    assert result.trained_on == MGS
    confidence = result["v_Mg_0"].confidence
    assert not any("untouched" in reason or "never trained" in reason for reason in confidence.reasons)
    assert not any("was trained on" in reason for reason in confidence.reasons)

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["surrogate"] == str(folder)
    assert summary["surrogate_trained_on"]["hosts"] == ["MgS"]
    assert summary["surrogate_trained_on"]["verdict"] == "better"
    assert set(CHARGES_SEEN) == {0}

    # The same model by another path is the same search, and nothing is repeated.
    CHARGES_SEEN.clear()
    assert search(model_host, "../out", settings("../mgs")).ground_state.minimum.energy == pytest.approx(
        result.ground_state.minimum.energy, abs=1e-12
    )
    assert CHARGES_SEEN == []


def test_a_model_that_was_trained_again_is_noticed(write: Write, model_host: Path, tmp_path: Path) -> None:
    folder = write()
    out = tmp_path / "out"
    search(model_host, out, settings(str(folder)), until=Until.CANDIDATES)
    write(MGS, BOND + 0.1)
    with pytest.raises(CampaignError, match="other weights"):
        resume(out, Until.ANSWER, SilentProgress())
    (folder / "member-0" / "weights.json").write_text(json.dumps({"bond": BOND}))
    with pytest.raises(ModelFileError, match="not those that were trained"):
        resume(out, Until.ANSWER, SilentProgress())
    shutil.rmtree(folder)
    with pytest.raises(ModelFileError, match="does not exist"):
        resume(out, Until.ANSWER, SilentProgress())
    write()
    assert resume(out, Until.ANSWER, SilentProgress()).minima


def test_a_tuned_model_keeps_to_the_lattice_that_it_learned_in(write: Write, model_host: Path, tmp_path: Path) -> None:
    own = settings(str(write()), surrogate={"lattice": "own"})
    with pytest.raises(SettingsError, match="was tuned on frames of a reference"):
        search(model_host, tmp_path / "out", own)
    assert not (tmp_path / "out").exists()


def test_an_ensemble_scouts_on_the_mean_surface(write: Write, model_host: Path, tmp_path: Path) -> None:
    """The bond's energy is linear in its depth, so that the mean of 4.0 and 4.4 eV is the crystal with 4.2 eV."""
    short: dict[str, Any] = {"scouting": {"max_steps": 15}}
    together = search(model_host, tmp_path / "two", settings(str(write(MGS, 4.0, 4.4)), **short), until=Until.SCOUTING)
    info = json.loads(Record(together.folder / "campaign.db").read_document("surrogate") or "")
    assert info["weights"].count("sha256:") == 2
    alone = search(model_host, tmp_path / "one", settings(str(write(MGS, 4.2)), **short), until=Until.SCOUTING)
    np.testing.assert_allclose(scouted_energies(together), scouted_energies(alone), atol=1e-5)


def test_what_is_new_to_the_model_is_said_before_and_after(write: Write, model_host: Path, tmp_path: Path) -> None:
    trained = TrainedOn(("CaO",), ("Ca", "O"), (0, -1), "HSE06", "mixed", "Partly worse on 1 unseen defect: ρ 0.9.")
    chosen = settings(str(write(trained)), defects={"charges": (-2,)})
    before = Listening()
    plan(str(model_host), tmp_path / "out", chosen, before)
    progress = Listening()
    result = search(model_host, tmp_path / "out", chosen, progress=progress)
    (item,) = result.defects.values()
    assert progress.warnings[:4] == before.warnings[:4]
    for words in ("no Mg and S", "charge states 0 and −1, not −2", "learned the surface of HSE06", "ρ 0.9."):
        (said,) = [text for text in before.warnings if words in text]
        assert said in item.confidence.reasons
    assert not any("family" in text for text in before.warnings)  # CaO and MgS are both II-VI
    assert item.confidence.level != "high"
    assert set(CHARGES_SEEN) == {-2}  # scouting, timing, and judging it on the reference's frames


def test_a_family_that_is_new(write: Write, model_host: Path, tmp_path: Path) -> None:
    progress = Listening()
    trained = replace(MGS, hosts=("Mg3N2", "Li2S"), elements=("Li", "Mg", "N", "S"))
    plan(str(model_host), tmp_path / "out", settings(str(write(trained)), defects={"charges": (0, -2)}), progress)
    family, charge = progress.warnings
    assert "no host of the family of MgS (II-VI); the nearest is Mg3N2" in family
    assert "charge state 0, not −2" in charge  # said once, of the one defect that it holds for


def test_a_model_that_did_worse_counts_as_untouched(write: Write, model_host: Path, tmp_path: Path) -> None:
    trained = replace(MGS, verdict="worse", finding="WORSE than the untouched model on 1 unseen defect: ρ 0.9 → 0.1.")
    result = search(model_host, tmp_path / "out", settings(str(write(trained))), until=Until.SCOUTING)
    confidence = result["v_Mg_0"].confidence
    assert any("counts as untouched. WORSE" in reason for reason in confidence.reasons)


def test_a_model_from_scratch_knows_its_training_frames_alone(write: Write, model_host: Path, tmp_path: Path) -> None:
    trained = replace(MGS, hosts=("CaO",), elements=("Ca", "O"))
    with pytest.raises(UnsupportedElementError, match="not trained on Mg, S"):
        search(model_host, tmp_path / "out", settings(str(write(trained, base=""))))
    assert not (tmp_path / "out").exists()


def test_a_training_that_is_not_finished_is_no_surrogate(write: Write, model_host: Path, tmp_path: Path) -> None:
    folder = write()
    (folder / "defectscout-model.json").unlink()
    with pytest.raises(ModelFileError, match="training was cut short"):
        search(model_host, tmp_path / "out", settings(str(folder)))
    assert not (tmp_path / "out").exists()


def test_the_charge_outlives_an_interruption(write: Write, model_host: Path, tmp_path: Path) -> None:
    """The record holds bare structures: what goes on from a step must be told its charge again."""
    chosen = settings(str(write()), defects={"charges": (-1,)}, scouting={"max_steps": 30, "force": 1e-6})
    with open_campaign(tmp_path / "out", chosen, source_of(str(model_host))) as campaign:
        host, _ = prepare_host(campaign, SilentProgress())
        (defect,) = prepare_defects(campaign, host, SilentProgress())
        prepare_sampling(campaign, host, [defect], SilentProgress())

        class Interrupting(SilentProgress):
            def advance(self, name: str, done: float, detail: str = "") -> None:
                if name == "scouting" and "step 3" in detail:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            scout(campaign, [defect], Interrupting())
        n_starts = len(campaign.record.tasks("scout"))
        assert [-1] * 4 * n_starts == CHARGES_SEEN  # steps 0 to 3
        scout(campaign, [defect], SilentProgress())
        key = TaskKey("scout", defect.label, "Unperturbed")
        assert [frame.step for frame in campaign.record.frames(key)][:6] == [0, 1, 2, 3, 4, 5]
        assert len(CHARGES_SEEN) > 5 * n_starts
        assert set(CHARGES_SEEN) == {-1}
        info = surrogate_info(campaign)
        assert info is not None
        assert info.trained_on == MGS


def test_names_that_are_no_folders_are_recorded_as_they_stand(
    model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(Path("chgnet"), MGS, BOND)  # an adapter's name is the adapter's
    for name in ("chgnet", "crystal:./weights.json", "ase:./engine.py:make", "nonsense"):
        assert registry.lasting_name(name) == name
    assert registry.lasting_name("./chgnet") == registry.lasting_name("../" + tmp_path.name + "/chgnet/")
    search(model_host, "out", settings("./chgnet"), until=Until.SAMPLING)
    assert read_campaign(Path("out"))[0].surrogate.name == str(tmp_path / "chgnet")
