"""Progress on the terminal: bars with an ETA where there is one, plain lines where not."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from defectscout.core.progress import Progress as ProgressProtocol

_LOG = logging.getLogger("defectscout")

PLAIN_INTERVAL = 20.0
"""Seconds between two lines of the same stage where there is no terminal."""

DESCRIPTIONS = {
    "host": "Host with the reference",
    "sampling": "Sampling structures",
    "scouting": "Scouting with the surrogate",
    "reference": "Candidates with the reference",
    "asking": "Asking the reference",
    "train": "Training",
}


class Reporter(ProgressProtocol, AbstractContextManager["Reporter"], Protocol):
    """A progress that is opened and closed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class QuietReporter:
    """Only warnings."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def message(self, text: str) -> None:
        _LOG.info(text)

    def warn(self, text: str) -> None:
        _LOG.warning(text)
        self._console.print(f"Warning: {text}", style="yellow", markup=False, highlight=False)

    def stage(self, name: str, total: int) -> None:
        _LOG.info("stage %s begins, %d units", name, total)

    def advance(self, name: str, done: float, detail: str = "") -> None:
        _LOG.debug("%s %.2f %s", name, done, detail)

    def finish(self, name: str) -> None:
        _LOG.info("stage %s has ended", name)


class PlainReporter(QuietReporter):
    """Lines, for logs and for output that is piped."""

    def __init__(self, console: Console, interval: float) -> None:
        super().__init__(console)
        self._interval = interval
        self._totals: dict[str, int] = {}
        self._begun: dict[str, tuple[float, float]] = {}
        self._last: dict[str, float] = {}

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def message(self, text: str) -> None:
        super().message(text)
        self._say(text)

    def stage(self, name: str, total: int) -> None:
        super().stage(name, total)
        self._totals[name] = total
        self._begun.pop(name, None)  # a stage of that name may have been before: another training, another surrogate
        self._last[name] = time.monotonic()
        self._say(f"{DESCRIPTIONS.get(name, name)} ...")

    def advance(self, name: str, done: float, detail: str = "") -> None:
        super().advance(name, done, detail)
        now = time.monotonic()
        begin, first = self._begun.setdefault(name, (now, done))
        if now - self._last.get(name, 0.0) < self._interval:
            return
        self._last[name] = now
        total = self._totals.get(name, 0)
        share = f"{done / total:4.0%}" if total else ""
        remaining = (total - done) * (now - begin) / (done - first) if total and done > first else None
        eta = f", about {_duration(remaining)} left" if remaining is not None else ""
        self._say(f"  {share} {detail}{eta}")

    def finish(self, name: str) -> None:
        super().finish(name)
        if name in self._begun:
            self._say(f"  done in {_duration(time.monotonic() - self._begun[name][0])}")


class _DetailColumn(ProgressColumn):
    """What is being done; the only column that gives way where the terminal is narrow."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=False))

    def render(self, task: Task) -> Text:
        return Text(task.fields["detail"], style="dim", no_wrap=True, overflow="ellipsis")


class BarReporter(QuietReporter):
    """Bars that redraw themselves."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if console.width >= 100 else 10),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            _DetailColumn(),
            console=console,
        )
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def message(self, text: str) -> None:
        super().message(text)
        self._bars.console.print(text, markup=False, highlight=False)

    def stage(self, name: str, total: int) -> None:
        super().stage(name, total)
        self._ids[name] = self._bars.add_task(DESCRIPTIONS.get(name, name), total=total or None, detail="")

    def advance(self, name: str, done: float, detail: str = "") -> None:
        super().advance(name, done, detail)
        self._bars.update(self._ids[name], completed=done, detail=detail)

    def finish(self, name: str) -> None:
        super().finish(name)
        bar = self._ids[name]
        total = next(task.total for task in self._bars.tasks if task.id == bar)
        self._bars.update(bar, completed=total or 1, total=total or 1, detail="")


def reporter(quiet: bool, verbose: bool) -> Reporter:
    """The progress that fits where the output goes; everything goes to standard error."""
    console = Console(stderr=True)
    if quiet:
        return QuietReporter(console)
    if verbose:
        return PlainReporter(console, interval=0.0)
    return BarReporter(console) if sys.stderr.isatty() else PlainReporter(console, PLAIN_INTERVAL)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
