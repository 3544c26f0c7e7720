from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.relaxation.checks import GRACE_STEPS
from defectscout.relaxation.corrected import CorrectedState
from defectscout.relaxation.pool import ReferenceJob, Stop, relax_with_reference
from defectscout.relaxation.records import Checkpoint, Start, from_bytes, to_bytes
from defectscout.relaxation.settings import CorrectedSettings, RelaxationSettings
from defectscout.relaxation.steppers import (
    AloneStepper,
    CorrectedStepper,
    FireStepper,
    Stepper,
)
from defectscout.relaxation.steps import is_met, record
from relaxation import engines
from relaxation.surfaces import Holes, Surface, copper, emt, scaled

SETTINGS = RelaxationSettings(force=0.02)
EMT = engines.name("emt")
MERGED = Stop(RelaxationState.MERGED, "this is Dimer")


def corrected() -> CorrectedStepper:
    return CorrectedStepper(SETTINGS, Surface(scaled(emt, 0.7)))


def alone() -> AloneStepper:
    return AloneStepper(SETTINGS, Surface(scaled(emt, 0.7)))


STEPPERS = pytest.mark.parametrize(
    "make", [lambda: FireStepper(SETTINGS), corrected, alone], ids=["fire", "corrected", "alone"]
)
Make = Callable[[], Stepper]


def test_relaxations_of_both_kinds_run_at_once() -> None:
    jobs = [
        ReferenceJob("fire", copper(), 0),
        ReferenceJob("corrected", copper(), 0, stepper=corrected()),
        ReferenceJob("other", copper(2), 0, stepper=corrected()),
    ]
    fire, first, second = relax_with_reference(EMT, jobs, SETTINGS, 2)
    assert [end.state for end in (fire, first, second)] == [RelaxationState.CONVERGED] * 3
    assert fire.final is not None
    assert first.final is not None
    assert first.final.prediction.energy == pytest.approx(fire.final.prediction.energy, abs=3e-3)
    assert 3 * first.n_evaluations < fire.n_evaluations


@pytest.mark.parametrize(
    ("make", "n"),
    [(lambda: FireStepper(SETTINGS), 20), (corrected, 3), (alone, 4)],
    ids=["fire", "corrected", "alone"],
)
def test_paused_and_gone_on_with_is_uninterrupted(make: Make, n: int) -> None:
    (through,) = relax_with_reference(EMT, [ReferenceJob("it", copper(), 0, stepper=make())], SETTINGS, 1)
    kept: list[Checkpoint] = []
    finished: list[Relaxation] = []
    job = ReferenceJob("it", copper(), 0, stepper=make(), max_calls=n)
    pauses = 0
    while True:
        (end,) = relax_with_reference(EMT, [job], SETTINGS, 1, lambda _, step: kept.append(step), finished.append)
        if end.state.is_finished:
            break
        pauses += 1
        assert end.state is RelaxationState.RUNNING
        assert end.n_evaluations == n * pauses == len(kept)
        assert f"{n} force calls" in end.reason
        assert not finished
        last = kept[-1]
        job = replace(job, checkpoint=replace(last, optimiser=from_bytes(to_bytes(last.optimiser))))
    assert pauses > 0
    assert (end.state, end.n_evaluations) == (through.state, through.n_evaluations)
    assert [found.label for found in finished] == ["it"]
    assert end.final is not None
    assert through.final is not None
    # The worker's EMT makes its neighbour list anew after each pause.
    np.testing.assert_allclose(end.final.atoms.positions, through.final.atoms.positions, atol=1e-5)


@STEPPERS
def test_it_ends_where_it_has_fallen_into_what_is_known(make: Make) -> None:
    asked: list[int] = []

    def stop(frame: Frame) -> Stop | None:
        asked.append(frame.step)
        return MERGED if frame.step == 2 else None

    finished: list[Relaxation] = []
    job = ReferenceJob("it", copper(), 0, stepper=make(), stop=stop)
    (end,) = relax_with_reference(EMT, [job], SETTINGS, 1, on_finish=finished.append)
    assert (end.state, end.reason, end.n_evaluations) == (RelaxationState.MERGED, "this is Dimer", 3)
    assert end.state.is_finished
    assert asked == [0, 1, 2]
    assert finished == [end]


def test_converged_counts_more_than_merged() -> None:
    job = ReferenceJob("it", copper(), 0, stop=lambda frame: MERGED if frame.prediction.fmax < 0.02 else None)
    (end,) = relax_with_reference(EMT, [job], SETTINGS, 1)
    assert end.state is RelaxationState.CONVERGED


