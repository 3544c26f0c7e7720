"""A curve that is read back from its table says what the curve itself says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from defectscout.evaluation.discovery import discovery_curve


def test_curves_are_read_back_as_they_were(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    module, tables = script("discovery_curves"), script("result_tables")
    table, nan = tmp_path / "curves.csv", float("nan")
    searches = {
        ("CdTe", "learn", "0"): discovery_curve([nan, -1.0, nan, -0.5, -2.0, -2.0, -1.9], -2.5),
        ("CdTe", "learn", "1"): discovery_curve([nan, nan], 0.0),
        ("CdSe", "reference-only", ""): discovery_curve([0.25], 0.0),
    }
    for key, curve in searches.items():  # as runs of a benchmark fill it, one of them twice
        for _ in range(2):
            tables.write(table, list(module.curve_rows(key, curve)), ("host", "strategy", "seed"))
    known = module.read_curves(table)
    assert known.keys() == searches.keys()
    for key, curve in searches.items():
        assert known[key].calls[-1] == curve.calls[-1]
        np.testing.assert_allclose(known[key].lowest, curve.lowest, atol=1e-4)
        for energy in (2.0, 1.0, 0.5, 0.1):
            assert known[key].calls_to(energy) == curve.calls_to(energy)
