"""Discovery curves in a table, so that a figure can be drawn of searches whose campaigns are gone."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from defectscout.evaluation.discovery import DiscoveryCurve

Key = tuple[str, str, str]
"""Host, strategy and seed of a search."""


def curve_rows(key: Key, curve: DiscoveryCurve) -> Iterator[dict[str, str]]:
    """One row for each force call that brought a lower energy, and one for the last call."""
    steps = curve.steps()
    for calls, energy in zip(steps.calls, steps.energies, strict=True):
        yield dict(zip(("host", "strategy", "seed"), key, strict=True)) | {
            "reference_calls": str(calls),
            "lowest_energy_eV": f"{energy:.4f}" if np.isfinite(energy) else "",
        }


def read_curves(path: Path) -> Mapping[Key, DiscoveryCurve]:
    """The curves of a table that `curve_rows` has filled."""
    points: dict[Key, list[tuple[int, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            energy = float(row["lowest_energy_eV"] or "nan")
            points[row["host"], row["strategy"], row["seed"]].append((int(row["reference_calls"]), energy))
    return {
        key: DiscoveryCurve(np.array([calls for calls, _ in each]), np.array([energy for _, energy in each]))
        for key, each in points.items()
    }
