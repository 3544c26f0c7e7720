"""Fixtures for searches that learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def learning_family() -> Iterator[None]:
    """A family of surrogates that learn, installed until the module has ended."""
    from workflow.learning_crystal import learning_crystal

    with learning_crystal():
        yield


@pytest.fixture(scope="module")
def template(learning_family: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign up to its sampling structures, for `begun`."""
    from workflow.learning_crystal import write_template

    return write_template(tmp_path_factory.mktemp("template"))
