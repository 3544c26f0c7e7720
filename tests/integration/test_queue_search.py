"""A search on a queue through AiiDA that meets with everything: a dead daemon, a cancelled job, a walltime too short.

The doubly positive silicon vacancy keeps the symmetry of its site (no electron is left in the level that would split),
also in a cell of seven atoms: its three candidates end there, in a minute of CP2K. So they do by hand, within 1 meV.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from integration.patience import wait_for
from integration.presto import Profile, VerdiError
from integration.slurm import Cluster, Job

CP2K = shutil.which("cp2k.psmp") or shutil.which("cp2k")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CP2K is None, reason="CP2K is not installed: apt-get install cp2k cp2k-data"),
]

DEFECT = "v_Si_+2"
UNPERTURBED, LONGER, SHORTER = "Unperturbed", "Bond_Distortion_40.0%", "Bond_Distortion_-40.0%"

BY_HAND = -748.7028
"""Energy of the ground state, eV, from `defectscout inputs`, CP2K, `defectscout collect`; the candidates differ by
0.4 meV."""

DISTANCES = (*[2.235] * 12, *[3.020] * 6, *[3.838] * 3)
"""All distances between its atoms, from the same, Å."""

SETTINGS = """\
preset = "quick"
cutoff = 100.0
eps_default = 1e-9
eps_scf = 1e-5
force = 0.05
"""

OPTIONS = """\
num_machines = 1
num_mpiprocs_per_machine = 1
num_cores_per_mpiproc = 1
max_wallclock_seconds = 3600
withmpi = false
"""

GRAPH = Path(__file__).with_name("graph.py")


class Search:
    """A campaign that is submitted, as its user sees it."""

    def __init__(self, profile: Profile, cluster: Cluster, folder: Path) -> None:
        self.profile, self.cluster, self.folder = profile, cluster, folder
        self.pk = 0

    def defectscout(self, command: str, *words: str) -> str:
        return self.profile.run("defectscout", command, str(self.folder), *words, timeout=300)

    def submit(self, settings: Path, options: Path) -> str:
        said = self.defectscout(
            "submit", "--code", "cp2k@slurm", "--engine", "cp2k", "--preset", str(settings),
            "--options", str(options), "--max-concurrent", "2",
        )  # fmt: skip
        match = re.search(r"SearchWorkChain<(\d+)>", said)
        assert match is not None, said
        self.pk = int(match[1])
        return said

    def standing(self) -> dict[str, dict[str, Any]]:
        """Each candidate by its label, from `defectscout status --json`."""
        found = json.loads(self.defectscout("status", "--json"))
        return {item["name"].partition("/")[2]: item for item in found["candidates"]}

    def graph(self) -> dict[str, Any]:
        found: dict[str, Any] = self.profile.script(GRAPH, str(self.pk))
        return found

    def job_of(self, label: str) -> Job | None:
        """The job of a candidate that runs now."""
        jobs = [job for job in self.cluster.queue() if job.state == "RUNNING"]
        return next((job for job in jobs if _title(job) == f"{DEFECT} {label}"), None)

    def job_with_steps(self, label: str, steps: int) -> Job | None:
        """The same, once it has come so far."""
        job = self.job_of(label)
        return job if job is not None and _steps(job) >= steps else None

    def trouble(self) -> str:
        """What there is to see when something does not happen."""
        said = [self.profile.log()]
        for words in (["process", "list", "-a"], ["process", "report", str(self.pk)]):
            try:
                said.append(self.profile.verdi(*words))
            except VerdiError as error:
                said.append(str(error))
        return "\n".join([*said, str(self.cluster.queue())])


def _title(job: Job) -> str:
    """What is relaxed, from the first line of the input."""
    path = job.folder / "cp2k.inp"
    return path.read_text().partition("\n")[0].strip("# ") if path.exists() else ""


def _steps(job: Job) -> int:
    path = job.folder / "cp2k-pos-1.xyz"
    return path.read_text().count(" i = ") if path.exists() else 0


@pytest.fixture(scope="module")
def search(profile: Profile, cluster: Cluster, short_folder: Path) -> Iterator[Search]:
    """A campaign whose candidates are chosen, and not submitted yet."""
    folder = short_folder / "campaign"
    host = short_folder / "Si.vasp"
    bulk("Si", cubic=True, a=5.43).write(host)
    profile.run(
        "defectscout", "search", str(host), "--defect", "v_Si", "--charge", "2", "--reference", "none",
        "--surrogate", "chgnet", "--keep-host", "--supercell-as-given", "--set", "supercell.min_image_distance=5",
        "--distortions", "-0.4,0.4", "-o", str(folder), timeout=300,
    )  # fmt: skip
    shutil.rmtree(folder / "inputs")  # VASP's, written by the search
    assert CP2K is not None
    profile.add_code("cp2k", CP2K, "defectscout.relaxation")
    yield Search(profile, cluster, folder)
    cluster.clear()


@pytest.fixture(scope="module")
def settings(short_folder: Path) -> Path:
    path = short_folder / "loose.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def options(short_folder: Path) -> Path:
    path = short_folder / "options.toml"
    path.write_text(OPTIONS)
    return path


def test_a_search_survives_and_knows_where_its_answer_came_from(search: Search, settings: Path, options: Path) -> None:
    try:
        _search_in_trouble(search, settings, options)
    except (AssertionError, VerdiError) as error:
        raise AssertionError(f"{error}\n{search.trouble()}") from error


def _search_in_trouble(search: Search, settings: Path, options: Path) -> None:
    profile, cluster = search.profile, search.cluster
    second = Search(profile, cluster, search.folder.with_name("second"))
    shutil.copytree(search.folder, second.folder)
    assert "3 candidates" in search.submit(settings, options)

    # One runs and one waits: the daemon, its worker and the broker die. While nobody looks, one job ends, and the other
    # hangs until its walltime is over.
    wait_for(lambda: {"RUNNING", "PENDING"} <= {job.state for job in cluster.queue()}, "one runs, one waits", 120)
    profile.kill_daemon()
    assert not profile.daemon_processes()
    hung = wait_for(lambda: search.job_with_steps(LONGER, 2), "the second candidate", 180, every=0.1)
    cluster.hang_until_walltime(hung.number)
    assert "verdi daemon start" in search.defectscout("status")
    # Neither has gone unnoticed. A worker alone dies: the daemon starts another.
    profile.start_daemon()
    (worker,) = wait_for(profile.workers, "the worker", 30)
    profile.kill_worker(worker)
    wait_for(lambda: set(profile.workers()) - {worker}, "another worker", 60)

    # Another is cancelled by the queue's operator.
    cancelled = wait_for(lambda: search.job_with_steps(SHORTER, 5), "the third candidate", 240)
    cluster.command("scancel", str(cancelled.number))

    # Half-way there is a partial answer. The hung candidate may have ended by now or not.
    wait_for(lambda: search.standing()[SHORTER]["attempts"] >= 2, "the cancelled candidate is tried again", 120)
    partial = search.defectscout("collect")
    assert re.search(r"[12] candidates? not relaxed with the reference yet", partial), partial
    assert "3 candidates → 1 minimum" in partial

    wait_for(lambda: not search.graph()["open"], "the search ends", 400, every=3)
    _check_answer(search)
    _check_record(search, {LONGER: hung.number, SHORTER: cancelled.number})
    _check_provenance(search)
    _check_abort(second, settings, options)


def _check_answer(search: Search) -> None:
    """The answer is that of the runs by hand."""
    text = search.defectscout("collect", "--json")
    answer = json.loads(text[text.index("{") :])
    (found,) = answer["defects"][DEFECT]["minima"]
    assert found["energy_eV"] == pytest.approx(BY_HAND, abs=0.005)
    assert (found["symmetry_after"], found["new_bonds"]) == ("Td", [])
    assert set(found["candidates"]) == {UNPERTURBED, LONGER, SHORTER}
    atoms = read(search.folder / "structures" / DEFECT / "ground_state.POSCAR")
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(7, 1)]
    assert np.sort(distances) == pytest.approx(DISTANCES, abs=0.03)
    assert all(item["standing"] == "finished" for item in search.standing().values())


def _check_record(search: Search, ended: dict[str, int]) -> None:
    """What happened to the jobs is in AiiDA's graph and in the campaign's folder."""
    graph = search.graph()
    assert graph["finished"], graph["exit_message"]
    for label, number in ended.items():
        jobs = graph["jobs"][label]
        assert len(jobs) >= 2
        numbers = [int(job["job_id"]) for job in jobs]
        job = jobs[numbers.index(number)]
        assert job["exit_status"] == 410  # killed
        assert 0 < job["steps"] < jobs[-1]["steps"]
        assert jobs[-1]["exit_status"] == 0
        retries = json.loads((search.folder / "inputs" / DEFECT / label / "defectscout-retries.json").read_text())
        assert "goes on from ionic step" in json.dumps(retries)
    for jobs in graph["jobs"].values():
        assert jobs[-1]["energy"] == pytest.approx(BY_HAND, abs=0.005)


def _check_provenance(search: Search) -> None:
    """From the ground state back to the host, by way of all jobs of its candidate."""
    graph = search.graph()
    (found,) = graph["ground_states"].values()
    assert found["formula"] == "Si7"
    assert graph["host"] == "Si8"
    assert found["from_host"]
    assert {job["uuid"] for jobs in graph["jobs"].values() for job in jobs} == set(found["jobs"])
    assert found["codes"] == ["cp2k@slurm"]
    assert all("cp2k.inp" in job["files"] for jobs in graph["jobs"].values() for job in jobs)
    assert "Si7" in search.profile.verdi("data", "core.structure", "list")


def _check_abort(second: Search, settings: Path, options: Path) -> None:
    """An abort ends the jobs in the queue, too."""
    second.submit(settings, options)
    wait_for(lambda: len(second.cluster.queue()) == 2, "two jobs", 120)
    said = second.defectscout("abort", "--yes")
    assert "Ended" in said
    wait_for(lambda: not second.cluster.queue(), "an empty queue", 60)
    wait_for(lambda: not second.graph()["open"], "all processes end", 60)
    assert {item["standing"] for item in second.standing().values()} == {"stopped"}
