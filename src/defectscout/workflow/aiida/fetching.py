"""Bringing a relaxation's files from AiiDA's profile into a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from defectscout.workflow.aiida.data import unpack
from defectscout.workflow.aiida.graph import RelaxationNodes

MARK = ".aiida"
"""File in a relaxation's folder that says which of AiiDA's jobs its files come from."""


def fetch_one(item: RelaxationNodes, target: Path) -> bool:
    """Write one relaxation's files into the folder `target`, in place of those of fewer jobs.

    Returns:
        Whether there was anything new.
    """
    if item.files is None:
        return False
    mark = f"{item.files.uuid} {item.retrieved.uuid if item.retrieved is not None else ''}\n"
    if (target / MARK).is_file() and (target / MARK).read_text(encoding="utf-8") == mark:
        return False
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    unpack([item.files, item.retrieved], part)
    (part / MARK).write_text(mark, encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    return True
