"""Files and folders that appear when they are complete, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from defectscout.core.errors import DatasetError


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """A name to write a file or folder to, which becomes `out` if all goes well and disappears if not.

    Raises:
        DatasetError: if `out` exists.
    """
    if out.exists():
        raise DatasetError(f"{out} exists already. Nothing was written; give another name or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.rename(out)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        for file in (temporary, temporary.with_name(f"{temporary.name}-journal")):
            file.unlink(missing_ok=True)
