"""Progresses for tests: one that remembers, one that stands for a kill."""

from __future__ import annotations

from defectscout.core.progress import SilentProgress


class Listening(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class InterruptError(Exception):
    """Stands for a kill at one point."""


class Interrupting(SilentProgress):
    """Raises after some steps."""

    def __init__(self, after: float) -> None:
        self.after = after

    def advance(self, name: str, done: float, detail: str = "") -> None:
        if done >= self.after:
            raise InterruptError
