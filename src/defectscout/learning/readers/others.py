"""The reader of each format that keeps a whole set in one file."""

from __future__ import annotations

from collections.abc import Iterator

from defectscout.learning.readers.ase_files import read_db, read_extxyz, read_traj
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.formats import Found, Kind
from defectscout.learning.readers.steps import Rest


def items_of(found: Found) -> Iterator[Item | Rest]:
    """Steps of a file in the format that it was found to be in."""
    from defectscout.learning.readers.cp2k import read_cp2k
    from defectscout.learning.readers.espresso import read_espresso
    from defectscout.learning.readers.structure_json import read_json

    readers = {
        Kind.EXTXYZ: read_extxyz,
        Kind.TRAJ: read_traj,
        Kind.DB: read_db,
        Kind.CP2K: read_cp2k,
        Kind.ESPRESSO: read_espresso,
        Kind.JSON: read_json,
    }
    yield from readers[found.kind](found.path)
