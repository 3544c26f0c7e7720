"""Savings are told only against a search that they can be measured against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defectscout.core.errors import CampaignError, InputFileError
from defectscout.workflow.search import baseline_calls


def summary(folder: Path, surrogate: str | None, reference: str) -> Path:
    content = {
        "surrogate": surrogate,
        "reference": reference,
        "defects": {"v_Cd_0": {"funnel": {"reference_calls": 950}}},
    }
    (folder / "summary.json").write_text(json.dumps(content))
    return folder


def test_calls_of_a_reference_only_search(tmp_path: Path) -> None:
    assert baseline_calls(summary(tmp_path, None, "gfn1-xtb"), "gfn1-xtb") == {"v_Cd_0": 950}


def test_a_scouted_search_or_another_reference_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="used the surrogate chgnet"):
        baseline_calls(summary(tmp_path, "chgnet", "gfn1-xtb"), "gfn1-xtb")
    with pytest.raises(CampaignError, match="reference gfn2-xtb"):
        baseline_calls(summary(tmp_path, None, "gfn2-xtb"), "gfn1-xtb")


def test_a_folder_without_an_answer(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="baseline"):
        baseline_calls(tmp_path, "gfn1-xtb")
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputFileError, match="baseline"):
        baseline_calls(tmp_path, "gfn1-xtb")
