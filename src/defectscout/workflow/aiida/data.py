"""Between folders and structures here and AiiDA's nodes."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiida import orm
from ase import Atoms

NOT_OURS = ("_scheduler-stdout.txt", "_scheduler-stderr.txt")
"""What the queue leaves in a retrieved folder; `verdi calcjob outputcat` shows it."""


def to_node(atoms: Atoms, label: str = "") -> orm.StructureData:
    """A structure as a node that is not stored yet; atoms keep their order, and numbers 14 digits."""
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return orm.StructureData(ase=bare, label=label[:255])


def to_atoms(node: orm.StructureData) -> Atoms:
    """The inverse of `to_node`."""
    atoms: Atoms = node.get_ase()
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def folder_node(folder: Path, names: Sequence[str] = ()) -> orm.FolderData:
    """The files of a folder as a node that is not stored yet; all, or those that are named."""
    if not names:
        return orm.FolderData(tree=str(folder.resolve()))
    node = orm.FolderData()
    for name in names:
        path = folder / name
        if path.is_dir():
            node.base.repository.put_object_from_tree(str(path.resolve()), name)
        elif path.is_file():
            node.base.repository.put_object_from_file(str(path.resolve()), name)
    return node


def unpack(nodes: Iterable[orm.FolderData | None], folder: Path, without: Sequence[str] = ()) -> None:
    """Write the files of nodes into a folder; those of later nodes replace those of earlier ones.

    Args:
        nodes: None counts as empty.
        folder: is made.
        without: patterns of names that are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for node in nodes:
        if node is None:
            continue
        for root, _, names in node.base.repository.walk():
            for name in names:
                if name in NOT_OURS or any(fnmatch.fnmatch(name, pattern) for pattern in without):
                    continue
                target = folder / str(root) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with node.base.repository.open(str(root / name), "rb") as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)


@contextmanager
def unpacked(*nodes: orm.FolderData | None) -> Iterator[Path]:
    """The files of nodes in a folder that goes again; see `unpack`."""
    with TemporaryDirectory(prefix="defectscout-") as name:
        folder = Path(name) / "files"
        unpack(nodes, folder)
        yield folder
