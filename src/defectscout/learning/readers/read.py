"""Everything that can be read, found by looking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from defectscout.core.errors import InputFileError
from defectscout.learning.frames import BULK, DefectId, LabelledFrame, SiteRecord, Unreadable
from defectscout.learning.readers.assemble import assemble
from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.files import walk
from defectscout.learning.readers.formats import Found, Kind, recognise
from defectscout.learning.readers.identity import reduced_counts
from defectscout.learning.readers.names import Said, read_name, read_path
from defectscout.learning.readers.others import items_of
from defectscout.learning.readers.sites import sites_of
from defectscout.learning.readers.vasp import (
    VaspRelaxation,
    coarser_sibling_of,
    header_of,
    read_relaxation,
    vasp_relaxations,
)

_PARENTS = 3
"""Folders above what was given whose names are asked, too, where those inside say nothing."""


def read_source(path: Path, defaults: SourceDefaults) -> Iterator[LabelledFrame | SiteRecord | Unreadable]:
    """Frames of a file, or of everything in a tree of folders.

    Found by name, then by content: VASP's OUTCAR and vasprun.xml, CP2K's and Quantum
    ESPRESSO's output, extended XYZ, ASE's trajectories and databases, and the JSON forms of
    M3GNet and CHGNet; any of them compressed. Names of folders say which defect a calculation is
    of where it does not say so itself (see `names`). Energies are those whose gradients the
    forces are. Frames come one at a time and nothing is kept but the frames of one relaxation
    while their units are checked (see `plausibility`); only a JSON file is held whole.

    Args:
        path: file or folder.
        defaults: what to take where the source does not say.

    Yields:
        Frames, in order within each relaxation; what could not be read, with reason and
        remedy; and at the end the sites of the defects, where ShakeNBreak's or doped's files say.

    Raises:
        InputFileError: there is no such file or folder.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputFileError(f"There is no file or folder {path}. Check the path.")
    return _read(path, defaults)


def _read(path: Path, defaults: SourceDefaults) -> Iterator[LabelledFrame | SiteRecord | Unreadable]:
    found = tuple(_found(path))
    if not any(item.kind is not Kind.SITES for item in found):
        yield Unreadable(str(path), f"It holds nothing that can be read. {_FORMATS}")
    seen: dict[DefectId, Path] = {}
    for item in _frames(path, found, defaults):
        if isinstance(item, LabelledFrame):
            seen.setdefault(item.origin.defect_id, Path(item.origin.source))
        yield item
    yield from sites_of([item.path for item in found if item.kind is Kind.SITES], seen)


_FORMATS = (
    "Read are OUTCAR, vasprun.xml, CP2K's PROJECT-pos-1.xyz, Quantum ESPRESSO's output, extxyz, ASE's traj and db, and "
    "the JSON forms of M3GNet and CHGNet, plain or compressed."
)


def _found(path: Path) -> Iterator[Found]:
    if path.is_file():
        yield recognise(path, asked_for=True)
        beside = (path.parent / name for name in ("distortion_metadata.json", "metadata.json"))
        yield from (Found(file, Kind.SITES) for file in beside if file.is_file() and file != path)
        return
    for _, files in walk(path):
        yield from (item for file in files if (item := recognise(file)).kind is not Kind.NOTHING)


def _frames(root: Path, found: Sequence[Found], defaults: SourceDefaults) -> Iterator[LabelledFrame | Unreadable]:
    relaxations = vasp_relaxations([item.path for item in found if item.kind in (Kind.OUTCAR, Kind.VASPRUN)])
    bulks = [relaxation for relaxation in relaxations if _said_by_folders(root, relaxation.folder).defect == BULK]
    for relaxation in relaxations:
        finer = coarser_sibling_of(relaxation, relaxations)
        if finer is not None:
            yield Unreadable(
                str(relaxation.source),
                f"Not read: {finer} beside it is the same defect on finer k-points, and energies of the two are not "
                "on one scale. To have this one, give its path alone, with a --method of its own.",
            )
            continue
        said = _said_by_folders(root, relaxation.folder)
        items = read_relaxation(relaxation, said, defaults)
        yield from _guarded(
            assemble(items, str(relaxation.source), said, defaults, _formula_of_nearest(bulks, relaxation.folder)),
            str(relaxation.source),
        )
    for item in found:
        if item.kind is Kind.NOTHING:
            yield Unreadable(str(item.path), f"Not recognised. {_FORMATS}")
        elif item.kind is Kind.CAMPAIGN:
            yield Unreadable(str(item.path), f"Not read: {item.path.parent} is a campaign. Give that folder by itself.")
        elif item.kind not in (Kind.OUTCAR, Kind.VASPRUN, Kind.SITES):
            said = _said_by_file(root, item)
            nearby = _formula_of_nearest(bulks, item.path.parent)
            yield from _guarded(assemble(items_of(item), str(item.path), said, defaults, nearby), str(item.path))


def _guarded(frames: Iterator[LabelledFrame | Unreadable], source: str) -> Iterator[LabelledFrame | Unreadable]:
    """One bad file must not end the reading of a tree."""
    try:
        yield from frames
    except Exception as error:  # whatever a malformed file makes a parser raise
        yield Unreadable(source, f"Reading it stopped: {type(error).__name__}: {error}.")


def _said_by_folders(root: Path, folder: Path) -> Said:
    base = root if root.is_dir() else root.parent
    if not folder.is_relative_to(base):  # the folder of runs of which one was given
        return read_path(folder.resolve().parts[-_PARENTS:])
    return read_path((*base.resolve().parts[-_PARENTS:], *folder.relative_to(base).parts))


def _said_by_file(root: Path, item: Found) -> Said:
    """What names say of a file: a relaxation's folder names its start, a file with several its own name."""
    own, folders = read_name(item.stem), _said_by_folders(root, item.path.parent)
    said = own.over(folders)
    is_output = item.kind in (Kind.CP2K, Kind.ESPRESSO)
    return replace(said, start=(folders.start if is_output and own.defect is None else None) or item.stem)


def _formula_of_nearest(bulks: Sequence[VaspRelaxation], folder: Path) -> Callable[[], str | None]:
    """The host's formula from the bulk calculation that shares most of its path with `folder`."""

    def formula() -> str | None:
        def shared(bulk: VaspRelaxation) -> int:
            return sum(1 for one, two in zip(bulk.folder.parts, folder.parts, strict=False) if one == two)

        for bulk in sorted(bulks, key=shared, reverse=True):
            header = header_of(bulk)
            if header is not None and header.symbols:
                return reduced_counts(Counter(header.symbols))
        return None

    return formula
