"""Errors on the command line: one paragraph and an exit code; never a traceback by default."""

from __future__ import annotations

import errno
import sys
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from defectscout.core.errors import CampaignError, DefectscoutError

INTERNAL_ERROR = 1
INTERRUPTED = 130
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def guarded(verbose: bool) -> Iterator[None]:
    """Turn exceptions into a message on standard error and the documented exit code."""
    try:
        yield
    except DefectscoutError as error:
        _say(f"Error: {error}")
        if verbose:
            traceback.print_exc()
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("Interrupted. What was done is recorded; run the same command again to go on.")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            _internal(error, verbose)
        _say(
            f"Error: Writing {error.filename or 'a file'} failed: {error.strerror}. Make room on the disk and run the "
            "same command again: what is recorded is safe."
        )
        raise typer.Exit(CampaignError.exit_code) from None
    except Exception as error:
        _internal(error, verbose)


def _internal(error: Exception, verbose: bool) -> NoReturn:
    _say(
        f"Internal error: {type(error).__name__}: {error}. This is a fault in defectscout or in a package beneath "
        "it. What was done is recorded. Run again with -v for the traceback and report it with that."
    )
    if verbose:
        traceback.print_exc()
    raise typer.Exit(INTERNAL_ERROR) from None


def _say(text: str) -> None:
    sys.stdout.flush()
    width = 100
    sys.stderr.write(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) + "\n")
