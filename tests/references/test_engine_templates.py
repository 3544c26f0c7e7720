"""Job scripts from templates, and engines by name."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from defectscout.core.errors import SettingsError, UnknownMethodError
from defectscout.references.engines import registry
from defectscout.references.engines.retries import Retry, add_retry, read_retries
from defectscout.references.engines.templates import read_template, write_job

TEMPLATE = """#!/bin/bash
#SBATCH --job-name={name}
CODE=${CODE:-vasp_gam}
for part in {a,b}; do echo "${part}"; done
greet() { echo "{defect} {structure}"; }
greet; awk '{ print }' /dev/null; echo "${name}"
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "job.sh"
    path.write_text(TEMPLATE)
    return path


def test_only_the_placeholders_change(template: Path) -> None:
    text = read_template(template).script("v_Cd_0", "Bond_Distortion_-60.0%")
    expected = TEMPLATE.replace("#SBATCH --job-name={name}", "#SBATCH --job-name=v_Cd_0_Bond_Distortion_-60.0")
    assert text == expected.replace("{defect} {structure}", "v_Cd_0 Bond_Distortion_-60.0%")


def test_the_script_runs(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "v_Cd_0" / "Rattled"
    script = write_job(folder, read_template(template), "v_Cd_0", "Rattled")
    assert script == folder / "job.sh"
    assert os.access(script, os.X_OK)
    output = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    assert output.split("\n")[:3] == ["a", "b", "v_Cd_0 Rattled"]


def test_bad_templates(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_template(tmp_path / "nowhere.sh")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_template(tmp_path)
    path = tmp_path / "job.sh"
    path.write_text("#!/bin/bash\necho {name} {charge}\n")
    with pytest.raises(SettingsError, match=r"asks for \{charge\} in line 2"):
        read_template(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        read_template(path)


def test_retries_come_back(tmp_path: Path) -> None:
    retries = [Retry(1, "failed", "scf", "…", "ALGO → All", {"ALGO": "All"}), Retry(2, "unfinished", "", "…", "…")]
    for retry in retries:
        add_retry(tmp_path, retry)
    assert list(read_retries(tmp_path)) == retries


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("vasp", "defectscout.references.engines.vasp:load", registry.GROUP),
        EntryPoint("castep", "defectscout.references.engines.ase_writers:load", registry.GROUP),
        EntryPoint("fhi-aims", "defectscout.references.engines.ase_writers:load", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry for entry in entries if entry.group == group])
    assert registry.available_engines() == ("castep", "fhi-aims", "vasp")
    assert [registry.load_engine(name).info.name for name in registry.available_engines()] == [
        "castep",
        "fhi-aims",
        "vasp",
    ]
    with pytest.raises(UnknownMethodError, match="Did you mean 'vasp'"):
        registry.load_engine("VSAP")
