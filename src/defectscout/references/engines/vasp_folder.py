"""Which files of a folder belong to VASP's latest run, and where those of earlier runs are kept."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
OUTPUTS = ("OUTCAR", "vasprun.xml", "OSZICAR")
_RUN = re.compile(r"(?:run|restart|cont|part)[_-]?(?P<number>\d+)")
_SCREEN = re.compile(
    r"(?P<stem>.*?)(?P<number>\d*)(?:\.(?:out|log|err)|\.[oe](?P<job>\d+))|(?:std|vasp)[_.]?(?:out|err)\w*(?:\.txt)?"
)
_NUMBERED = re.compile(r"(?:OUTCAR|vasprun\.xml|OSZICAR)\.(?P<number>\d+)")
_SCREEN_LIMIT = 4_000_000  # characters from the end


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Files of one run.

    Attributes:
        folder: where they are.
        outcar: OUTCAR, also compressed; None if there is none, or an empty one.
        vasprun: vasprun.xml, likewise.
        oszicar: OSZICAR, likewise.
        screen: what VASP and the queue printed: `vasp.out`, `slurm-123.out`, `job.e45`, ...
    """

    folder: Path
    outcar: Path | None
    vasprun: Path | None
    oszicar: Path | None
    screen: tuple[Path, ...]

    @property
    def outputs(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.outcar, self.vasprun, self.oszicar) if path is not None)


def latest_run(folder: Path) -> RunFiles:
    """Files of the latest run in a folder: those without a number, else those in the last of `run1`, `run2`, ..."""
    own = _files(folder)
    if own.outputs or not folder.is_dir():
        return own
    runs = sorted(
        (int(match["number"]), path)
        for path in folder.iterdir()
        if path.is_dir() and (match := _RUN.fullmatch(path.name)) is not None
    )
    return next((files for _, path in reversed(runs) if (files := _files(path)).outputs), own)


def next_number(folder: Path) -> int:
    """Number under which the output of the run that is there is to be kept: 1 for the first."""
    names = (plain_name(path) for path in folder.iterdir())
    numbers = [int(match["number"]) for name in names if (match := _NUMBERED.fullmatch(name)) is not None]
    return max(numbers, default=0) + 1


def kept_as(path: Path, number: int) -> Path:
    """Where a file is kept: `OUTCAR.1`, `OUTCAR.1.gz`; where learning reads restarts from."""
    packed = path.suffix if path.suffix in _OPENERS else ""
    return path.with_name(f"{plain_name(path)}.{number}{packed}")


def plain_name(path: Path) -> str:
    """File name without the suffix of a compression."""
    return path.name[: -len(path.suffix)] if path.suffix in _OPENERS else path.name


def open_text(path: Path) -> IO[str]:
    """Open a text file, packed or not; bytes that are no UTF-8 are replaced."""
    opener = _OPENERS.get(path.suffix)
    if opener is None:
        return path.open("rt", encoding="utf-8", errors="replace")
    return cast("IO[str]", opener(path, "rt", encoding="utf-8", errors="replace"))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, packed or not."""
    opener = _OPENERS.get(path.suffix)
    return path.open("rb") if opener is None else cast("IO[bytes]", opener(path, "rb"))


READING_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What a packed file raises that was cut."""


def screen_text(files: RunFiles) -> str:
    """All that was printed, as far as it can be read."""
    texts = []
    for path in files.screen:
        text = ""
        try:
            with open_text(path) as stream:
                while block := stream.read(_SCREEN_LIMIT):
                    text = (text + block)[-_SCREEN_LIMIT:]
        except READING_ERRORS:
            pass  # what came before the cut counts
        texts.append(text)
    return "\n".join(texts)


def _files(folder: Path) -> RunFiles:
    paths = {path.name: path for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}

    def found(name: str) -> Path | None:
        names = (name, *(name + suffix for suffix in _OPENERS))
        return next((paths[one] for one in names if one in paths and paths[one].stat().st_size > 0), None)

    outcar, vasprun, oszicar = (found(name) for name in OUTPUTS)
    return RunFiles(folder, outcar, vasprun, oszicar, _screen(tuple(paths.values())))


def _screen(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Of files with a job's number in their names, the newest job's: an older one's errors have been dealt with."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in sorted(paths):
        name = plain_name(path)
        match = _SCREEN.fullmatch(name)
        if match is None:
            continue
        number = int(match["job"] or match["number"] or 0)
        kind = re.sub(r"\d+", "", name)
        if kind not in newest or number >= newest[kind][0]:
            newest[kind] = (number, path)
    return tuple(path for _, path in newest.values())
