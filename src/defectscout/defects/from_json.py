"""Defects that doped or ShakeNBreak saved as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import DefectscoutError, InputFileError
from defectscout.core.quiet import quiet
from defectscout.defects.convert import site_symmetry, to_defect, without_oxidation_states
from defectscout.hosts.symmetry import primitive_cell

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import Structure

_SYMPREC = 0.01
"""Å, doped's default."""

_REMEDY = (
    "Give the JSON of doped's DefectsGenerator (its to_json), or of a list or dictionary of doped DefectEntry objects."
)


def read_defects(path: str) -> tuple[Host, tuple[Defect, ...]]:
    """Host and defects from doped's or ShakeNBreak's JSON, plain or compressed.

    Reads doped's DefectsGenerator, and lists, dictionaries and nestings of DefectEntry
    as doped's parser and ShakeNBreak write them. The defects' supercells are taken as they
    are: in entries parsed from finished calculations these are relaxed.

    Args:
        path: file.

    Returns:
        Host, whose supercell is the entries' bulk supercell in its own order of atoms, and
        the defects in the file's order.

    Raises:
        InputFileError: no such file, no JSON, other content, entries without supercells, or
            entries of different supercells.
    """
    with quiet():
        content = _loaded(Path(path).expanduser())
        entries = list(_entries(content))
        if not entries:
            raise InputFileError(f"{path} holds no defect entries. {_REMEDY}")
        bulk = _common_bulk(entries, path)
        host = _host(bulk, path)
        symmetry: dict[str, str] = {}
        defects: list[Defect] = []
        for name, entry in entries:
            if name not in symmetry:
                symmetry[name] = site_symmetry(entry, _SYMPREC)
            entry.bulk_supercell = bulk
            try:
                defects.append(to_defect(entry, name, symmetry[name]))
            except DefectscoutError as error:
                raise InputFileError(f"{path}: {error}") from error
    labels = [defect.label for defect in defects]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputFileError(f"{path} holds {', '.join(twice)} more than once. Give each defect its own name.")
    return host, tuple(defects)


def _loaded(path: Path) -> Any:
    from monty.serialization import loadfn

    if not path.is_file():
        raise InputFileError(f"{path}: there is no such file. Check the path. {_REMEDY}")
    try:
        return loadfn(str(path))
    except Exception as error:  # monty passes on whatever a constructor raises
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputFileError(f"{path} cannot be read as JSON of doped's objects: {said}. {_REMEDY}") from error


def _entries(content: Any) -> Iterator[tuple[str, DefectEntry]]:
    """Name without charge, and entry, of everything in the file."""
    from doped.core import DefectEntry
    from doped.generation import DefectsGenerator

    if isinstance(content, DefectsGenerator):
        content = content.defect_entries
    if isinstance(content, DefectEntry):
        yield _plain_name(content), content
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, DefectEntry) and not value.name:
                value.name = str(key)
            yield from _entries(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _entries(value)


def _plain_name(entry: DefectEntry) -> str:
    name = str(entry.name or entry.defect.name)
    head, _, tail = name.rpartition("_")
    return head if head and tail.lstrip("+-").isdigit() and int(tail) == int(entry.charge_state) else name


def _common_bulk(entries: list[tuple[str, DefectEntry]], path: str) -> Structure:
    bulk: Structure | None = None
    for name, entry in entries:
        if getattr(entry, "bulk_supercell", None) is None or entry.sc_entry is None:
            raise InputFileError(f"{path}: {name} has no supercells (bulk_supercell and defect supercell). {_REMEDY}")
        if entry.sc_defect_frac_coords is None:
            raise InputFileError(f"{path}: {name} does not say where in its supercell the defect is. {_REMEDY}")
        own = without_oxidation_states(entry.bulk_supercell)
        if bulk is None:
            bulk = own
        elif not _same(bulk, own):
            raise InputFileError(
                f"{path}: {name} has another bulk supercell than the entries before it. Give one file for each "
                "supercell."
            )
    assert bulk is not None
    return bulk


def _same(first: Structure, second: Structure) -> bool:
    if [s.specie.symbol for s in first] != [s.specie.symbol for s in second]:
        return False
    difference = first.frac_coords - second.frac_coords
    difference -= np.round(difference)
    near = np.abs(difference @ first.lattice.matrix).max() < 0.05
    return bool(near and np.allclose(first.lattice.matrix, second.lattice.matrix, atol=0.01))


def _host(bulk: Structure, path: str) -> Host:
    try:
        primitive = primitive_cell(bulk, _SYMPREC)
    except DefectscoutError as error:
        raise InputFileError(f"{path}: {error}") from error
    matrix = bulk.lattice.matrix @ np.linalg.inv(primitive.lattice.matrix)
    return Host(primitive, bulk, np.rint(matrix) + 0.0, path)
