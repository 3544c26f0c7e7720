"""Names of links in AiiDA's graph: letters, digits and single underscores."""

from __future__ import annotations

import re
from collections.abc import Sequence


def candidate_key(defect: int, candidate: int) -> str:
    """Name for a candidate by the places of its defect and of itself: `d000_c000`."""
    return f"d{defect:03d}_c{candidate:03d}"


def defect_keys(labels: Sequence[str]) -> dict[str, str]:
    """Names for defects by their labels: `v_Cd_-1` is `v_Cd_m1`; a second one of the same name gets a number."""
    keys: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"\W", "_", label.replace("-", "m").replace("+", "p"))
        plain = re.sub(r"_+", "_", plain).strip("_") or "defect"
        key, number = plain, 2
        while key in keys.values():
            key, number = f"{plain}_{number}", number + 1
        keys[label] = key
    return keys
