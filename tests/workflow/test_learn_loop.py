"""Searches that learn, on the model crystal: the whole loop runs, only the network is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defectscout.core.errors import NothingFoundError
from defectscout.core.frames import RelaxationState
from defectscout.evaluation.trust import Ending, sentences
from defectscout.workflow.compare import compare
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.settings import TuningSettings
from defectscout.workflow.record import Record
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import search
from defectscout.workflow.stages.candidates import Origin
from defectscout.workflow.store import stored_models
from listening import Listening
from workflow.learning_crystal import (
    Tuner,
    begun,
    gone_on,
    learning_crystal,
    own,
    records,
    settings,
    small,
    tasks,
)


@pytest.fixture(scope="module")
def host(template: Path) -> Path:
    return template.with_name("MgS.cif")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learned") / "store"


@pytest.fixture(scope="module")
def learned(template: Path, host: Path, store: Path) -> SearchResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFECTSCOUT_STORE", str(store))
        return search(host, begun(template, store.with_name("mgs"), settings()), settings(strategy="auto"))


@pytest.fixture(scope="module")
def reference_only(template: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return gone_on(begun(template, tmp_path_factory.mktemp("only") / "mgs", settings(strategy="reference-only")))


def energies(result: SearchResult) -> list[float]:
    return [item.minimum.energy for item in result.minima]


# the answer


def test_every_minimum_of_the_reference_only_search_is_found(
    learned: SearchResult, reference_only: SearchResult
) -> None:
    """Also the two that lie 0.2 eV apart and whose fingerprints are those of one structure."""
    assert energies(learned) == pytest.approx(energies(reference_only), abs=5e-3)
    assert len(learned.minima) == 3
    (compared,) = compare(learned.folder, reference_only.folder)
    assert compared.first_found
    assert compared.first_calls == learned.funnel.reference_calls
    assert learned.funnel.reference_calls < reference_only.funnel.reference_calls / 8


def test_the_answer_says_that_it_converged(learned: SearchResult) -> None:
    told = learned["v_Mg_0"].trust
    assert told is not None
    assert told.converged
    assert (told.minima, told.checks, told.surprises) == (3, 1, ())
    assert told.n_pairs >= 3
    assert sentences(told)[0].startswith("Converged after")
    assert learned["v_Mg_0"].confidence.level == "moderate"  # one start alone leads to the ground state


def test_every_force_call_is_in_the_record(learned: SearchResult) -> None:
    funnel, record = learned["v_Mg_0"].funnel, Record(learned.folder / "campaign.db")
    frames = [record.frames(task.key) for task in tasks(learned.folder)]
    assert funnel.reference_calls == sum(task.evaluations for task in tasks(learned.folder)) == sum(map(len, frames))
    assert all([frame.step for frame in one] == list(range(len(one))) for one in frames)
    (told,) = records(learned.folder).values()
    assert funnel.surrogate_calls == told.surrogate_calls
    assert (funnel.sampling, funnel.scouted) == (5, 5)


def test_the_sampling_structures_are_asked_first(learned: SearchResult) -> None:
    (told,) = records(learned.folder).values()
    first = told.rounds[0]
    assert [(one.label, one.kind.value) for one in first.asked] == [
        ("Unperturbed", "corrected"),
        ("Bond_Distortion_-60.0%", "point"),
        ("Bond_Distortion_30.0%", "point"),
    ]
    assert all(one.predicted is None for one in first.asked)
    scouting = [item for item in told.rounds if item.number and not item.of_check]
    assert [item.model for item in scouting] == [f"learn/v_Mg_0/round-{item.number:02d}" for item in scouting]
    assert (learned.folder / told.model / "frames.db").is_file()
    assert told.rounds[-1].of_check


def test_a_relaxation_that_fell_into_a_known_minimum_led_there(learned: SearchResult) -> None:
    """It is no candidate and no minimum, but its start counts among those that led to the one that it fell into."""
    checks = [task for task in tasks(learned.folder) if task.key.stage == "check"]
    item = learned["v_Mg_0"]
    assert [task.state for task in checks] == [RelaxationState.MERGED]
    assert checks[0].key.label not in {one.label for one in item.candidates.candidates}
    assert item.funnel.reference_relaxations == len(item.candidates.candidates) == item.funnel.minima == 3
    (found,) = [minimum for minimum in item.minima if checks[0].reason in minimum.candidates]
    assert found.sampled_by.count(checks[0].key.label) == 1


def test_what_is_written(learned: SearchResult) -> None:
    summary = json.loads((learned.folder / "summary.json").read_text())["defects"]["v_Mg_0"]
    assert [summary["learning"][name] for name in ("converged", "ending", "minima")] == [
        True, learned["v_Mg_0"].trust.ending, 3
    ]  # fmt: skip
    assert summary["agreement"] is None  # the surrogate has learned from the frames that it would be compared on
    assert len((learned.folder / "minima.csv").read_text().splitlines()) == 4
    assert (learned.folder / "structures" / "v_Mg_0" / "ground_state.cif").is_file()
    assert (learned.folder / "v_Mg_0" / "Unperturbed" / "CONTCAR").is_file()


def test_the_store_keeps_what_was_learned(learned: SearchResult, store: Path) -> None:
    (entry,) = stored_models(store)
    assert (entry.formula, entry.charge, entry.defects) == ("MgS", 0, ("v_Mg_0",))
    record = Record(learned.folder / "campaign.db")
    frames = [frame for task in tasks(learned.folder) for frame in record.frames(task.key)]
    assert len(frames) == learned.funnel.reference_calls
    limit = TuningSettings().max_force
    assert 0 < entry.n_frames == sum(frame.prediction.fmax <= limit for frame in frames)
    assert records(learned.folder)["v_Mg_0"].kept_as == entry.name


def test_running_again_repeats_nothing(learned: SearchResult, host: Path, store: Path) -> None:
    before, tuner = tasks(learned.folder), Tuner()
    with learning_crystal(tuner):
        again = search(host, learned.folder, settings())
    assert tuner.calls == []
    assert (again.funnel, again["v_Mg_0"].trust) == (learned.funnel, learned["v_Mg_0"].trust)
    assert [task.packed for task in tasks(learned.folder)] == [task.packed for task in before]
    assert len(stored_models(store)) == 1


def test_a_search_of_a_host_that_is_known_starts_from_the_store(
    learned: SearchResult, template: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its surrogate is trusted to scout at once, and what it learned from and found comes along."""
    monkeypatch.setenv("DEFECTSCOUT_STORE", str(store))
    (entry,) = stored_models()
    tuner = Tuner()
    with learning_crystal(tuner):
        again = gone_on(begun(template, tmp_path / "again", small(surrogate={"name": str(entry.model)})))
    (told,) = records(again.folder).values()
    assert told.started_from == str(entry.model)
    assert [one.label for one in told.rounds[0].asked] == ["Unperturbed", "v_Mg_0_of_MgS"]
    (known,) = (task for task in tasks(again.folder) if task.key.label == "v_Mg_0_of_MgS")
    assert known.evaluations <= 5  # it is a rattled minimum to begin with
    assert energies(again)[0] == pytest.approx(energies(learned)[0], abs=5e-3)
    base, frames, _ = tuner.calls[0]
    unperturbed = next(task for task in tasks(again.folder) if task.key.label == "Unperturbed")
    assert base == str(entry.model)
    assert len(frames) == entry.n_frames + unperturbed.evaluations + known.evaluations
    assert len(stored_models()) == 2


