"""The surrogates that a loop passes through."""

from __future__ import annotations

import json
from pathlib import Path

from defectscout.surrogates.model_folder import Manifest, Member, TrainedOn, weights_digest, write_manifest
from defectscout.workflow.campaign import Campaign, Source
from defectscout.workflow.learn.learner import Learner, untouched_surrogate
from listening import Listening
from minima.vacancy_cases import vacancy
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
