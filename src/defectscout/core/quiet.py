"""Silence around third-party libraries that print, warn and redefine how warnings look."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Swallow what is printed and warned inside; the list holds the warnings' text afterwards.

    doped and pymatgen say important things as warnings: a caller may read the list and
    decide which of them a user has to hear. Importing doped and ShakeNBreak redefines the
    format of warnings: it is put back.
    """
    texts: list[str] = []
    formatwarning = warnings.formatwarning
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
            warnings.formatwarning = formatwarning
