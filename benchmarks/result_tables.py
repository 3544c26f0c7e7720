"""Tables that are filled over several runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from defectscout.core.defect import Bond


def write(path: Path, rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> None:
    """Write rows to a CSV file in place of those that agree with one of them in the columns `key`; others stay."""
    before: list[Mapping[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            before = list(csv.DictReader(file))
    new = {tuple(str(row[name]) for name in key) for row in rows}
    merged = [*(row for row in before if tuple(row[name] for name in key) not in new), *rows]
    columns = list(dict.fromkeys(name for row in merged for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(merged)


def bonds_text(bonds: Sequence[Bond]) -> str:
    """New bonds in one cell, shortest first."""
    return ", ".join(str(bond) for bond in bonds) or "none"