# budgets


def test_a_search_that_is_given_more_and_more_to_spend(
    host: Path, template: Path, tmp_path: Path, learned: SearchResult
) -> None:
    """One test, since each budget goes on where the one before has ended: nothing yet, the first round, a relaxation, a
    check, and the end."""
    limited = begun(template, tmp_path / "mgs", small(learn={"patience": 3}))
    with pytest.raises(NothingFoundError):
        search(host, limited, small(learn={"patience": 3, "max_force_calls": 2}))
    assert sum(task.evaluations for task in tasks(limited)) == 2
    summary = json.loads((limited / "summary.json").read_text())["defects"]["v_Mg_0"]
    assert (summary["learning"]["converged"], summary["learning"]["ending"]) == (False, "max_force_calls")

    for calls in (4, 8, 12):
        _never_more_force_calls_than_allowed(host, limited, calls)

    result = search(host, limited, small(learn={"patience": 3}))
    told = result["v_Mg_0"].trust
    assert told is not None
    assert (told.converged, told.checks, told.unfinished) == (True, 2, 0)
    assert len(told.surprises) == 1
    assert energies(result)[0] == pytest.approx(energies(learned)[0], abs=5e-3)
    assert all(task.state.is_finished for task in tasks(limited))
    assert len(stored_models()) == 1


