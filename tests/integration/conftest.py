"""A queue and an AiiDA profile for the tests in this folder: neither is touched by anything outside it.

These tests take minutes. They are skipped where AiiDA, SLURM or the DFT code is missing; `make integration` installs
them.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.presto import Profile, presto_profile
from integration.slurm import PACKAGES, Cluster, missing_programs, one_node_slurm


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ds-", dir="/tmp"))
    # Also where `timeout` or a queue ends the tests, the daemons have to be ended.
    before = signal.signal(signal.SIGTERM, _interrupt)
    yield folder
    signal.signal(signal.SIGTERM, before)
    shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@pytest.fixture(scope="session")
def cluster(short_folder: Path) -> Iterator[Cluster]:
    """SLURM with one core, so that one job runs and others wait."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install {PACKAGES}")
    folder = short_folder / "slurm"
    folder.mkdir()
    with one_node_slurm(folder, cpus=1) as running:
        yield running


@pytest.fixture(scope="session")
def profile(cluster: Cluster, short_folder: Path) -> Iterator[Profile]:
    """A profile with a computer `slurm` and a running daemon."""
    if importlib.util.find_spec("aiida") is None:
        pytest.skip("AiiDA is not installed: make integration, or pip install 'defectscout[aiida]'")
    folder = short_folder / "aiida"
    folder.mkdir()
    with presto_profile(folder, cluster.environment) as running:
        yield running