def test_a_pause_counts_more_than_converged() -> None:
    """And what converged goes on to its end without another force call when nothing pauses it any more."""
    pause = Stop(RelaxationState.RUNNING, "to be confirmed")
    kept: list[Checkpoint] = []
    finished: list[str] = []
    job = ReferenceJob("it", copper(), 0, stop=lambda frame: pause if frame.prediction.fmax < SETTINGS.force else None)
    on_finish = lambda end: finished.append(end.label)  # noqa: E731
    (paused,) = relax_with_reference(EMT, [job], SETTINGS, 1, lambda _, step: kept.append(step), on_finish)
    assert (paused.state, paused.reason, finished) == (RelaxationState.RUNNING, "to be confirmed", [])
    again = replace(job, checkpoint=kept[-1], stop=None)
    (end,) = relax_with_reference(EMT, [again], SETTINGS, 1, on_finish=on_finish)
    assert (end.state, end.n_evaluations, finished) == (RelaxationState.CONVERGED, len(kept), ["it"])


def test_one_may_begin_with_what_another_has_learned() -> None:
    """Its frames are its own, from number 0 on, and there is at least one, though the other was at its end."""
    kept: list[Checkpoint] = []
    job = ReferenceJob("it", copper(), 0, stepper=corrected())
    relax_with_reference(EMT, [job], SETTINGS, 1, lambda _, step: kept.append(step))
    last = kept[-1]
    before = replace(last, frame=replace(last.frame, step=-1))
    steps: list[Checkpoint] = []
    on = ReferenceJob("on", last.frame.atoms, 0, checkpoint=before, stepper=corrected(), stop=lambda frame: MERGED)
    (end,) = relax_with_reference(EMT, [on], SETTINGS, 1, lambda _, step: steps.append(step))
    assert [step.frame.step for step in steps] == list(range(end.n_evaluations)) == [0]
    assert end.final is not None
    assert end.final.prediction.energy < last.frame.prediction.energy + 1e-3
    states = [step.optimiser for step in (steps[0], last)]
    assert [len(state.known.energies) for state in states if isinstance(state, CorrectedState)] == [
        len(kept),
        len(kept) - 1,
    ]


def test_a_surrogate_that_fails_costs_one_relaxation_alone() -> None:
    nowhere = CorrectedStepper(SETTINGS, Holes(emt, reach=0.0))
    jobs = [ReferenceJob("bad", copper(), 0, stepper=nowhere), ReferenceJob("good", copper(), 0, stepper=corrected())]
    finished: list[str] = []
    bad, good = relax_with_reference(EMT, jobs, SETTINGS, 1, on_finish=lambda end: finished.append(end.label))
    assert bad.state is RelaxationState.FAILED
    assert "surrogate cannot evaluate" in bad.reason
    assert bad.n_evaluations == 1
    assert good.state is RelaxationState.CONVERGED
    assert finished == ["bad", "good"]


def test_one_that_fails_before_its_first_call_here_starts_no_worker() -> None:
    kept: list[Checkpoint] = []
    job = ReferenceJob("it", copper(), 0, stepper=corrected(), max_calls=2)
    relax_with_reference(EMT, [job], SETTINGS, 1, lambda _, step: kept.append(step))
    again = replace(job, checkpoint=kept[-1], stepper=CorrectedStepper(SETTINGS, Holes(emt, reach=0.0)))
    (end,) = relax_with_reference("ase:/no/such/file.py:it", [again], SETTINGS, 1)
    assert end.state is RelaxationState.FAILED
    assert "surrogate cannot evaluate" in end.reason
    assert end.n_evaluations == 2


def test_a_checkpoint_of_another_optimiser_is_refused() -> None:
    kept: list[Checkpoint] = []
    job = ReferenceJob("it", copper(), 0, max_calls=1)
    relax_with_reference(EMT, [job], SETTINGS, 1, lambda _, step: kept.append(step))
    with pytest.raises(TypeError, match="CorrectedState"):
        relax_with_reference(EMT, [replace(job, checkpoint=kept[-1], stepper=corrected())], SETTINGS, 1)


def saddle(depth: float) -> Callable[[Atoms], Prediction]:
    """Two wells 0.6 Å apart along the difference of two atoms' x, `depth` (eV) below the hill between them."""
    well = 0.3

    def predict(atoms: Atoms) -> Prediction:
        u = (atoms.positions[1, 0] - atoms.positions[0, 0] - 2.0) / well
        rest = atoms.positions - Atoms("Cu4", PLACES).positions
        rest[:2, 0] = 0.0
        slope = depth * 4 * u * (u**2 - 1) / well
        forces = -4.0 * rest
        forces[0, 0], forces[1, 0] = slope, -slope
        return Prediction(depth * (u**2 - 1) ** 2 + 2.0 * float((rest**2).sum()), forces)

    return predict


