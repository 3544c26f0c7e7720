"""Discovery curves drawn from any data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import NothingFoundError
from defectscout.evaluation.discovery import DiscoveryCurve, discovery_curve
from defectscout.reporting.discovery_figures import Panel, _held, _limits, draw_discovery

NAN = float("nan")


def curve(*energies: float) -> DiscoveryCurve:
    return discovery_curve(energies, 0.0)


def panel(title: str = "CdTe") -> Panel:
    return Panel(
        title,
        {
            "reference-only": [curve(2.2, 2.1, 1.0, 0.0, 0.0, 0.0)],
            "untouched": [curve(2.2, 2.1)],
            "learn": [curve(20.0, 1.0, -0.5), curve(NAN, 18.0, 3.0, -1.0), curve(25.0)],
            "nothing came back": [curve(NAN, NAN)],
            "not run": [],
        },
        top=2.2,
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_both_files_are_written_and_repeat_byte_for_byte(count: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    panels = [panel(f"host {number}") for number in range(count)]
    png, svg = draw_discovery(panels, tmp_path / "first.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text().rstrip().endswith("</svg>")
    _, again = draw_discovery(panels, tmp_path / "again.svg")
    assert again.read_bytes() == svg.read_bytes()


def test_every_strategy_with_a_curve_is_in_the_legend(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _, svg = draw_discovery([panel()], tmp_path / "curves.png")
    text = svg.read_text()
    for name in ("reference-only", "untouched", "learn", "ended without it"):
        assert f"<!-- {name} -->" in text
    assert "<!-- not run -->" not in text


def test_without_a_call_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match="no discovery curve"):
        draw_discovery([Panel("CdTe", {"learn": []})], tmp_path / "none.png")
    with pytest.raises(NothingFoundError):
        draw_discovery([], tmp_path / "none.png")


def test_a_seed_is_above_everything_before_its_first_energy_and_stays_after_its_end() -> None:
    held = _held(curve(NAN, 2.0, 3.0, 1.0), np.arange(1, 7))
    assert held.tolist() == [np.inf, 2.0, 2.0, 1.0, 1.0, 1.0]


def test_the_limits_hold_zero_and_every_end() -> None:
    low, high = _limits(panel())
    assert low < -1.0
    assert 2.2 < high < 25.0 * 1.2  # the seed that ended at 25 eV is seen as well
    low, high = _limits(Panel("", {"a": [curve(5.0, 0.3)]}, top=1.0))
    assert low < 0.0
    assert 1.0 < high < 2.0
