"""Folders for the files of a running calculation, which go whatever way the process that made them ends."""

from __future__ import annotations

import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Final

# Waits for the end of its input, which comes at the latest when the process that started it is gone; programs that
# are killed at the same time may be writing their last file just then.
_CLEAN: Final = 'PATH="$PATH:/usr/bin:/bin"; cat >/dev/null; rm -rf -- "$1" || { sleep 2; rm -rf -- "$1"; }'


class Scratch:
    """A temporary folder that is removed when this is closed or dropped, or when this process is killed."""

    def __init__(self, prefix: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"defectscout-{prefix}-"))
        janitor = subprocess.Popen(
            ["/bin/sh", "-c", _CLEAN, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # outlives the kill of a worker's process group
        )
        self._close = weakref.finalize(self, _end, janitor)

    def close(self) -> None:
        """Remove it. Programs that write into it must have ended."""
        self._close()


def _end(janitor: subprocess.Popen[bytes]) -> None:
    if janitor.stdin is not None:
        janitor.stdin.close()
    janitor.wait()
