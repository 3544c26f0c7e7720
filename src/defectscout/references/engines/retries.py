"""What was changed in a calculation to run it again, kept in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from defectscout.core.errors import CalculationError
from defectscout.core.files import write_atomically

FILE_NAME = "defectscout-retries.json"


@dataclass(frozen=True, slots=True)
class Retry:
    """One preparation to run again.

    Attributes:
        run: number under which the output of the run before is kept, as in `OUTCAR.1`.
        state: how that run stood, a value of `RunState`.
        failure: short name of what failed, such as `zbrent`; empty if it merely was not finished.
        reason: the same in words.
        changed: what was done, in words.
        settings: settings with their new values.
    """

    run: int
    state: str
    failure: str
    reason: str
    changed: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mended:
    """An input with a remedy in it.

    Attributes:
        text: the input.
        what: what was changed, for the record.
    """

    text: str
    what: str


_RETRIES = TypeAdapter(tuple[Retry, ...])


def read_retries(folder: Path) -> tuple[Retry, ...]:
    """All of them, first to last; empty if there was none.

    Raises:
        CalculationError: the file is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return ()
    try:
        return _RETRIES.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CalculationError(
            f"{path} cannot be read ({str(error).splitlines()[0]}). It says which remedies have been tried: repair it, "
            "or delete it to begin with the first remedy again."
        ) from None


def add_retry(folder: Path, retry: Retry) -> None:
    """Write one more behind those that are there."""
    retries = (*read_retries(folder), retry)
    write_atomically(folder / FILE_NAME, _RETRIES.dump_json(retries, indent=1).decode() + "\n")
