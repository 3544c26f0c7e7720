"""Where weights come from, and what is recorded of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from defectscout.core.errors import ModelFileError

STATEMENT_KEY: Final = "defectscout"
"""Where a model file says what was done to it: `{"defectscout": {"tuned": true}}`."""


def package(distribution: str) -> str:
    """Name and version of an installed distribution, such as `chgnet 0.4.2`."""
    return f"{distribution} {version(distribution)}"


def sha256(files: Sequence[Path]) -> str:
    """`sha256:` and the SHA-256 of the contents of `files`, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def model_file(path: str, surrogate: str) -> Path:
    """The file at `path`.

    Raises:
        ModelFileError: if there is none.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        kind = "is a folder" if file.is_dir() else "does not exist"
        raise ModelFileError(
            f"The surrogate '{surrogate}' cannot be loaded: '{file}' {kind}. Give the path of its file of weights."
        )
    return file


def unreadable(surrogate: str, path: Path, error: Exception) -> ModelFileError:
    """The error for weights that the model's package does not understand."""
    return ModelFileError(
        f"The surrogate '{surrogate}' cannot be loaded: '{path}' is not a model that this version of its package "
        f"reads ({type(error).__name__}: {error})."
    )


def stated(record: object) -> Mapping[str, object]:
    """What a model file states under `STATEMENT_KEY`; empty if it states nothing."""
    if not isinstance(record, Mapping):
        return {}
    statement = record.get(STATEMENT_KEY)
    return statement if isinstance(statement, Mapping) else {}


def stated_tuned(record: object) -> bool:
    """Whether a model file says that it was fine-tuned on defects.

    A file that says nothing counts as untuned: a search that trusts its surrogate
    too little costs time, one that trusts it too much misses ground states.
    """
    return stated(record).get("tuned") is True
