"""Third-party libraries that print, warn and redefine how warnings look."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what is printed and warned inside.

    Importing doped and ShakeNBreak redefines the format of warnings: it is put back.
    """
    formatwarning = warnings.formatwarning
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            warnings.formatwarning = formatwarning
