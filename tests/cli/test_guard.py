"""What an exception becomes at the end of a command."""

from __future__ import annotations

import errno

import pytest
import typer

from defectscout.cli.guard import guarded
from defectscout.core.errors import NothingFoundError, SettingsError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SettingsError("The value is odd."), 2, "Error: The value is odd."),
        (NothingFoundError("All failed."), 3, "Error: All failed."),
        (KeyboardInterrupt(), 130, "same command again"),
        (OSError(errno.ENOSPC, "No space left on device", "out/minima.csv"), 2, "Writing out/minima.csv failed"),
        (OSError(errno.EBADF, "Bad file descriptor"), 1, "Internal error: OSError"),
        (ZeroDivisionError("1/0"), 1, "Internal error: ZeroDivisionError"),
    ],
)
def test_a_paragraph_and_the_documented_exit_code(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left, guarded(verbose=False):
        raise error
    assert left.value.exit_code == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), guarded(verbose=True):
        raise ZeroDivisionError("1/0")
    assert "Traceback" in capsys.readouterr().err
