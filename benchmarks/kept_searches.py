"""Reference-only searches that are kept, so that a learning loop can be judged without running them for hours.

    python benchmarks/kept_searches.py runs/GaCuS2-reference-only tests/data/campaigns/GaCuS2_reference_only.db.gz

keeps a finished campaign: its record with every eighth frame of each relaxation, and the last. Its minima and the
number of its force calls stay as they are; of its discovery curve only the frames that are left are known.
"""

from __future__ import annotations

import argparse
import gzip
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from defectscout.core.errors import DefectscoutError
from defectscout.core.progress import Progress
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.discovery import FinishedSearch, read_finished
from defectscout.workflow.search import Until, resume

KEPT = Path(__file__).parents[1] / "tests" / "data" / "campaigns"
EVERY = 8


def kept_search(host: str) -> Path | None:
    """The record of a host's reference-only search, if it is kept."""
    path = KEPT / f"{host}_reference_only.db.gz"
    return path if path.is_file() else None


def unpack(kept: Path, folder: Path, progress: Progress) -> None:
    """Make a campaign of a record that is kept; nothing is calculated."""
    folder.mkdir(parents=True)
    (folder / RECORD_NAME).write_bytes(gzip.decompress(kept.read_bytes()))
    resume(folder, Until.ANSWER, progress)


def is_thinned(search: FinishedSearch) -> bool:
    """Whether most of its frames are gone, so that its discovery curve is a coarse one."""
    return bool(np.mean(np.isnan(search.energies)) > 0.5)


def keep(folder: Path, path: Path) -> None:
    """Write the record of a finished campaign, thinned.

    Raises:
        CampaignError: there is no campaign, or it has no answer yet.
    """
    read_finished(folder)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / RECORD_NAME
        copy.write_bytes((folder / RECORD_NAME).read_bytes())
        with closing(sqlite3.connect(copy)) as connection:
            for statement in _thinning():
                connection.execute(statement)
            connection.commit()
            connection.execute("VACUUM")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(copy.read_bytes(), mtime=0))


def _thinning() -> Iterator[str]:
    """Statements that leave every eighth frame of each relaxation, and the last."""
    same = "(other.stage, other.defect, other.label) = (frames.stage, frames.defect, frames.label)"
    last = f"SELECT MAX(step) FROM frames AS other WHERE {same}"
    yield f"DELETE FROM frames WHERE step % {EVERY} != 0 AND step != ({last})"
    rows = "SELECT row FROM frames UNION SELECT start_row FROM tasks WHERE start_row IS NOT NULL"
    yield f"DELETE FROM systems WHERE id NOT IN ({rows})"
    for table in ("species", "keys", "text_key_values", "number_key_values"):
        yield f"DELETE FROM {table} WHERE id NOT IN (SELECT id FROM systems)"


def main() -> None:
    """Keep a campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a finished reference-only campaign")
    parser.add_argument("path", type=Path, help="where it is kept")
    arguments = parser.parse_args()
    try:
        keep(arguments.folder, arguments.path)
    except DefectscoutError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
