"""What a search on a queue costs beside the calculations: many defects, with a reference of no cost.

    pip install 'defectscout[aiida]'
    python benchmarks/queue_scaling.py --folder runs/ --defects 4,20,200

A campaign of as many defects of CdTe (vacancies and antisites, in ever more charge states) with ShakeNBreak's 14 or 15
sampling structures each is submitted to this very machine (AiiDA's `core.direct`, a profile of `verdi presto` in a
temporary folder). The code answers at once: it writes what CP2K writes for a relaxation whose first structure is at
rest. So what is measured is what AiiDA and defectscout spend on a relaxation: writing its input, submitting, polling,
retrieving, parsing, storing, and collecting all of them.

`results/queue_scaling.csv` has a line for each size: seconds of `submit`, of the search and of `collect` from the
command line, CPU seconds of all of the daemon's workers and the largest resident memory of one, sizes of the campaign's
record and of the profile. CPU seconds are what to compare: the others depend on what else the machine does. A search
that has not ended after --hours is measured as far as it has come: `relaxations` have ended of those `submitted`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "queue_scaling.csv"
HOST = Path(__file__).parents[1] / "examples" / "CdTe.cif"
DISTORTIONS = ",".join(f"{x / 10:g}" for x in range(-6, 8))  # 14, and the unperturbed structure
POLL = 30.0

NO_COST = '''#!{python} -S
"""What CP2K leaves of a relaxation whose first structure is at rest."""
import re, sys
text = open(sys.argv[sys.argv.index("-i") + 1]).read()
system = text.partition("&SUBSYS")[2]
cell = [[float(x) for x in re.search(r"^ *%s +(.+)$" % axis, system, re.M)[1].split()] for axis in "ABC"]
rows = [line.split() for line in re.search(r"&COORD\\n(.*?)&END COORD", system, re.S)[1].splitlines() if line.strip()]
symbols = [row[0] for row in rows]
places = [[float(x) for x in row[1:4]] for row in rows]
energy = -30.0 - 1e-3 * (sum(map(sum, places)) % 1.0)  # hartree; any, and another for each structure
banner = "  **** **** ******  **  PROGRAM %s AT               2026-01-01 00:00:00.000\\n"
forces = "".join("  %5d      1      %-2s%20.12f%20.12f%20.12f\\n" % (i + 1, s, 0, 0, 0) for i, s in enumerate(symbols))
tensor = "".join(" STRESS|      %s%20.11E%20.11E%20.11E\\n" % (axis, 0, 0, 0) for axis in "xyz")
step = (
    "  *** SCF run converged in     5 steps ***\\n\\n ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]: %30.15f\\n\\n"
    " ATOMIC FORCES in [a.u.]\\n\\n # Atom   Kind   Element          X   Y   Z\\n%s"
    " SUM OF ATOMIC FORCES 0.0 0.0 0.0 0.0\\n\\n STRESS| Analytical stress tensor [GPa]\\n"
    " STRESS|                        x                   y                   z\\n%s\\n" % (energy, forces, tensor)
)
with open("cp2k-pos-1.xyz", "w") as pos, open("cp2k-frc-1.xyz", "w") as frc:
    head = "%8d\\n i = %8d, E = %19.10f\\n" % (len(symbols), 1, energy)
    pos.write(head + "".join(" %2s%20.10f%20.10f%20.10f\\n" % (s, *place) for s, place in zip(symbols, places)))
    frc.write(head + "".join(" %2s%20.10f%20.10f%20.10f\\n" % (s, 0, 0, 0) for s in symbols))
values = " ".join("%19.10f" % x for row in cell for x in row)
open("cp2k-1.cell", "w").write("#   Step   Time [fs]\\n%8d 0.000 %s 1.0\\n" % (1, values))
open("cp2k-1.stress", "w").write("#   Step   Time [fs]\\n%8d 0.000 %s\\n" % (1, " ".join(["0.0"] * 9)))
open("cp2k-1.restart", "w").write(text)
print(banner % "STARTED" + " GLOBAL| Project name                                                       cp2k")
print(step + " OPTIMIZATION STEP:      1\\n" + step)
print(" ***                    GEOMETRY OPTIMIZATION COMPLETED                      ***")
print(banner % "ENDED")
'''


@dataclass(frozen=True, slots=True)
class Row:
    """One size."""

    defects: int
    submitted: int
    relaxations: int
    workers: int
    at_once: int
    submit_seconds: float
    search_seconds: float
    seconds_per_relaxation: float
    cpu_seconds_per_relaxation: float
    worker_largest_memory_mb: float
    collect_seconds: float
    campaign_mb: float
    profile_mb: float


def main() -> None:
    """Measure every size that is asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--defects", default="4,20,200")
    parser.add_argument("--at-once", type=int, default=50, help="relaxations at once")
    parser.add_argument("--workers", type=int, default=2, help="of the daemon")
    parser.add_argument("--hours", type=float, default=4.0, help="at most, for each size")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for count in (int(text) for text in arguments.defects.split(",")):
        row = measured(arguments.folder.resolve(), count, arguments)
        print(row, flush=True)
        kept = [other for other in read(arguments.output) if other["defects"] != str(count)]
        write(arguments.output, [*kept, {name: str(value) for name, value in asdict(row).items()}])


