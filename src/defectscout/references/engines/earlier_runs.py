"""The files that runs of a calculation leave, for codes whose output a queue may call anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path


def outputs_in(folder: Path, suffixes: Collection[str], mark: str, head: int) -> tuple[Path, ...]:
    """A code's outputs in a folder, whatever a queue calls them, the latest last; not those kept under a number.

    Args:
        folder: of the calculation.
        suffixes: that outputs have.
        mark: what stands near the beginning of every output.
        head: number of characters to look for it in.
    """
    if not folder.is_dir():
        return ()
    files = (path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())
    found = [path for path in files if not re.search(r"\.\d+\.\w+$", path.name) and _begins_with(path, mark, head)]
    return tuple(sorted(found, key=lambda path: (path.stat().st_mtime, path.name)))


def _begins_with(path: Path, mark: str, head: int) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return mark in file.read(head)


def next_number(folder: Path, project: str, input_suffix: str) -> int:
    """Number under which output and input of the run that is there are to be kept: 1 for the first.

    Args:
        folder: of the calculation.
        project: what the names begin with.
        input_suffix: of inputs, without the dot; outputs end with `.out`.
    """
    kept = re.compile(rf"{re.escape(project)}\.(\d+)\.(?:out|{input_suffix})")
    numbers = [int(match[1]) for path in folder.iterdir() if (match := kept.fullmatch(path.name)) is not None]
    return max(numbers, default=0) + 1


def move_aside(folder: Path, paths: Iterable[Path]) -> None:
    """Move what another calculation has left into a hidden folder, which nothing reads."""
    number = 1
    while (aside := folder / f".before.{number}").exists():
        number += 1
    aside.mkdir()
    for path in paths:
        path.rename(aside / path.name)
