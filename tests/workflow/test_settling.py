"""What the settings leave open, before a campaign records it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import model
from defectscout.core.errors import InputFileError, MissingExtraError, SettingsError
from defectscout.workflow import settling
from defectscout.workflow.campaign import open_campaign, source_of
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.settling import settled, why_not_learn
from defectscout.workflow.store import keep
from listening import Listening
from stored_models import frames_of, model_folder, rocksalt

BONDED = model("surrogate")
REFERENCE = model("reference")


@pytest.fixture(autouse=True)
def _trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is there, whether or not it is."""
    monkeypatch.setattr(settling, "find_spec", lambda name: name)


def asked(surrogate: str = "m3gnet", reference: str = REFERENCE, **more: Any) -> SearchSettings:
    chosen = {"surrogate": {"name": surrogate}, "reference": {"name": reference}, "host": {"keep": True}, **more}
    return merge(SearchSettings(), chosen, "test")


def settle(
    settings: SearchSettings, host: Path, folder: Path, to_the_answer: bool = True
) -> tuple[SearchSettings, list[str]]:
    progress = Listening()
    return settled(settings, source_of(str(host)), folder, to_the_answer, progress), progress.messages


@pytest.mark.parametrize("surrogate", ["m3gnet", "M3GNet:M3GNet-MP-2021.2.8-PES", "chgnet", "mace:medium"])
def test_a_search_learns_where_it_can(surrogate: str, model_host: Path, tmp_path: Path) -> None:
    chosen, messages = settle(asked(surrogate), model_host, tmp_path / "out")
    assert chosen.strategy == "learn"
    assert messages == []


def test_a_model_that_was_trained_can_be_tuned(
    model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path / "mgs", ["MgS"], method=REFERENCE)
    monkeypatch.chdir(tmp_path)
    chosen, _ = settle(asked("./mgs"), model_host, tmp_path / "out")
    assert (chosen.strategy, chosen.surrogate.name) == ("learn", str(folder))


@pytest.mark.parametrize("strategy", ["scout", "reference-only"])
def test_what_was_asked_for_stays(strategy: str, model_host: Path, tmp_path: Path) -> None:
    chosen, messages = settle(asked(strategy=strategy), model_host, tmp_path / "out")
    assert (chosen.strategy, messages) == (strategy, [])


@pytest.mark.parametrize(
    ("settings", "why"),
    [(asked(BONDED), "cannot be tuned"), (asked("m3gent"), "the surrogate m3gent cannot be tuned")],
)
def test_what_cannot_be_tuned_scouts_as_it_is(
    settings: SearchSettings, why: str, model_host: Path, tmp_path: Path
) -> None:
    chosen, (message,) = settle(settings, model_host, tmp_path / "out")
    assert chosen.strategy == "scout"
    assert why in message
    assert "without learning" in message
    with pytest.raises(SettingsError, match=rf"{why}.*--no-learn"):
        settle(merge(settings, {"strategy": "learn"}, "test"), model_host, tmp_path / "out")


def test_without_a_reference_there_is_nothing_to_learn_from(model_host: Path, tmp_path: Path) -> None:
    """Nothing is said of it where nobody asked: a search without reference only writes inputs."""
    chosen, messages = settle(asked(reference="none"), model_host, tmp_path / "out")
    assert (chosen.strategy, messages) == ("scout", [])
    with pytest.raises(SettingsError, match="no reference to learn from"):
        settle(asked(reference="none", strategy="learn"), model_host, tmp_path / "out")


def test_without_what_trains(model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "find_spec", lambda name: None if name == "lightning" else name)
    chosen, (message,) = settle(asked(), model_host, tmp_path / "out")
    assert chosen.strategy == "scout"
    assert "defectscout[train]" in message
    with pytest.raises(MissingExtraError, match=r"defectscout\[train\]"):
        settle(asked(strategy="learn"), model_host, tmp_path / "out")


def test_a_search_that_stops_before_the_reference_scouts_once(model_host: Path, tmp_path: Path) -> None:
    chosen, messages = settle(asked(), model_host, tmp_path / "out", to_the_answer=False)
    assert (chosen.strategy, messages) == ("scout", [])


def test_nothing_near_in_the_store(model_host: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"no surrogate that is near enough to MgS.*--surrogate"):
        settle(asked("nearest"), model_host, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def stored(folder: Path, name: str, steps: int = 5) -> Path:
    source = model_folder(folder / name, ["MgS"], method=REFERENCE)
    entry = keep(source, frames_of("MgS", method=REFERENCE, steps=steps), rocksalt("Mg", "S"), ["v_Mg_0"], 0, folder)
    return entry.model


def test_a_campaign_keeps_the_surrogate_that_it_began_with(model_host: Path, tmp_path: Path) -> None:
    """Whatever the store holds since; what only concerns speed may change."""
    first = stored(tmp_path, "one")
    out = tmp_path / "out"
    chosen, (message,) = settle(asked("nearest"), model_host, out)
    assert (chosen.strategy, chosen.surrogate.name) == ("learn", str(first))
    assert "the same composition" in message
    with open_campaign(out, chosen, source_of(str(model_host))):
        pass
    second = stored(tmp_path, "two", steps=9)  # of more frames, which is offered first
    later = merge(asked("nearest"), {"surrogate": {"batch_size": 3}}, "test")
    again, messages = settle(later, model_host, out)
    assert (again.surrogate.name, again.surrogate.batch_size, messages) == (str(first), 3, [])
    with open_campaign(out, again, source_of(str(model_host))):
        pass
    elsewhere, _ = settle(asked("nearest"), model_host, tmp_path / "elsewhere")
    assert elsewhere.surrogate.name == str(second)


def test_a_campaign_keeps_the_strategy_that_it_began_with(
    model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it could not be chosen any more, or was not."""
    for strategy in ("scout", "learn"):
        out = tmp_path / strategy
        with open_campaign(out, asked(strategy=strategy), source_of(str(model_host))):
            pass
        monkeypatch.setattr(settling, "find_spec", lambda name: None)
        assert settle(asked(), model_host, out)[0].strategy == strategy


def test_a_folder_that_is_no_model(model_host: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    chosen, (message,) = settle(asked(str(tmp_path / "empty")), model_host, tmp_path / "out")
    assert chosen.strategy == "scout"
    assert "cannot be tuned" in message


def test_reasons_are_sentences_without_their_end() -> None:
    assert why_not_learn(asked()) == ""
    for settings in (asked(reference="none"), asked(BONDED)):
        assert not why_not_learn(settings).endswith(".")
