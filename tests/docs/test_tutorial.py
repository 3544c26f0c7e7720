"""The tutorial's blocks run as they stand, in order, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"

FENCE = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    title: str | None
    body: str
    line: int


def blocks() -> list[Block]:
    text = TUTORIAL.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["title"], found["body"], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
    ]


def environment() -> dict[str, str]:
    """Commands of this interpreter's environment come first; numerical libraries keep to one thread."""
    scripts = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def run(block: Block, folder: Path) -> str:
    interpreter = {"bash": ["bash", "-e"], "python": [sys.executable]}[block.language]
    script = folder / f".block{block.line}"
    script.write_text(block.body, encoding="utf-8")
    done = subprocess.run(
        [*interpreter, str(script)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    script.unlink()
    assert done.returncode == 0, f"{TUTORIAL}:{block.line} left with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole tutorial has run."""
    folder = tmp_path_factory.mktemp("tutorial")
    for block in blocks():
        if block.title is not None:
            (folder / block.title).write_text(block.body, encoding="utf-8")
        else:
            run(block, folder)
    return folder


def answer(folder: Path, campaign: str) -> dict:
    return json.loads((folder / campaign / "summary.json").read_text(encoding="utf-8"))["defects"]["v_C_0"]


def test_every_fence_is_a_block() -> None:
    assert len(blocks()) == TUTORIAL.read_text(encoding="utf-8").count("\n```") // 2


@pytest.mark.slow
def test_baseline_finds_the_lowering_that_the_text_states(finished: Path) -> None:
    lowest = answer(finished, "baseline")["minima"][0]
    stated = re.search(r"(\d\.\d\d) eV below the symmetric", TUTORIAL.read_text(encoding="utf-8"))
    assert stated is not None
    assert lowest["energy_lowering_eV"] == pytest.approx(-float(stated[1]), abs=0.02)


@pytest.mark.slow
def test_scouting_spends_fewer_reference_calls(finished: Path) -> None:
    scouted, baseline = (answer(finished, name)["funnel"]["reference_calls"] for name in ("scouted", "baseline"))
    assert scouted < baseline


@pytest.mark.slow
def test_a_second_run_does_nothing_twice(finished: Path) -> None:
    search = next(b for b in blocks() if b.language == "bash" and "-o scouted\n" in b.body)
    before = answer(finished, "scouted")
    run(search, finished)
    assert answer(finished, "scouted") == before
