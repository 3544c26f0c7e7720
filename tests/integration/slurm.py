"""A SLURM cluster of one node in a folder of its own: nothing of it is left behind, and no service is touched.

Works as root in a container without systemd or control groups, and as any other user, who then owns the jobs.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel")
PACKAGES = "slurm-wlm munge"
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")

_SLURM_CONF = """\
ClusterName=defectscout
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
PropagateResourceLimits=NONE
ReturnToService=2
JobRequeue=0
OverTimeLimit=0
KillWait=2
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""

_CGROUP_CONF = "CgroupPlugin=disabled\n"
_KNOWS_DISABLED = (23, 11)


class SlurmError(RuntimeError):
    """The cluster does not do as it is told; the message names the log to read."""


@dataclass(frozen=True, slots=True)
class Job:
    """A line of `squeue`.

    Attributes:
        number: job id.
        state: such as `RUNNING` or `PENDING`.
        name: as submitted.
        folder: its working directory.
    """

    number: int
    state: str
    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: its configuration, state and logs.
        node: name of its only node.
    """

    folder: Path
    node: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which SLURM's commands, and what calls them, find this cluster."""
        return environment(self.folder)

    def command(self, *words: str) -> str:
        """Standard output of one of SLURM's commands.

        Raises:
            SlurmError: it failed.
        """
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False, cwd=self.folder
        )
        if done.returncode:
            raise SlurmError(f"{' '.join(words)} failed: {done.stderr.strip()}. See {self.folder}/slurmctld.log.")
        return done.stdout

    def hang_until_walltime(self, number: int) -> None:
        """Stop a running job's processes, and let its walltime be over: SLURM ends it, within half a minute."""
        # Not before the job's start, in whole seconds.
        end = datetime.now() + timedelta(seconds=2)
        self.command("scontrol", "update", f"JobId={number}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}")
        self.command("scancel", "--full", "--signal=STOP", str(number))

    def clear(self) -> None:
        """Cancel all jobs, and wait until they are gone.

        Raises:
            SlurmError: they are still there after half a minute.
        """
        self.command("scancel", f"--user={getpass.getuser()}")
        until = time.monotonic() + 30
        while self.queue():
            if time.monotonic() > until:
                raise SlurmError(f"Jobs that were cancelled are still there. See {self.folder}/slurmd.log.")
            time.sleep(0.2)

    def queue(self) -> tuple[Job, ...]:
        """What runs and waits, and what is just ending."""
        lines = self.command("squeue", "--noheader", "--format=%i|%T|%j|%Z").splitlines()
        parts = [line.split("|", 3) for line in lines]
        return tuple(Job(int(number), state, name, Path(folder)) for number, state, name, folder in parts)


