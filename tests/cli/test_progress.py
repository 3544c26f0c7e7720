from __future__ import annotations

import io

import pytest
from rich.console import Console

from defectscout.cli import progress
from defectscout.cli.progress import PlainReporter


def test_a_stage_that_comes_again_is_timed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    text = io.StringIO()
    reporter = PlainReporter(Console(file=text, width=100), interval=1.0)
    for _ in range(2):
        reporter.stage("train", 4)
        reporter.advance("train", 1)
        now[0] += 10
        reporter.advance("train", 2)
        reporter.finish("train")
        now[0] += 1000  # other work
    lines = [line for line in text.getvalue().splitlines() if "left" in line]
    assert lines == ["   50% , about 20 s left"] * 2
    assert text.getvalue().count("Training ...") == 2
