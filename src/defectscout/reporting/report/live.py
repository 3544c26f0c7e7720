"""A report that follows its campaigns while their searches run."""

from __future__ import annotations

import hashlib
import html
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from defectscout.analysis.acceleration import one_for_each_host
from defectscout.core.errors import DefectscoutError
from defectscout.reporting.report.build import build_report
from defectscout.reporting.report.html import html_report
from defectscout.reporting.report.names import campaign_names
from defectscout.reporting.report.sections import status
from defectscout.workflow.campaign import LOG_NAME, RECORD_NAME
from defectscout.workflow.overview import Overview, read_overview

PROGRESS_PATH: Final = "/progress.json"

MOST_LINES: Final = 5
"""Searches that are told about one by one."""

PATIENCE: Final = 4.0
"""Campaigns are read again after this many times as long as reading them took: the search needs the core, too."""

SHORTEST_PAUSE: Final = 2.0
"""Seconds between two readings, at least."""

_TAIL: Final = 4096
"""Bytes at the end of a log that are looked at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Campaigns as they were read, or why they could not be.

    Attributes:
        version: of what lay on the disk.
        overviews: the campaigns; empty if they could not be read.
        reference_only: those to compare with, by formula.
        problem: why there is nothing to show; empty if there is something.
    """

    version: str
    overviews: tuple[Overview, ...]
    reference_only: Mapping[str, Overview]
    problem: str = ""


@dataclass(slots=True)
class LiveReport:
    """Reads campaigns when they have changed, and writes their page and progress.

    Attributes:
        folders: of the campaigns.
        reference_only: folders of reference-only campaigns to compare with.
        clock: tells the time, seconds.
    """

    folders: Sequence[Path]
    reference_only: Sequence[Path] = ()
    clock: Callable[[], float] = time.monotonic
    _lock: Lock = field(default_factory=Lock)
    _reading: Reading | None = None
    _page: tuple[str, str] | None = None
    _next: float = 0.0

    def page(self) -> str:
        """The page as the campaigns stand now; why there is none, if there is none."""
        with self._lock:
            reading = self._read(at_once=True)
            if self._page is None or self._page[0] != reading.version:
                self._page = (reading.version, _page_of(reading))
            return self._page[1]

    def progress(self) -> str:
        """How far the searches are, as JSON: `version`, `finished`, `lines`."""
        with self._lock:
            reading = self._read(at_once=False)
        finished = bool(reading.overviews) and all(overview.finished for overview in reading.overviews)
        lines = [reading.problem] if reading.problem else list(_lines(reading.overviews))
        lines += _log_lines([folder for folder in self.folders if not _ended(folder, reading.overviews)])
        return json.dumps({"version": reading.version, "finished": finished, "lines": lines}, ensure_ascii=False)

    def _read(self, at_once: bool) -> Reading:
        known, version = self._reading, version_of([*self.folders, *self.reference_only])
        if known is not None and (known.version == version or not (at_once or self.clock() >= self._next)):
            return known
        begun = self.clock()
        self._reading = _reading(version, self.folders, self.reference_only)
        took = self.clock() - begun
        self._next = self.clock() + max(SHORTEST_PAUSE, PATIENCE * took)
        return self._reading


def version_of(folders: Sequence[Path]) -> str:
    """Changes when a campaign's record does: a digest of times and sizes of its files."""
    digest = hashlib.sha256()
    for folder in folders:
        for name in (RECORD_NAME, f"{RECORD_NAME}-wal"):
            try:
                found = (folder / name).stat()
                digest.update(f"{folder / name} {found.st_mtime_ns} {found.st_size}\n".encode())
            except OSError:
                digest.update(f"{folder / name} is not there\n".encode())
    return digest.hexdigest()[:16]


def read_campaigns(
    folders: Sequence[Path], reference_only: Sequence[Path]
) -> tuple[tuple[Overview, ...], dict[str, Overview]]:
    """Campaigns, and reference-only ones by the formula of their host.

    Raises:
        CampaignError: see `read_overview`.
        SettingsError: if two reference-only ones are of one host.
    """
    baselines = one_for_each_host([read_overview(folder) for folder in reference_only])
    return tuple(read_overview(folder) for folder in folders), baselines


def _reading(version: str, folders: Sequence[Path], reference_only: Sequence[Path]) -> Reading:
    try:
        overviews, baselines = read_campaigns(folders, reference_only)
    except DefectscoutError as error:
        return Reading(version, (), {}, str(error))
    return Reading(version, overviews, baselines)


def _page_of(reading: Reading) -> str:
    if reading.problem:
        return _waiting_page(reading.problem)
    try:
        report = build_report(reading.overviews, reading.reference_only)
        return html_report(report, live=f"{PROGRESS_PATH}#{reading.version}")
    except DefectscoutError as error:
        return _waiting_page(str(error))


def _waiting_page(problem: str) -> str:
    """A page that says why there is no report, and asks again."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        '<meta name="viewport" content="width=device-width"><title>No report yet</title>'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:3rem auto;"
        'max-width:40rem;padding:0 1rem}</style></head><body><main><h1>No report yet</h1><p role="status">'
        f"{html.escape(problem)}</p><p>This page looks again every five seconds.</p></main></body></html>\n"
    )


def _lines(overviews: Sequence[Overview]) -> Iterator[str]:
    items = [
        (name, overview, item)
        for name, overview in zip(campaign_names(overviews), overviews, strict=True)
        for item in overview.defects.values()
    ]
    open_ones = [entry for entry in items if not entry[2].finished]
    if len(items) > 1:
        yield f"{len(items) - len(open_ones)} of {len(items)} searches have ended"
    for name, overview, item in open_ones[:MOST_LINES]:
        cost = item.cost
        yield (
            f"{item.defect.label} in {name} {status(overview, item)}; force calls: {cost.reference_calls} reference, "
            f"{cost.surrogate_calls} surrogate"
        )
    if len(open_ones) > MOST_LINES:
        yield f"and {len(open_ones) - MOST_LINES} more"


def _ended(folder: Path, overviews: Sequence[Overview]) -> bool:
    return any(overview.folder == folder and overview.finished for overview in overviews)


def _log_lines(folders: Sequence[Path]) -> Iterator[str]:
    """The last thing that each log says, and how long ago anything was written to it."""
    for folder in folders:
        try:
            path = folder / LOG_NAME
            age = max(0.0, time.time() - path.stat().st_mtime)
            with path.open("rb") as handle:
                handle.seek(max(0, path.stat().st_size - _TAIL))
                lines = handle.read().decode("utf-8", errors="replace").split("\n")
        except OSError:
            continue
        said = [line.split(" ", 3)[2:] for line in lines[:-1] if line[:4].isdigit() and line.count(" ") > 2]
        told = [text for level, text in said if level != "DEBUG" and not text.startswith("stage ")]
        # Steps are for whoever looks closely: what is under way, its number, where it stands.
        step = said[-1][1].split(" ", 2)[2:] if said and said[-1][0] == "DEBUG" else []
        last = "; ".join([*told[-1:], *step])
        if last:
            yield f"{folder.name}: {last} ({_age(age)})"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