PLACES = [(0, 0, 0), (2, 0, 0), (5, 5, 0), (5, 0, 5)]


@pytest.mark.parametrize(("promise", "fall"), [(0.01, 0.08), (0.2, 0.0)])
def test_a_saddle_point_is_no_end_if_the_surrogate_promises_a_fall(promise: float, fall: float) -> None:
    atoms = Atoms("Cu4", PLACES, cell=[20] * 3, pbc=True)
    atoms.positions[1, 0] += 0.003
    reference = saddle(0.08)
    assert reference(atoms).fmax < SETTINGS.force
    settings = SETTINGS.model_copy(update={"corrected": CorrectedSettings(promise=promise)})
    stepper = CorrectedStepper(settings, Surface(saddle(0.05)))
    start = Start("it", atoms)
    for _ in range(15):
        if stepper.ended(start) is not None:
            break
        following, state = stepper.next_configuration(start)
        start = record(start, following, state, reference(following))
    end = stepper.ended(start)
    assert end is not None
    assert end.state is RelaxationState.CONVERGED
    assert end.final is not None
    assert end.final.prediction.energy == pytest.approx(0.08 - fall, abs=2e-3)


def test_the_step_limit_holds_at_a_saddle_point_too() -> None:
    atoms = Atoms("Cu4", PLACES, cell=[20] * 3, pbc=True)
    settings = RelaxationSettings(force=0.02, max_steps=0)
    stepper = CorrectedStepper(settings, Surface(saddle(0.05)))
    following, state = stepper.next_configuration(Start("it", atoms))
    assert isinstance(state, CorrectedState)
    end = stepper.ended(record(Start("it", atoms), following, state, saddle(0.08)(following)))
    assert end is not None
    assert end.n_evaluations == 1


@pytest.mark.parametrize(("energy", "state"), [(5.0, None), (-5.0, RelaxationState.FAILED)])
def test_atoms_too_close_are_no_failure_in_a_trial_that_is_turned_down(
    energy: float, state: RelaxationState | None
) -> None:
    atoms = copper()
    stepper, start = alone(), Start("it", atoms)
    for _ in range(2):
        following, optimiser = stepper.next_configuration(start)
        start = record(start, following, optimiser, emt(following))
    following, optimiser = stepper.next_configuration(start)
    assert isinstance(optimiser, CorrectedState)
    best = float(optimiser.known.energies[optimiser.known.best])
    hot = Prediction(best + energy, np.full((len(atoms), 3), 1000.0))
    late = Frame(following, hot, GRACE_STEPS)
    assert start.checkpoint is not None
    end = stepper.ended(replace(start, checkpoint=Checkpoint(late, optimiser, start.checkpoint.initial_energy)))
    assert (end.state if end else None) is state


def test_alone_no_surrogate_has_a_say_before_the_relaxation_is_at_rest() -> None:
    surrogate = Surface(scaled(emt, 0.7))
    stepper, start = AloneStepper(SETTINGS, surrogate), Start("it", copper())
    for _ in range(60):
        if stepper.ended(start) is not None:
            break
        assert surrogate.n == 0
        following, state = stepper.next_configuration(start)
        start = record(start, following, state, emt(following))
    end = stepper.ended(start)
    assert end is not None
    assert end.state is RelaxationState.CONVERGED
    assert end.initial_energy is not None
    assert surrogate.n > 0  # whether it is an end


def test_alone_it_slides_off_a_shelf_that_the_surrogate_knows() -> None:
    atoms = Atoms("Cu4", PLACES, cell=[20] * 3, pbc=True)
    atoms.positions[1, 0] += 0.003
    for calculator, energy in ((saddle(0.05), 0.0), (saddle(-0.05), 0.08)):
        surrogate, start, led_from = Surface(calculator), Start("it", atoms), []
        stepper = AloneStepper(SETTINGS, surrogate)
        for _ in range(15):
            if stepper.ended(start) is not None:
                break
            asked = surrogate.n
            following, state = stepper.next_configuration(start)
            if surrogate.n > asked:
                assert start.checkpoint is not None
                led_from.append(start.checkpoint.frame.prediction)
            start = record(start, following, state, saddle(0.08)(following))
        assert all(is_met(prediction, SETTINGS) for prediction in led_from)
        assert bool(led_from) == (energy == 0.0)  # one that knows of no way down proposes none
        end = stepper.ended(start)
        assert end is not None
        assert end.final is not None
        assert end.final.prediction.energy == pytest.approx(energy, abs=2e-3)
