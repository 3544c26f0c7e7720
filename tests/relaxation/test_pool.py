from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.optimize import FIRE

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Relaxation, RelaxationState
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.pool import ReferenceJob, evaluate_in_worker, relax_with_reference
from defectscout.relaxation.records import Checkpoint, Start
from defectscout.relaxation.settings import RelaxationSettings
from relaxation import engines
from relaxation.engines import CALLS, EmtSurrogate, predict, vacancy

SETTINGS = RelaxationSettings(force=0.02)


def even(seed: int = 1) -> object:
    atoms = vacancy(seed)
    del atoms[-1]
    return atoms


def jobs() -> list[ReferenceJob]:
    return [ReferenceJob(f"job {seed}", vacancy(seed, 0.02 * seed), 0) for seed in (3, 1, 2)]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File with one line for each calculation of the `counting` engine."""
    path = tmp_path / "calls"
    path.touch()
    monkeypatch.setenv(CALLS, str(path))
    return path


def n_calls(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("workers", [1, 0])
def test_the_ends_are_those_of_a_relaxation_in_this_process(workers: int) -> None:
    ends = relax_with_reference(engines.name("emt"), jobs(), SETTINGS, workers)
    here = relax_batch(EmtSurrogate(), [Start(job.label, job.atoms) for job in jobs()], SETTINGS)
    for end, same in zip(ends, here, strict=True):
        assert (end.label, end.state, end.n_evaluations) == (same.label, same.state, same.n_evaluations)
        assert end.final is not None
        assert same.final is not None
        # EMT keeps its neighbour list from step to step in the worker, and makes a new one here.
        np.testing.assert_allclose(end.final.atoms.positions, same.final.atoms.positions, atol=1e-9)


def test_frames_come_in_order_and_ends_once(calls: Path) -> None:
    steps: dict[str, list[int]] = {job.label: [] for job in jobs()}
    finished: list[Relaxation] = []
    ends = relax_with_reference(
        engines.name("counting"),
        jobs(),
        SETTINGS,
        2,
        on_step=lambda label, checkpoint: steps[label].append(checkpoint.frame.step),
        on_finish=finished.append,
    )
    assert sorted(end.label for end in finished) == sorted(end.label for end in ends)
    for end in ends:
        assert steps[end.label] == list(range(end.n_evaluations))
    assert n_calls(calls) == sum(end.n_evaluations for end in ends)
    processes = Counter(line.split()[0] for line in calls.read_text().splitlines())
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set_before_anything_is_imported(calls: Path, threads: int) -> None:
    with evaluate_in_worker(engines.name("counting"), 0, threads) as evaluate:
        evaluate(vacancy())
    assert calls.read_text().split()[1] == str(threads)


def test_stopped_and_resumed_it_ends_the_same_and_costs_nothing_twice(calls: Path) -> None:
    through = relax_with_reference(engines.name("counting"), jobs(), SETTINGS, 2)
    needed = n_calls(calls)
    kept: dict[str, Checkpoint] = {}
    finished: list[str] = []

    def keep(label: str, checkpoint: Checkpoint) -> None:
        kept[label] = checkpoint
        if len(kept) == 2:
            raise KeyboardInterrupt  # the first has ended, the second begun, and the third waits

    with pytest.raises(KeyboardInterrupt):
        relax_with_reference(
            engines.name("counting"), jobs(), SETTINGS, 1, keep, lambda end: finished.append(end.label)
        )
    assert finished == [jobs()[0].label]
    again = [ReferenceJob(job.label, job.atoms, 0, kept.get(job.label)) for job in jobs()]
    ends = relax_with_reference(engines.name("counting"), again, SETTINGS, 2)
    for end, same in zip(ends, through, strict=True):
        assert (end.state, end.n_evaluations, end.initial_energy) == (
            same.state,
            same.n_evaluations,
            same.initial_energy,
        )
        assert end.final is not None
        assert same.final is not None
        np.testing.assert_allclose(end.final.atoms.positions, same.final.atoms.positions, atol=1e-9)
    # Killing a worker may cost the one step that it was busy with.
    assert n_calls(calls) - needed - needed in (0, 1)


def test_a_worker_that_dies_is_one_failed_relaxation() -> None:
    mixed = [ReferenceJob("even", even(), 0), ReferenceJob("odd", vacancy(), 0), ReferenceJob("more", even(2), 0)]
    ends = relax_with_reference(engines.name("crashing"), mixed, SETTINGS, 1)
    assert [end.state for end in ends] == [
        RelaxationState.CONVERGED,
        RelaxationState.FAILED,
        RelaxationState.CONVERGED,
    ]
    assert "exit status 7" in ends[1].reason
    assert "no way back" in ends[1].reason
    assert ends[1].final is not None
    assert ends[1].n_evaluations == ends[1].final.step + 2


def test_a_reference_that_raises_is_one_failed_relaxation() -> None:
    mixed = [ReferenceJob("odd", vacancy(), 0), ReferenceJob("even", even(), 0)]
    ends = relax_with_reference(engines.name("raising"), mixed, SETTINGS, 1)
    assert [end.state for end in ends] == [RelaxationState.FAILED, RelaxationState.CONVERGED]
    assert "ZeroDivisionError: one too many" in ends[0].reason
    assert ends[0].final is None
    assert ends[0].n_evaluations == 1


def test_charge_and_multiplicity_reach_the_reference() -> None:
    labels = {-1: 2, 0: 1, 2: 1}  # 29 · 30 electrons in 30 copper atoms: even
    settings = RelaxationSettings(max_steps=0)
    charged = [ReferenceJob(str(charge), even(), charge) for charge in labels]
    for end in relax_with_reference(engines.name("charged"), charged, settings, 1):
        assert end.final is not None
        assert end.final.prediction.energy == 100.0 * int(end.label) + labels[int(end.label)]


def test_an_unknown_reference_is_said_to_be_unknown() -> None:
    end = relax_with_reference("gfn3-xtb", jobs()[:1], SETTINGS, 1)[0]
    assert end.state is RelaxationState.FAILED
    assert "no reference called 'gfn3-xtb'" in end.reason


def test_an_evaluation_in_a_worker_is_exact_and_says_why_it_fails() -> None:
    atoms = vacancy()
    with evaluate_in_worker(engines.name("emt"), 0, 1) as evaluate:
        there, here = evaluate(atoms), predict(atoms)
        assert there.energy == here.energy
        np.testing.assert_array_equal(there.forces, here.forces)
        np.testing.assert_array_equal(there.stress, here.stress)
    with evaluate_in_worker(engines.name("crashing"), 0, 1) as evaluate:
        for _ in range(2):
            atoms.rattle(0.01)
            evaluate(atoms)
        atoms.rattle(0.01)
        with pytest.raises(CalculationError, match="status 7"):
            evaluate(atoms)


PARENT = """
import sys
sys.path[:0] = {path!r}
from relaxation import engines
from defectscout.relaxation.pool import ReferenceJob, relax_with_reference
from defectscout.relaxation.settings import RelaxationSettings
jobs = [ReferenceJob(str(seed), engines.vacancy(seed), 0) for seed in (1, 2)]
relax_with_reference(engines.name("sleeping"), jobs, RelaxationSettings(), 2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_die_with_their_parent(calls: Path, how: signal.Signals) -> None:
    """The script has no `if __name__ == "__main__"`: a user's would not have one either."""
    script = PARENT.format(path=[str(Path(engines.__file__).parents[1])])
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: n_calls(calls) == 2, 60.0)
        workers = [int(line.split()[0]) for line in calls.read_text().splitlines()]
        assert all(is_running(pid) for pid in workers)
        parent.send_signal(how)
        began = time.monotonic()
        parent.wait(5)
        wait_until(lambda: not any(is_running(pid) for pid in workers), 5.0)
        assert time.monotonic() - began < 3.0
    finally:
        parent.kill()


