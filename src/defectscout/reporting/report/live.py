"""A report that follows its campaigns while their searches run."""

from __future__ import annotations

import hashlib
import html
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from defectscout.core.errors import DefectscoutError
from defectscout.reporting.report.build import build_report
from defectscout.reporting.report.html import html_report
from defectscout.reporting.report.names import campaign_names
from defectscout.reporting.report.sections import status
from defectscout.reporting.report.subject import (
    Subject,
    campaigns_in,
    end_members_in,
    files_of,
    missing,
    read_subject,
)
from defectscout.reporting.wording import count
from defectscout.workflow.alloys.study import MANIFEST_NAME, is_study
from defectscout.workflow.campaign import LOG_NAME

PROGRESS_PATH: Final = "/progress.json"

MOST_LINES: Final = 5
"""Searches that are told about one by one."""

MOST_LOGS: Final = 2
"""Supercells of a study whose logs are told of."""

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
        subject: the campaigns; empty if they could not be read.
        problem: why there is nothing to show; empty if there is something.
    """

    version: str
    subject: Subject
    problem: str = ""


@dataclass(slots=True)
class LiveReport:
    """Reads campaigns when they have changed, and writes their page and progress.

    Attributes:
        folders: of the campaigns, or of studies of alloys.
        reference_only: folders of reference-only campaigns, or studies, to compare with.
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
        lines = [reading.problem] if reading.problem else list(_lines(reading.subject))
        lines += _log_lines(_running(self.folders, reading.subject))
        told = {"version": reading.version, "finished": reading.subject.finished, "lines": lines}
        return json.dumps(told, ensure_ascii=False)

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
    """Changes when the record of a campaign does, alone or in a study: a digest of times and sizes of its files."""
    digest = hashlib.sha256()
    for path in (path for folder in folders for path in _files(folder)):
        try:
            found = path.stat()
            digest.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
        except OSError:
            digest.update(f"{path} is not there\n".encode())
    return digest.hexdigest()[:16]


def _files(folder: Path) -> Sequence[Path]:
    try:
        return files_of(folder)
    except DefectscoutError:
        return (folder / MANIFEST_NAME,)  # reading it says what is wrong


def _reading(version: str, folders: Sequence[Path], reference_only: Sequence[Path]) -> Reading:
    try:
        return Reading(version, read_subject(folders, reference_only))
    except DefectscoutError as error:
        return Reading(version, Subject(), str(error))


def _page_of(reading: Reading) -> str:
    if reading.problem:
        return _waiting_page(reading.problem)
    try:
        subject = reading.subject
        report = build_report(subject.campaigns, subject.reference_only, subject.studies, subject.coarse)
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


def _lines(subject: Subject) -> Iterator[str]:
    overviews = subject.overviews
    items = [
        (name, overview, item)
        for name, overview in zip(campaign_names(overviews, subject.studies), overviews, strict=True)
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
    for study in subject.studies:
        left = missing(study)
        if left:
            have, whose = ("has", "its") if left == 1 else ("have", "their")
            yield f"{left} of {count(len(study.study.supercells), 'supercell')} {have} not come to {whose} defects"


def _running(folders: Sequence[Path], subject: Subject) -> list[Path]:
    """Folders of searches that have not ended; of a study those that were written to last."""
    ended = {overview.folder for overview in subject.overviews if overview.finished}
    found: list[Path] = []
    for folder in folders:
        if not is_study(folder):
            found += [folder] if folder not in ended else []
            continue
        with suppress(DefectscoutError):  # the page says what is wrong
            begun = campaigns_in(folder)
            going = [one for one in begun if one not in ended] or ([] if begun else list(end_members_in(folder)))
            found += sorted(going, key=_last_written, reverse=True)[:MOST_LOGS]
    return found


def _last_written(folder: Path) -> float:
    try:
        return (folder / LOG_NAME).stat().st_mtime
    except OSError:
        return 0.0


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
