"""The queue of these tests does what clusters do, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.patience import wait_for
from integration.presto import Profile
from integration.slurm import Cluster, SlurmError, environment, one_node_slurm, processes_of

_ADD = """\
import json
from aiida import engine, orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation

node = engine.submit(
    ArithmeticAddCalculation,
    code=orm.load_code("add@slurm"), x=orm.Int(2), y=orm.Int(3),
    metadata={"options": {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}},
)
print(json.dumps(node.pk))
"""

_SUM = """\
import json, sys
from aiida import orm

node = orm.load_node(int(sys.argv[-1]))
print(json.dumps([node.is_terminated, node.exit_status, node.outputs.sum.value if "sum" in node.outputs else None]))
"""


@pytest.fixture
def queue(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, and nothing of the test is left in its queue."""
    yield cluster
    cluster.clear()


def _submit(cluster: Cluster, name: str, text: str) -> int:
    script = cluster.folder / f"{name}.sh"
    script.write_text(f"#!/bin/bash\n#SBATCH --time=00:10:00 --output={cluster.folder}/{name}.txt\n{text}\n")
    return int(cluster.command("sbatch", "--parsable", str(script)))


def _running(cluster: Cluster, number: int) -> bool:
    return any(job.number == number and job.state == "RUNNING" for job in cluster.queue())


def _gone(cluster: Cluster, number: int) -> bool:
    return all(job.number != number for job in cluster.queue())


def test_jobs_run_wait_and_are_cancelled(queue: Cluster) -> None:
    first, second = (_submit(queue, name, "sleep 600") for name in ("first", "second"))
    wait_for(lambda: _running(queue, first), "the first job runs", 30)
    assert [job.state for job in queue.queue() if job.number == second] == ["PENDING"]
    queue.command("scancel", str(first))
    wait_for(lambda: _running(queue, second), "the second job runs", 30)
    queue.command("scancel", str(second))
    wait_for(lambda: not queue.queue(), "both are gone", 30)
    assert "CANCELLED" in (queue.folder / "first.txt").read_text()


def test_a_job_that_hangs_runs_into_its_walltime(queue: Cluster) -> None:
    number = _submit(queue, "hanging", "sleep 600")
    wait_for(lambda: _running(queue, number), "it runs", 30)
    queue.hang_until_walltime(number)
    wait_for(lambda: _gone(queue, number), "it is gone", 60)
    assert "TIME LIMIT" in (queue.folder / "hanging.txt").read_text()


def test_nothing_is_left_running() -> None:
    with tempfile.TemporaryDirectory(prefix="ds-", dir="/tmp") as name:
        try:
            with one_node_slurm(Path(name)) as cluster:
                number = _submit(cluster, "left", "sleep 600")
                wait_for(lambda: _running(cluster, number), "it runs", 30)
                assert processes_of(cluster)
        except SlurmError as error:
            if "not found" in str(error):
                pytest.skip(str(error))
            raise
        assert not processes_of(cluster)


def test_a_daemon_that_does_not_start_says_which_log_to_read(cluster: Cluster, tmp_path: Path) -> None:
    del cluster  # SLURM is installed
    with (
        pytest.raises(SlurmError, match=r"munged ended with exit code 1:\n(.|\n)*munged\.log"),
        one_node_slurm(tmp_path / ("x" * 120)) as _,
    ):
        pass


def test_only_ours_of_slurm_is_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "another")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    own = environment(tmp_path)
    assert own["SLURM_CONF"] == str(tmp_path / "slurm.conf")
    assert "SBATCH_ACCOUNT" not in own


def test_aiida_adds_two_numbers_on_the_queue(profile: Profile) -> None:
    profile.add_code("add", "/bin/bash", "core.arithmetic.add")
    submit, look = profile.folder / "add.py", profile.folder / "sum.py"
    submit.write_text(_ADD)
    look.write_text(_SUM)
    number = profile.script(submit)
    wait_for(lambda: profile.script(look, str(number))[0], "the sum", 120)
    assert profile.script(look, str(number)) == [True, 0, 5]
