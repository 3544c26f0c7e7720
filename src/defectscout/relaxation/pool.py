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
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.relaxation.process import Worker, WorkerDiedError, available_cores
from defectscout.relaxation.records import Checkpoint, OptimiserState, Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import FireStepper, Stepper
from defectscout.relaxation.steps import finish, record
from defectscout.relaxation.worker import Failed


@dataclass(frozen=True, slots=True)
class Stop:
    """That a relaxation ends before its forces have vanished: as what, and why.

    Attributes:
        state: such as merged, with the known minimum that it has fallen into as the reason.
        reason: recorded with it.
    """

    state: RelaxationState
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceJob:
    """One relaxation with the reference: start or go on.

    Attributes:
        label: name of the candidate; unique among the jobs.
        atoms: the structure at step 0, also when the relaxation is resumed.
        charge: charge state, e.
        checkpoint: where it was interrupted; None to start at `atoms`. One that begins with what another relaxation
            has learned has that one's last frame here as number -1, and evaluates at least one frame of its own.
        stepper: how it takes its steps; None for FIRE with the settings of all jobs. A checkpoint goes on with
            the optimiser that it was made with.
        max_calls: force calls that may be spent on it now, a failed one included. It then pauses: it is handed
            back as it stands, with the state running, to go on another time from its last checkpoint. None: no limit.
        stop: asked of each frame whether the relaxation need not go on, and as what it ends then; None if it is to
            go on. With the state running it pauses, also where the optimiser would end it as converged; any other word
            counts for less than that end.
    """

    label: str
    atoms: Atoms
    charge: int
    checkpoint: Checkpoint | None = None
    stepper: Stepper | None = None
    max_calls: int | None = None
    stop: Callable[[Frame], Stop | None] | None = None


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
        settings: criterion, step limit and FIRE's parameters, of the jobs without a stepper of their own.
        workers: relaxations at once; 0 takes as many as there are cores.
        on_step: told each frame, in this process, before that relaxation's next step begins.
        on_finish: told each relaxation that converged, failed, reached the step limit or was stopped, not those that
            pause.

    Returns:
        The ends, in the order of `jobs`. One that fails, or whose worker crashes, fails
        alone, with the reason.

    Raises:
        ValueError: if two jobs have the same label.
        TypeError: if a job's checkpoint was made by another optimiser than its stepper.
    """
    if len({job.label for job in jobs}) != len(jobs):
        raise ValueError("the labels of the jobs must differ")
    fire = FireStepper(settings)
    tracks = [_Track(job, job.stepper or fire, Start(job.label, job.atoms, job.checkpoint)) for job in jobs]
    for track in tracks:
        track.end = _end(track)
        _tell_end(track, on_finish)
    waiting = deque(track for track in tracks if track.end is None)
    size = min(workers or available_cores(), len(waiting))
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, _Track]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < size:
                track = waiting.popleft()
                if not _prepare(track):
                    _tell_end(track, on_finish)
                    continue
                worker = idle.pop() if idle else Worker(reference, threads=1)
                busy[worker.connection] = (worker, track)
                _ask(worker, track)
            for connection in wait(list(busy)) if busy else ():
                assert isinstance(connection, Connection)
                worker, track = busy[connection]
                _advance(track, worker, on_step)
                if track.end is None and _prepare(track):
                    _ask(worker, track)
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
        job: what was asked for.
        stepper: how it takes its steps.
        start: as far as it has come.
        spent: force calls spent on it here.
        asked: what a worker evaluates at the moment, and the optimiser's state that goes with it.
        end: its end, or how it stands when it pauses, once that has come.
    """

    job: ReferenceJob
    stepper: Stepper
    start: Start
    spent: int = 0
    asked: tuple[Atoms, OptimiserState] | None = None
    end: Relaxation | None = None


def _end(track: _Track) -> Relaxation | None:
    """The relaxation's end, or how it stands if it pauses here; None if it goes on."""
    if track.start.checkpoint is not None and track.start.checkpoint.frame.step < 0:
        return None
    end = track.stepper.ended(track.start)
    if end is not None and end.state is not RelaxationState.CONVERGED:
        return end
    checkpoint = track.start.checkpoint
    stop = track.job.stop(checkpoint.frame) if checkpoint is not None and track.job.stop is not None else None
    if end is not None and (stop is None or stop.state is not RelaxationState.RUNNING):
        return end  # the optimiser's own end; but what pauses there is not over
    if stop is not None:
        return finish(track.start, stop.state, stop.reason)
    if track.job.max_calls is not None and track.spent >= track.job.max_calls:
        return finish(track.start, RelaxationState.RUNNING, f"paused after {track.spent} force calls")
    return None


def _prepare(track: _Track) -> bool:
    """Decide what to evaluate next. False if there is nothing, and the relaxation has failed."""
    try:
        track.asked = track.stepper.next_configuration(track.start)
    except CalculationError as error:
        track.end = finish(track.start, RelaxationState.FAILED, str(error))
        return False
    return True


def _ask(worker: Worker, track: _Track) -> None:
    """Have the next frame evaluated. A worker that is dead already is noticed when its answer is read."""
    assert track.asked is not None
    worker.send(track.start.label, track.job.charge, track.asked[0])


def _advance(track: _Track, worker: Worker, on_step: Callable[[str, Checkpoint], None] | None) -> None:
    """Take the worker's answer, and see whether the relaxation ends with it."""
    assert track.asked is not None
    atoms, state = track.asked
    track.spent += 1
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
    track.end = _end(track)


def _tell_end(track: _Track, on_finish: Callable[[Relaxation], None] | None) -> None:
    if track.end is not None and track.end.state.is_finished and on_finish is not None:
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
