"""The campaign folder: what it refuses, what it keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from defectscout.core.errors import CampaignError
from defectscout.workflow import campaign as module
from defectscout.workflow.campaign import FIRST_STAGE_OF, STAGE_DOCUMENTS, STAGES, open_campaign, source_of
from defectscout.workflow.settings import SearchSettings

SETTINGS = SearchSettings()


def test_two_searches_cannot_share_a_folder(tmp_path: Path, model_host: Path) -> None:
    folder = tmp_path / "out"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib, time\n"
            "from defectscout.workflow.campaign import open_campaign, source_of\n"
            "from defectscout.workflow.settings import SearchSettings\n"
            f"with open_campaign(pathlib.Path({str(folder)!r}), SearchSettings(), source_of({str(model_host)!r})):\n"
            "    print('open', flush=True)\n"
            "    time.sleep(60)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "open"
        with (
            pytest.raises(CampaignError, match="Another defectscout is running"),
            open_campaign(folder, SETTINGS, source_of(str(model_host))),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    # A killed process leaves no lock behind.
    with open_campaign(folder, SETTINGS, source_of(str(model_host))):
        pass


def test_a_full_disk_is_said_before_anything_is_spent(
    tmp_path: Path, model_host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_FREE_BYTES", 10**18)
    with (
        pytest.raises(CampaignError, match="MB are free"),
        open_campaign(tmp_path / "out", SETTINGS, source_of(str(model_host))),
    ):
        pass


def test_output_that_is_a_file(tmp_path: Path, model_host: Path) -> None:
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(CampaignError, match="is a file"), open_campaign(path, SETTINGS, source_of(str(model_host))):
        pass
    assert path.read_text() == "precious"


def test_a_campaign_of_another_format(tmp_path: Path, model_host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_campaign(tmp_path / "out", SETTINGS, source_of(str(model_host))):
        pass
    monkeypatch.setattr(module, "SCHEMA_VERSION", 99)
    with (
        pytest.raises(CampaignError, match="format"),
        open_campaign(tmp_path / "out", SETTINGS, source_of(str(model_host))),
    ):
        pass


def test_every_settings_section_invalidates_a_stage() -> None:
    sections = set(SearchSettings.model_fields) | {"source"}
    assert set(FIRST_STAGE_OF) == sections
    assert set(FIRST_STAGE_OF.values()) <= set(STAGES)
    assert set(STAGE_DOCUMENTS) == set(STAGES)
