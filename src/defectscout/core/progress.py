"""How long work tells a caller where it stands, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about stages and their steps; the command line draws bars from it."""

    def message(self, text: str) -> None:
        """A line for the reader."""

    def warn(self, text: str) -> None:
        """A line that the reader must not miss."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins, with `total` units of work (0 if unknown)."""

    def advance(self, name: str, done: float, detail: str = "") -> None:
        """`done` units of the stage's work are finished, in all."""

    def finish(self, name: str) -> None:
        """The stage has ended."""


class SilentProgress:
    """Says nothing: the default from Python."""

    def message(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, name: str, done: float, detail: str = "") -> None: ...

    def finish(self, name: str) -> None: ...