def wait_until(true, seconds: float) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed orphan stays a zombie until its new parent reaps it.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.slow
def test_a_relaxation_with_gfn1_xtb_is_that_of_ases_fire() -> None:
    tblite = pytest.importorskip("tblite.ase")
    atoms = cadmium_telluride()
    settings = RelaxationSettings(force=1e-4, max_steps=12)
    energies: list[float] = []
    end = relax_with_reference(
        "gfn1-xtb",
        [ReferenceJob("CdTe", atoms, 0)],
        settings,
        1,
        on_step=lambda _, checkpoint: energies.append(checkpoint.frame.prediction.energy),
    )[0]
    theirs: list[float] = []
    atoms.calc = tblite.TBLite(method="GFN1-xTB", verbosity=0)
    optimiser = FIRE(atoms, logfile=None)
    for _ in optimiser.irun(fmax=1e-4, steps=12):
        theirs.append(atoms.get_potential_energy())
    assert end.final is not None
    # Both self-consistent fields are converged to 1e-6 Hartree, 3e-5 eV.
    np.testing.assert_allclose(energies, theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(end.final.atoms.positions, atoms.positions, rtol=0, atol=1e-4)


def cadmium_telluride():  # type: ignore[no-untyped-def]
    from ase.build import bulk

    atoms = bulk("CdTe", "zincblende", a=6.6, cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms
