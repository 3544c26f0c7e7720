"""Silence around third-party libraries that print or draw progress bars."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silenced() -> Iterator[list[str]]:
    """Swallow stdout, stderr and warnings; the list holds the warnings' text afterwards.

    doped and pymatgen say important things as warnings: the caller reads the list
    and decides which of them a user has to hear.
    """
    texts: list[str] = []
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            yield texts
        finally:
            texts.extend(str(warning.message) for warning in caught)
