"""A campaign that is kept, thinned, has the answer that it had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from defectscout.core.errors import CampaignError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.discovery import read_finished
from defectscout.workflow.record import REFERENCE, Record


def test_a_kept_campaign_is_read_like_the_one_it_came_from(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = script("kept_searches")
    kept = module.kept_search("CuAsS")
    assert kept is not None
    assert module.kept_search("NaCl") is None
    module.unpack(kept, tmp_path / "one", SilentProgress())
    monkeypatch.setattr(module, "EVERY", 1000)  # this one was thinned before
    module.keep(tmp_path / "one", tmp_path / "kept" / "again.db.gz")
    module.unpack(tmp_path / "kept" / "again.db.gz", tmp_path / "other", SilentProgress())
    one, other = (read_finished(tmp_path / name).defects["v_Cu_0"] for name in ("one", "other"))
    assert one.outcome.calls == other.outcome.calls == 998
    assert [item.energy for item in one.outcome.minima] == [item.energy for item in other.outcome.minima]
    tasks = Record(tmp_path / "other" / RECORD_NAME).tasks(REFERENCE)
    steps = [[frame.step for frame in Record(tmp_path / "other" / RECORD_NAME).frames(task.key)] for task in tasks]
    assert module.is_thinned(other)
    assert steps == [[0, task.evaluations - 1] for task in tasks]


def test_a_campaign_without_an_answer_is_not_kept(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    with pytest.raises(CampaignError):
        script("kept_searches").keep(tmp_path, tmp_path / "kept.db.gz")
    assert not (tmp_path / "kept.db.gz").exists()
