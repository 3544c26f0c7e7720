"""How long the reference has worked on each step of relaxations that run side by side."""

from __future__ import annotations

import time


class Clocks:
    """Wall time of each step, without the time that a relaxation waited for a worker.

    Args:
        workers: relaxations at once.
    """

    def __init__(self, workers: int) -> None:
        self._free = [time.monotonic()] * max(1, workers)
        self._last: dict[str, float] = {}

    def step(self, label: str) -> float:
        """Seconds since the step before of this relaxation, or since a worker became free for its first."""
        now = time.monotonic()
        began = self._last.get(label)
        if began is None:
            began = self._free.pop(0) if self._free else now
        self._last[label] = now
        return now - began

    def finish(self, label: str) -> None:
        """The relaxation has ended, and its worker is free."""
        self._free.append(time.monotonic())
        self._last.pop(label, None)
