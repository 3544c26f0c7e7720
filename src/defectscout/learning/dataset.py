"""A dataset: one SQLite file in ASE's `ase.db` format that knows where every frame comes from.

Configurations are rows of `ase.db` (`ase db data.db host=CdTe,charge=-1` works, and so does
`ase.db.connect`); beside them stand tables of our own: `frames`, what is known of each frame
without reading its configuration, `sites`, `subsets`, `unreadable` and `documents`. Frames
stream in and out a few hundred at a time; only the index is ever held whole.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from defectscout.core.chunks import chunks
from defectscout.core.errors import DatasetError
from defectscout.learning.dataset_rows import composition_text, frame_digest, keys, to_ase, to_frame, to_origin
from defectscout.learning.flaws import Flaws, flaw_in
from defectscout.learning.frames import DefectId, IndexRow, LabelledFrame, SiteRecord, Unreadable

SCHEMA_VERSION: Final = 1
SUBSETS: Final = ("train", "validation", "test")
BATCH: Final = 256
"""Frames in one transaction, and read at once."""

_SCHEMA = """
CREATE TABLE frames (
    row INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    defect TEXT NOT NULL,
    charge INTEGER NOT NULL,
    start TEXT NOT NULL,
    step INTEGER NOT NULL,
    method TEXT NOT NULL,
    source TEXT NOT NULL,
    energy REAL NOT NULL,
    fmax REAL NOT NULL,
    composition TEXT NOT NULL,
    scf_converged INTEGER,
    dropped TEXT NOT NULL DEFAULT '',
    selected INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sites (
    host TEXT NOT NULL,
    defect TEXT NOT NULL,
    charge INTEGER NOT NULL,
    method TEXT NOT NULL,
    kind TEXT NOT NULL,
    a REAL NOT NULL,
    b REAL NOT NULL,
    c REAL NOT NULL,
    PRIMARY KEY (host, defect, charge, method)
);
CREATE TABLE subsets (row INTEGER PRIMARY KEY, subset TEXT NOT NULL);
CREATE TABLE unreadable (source TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE documents (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""

_TABLES: Final = frozenset({"systems", "frames", "sites", "subsets", "unreadable", "documents"})
_ORIGIN = "host, defect, frames.charge, start, step, method, source"
_CONTENT = "systems.numbers, systems.positions, systems.cell, systems.energy, systems.forces, systems.stress"


class Dataset:
    """Reads and writes one dataset file. Use it as a context manager.

    Every call opens the file for itself and leaves nothing locked between two batches, so that a
    loader in another thread or process can read along.
    """

    def __init__(self, path: Path) -> None:
        """For `create` and `open`, which check the file first."""
        self.path = path

    @classmethod
    def create(cls, path: Path) -> Self:
        """Begin an empty dataset.

        Raises:
            DatasetError: if there is a file already, or none can be written there.
        """
        path = Path(path)
        if path.exists():
            raise DatasetError(f"{path} exists already. Nothing was written; give another name or remove it.")
        dataset = cls(path)
        with dataset._errors(), dataset._ase().managed_connection():
            pass  # makes the tables of `ase.db`, which it would only do at the first configuration
        with dataset._writing() as connection:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO documents VALUES ('version', ?)", (str(SCHEMA_VERSION),))
        return dataset

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a dataset.

        Raises:
            DatasetError: if the file is missing, damaged, no dataset, or of a newer defectscout.
        """
        path = Path(path)
        if not path.is_file():
            raise DatasetError(f"There is no dataset {path}. Make one with: defectscout dataset build SOURCE -o {path}")
        dataset = cls(path)
        with dataset._reading() as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= _TABLES:
            raise DatasetError(
                f"{path} is an SQLite file but no dataset of defectscout. If it holds configurations (an ase.db "
                f"database, or a campaign), make a dataset from it with: defectscout dataset build {path} -o DATASET.db"
            )
        version = dataset.read_document("version") or "?"
        if not version.isdecimal():
            raise DatasetError(f"{path} does not say which version of the format it has ({version!r}). Build it anew.")
        if int(version) > SCHEMA_VERSION:
            raise DatasetError(
                f"{path} has version {version} of the dataset format; this defectscout reads up to version "
                f"{SCHEMA_VERSION}. Update defectscout, or build the dataset anew from its sources."
            )
        return dataset

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # frames

    def add(self, frames: Iterable[LabelledFrame]) -> int:
        """Store frames, a few hundred in each transaction.

        A frame that cannot be learned from (energy, forces, stress, positions or cell not finite,
        no cell, forces of another shape) is not stored but listed among the unreadable ones.

        Returns:
            How many were stored.

        Raises:
            DatasetError: if the file cannot be written.
        """
        flaws = Flaws()
        stored = 0
        for batch in chunks(frames, BATCH):
            good = []
            for frame in batch:
                flaw = flaw_in(frame)
                if flaw:
                    flaws.note(frame.origin, flaw)
                else:
                    good.append(frame)
            self._store(good)
            stored += len(good)
        self.add_unreadable(flaws.as_unreadable())
        return stored

    def _store(self, frames: Sequence[LabelledFrame]) -> None:
        database = self._ase()
        with self._errors(), database:
            for frame in frames:
                origin = frame.origin
                row = database.write(to_ase(frame), **keys(origin))
                if origin.charge:  # what ASE summed over the atoms, free of the rounding of that sum
                    database.connection.execute("UPDATE systems SET charge = ? WHERE id = ?", (origin.charge, row))
                database.connection.execute(
                    f"INSERT INTO frames VALUES ({', '.join('?' * 14)})",
                    (
                        row, origin.host, origin.defect, origin.charge, origin.start, origin.step, origin.method,
                        origin.source, float(frame.prediction.energy), frame.prediction.fmax,
                        composition_text(frame.atoms), frame.scf_converged, "", 0,
                    ),
                )  # fmt: skip

    def index(self) -> tuple[IndexRow, ...]:
        """What is known of every frame, in order of rows."""
        known: dict[str, tuple[tuple[str, int], ...]] = {}
        found = []
        with self._reading() as connection:
            query = (
                f"SELECT row, energy, fmax, composition, scf_converged, dropped, selected, {_ORIGIN} "
                "FROM frames ORDER BY row"
            )
            for row, energy, fmax, composition, scf, dropped, selected, *origin in connection.execute(query):
                if composition not in known:
                    known[composition] = tuple((symbol, count) for symbol, count in json.loads(composition))
                found.append(
                    IndexRow(
                        row=row,
                        origin=to_origin(origin),
                        energy=energy,
                        fmax=fmax,
                        composition=known[composition],
                        scf_converged=None if scf is None else bool(scf),
                        dropped=dropped,
                        selected=bool(selected),
                    )
                )
        return tuple(found)

    def frames(self, rows: Sequence[int]) -> Iterator[LabelledFrame]:
        """Configurations by their row numbers, in the order asked, a few hundred in memory at a time.

        Raises:
            DatasetError: if there is no such row.
        """
        for batch in chunks(map(int, rows), BATCH):
            query = (
                f"SELECT row, scf_converged, {_ORIGIN}, {_CONTENT} FROM frames JOIN systems ON systems.id = frames.row "
                f"WHERE row IN ({', '.join('?' * len(batch))})"
            )
            with self._reading() as connection:
                found = {record[0]: record[1:] for record in connection.execute(query, batch)}
            for row in batch:
                if row not in found:
                    raise DatasetError(f"{self.path} has no frame number {row}.")
                yield to_frame(found[row])

    def mark_dropped(self, rows: Sequence[int], rule: str) -> None:
        """Say which rule took frames out; with an empty rule they are in again. Frames taken out are not selected."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE frames SET dropped = ?, selected = selected * (? = '') WHERE row = ?",
                ((rule, rule, int(row)) for row in rows),
            )

    def mark_selected(self, rows: Sequence[int]) -> None:
        """Say which frames training and evaluation use, instead of those selected before.

        Raises:
            DatasetError: if one of them is not there or was taken out by a cleaning rule.
        """
        wanted = {int(row) for row in rows}
        with self._writing() as connection:
            free = {row for (row,) in connection.execute("SELECT row FROM frames WHERE dropped = ''")}
            if not wanted <= free:
                raise DatasetError(
                    f"{self.path}: frame number {min(wanted - free)} cannot be selected: it is not in the dataset, "
                    "or a cleaning rule took it out."
                )
            connection.execute("UPDATE frames SET selected = 0")
            connection.executemany("UPDATE frames SET selected = 1 WHERE row = ?", ((row,) for row in sorted(wanted)))

    # what goes with the frames

    def add_unreadable(self, items: Iterable[Unreadable]) -> None:
        """List what gave no frame, and why."""
        entries = [(item.source, item.reason) for item in items]
        if entries:
            with self._writing() as connection:
                connection.executemany("INSERT INTO unreadable VALUES (?, ?)", entries)

    def unreadable(self) -> tuple[Unreadable, ...]:
        """What gave no frame, in the order in which it was met."""
        with self._reading() as connection:
            query = "SELECT source, reason FROM unreadable ORDER BY rowid"
            return tuple(Unreadable(source, reason) for source, reason in connection.execute(query))

    def write_site(self, site: SiteRecord) -> None:
        """Store where the site of a defect lies, replacing what was there."""
        who = site.defect_id
        values = (who.host, who.defect, who.charge, who.method, site.kind, *(float(x) for x in site.fractional))
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO sites VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def sites(self) -> dict[DefectId, SiteRecord]:
        """Where the sites of the defects lie, as far as the sources say."""
        with self._reading() as connection:
            rows = connection.execute("SELECT * FROM sites ORDER BY rowid").fetchall()
        found = (SiteRecord(DefectId(*row[:4]), row[4], (row[5], row[6], row[7])) for row in rows)
        return {site.defect_id: site for site in found}

    def write_subsets(self, subsets: Mapping[int, str]) -> None:
        """Store which frame is for training, validation or testing, instead of what was there.

        Raises:
            DatasetError: if a subset has another name, or a frame is not there.
        """
        for row, subset in subsets.items():
            if subset not in SUBSETS:
                raise DatasetError(f"Frame number {row} cannot be put into {subset!r}: expected {', '.join(SUBSETS)}.")
        with self._writing() as connection:
            known = {row for (row,) in connection.execute("SELECT row FROM frames")}
            if not known >= subsets.keys():
                raise DatasetError(f"{self.path} has no frame number {min(subsets.keys() - known)}.")
            connection.execute("DELETE FROM subsets")
            connection.executemany("INSERT INTO subsets VALUES (?, ?)", ((int(r), s) for r, s in subsets.items()))

    def subsets(self) -> dict[int, str]:
        """Subset of each frame that is in one, by row number; empty before the dataset is split."""
        with self._reading() as connection:
            return dict(connection.execute("SELECT row, subset FROM subsets ORDER BY row").fetchall())

    def write_document(self, name: str, text: str) -> None:
        """Store a text under a name, replacing what was there."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, text))

    def read_document(self, name: str) -> str | None:
        """A stored text, or None."""
        with self._reading() as connection:
            row = connection.execute("SELECT content FROM documents WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def digest(self) -> str:
        """Hash of the selected frames: structures, labels and origins, whatever the order in which they were added.

        The source is left out, so that the same data read from another folder has the same digest.
        """
        rows = [row.row for row in self.index() if row.selected]
        each = sorted(frame_digest(frame) for frame in self.frames(rows))
        return f"sha256:{hashlib.sha256(b''.join(each)).hexdigest()}"

    # the file

    def _ase(self) -> Any:
        from ase.db import connect

        # ASE's own lock file would outlive a killed process and block the next one; SQLite locks by itself.
        return connect(self.path, type="db", use_lock_file=False)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise DatasetError(
                f"{self.path} cannot be used as a dataset: {error}. Check that it is a file that "
                "`defectscout dataset build` made, that the disk has room and that the file can be written; "
                "if it is damaged, build it anew from its sources."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), closing(sqlite3.connect(self.path, timeout=20)) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, connection:
            yield connection


def write_dataset(path: Path, frames: Iterable[LabelledFrame]) -> None:
    """Write frames as a dataset, or not at all: what is there already is replaced at the end."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with Dataset.create(part) as dataset:
        dataset.add(frames)
    part.replace(path)


def is_dataset(path: Path) -> bool:
    """Whether a file is a dataset, of any version, rather than another database or file."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return False
    return tables >= _TABLES