def environment(folder: Path) -> dict[str, str]:
    """This process's environment with SLURM's own programs on the path, and told where the cluster is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    path = os.pathsep.join([kept.get("PATH", os.defpath), *_SBIN])
    return kept | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}


def missing_programs() -> tuple[str, ...]:
    """Which of the programs that are needed are not installed."""
    path = environment(Path())["PATH"]
    return tuple(name for name in PROGRAMS if shutil.which(name, path=path) is None)


@contextlib.contextmanager
def one_node_slurm(folder: Path, cpus: int = 1, timeout: float = 60.0) -> Iterator[Cluster]:
    """Start a cluster, and end it with all its jobs.

    Args:
        folder: an empty one of its own, with a path short enough for a socket (107 bytes).
        cpus: how many jobs of one core run at once, whatever the machine has.
        timeout: seconds that each daemon may take to come up.

    Raises:
        SlurmError: a program is missing, or a daemon does not come up.
    """
    missing = missing_programs()
    if missing:
        raise SlurmError(f"{', '.join(missing)} not found. On Debian and Ubuntu: apt-get install {PACKAGES}.")
    cluster = Cluster(folder, socket.gethostname().split(".")[0])
    _write_configuration(cluster, cpus)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        munged = [
            "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed",
            f"--log-file={folder}/munged.log",
        ]  # fmt: skip
        up = (folder / "munge.socket").exists
        daemons.append(_started(cluster, munged, up, timeout))
        controller = ["slurmctld", "-D", "-c", "-f", f"{folder}/slurm.conf"]
        daemons.append(_started(cluster, controller, lambda: _succeeds(cluster, "scontrol", "ping"), timeout))
        node = ["slurmd", "-D", "-N", cluster.node, "-f", f"{folder}/slurm.conf"]
        daemons.append(_started(cluster, node, lambda: _is_idle(cluster), timeout))
        yield cluster
    finally:
        _stop(cluster, daemons)


def _write_configuration(cluster: Cluster, cpus: int) -> None:
    folder = cluster.folder
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # Munge and SLURM insist on who may write what
    for name in ("state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    controller_port, node_port = _free_ports(2)
    text = _SLURM_CONF.format(
        node=cluster.node,
        user=getpass.getuser(),
        folder=folder,
        controller_port=controller_port,
        node_port=node_port,
        cpus=cpus,
        memory=_memory(),
    )
    (folder / "slurm.conf").write_text(text)
    if _version() >= _KNOWS_DISABLED:
        (folder / "cgroup.conf").write_text(_CGROUP_CONF)


def _started(
    cluster: Cluster, command: Sequence[str], is_up: Callable[[], bool], timeout: float
) -> subprocess.Popen[bytes]:
    """A daemon that has come up; one that does not is ended."""
    name = command[0]
    printed, log = cluster.folder / f"{name}.out", cluster.folder / f"{name}.log"
    with printed.open("wb") as out:
        daemon = subprocess.Popen(
            command, env=cluster.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    end = time.monotonic() + timeout
    while True:
        if daemon.poll() is not None:
            raise SlurmError(f"{name} ended with exit code {daemon.returncode}:\n{_end_of(log, printed)}\nSee {log}.")
        if is_up():
            return daemon
        if time.monotonic() > end:
            _end(daemon)
            raise SlurmError(f"{name} was not ready after {timeout:.0f} s:\n{_end_of(log, printed)}\nSee {log}.")
        time.sleep(0.2)


def _succeeds(cluster: Cluster, *words: str) -> bool:
    with contextlib.suppress(SlurmError, subprocess.TimeoutExpired):
        return "DOWN" not in cluster.command(*words)
    return False


def _is_idle(cluster: Cluster) -> bool:
    with contextlib.suppress(SlurmError, subprocess.TimeoutExpired):
        return cluster.command("sinfo", "--noheader", "--format=%T").strip() == "idle"
    return False


def _stop(cluster: Cluster, daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    """End all jobs, then the daemons, the last one first, then what is left of either."""
    if len(daemons) == 3:
        with contextlib.suppress(SlurmError, subprocess.TimeoutExpired):
            cluster.clear()
    for daemon in reversed(daemons):
        _end(daemon)
    for number in processes_of(cluster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def processes_of(cluster: Cluster) -> tuple[int, ...]:
    """All other processes that were started with this cluster's environment."""
    mark = f"SLURM_CONF={cluster.folder / 'slurm.conf'}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            number = int(path.parent.name)
            if number != os.getpid() and mark in path.read_bytes().split(b"\0"):
                found.append(number)
    return tuple(found)


def _end_of(*logs: Path) -> str:
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return "\n".join(f"  {line}" for line in lines[-15:])


def _version() -> tuple[int, ...]:
    printed = subprocess.run(["slurmctld", "-V"], env=environment(Path()), capture_output=True, text=True, check=True)
    return tuple(int(part) for part in re.findall(r"\d+", printed.stdout)[:2])


def _memory() -> int:
    """Megabytes to tell SLURM of: a little less than there are."""
    return max(1, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 512)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
