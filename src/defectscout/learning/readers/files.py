"""Files by name, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}

READING_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What a truncated or damaged file raises while it is read; UnicodeDecodeError is a ValueError."""


def open_text(path: Path) -> IO[str]:
    """Open a text file for reading; `.gz`, `.xz` and `.bz2` are unpacked on the way.

    Bytes that are no UTF-8, as codes write them when they are killed, are replaced.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        return path.open("rt", encoding="utf-8", errors="replace")
    return cast("IO[str]", opener(path, "rt", encoding="utf-8", errors="replace"))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading as bytes; compressed ones are unpacked on the way."""
    opener = _OPENERS.get(path.suffix.lower())
    return path.open("rb") if opener is None else cast("IO[bytes]", opener(path, "rb"))


def plain_name(path: Path) -> str:
    """File name without the suffix of a compression: `OUTCAR` for `OUTCAR.gz`."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in _OPENERS else path.name


def head(path: Path, size: int = 4096) -> str:
    """The first characters of a file; empty if it cannot be read."""
    try:
        with open_text(path) as file:
            return file.read(size)
    except READING_ERRORS:
        return ""


def walk(folder: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Every folder in a tree with its files, in the order in which a person would count them.

    Hidden files and folders are left out, links to folders are followed once.
    """
    seen: set[tuple[int, int]] = set()
    yield from _walk(folder, seen)


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        paths = sorted((Path(entry.path) for entry in entries if not entry.name.startswith(".")), key=natural)
    yield folder, tuple(path for path in paths if path.is_file())
    for path in paths:
        if path.is_dir():
            yield from _walk(path, seen)


def natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Key to sort names with numbers in them: `run2` before `run10`."""
    parts = re.findall(r"\d+|\D+", path.name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
