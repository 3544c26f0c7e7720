"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

# One thread each: small cells gain nothing from more, and results stay reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every run, and no test that fails because the machine is busy.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of modules and classes search, too, and a search that learned writes to the store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFECTSCOUT_STORE", str(tmp_path_factory.getbasetemp() / "store"))
        yield


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A store for each test, which is not there until something is kept in it."""
    monkeypatch.setenv("DEFECTSCOUT_STORE", str(tmp_path_factory.getbasetemp() / "stores" / uuid4().hex))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data beside a developer's checkout; tests that use it skip where it is absent."""
    folder = Path(os.environ.get("DEFECTSCOUT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}")
    return folder


@pytest.fixture(scope="session")
def cdte_cif() -> Path:
    """The example host that ships with the repository."""
    return REPOSITORY / "examples" / "CdTe.cif"


@pytest.fixture
def model_host(tmp_path: Path) -> Path:
    """A CIF of the model crystal (see model_crystal.py)."""
    from ase.build import bulk
    from ase.io import write

    path = tmp_path / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path


def model(name: str) -> str:
    """Name of one of the model crystal's calculators, for --surrogate and --reference."""
    return f"ase:{REPOSITORY / 'tests' / 'model_crystal.py'}:{name}"
