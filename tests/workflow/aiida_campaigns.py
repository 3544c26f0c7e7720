"""Campaigns of the model crystal that wait for a queue, and AiiDA codes that stand in for programs there."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write

from defectscout.workflow.search import Until, search
from defectscout.workflow.settings import SearchSettings, merge
from workflow.cp2k_stand_in import data_files, install

TESTS = Path(__file__).resolve().parents[1]
SURROGATE = f"ase:{TESTS / 'model_crystal.py'}:surrogate"


def make_campaign(base: Path, until: Until = Until.CANDIDATES, crystal: Path | None = None, **overrides: Any) -> Path:
    """A campaign on v_Mg, in a crystal of its own or that of a file, whose candidates are all sampling structures, or
    those of a surrogate."""
    base.mkdir(parents=True, exist_ok=True)
    write(base / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    settings: dict[str, Any] = {
        "defects": {"select": ("v_Mg",), "charges": (0,)},
        "sampling": {"distortions": (-0.6, -0.5)},
        "reference": {"name": "none"},
        "strategy": "reference-only",
    }
    search(
        crystal or base / "MgS.cif",
        base / "out",
        merge(SearchSettings(), {**settings, **overrides}, "test"),
        until=until,
    )
    return base / "out"


def stand_in(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable that stands in for CP2K, and the data files that inputs are written from."""
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(base / "data")))
    (base / "marks").mkdir()
    monkeypatch.setenv("CP2K_STAND_IN_MARKS", str(base / "marks"))
    return install(base / "bin")


def defectscout_here(folder: Path) -> Path:
    """The command of this environment, as an executable with a path of its own."""
    found = shutil.which("defectscout", path=str(Path(sys.executable).parent))
    if found:
        return Path(found)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "defectscout"
    path.write_text(f"#!{sys.executable}\nfrom defectscout.cli.main import run\nrun()\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