def _never_more_force_calls_than_allowed(host: Path, limited: Path, calls: int) -> None:
    result = search(host, limited, small(learn={"patience": 3, "max_force_calls": calls}))
    assert sum(task.evaluations for task in tasks(limited)) == calls
    told = result["v_Mg_0"].trust
    assert told is not None
    assert (told.converged, told.ending) == (False, Ending.MAX_FORCE_CALLS)
    assert sentences(told)[0].startswith("Not converged")
    assert "max_force_calls" in sentences(told)[0]
    assert result["v_Mg_0"].confidence.level == "low"
    assert stored_models() == ()


@pytest.mark.parametrize("learn", [{"max_rounds": 1}, {"max_hours": 1e-9}])
def test_other_limits(learn: dict[str, float], template: Path, tmp_path: Path) -> None:
    result = gone_on(begun(template, tmp_path / "out", small(learn={"patience": 3, **learn})))
    told = result["v_Mg_0"].trust
    assert told is not None
    assert (told.converged, told.rounds) == (False, learn.get("max_rounds", 0))
    (limit,) = learn
    assert f"({limit})" in sentences(told)[0]
    assert any("Not converged" in reason for reason in result["v_Mg_0"].confidence.reasons)


# surprises and failures


def test_a_surprise_restarts_the_loop(template: Path, tmp_path: Path, reference_only: SearchResult) -> None:
    """A surrogate that takes no notice of bonds until a check has come upon one."""
    progress = Listening()
    with learning_crystal(Tuner(lambda frame: frame.origin.start.startswith("check/"))):
        unaware = small(learn={"first_points": 0}, sampling={"distortions": (-0.6, 0.3)})
        result = gone_on(begun(template, tmp_path / "out", unaware), progress)
    told = result["v_Mg_0"].trust
    assert told is not None
    assert told.converged
    assert told.checks == 2
    (surprise,) = told.surprises
    assert (surprise.label, surprise.energy) == ("Bond_Distortion_-60.0%", pytest.approx(0.0, abs=5e-3))
    # What the reference alone finds from these starts; to its lowest minimum only that at -40 % leads.
    alone = [item for item in reference_only.minima if item.sampled_by != ("Bond_Distortion_-40.0%",)]
    assert energies(result) == pytest.approx([item.minimum.energy for item in alone], abs=5e-3)
    (kept,) = records(result.folder).values()
    surprised = next(item for item in kept.rounds if item.surprises)
    assert [item.of_check for item in kept.rounds[surprised.number :]] == [True, False, True]
    # The check had paused where the surrogate was wrong, and went on with one that had learned from it.
    paused = kept.rounds[surprised.number - 1]
    assert (paused.of_check, paused.cut, paused.news) == (True, True, False)
    assert [one.kind for one in (*paused.asked, *surprised.asked)] == [Kind.ALONE, Kind.CORRECTED]
    assert surprised.asked[0].calls_before > 0
    assert surprised.model != paused.model
    assert told.led == 1  # off the shelf that it had paused on
    assert any("the check goes on" in text for text in progress.messages)
    assert any("with a surrogate that has learned from it goes on" in text for text in progress.messages)
    assert not kept.rounds[-1].news
    assert result["v_Mg_0"].confidence.level != "high"
    assert any("a new minimum" in text for text in progress.messages)


