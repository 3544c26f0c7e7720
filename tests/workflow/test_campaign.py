"""The campaign folder: what it refuses, what it keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from defectscout.core.errors import CampaignError
from defectscout.workflow import campaign as module
from defectscout.workflow.campaign import (
    FIRST_STAGE_OF,
    RECORD_NAME,
    STAGE_DOCUMENTS,
    STAGES,
    Source,
    fork_campaign,
    open_campaign,
    read_campaign,
    source_of,
)
from defectscout.workflow.record import Record
from defectscout.workflow.settings import SearchSettings, merge
from stored_models import model_folder

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


def test_a_fork_to_another_host_keeps_nothing(tmp_path: Path) -> None:
    """Hosts of the Materials Project have no file whose content could tell them apart."""
    with open_campaign(tmp_path / "out", SETTINGS, Source("mp-406", "")) as campaign:
        campaign.record.write_document("host", "that of mp-406")
    same = fork_campaign(tmp_path / "out", SETTINGS, Source("mp-406", ""))
    assert Record(same / RECORD_NAME).read_document("host") == "that of mp-406"
    other = fork_campaign(tmp_path / "out", SETTINGS, Source("mp-1132", ""))
    assert Record(other / RECORD_NAME).read_document("host") is None
    with open_campaign(other, SETTINGS, Source("mp-1132", "")):
        pass


@pytest.mark.parametrize(
    ("section", "gone", "kept"),
    [
        ({"minima": {"threshold": 0.01}}, ["candidates", "agreement"], ["host", "defects", "sampling", "surrogate"]),
        ({"sampling": {"seed": 7}}, ["sampling", "surrogate", "candidates"], ["host", "defects"]),
        ({"host": {"rattle_seed": 7}}, ["host", "defects", "candidates"], []),
        ({"refinement": {"force": 0.1}}, ["reference", "agreement"], ["surrogate", "candidates"]),
        ({"surrogate": {"name": "7net-0"}}, ["surrogate", "candidates"], ["host", "sampling"]),
    ],
)
def test_a_fork_keeps_what_its_settings_do_not_touch(
    tmp_path: Path, section: dict[str, object], gone: list[str], kept: list[str]
) -> None:
    source = Source("mp-406", "")
    with open_campaign(tmp_path / "out", SETTINGS, source) as campaign:
        for names in STAGE_DOCUMENTS.values():
            for name in names:
                campaign.record.write_document(name, name)
    fork = Record(fork_campaign(tmp_path / "out", merge(SETTINGS, section, "test"), source) / RECORD_NAME)
    assert [fork.read_document(name) for name in gone] == [None] * len(gone)
    assert [fork.read_document(name) for name in kept] == kept


def test_a_fork_to_an_earlier_searchs_surrogate_samples_anew(tmp_path: Path) -> None:
    """What related hosts' defects relaxed to are sampling structures."""
    model, source = model_folder(tmp_path / "model"), Source("mp-406", "")
    with open_campaign(tmp_path / "out", SETTINGS, source) as campaign:
        for name in ("defects", "sampling"):
            campaign.record.write_document(name, name)
    other = merge(SETTINGS, {"surrogate": {"name": str(model)}}, "test")
    fork = Record(fork_campaign(tmp_path / "out", other, source) / RECORD_NAME)
    assert (fork.read_document("defects"), fork.read_document("sampling")) == ("defects", None)


def test_the_same_fork_is_gone_on_with(tmp_path: Path) -> None:
    source = Source("mp-406", "")
    with open_campaign(tmp_path / "out", SETTINGS, source):
        pass
    forks = [
        fork_campaign(tmp_path / "out", merge(SETTINGS, {"sampling": {"seed": seed}}, "test"), source)
        for seed in (7, 8, 7, 8)
    ]
    assert [fork.name for fork in forks] == ["out-fork1", "out-fork2", "out-fork1", "out-fork2"]


def test_settings_that_change_no_result_are_kept_as_last_given(tmp_path: Path) -> None:
    source = Source("mp-406", "")
    accepting = merge(SETTINGS, {"host": {"accept_unstable": True}, "reference": {"workers": 3}}, "test")
    for settings in (SETTINGS, accepting):
        with open_campaign(tmp_path / "out", settings, source):
            pass
    assert read_campaign(tmp_path / "out") == (accepting, source)
    assert "workers = 3" in (tmp_path / "out" / "settings.toml").read_text()


def test_every_settings_section_invalidates_a_stage() -> None:
    sections = set(SearchSettings.model_fields) | {"source"}
    assert set(FIRST_STAGE_OF) == sections
    assert set(FIRST_STAGE_OF.values()) <= set(STAGES)
    assert set(STAGE_DOCUMENTS) == set(STAGES)
