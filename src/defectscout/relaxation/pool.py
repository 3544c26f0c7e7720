"""Several relaxations with a reference at once, in worker processes.

The workers evaluate, nothing else: the optimiser runs here, and a frame is handed to
`on_step` (the record) before the step after it begins. A worker that dies takes with
it the one evaluation that it was busy with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction, Relaxation, RelaxationState
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.process import Worker, WorkerDiedError, available_cores
from defectscout.relaxation.records import Checkpoint, Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steps import ended, finish, next_configuration, record
from defectscout.relaxation.worker import Failed


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceJob:
    """One relaxation with the reference: start or go on.

    Attributes:
        label: name of the candidate; unique among the jobs.
        atoms: the structure at step 0, also when the relaxation is resumed.
        charge: charge state, e.
        checkpoint: where it was interrupted; None to start at `atoms`.
    """

    label: str
    atoms: Atoms
    charge: int
    checkpoint: Checkpoint | None = None


def relax_with_reference(
    reference: str,
    jobs: Sequence[ReferenceJob],
    settings: RelaxationSettings,
    workers: int,
    on_step: Callable[[str, Checkpoint], None] | None = None,
    on_finish: Callable[[Relaxation], None] | None = None,
) -> tuple[Relaxation, ...]:
    """Relax positions at fixed cell with the reference, several structures at once, one thread each.

    Whatever ends it early, such as Ctrl-C, kills the workers; each relaxation can go on
    from the last checkpoint that `on_step` was told.

    Args:
        reference: name of the reference; each worker loads it for itself.
        jobs: what to relax, first come, first served.
        settings: criterion, step limit and FIRE's parameters.
        workers: relaxations at once; 0 takes as many as there are cores.
        on_step: told each frame, in this process, before that relaxation's next step begins.
        on_finish: told each relaxation that converged, failed or reached the step limit.

    Returns:
        The ends, in the order of `jobs`. One that fails, or whose worker crashes, fails
        alone, with the reason.

    Raises:
        ValueError: if two jobs have the same label.
    """
    if len({job.label for job in jobs}) != len(jobs):
        raise ValueError("the labels of the jobs must differ")
    tracks = [_Track(Start(job.label, job.atoms, job.checkpoint), job.charge) for job in jobs]
    for track in tracks:
        track.end = ended(track.start, settings)
        _tell_end(track, on_finish)
    waiting = deque(track for track in tracks if track.end is None)
    size = min(workers or available_cores(), len(waiting))
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, _Track]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < size:
                worker = idle.pop() if idle else Worker(reference, threads=1)
                busy[worker.connection] = (worker, waiting.popleft())
                _ask(worker, busy[worker.connection][1], settings)
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, track = busy[connection]
                _advance(worker, track, settings, on_step)
                if track.end is None:
                    continue
                del busy[connection]
                if worker.is_alive():
                    idle.append(worker)
                else:
                    worker.kill()
                _tell_end(track, on_finish)
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.kill()
    return tuple(track.end for track in tracks if track.end is not None)


@dataclass(slots=True, eq=False)
class _Track:
    """One relaxation on its way.

    Attributes:
        start: as far as it has come.
        charge: charge state, e.
        asked: what a worker evaluates at the moment, and the optimiser's state that goes with it.
        end: its end, once it has come.
    """

    start: Start
    charge: int
    asked: tuple[Atoms, FireState] | None = None
    end: Relaxation | None = None


def _ask(worker: Worker, track: _Track, settings: RelaxationSettings) -> None:
    """Have the next frame evaluated. A worker that is dead already is noticed when its answer is read."""
    track.asked = next_configuration(track.start, settings)
    worker.send(track.start.label, track.charge, track.asked[0])


def _advance(
    worker: Worker,
    track: _Track,
    settings: RelaxationSettings,
    on_step: Callable[[str, Checkpoint], None] | None,
) -> None:
    """Take the worker's answer, and ask for the next frame unless this was the last one."""
    assert track.asked is not None
    atoms, state = track.asked
    try:
        answer = worker.receive()
        if isinstance(answer, Failed):
            raise CalculationError(answer.reason)
        track.start = record(track.start, atoms, state, answer)
    except (WorkerDiedError, CalculationError, ValueError) as error:
        track.end = finish(track.start, RelaxationState.FAILED, str(error), wasted=1)
        return
    if on_step is not None and track.start.checkpoint is not None:
        on_step(track.start.label, track.start.checkpoint)
    track.end = ended(track.start, settings)
    if track.end is None:
        _ask(worker, track, settings)


def _tell_end(track: _Track, on_finish: Callable[[Relaxation], None] | None) -> None:
    if track.end is not None and on_finish is not None:
        on_finish(track.end)


@contextmanager
def evaluate_in_worker(reference: str, charge: int, threads: int) -> Iterator[Callable[[Atoms], Prediction]]:
    """One worker process as a function from a structure to its prediction.

    The calculation goes on from its wavefunction from call to call. The function raises
    CalculationError if a structure cannot be evaluated, or the worker dies over it.
    """
    worker = Worker(reference, threads)

    def evaluate(atoms: Atoms) -> Prediction:
        worker.send("", charge, atoms)
        try:
            answer = worker.receive()
        except WorkerDiedError as error:
            raise CalculationError(f"{reference} gave no answer: {error}.") from error
        if isinstance(answer, Failed):
            raise CalculationError(answer.reason)
        return answer

    try:
        yield evaluate
    finally:
        worker.kill()