def measured(folder: Path, count: int, arguments: argparse.Namespace) -> Row:
    """Search this many defects through a new profile."""
    at_once, n_workers = arguments.at_once, arguments.workers
    campaign = folder / f"queue-{count}"
    shutil.rmtree(campaign, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="ds-") as name, profile(Path(name), n_workers) as environment:
        run(environment, "defectscout", "sample", HOST, *defects(count), "--reference", "none", "--keep-host",
            "--reference-only", "--distortions", DISTORTIONS, "--quiet", "-o", campaign)  # fmt: skip
        run(environment, "defectscout", "candidates", campaign, "--quiet")
        before = time.monotonic()
        run(environment, "defectscout", "submit", campaign, "--code", "cp2k@localhost", "--preset", "quick",
            "--max-concurrent", at_once, "--quiet")  # fmt: skip
        submitted = time.monotonic()
        used = follow(environment, campaign, Path(name), 3600 * arguments.hours)
        ended = time.monotonic()
        run(environment, "defectscout", "collect", campaign, "--quiet")
        collected = time.monotonic()
        found = json.loads(run(environment, "defectscout", "status", campaign, "--json"))["candidates"]
        relaxations = sum(item["standing"] == "finished" for item in found)
        return Row(
            defects=count,
            submitted=len(found),
            relaxations=relaxations,
            workers=n_workers,
            at_once=at_once,
            submit_seconds=round(submitted - before, 1),
            search_seconds=round(ended - submitted, 1),
            seconds_per_relaxation=round((ended - submitted) / relaxations, 3),
            cpu_seconds_per_relaxation=round(used.cpu / relaxations, 3),
            worker_largest_memory_mb=round(used.memory, 1),
            collect_seconds=round(collected - ended, 1),
            campaign_mb=round(size(campaign / "campaign.db"), 1),
            profile_mb=round(size(Path(name) / ".aiida"), 1),
        )


NATIVE = ("v_Cd", "v_Te", "Cd_Te", "Te_Cd")


def defects(count: int) -> list[str]:
    """Options that give so many defects."""
    states, rest = divmod(count, len(NATIVE))
    if rest or not states:
        raise SystemExit(f"--defects: {count} is no multiple of {len(NATIVE)}")
    words = [word for name in NATIVE for word in ("--defect", name)]
    lowest = -(states // 2)
    # A leading minus would be taken for an option.
    return [*words, f"--charges={lowest}..{lowest + states - 1}"]


@dataclass(slots=True)
class Used:
    """What the daemon's workers have used: CPU of each process, s, and the largest resident memory of any, MB."""

    of_process: dict[int, float] = field(default_factory=dict)
    memory: float = 0.0

    @property
    def cpu(self) -> float:
        """Of all, s."""
        return sum(self.of_process.values())


def follow(environment: Mapping[str, str], campaign: Path, home: Path, seconds: float) -> Used:
    """Wait for the search to end, so long at most."""
    used = Used()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number in workers(home):
            look(number, used)
        # What asks must not take the time of what is measured.
        state = run(environment, "verdi", "process", "list", "--raw", "--limit", "1", "--order-by", "ctime",
                    "--order-direction", "asc", "--all", "--project", "process_state")  # fmt: skip
        if state.split() and state.split()[0].lower() in ("finished", "excepted", "killed"):
            if state.split()[0].lower() != "finished":
                raise SystemExit(f"the search of {campaign} is {state}")
            return used
        time.sleep(POLL)
    return used


def workers(home: Path) -> Iterator[int]:
    """Process ids of the daemon's workers."""
    mark = f"\0AIIDA_PATH={home}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in b"\0" + (path / "environ").read_bytes() and b"worker" in (path / "cmdline").read_bytes():
                yield int(path.name)
        except OSError:
            continue


def look(number: int, used: Used) -> None:
    """Read what a process has used."""
    try:
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return
    used.of_process[number] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
    used.memory = max(used.memory, int(peak) / 1024)


@contextmanager
def profile(home: Path, n_workers: int) -> Iterator[dict[str, str]]:
    """A profile with a daemon of so many workers and a code that costs nothing; yields the environment to use it in."""
    data = home / "data"
    data.mkdir()
    valences = {"Cd": 12, "Te": 6}
    sets = ("DZVP-MOLOPT-SR-GTH", "SZV-MOLOPT-SR-GTH")
    (data / "BASIS_MOLOPT").write_text("".join(f" {s} {b} {b}-q{q}\n" for s, q in valences.items() for b in sets))
    (data / "BASIS_MOLOPT_UCL").write_text("")
    (data / "GTH_POTENTIALS").write_text("".join(f"{s} GTH-PBE-q{q} GTH-PBE\n" for s, q in valences.items()))
    code = home / "cp2k.psmp"
    code.write_text(NO_COST.replace("{python}", sys.executable))
    code.chmod(0o755)
    environment = os.environ | {
        "AIIDA_PATH": str(home),
        "CP2K_DATA_DIR": str(data),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    try:
        run(environment, "verdi", "presto", "--non-interactive", "--use-zeromq")
        run(environment, "verdi", "code", "create", "core.code.installed", "--non-interactive", "--label", "cp2k",
            "--computer", "localhost", "--filepath-executable", code, "--default-calc-job-plugin",
            "defectscout.relaxation")  # fmt: skip
        script = home / "poll.py"
        script.write_text(
            "from aiida.orm import load_computer\n"
            "computer = load_computer('localhost')\n"
            "computer.set_minimum_job_poll_interval(1)\n"
            "computer.configure(safe_interval=0)\n"
        )
        run(environment, "verdi", "run", script)
        run(environment, "verdi", "daemon", "start", n_workers)
        yield environment
    finally:
        subprocess.run(["verdi", "daemon", "stop"], env=environment, check=False, capture_output=True)


def run(environment: Mapping[str, str], *words: object) -> str:
    """Standard output of a command of this Python environment."""
    done = subprocess.run(list(map(str, words)), env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return done.stdout


def size(path: Path) -> float:
    """Of a file, or all files in a folder, MB."""
    total = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(FileNotFoundError):  # the daemon's own come and go
            total += file.stat().st_size if file.is_file() else 0
    return total / 1e6


def read(path: Path) -> list[dict[str, str]]:
    """The table so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """The table, smallest size first."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Row)])
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: int(row["defects"])))


if __name__ == "__main__":
    main()
