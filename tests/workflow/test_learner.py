"""The surrogates that a loop passes through."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from defectscout.learning.dataset import Dataset
from defectscout.surrogates.model_folder import Manifest, Member, TrainedOn, weights_digest, write_manifest
from defectscout.workflow.campaign import Campaign, Source
from defectscout.workflow.learn import learner as learner_module
from defectscout.workflow.learn.learner import Learner, tuned_surrogate, untouched_surrogate, write_frames
from defectscout.workflow.learn.rounds import LearnRecord
from defectscout.workflow.store_entry import FRAMES
from listening import Listening
from minima.vacancy_cases import vacancy
from toy_trainable import toy_frames
from workflow.learning_crystal import FAMILY, UNTOUCHED, learning_crystal, settings

TUNED = (3.5, 2.2)


def test_the_surrogate_as_it_came_relaxes_the_unperturbed_structure(tmp_path: Path) -> None:
    """What was tuned on reconstructions knows less of it; weights that have gone since are no reason to fail."""
    progress = Listening()
    campaign = Campaign(tmp_path, settings(), Source("", ""), record=None)  # type: ignore[arg-type]
    learner = Learner(campaign, vacancy(), (), "MgS", (), (), FAMILY, (), progress)
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps(TUNED))
    seen = TrainedOn(("MgS",), ("Mg", "S"), (0,), "gfn1-xtb", "not judged", "")
    member = Member(weights.name, weights_digest(weights))

    def relaxes_with(before: str) -> object:
        write_manifest(tmp_path, Manifest(FAMILY, FAMILY, (member,), seen, {}, "", {}, {}, {}, untouched=before))
        return untouched_surrogate(learner, str(tmp_path)).bond  # type: ignore[attr-defined]

    with learning_crystal():
        assert untouched_surrogate(learner, FAMILY).bond == UNTOUCHED  # type: ignore[attr-defined]
        assert relaxes_with(FAMILY) == UNTOUCHED
        assert relaxes_with("") == TUNED
        assert progress.messages == []
        assert relaxes_with("nobody's") == TUNED
    (message,) = progress.messages
    assert "The unperturbed structure is relaxed with the tuned surrogate: " in message


def test_frames_with_huge_forces_are_not_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of atoms drawn into each other would drown all others in the loss; that it is left out is said."""
    progress, taught = Listening(), []
    campaign = Campaign(tmp_path, settings(), Source("", ""), record=None)  # type: ignore[arg-type]
    good, wild = toy_frames(3), toy_frames(1)[0]
    wild = replace(wild, prediction=replace(wild.prediction, forces=wild.prediction.forces + 60.0))
    monkeypatch.setattr(learner_module, "labelled_frames", lambda *_: [wild])
    monkeypatch.setattr(learner_module, "tune", lambda base, frames, *_: taught.extend(frames))
    learner = Learner(campaign, vacancy(), (), "MgS", (), (), FAMILY, tuple(good), progress)
    assert tuned_surrogate(learner, LearnRecord(started_from=FAMILY), "round-01", 1).endswith("round-01")
    assert taught == good
    (message,) = progress.messages
    assert "1 of 4 frames are not learned from: forces above 50 eV/Å" in message
    write_frames(learner, tmp_path)
    with Dataset.open(tmp_path / FRAMES) as dataset:
        assert [row.energy for row in dataset.index()] == [frame.prediction.energy for frame in good]
    alone = replace(learner, reused=())
    assert tuned_surrogate(alone, LearnRecord(started_from=FAMILY), "round-02", 2) == ""