def test_failed_relaxations_are_shown_and_do_not_end_the_loop(template: Path, tmp_path: Path) -> None:
    progress = Listening()
    afraid = small(
        reference={"name": own("afraid")},
        sampling={"distortions": (-0.6, 0.3)},
        learn={"first_relaxations": 1, "checks": 2},
    )
    result = gone_on(begun(template, tmp_path / "out", afraid), progress)
    item = result["v_Mg_0"]
    failed = [task for task in tasks(result.folder) if task.state is RelaxationState.FAILED]
    assert {task.key.stage for task in failed} == {"ask", "reference"}
    assert all("did not converge" in task.reason for task in failed)
    assert len([text for text in progress.warnings if "the reference failed" in text]) == len(failed)
    relaxations = {task.key.label for task in failed if task.key.stage == "reference"}
    assert "Bond_Distortion_-60.0%" in relaxations  # of the first round,
    assert len(relaxations) == 2  # and of the minimum that was asked about; not once more in each round
    (check,) = [told for told in records(result.folder)["v_Mg_0"].rounds if told.of_check]
    assert [one.label for one in check.asked] == ["Bond_Distortion_30.0%"]  # the other start was relaxed before
    assert {label for label, _ in item.set_aside} == relaxations
    assert item.funnel.failed == 2
    assert item.funnel.candidates == item.funnel.reference_relaxations == 3
    assert len(item.minima) == 1


def test_a_reference_that_never_answers_is_an_error(template: Path, tmp_path: Path) -> None:
    never = small(reference={"name": f"ase:{Path(__file__).parents[1] / 'model_crystal.py'}:failing"})
    with pytest.raises(NothingFoundError, match="did not converge"):
        gone_on(begun(template, tmp_path / "out", never))
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["defects"]["v_Mg_0"]
    assert told["minima"] == []
    assert not told["learning"]["converged"]
    assert stored_models() == ()


# several defects and charge states


@pytest.fixture(scope="module")
def tuner() -> Tuner:
    return Tuner()


@pytest.fixture(scope="module")
def several(tuner: Tuner, template: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    chosen = small(
        defects={"select": ("v_Mg", "v_S"), "charges": (0, -2), "cross_charges": True},
        sampling={"distortions": (-0.4,)},
        learn={"checks": 0, "keep": False},
    )
    with learning_crystal(tuner):
        return gone_on(begun(template, tmp_path_factory.mktemp("several") / "mgs", chosen))


def test_defects_of_one_charge_state_share_their_answers(several: SearchResult, tuner: Tuner) -> None:
    seen: dict[str, set[tuple[str, int]]] = {}
    for _, frames, folder in tuner.calls:
        seen.setdefault(folder.parent.name, set()).update((f.origin.defect, f.origin.charge) for f in frames)
    assert seen == {
        "v_Mg_0": {("v_Mg", 0)},
        "v_Mg_-2": {("v_Mg", -2)},
        "v_S_0": {("v_Mg", 0), ("v_S", 0)},
        "v_S_-2": {("v_Mg", -2), ("v_S", -2)},
    }


def test_a_loop_starts_from_the_surrogate_of_the_nearest_charge_state(several: SearchResult) -> None:
    told = records(several.folder)
    assert told["v_Mg_0"].started_from == "crystal"
    assert told["v_Mg_-2"].started_from == told["v_Mg_0"].model
    assert told["v_S_0"].started_from == told["v_Mg_0"].model
    assert told["v_S_-2"].started_from == told["v_Mg_-2"].model
    points = {label: sum(one.kind == "point" for one in record.rounds[0].asked) for label, record in told.items()}
    assert points == {"v_Mg_0": 1, "v_Mg_-2": 1, "v_S_0": 0, "v_S_-2": 0}  # trusted where the charge state is known


def test_charge_states_try_each_others_structures_after_the_loop(several: SearchResult) -> None:
    """Without excess charge there is no bond to distort, and nothing else leads to one."""
    item = several["v_Mg_-2"]
    (borrowed,) = [one for one in item.candidates.candidates if one.origin is Origin.BORROWED]
    assert item.ground_state.candidates == (borrowed.label,)
    assert item.ground_state.lowering is not None
    assert item.ground_state.lowering < -0.5
    (task,) = [task for task in tasks(several.folder) if task.key.label == borrowed.label]
    assert task.state is RelaxationState.CONVERGED
    calls = sum(result.funnel.reference_calls for result in several.defects.values())
    assert calls == sum(task.evaluations for task in tasks(several.folder))
    assert stored_models() == ()
