from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Frame, Prediction, RelaxationState
from defectscout.relaxation.corrected import CorrectedState, corrected_init, propose
from defectscout.relaxation.corrected_model import shrunk
from defectscout.relaxation.records import Start, from_bytes, to_bytes
from defectscout.relaxation.settings import CorrectedSettings, RelaxationSettings
from defectscout.relaxation.steppers import CorrectedStepper, FireStepper, Stepper, gaussian_process_stepper
from defectscout.relaxation.steps import record
from defectscout.surrogates.base import Surrogate
from relaxation.surfaces import (
    Holes,
    Predict,
    Surface,
    copper,
    crystal,
    emt,
    scaled,
    similar_crystal,
    vacancy,
    zero,
)

SETTINGS = RelaxationSettings(force=0.02, max_steps=120)
CORRECTED = CorrectedSettings()


def relaxed(reference: Predict, atoms: Atoms, stepper: Stepper, limit: int = 200) -> Start:
    start = Start("it", atoms)
    while stepper.ended(start) is None:
        assert limit > 0
        limit -= 1
        following, state = stepper.next_configuration(start)
        start = record(start, following, state, reference(following))
    return start


def frame_of(start: Start) -> Frame:
    assert start.checkpoint is not None
    return start.checkpoint.frame


@pytest.fixture(scope="module")
def by_fire() -> dict[str, Frame]:
    return {
        "copper": frame_of(relaxed(emt, copper(), FireStepper(SETTINGS))),
        "crystal": frame_of(relaxed(crystal, vacancy(), FireStepper(SETTINGS))),
    }


@pytest.mark.parametrize(
    ("system", "proposes", "share"),
    [
        ("copper", emt, 0.2),
        ("copper", scaled(emt, 0.5), 0.25),
        ("copper", scaled(emt, 2.0), 0.3),
        ("copper", scaled(emt, -0.5), 0.5),  # uphill wherever the reference goes down
        ("crystal", similar_crystal, 0.2),
    ],
)
def test_the_minimum_is_fires_for_a_share_of_its_calls(
    by_fire: dict[str, Frame], system: str, proposes: Predict, share: float
) -> None:
    compare(by_fire[system], system, CorrectedStepper(SETTINGS, Surface(proposes)), share)


@pytest.mark.parametrize("system", ["copper", "crystal"])
def test_without_a_surrogate_too(by_fire: dict[str, Frame], system: str) -> None:
    compare(by_fire[system], system, gaussian_process_stepper(SETTINGS), 0.4)


def compare(fire: Frame, system: str, stepper: Stepper, share: float) -> None:
    """It ends where FIRE does, after at most this share of its force calls."""
    reference, atoms = (emt, copper()) if system == "copper" else (crystal, vacancy())
    start = relaxed(reference, atoms, stepper)
    end, frame = stepper.ended(start), frame_of(start)
    assert end is not None
    assert end.state is RelaxationState.CONVERGED
    assert end.n_evaluations <= share * (fire.step + 1)
    assert frame.prediction.energy == pytest.approx(fire.prediction.energy, abs=3e-3)
    moved = frame.atoms.positions - fire.atoms.positions
    assert np.linalg.norm(moved - moved.mean(axis=0), axis=1).max() < 0.03


def test_a_start_with_very_large_forces_is_relaxed(by_fire: dict[str, Frame]) -> None:
    """As in a sampling structure with a bond shortened by 40 %."""
    atoms = vacancy(stdev=0.02)
    magnesium = next(atom.index for atom in atoms if atom.symbol == "Mg")
    near = min(
        (atom.index for atom in atoms if atom.symbol == "S"),
        key=lambda i: float(atoms.get_distance(magnesium, i, mic=True)),
    )
    atoms.set_distance(magnesium, near, 1.7, mic=True)
    assert crystal(atoms).fmax > 20
    stepper = CorrectedStepper(SETTINGS, Surface(similar_crystal))
    start = relaxed(crystal, atoms, stepper)
    end = stepper.ended(start)
    assert end is not None
    assert end.state is RelaxationState.CONVERGED
    assert end.n_evaluations < 30


def steps(
    reference: Predict, surrogate: Surrogate, atoms: Atoms, n: int, through_bytes: bool = False
) -> list[FloatArray]:
    """The first proposals."""
    state = corrected_init(len(atoms), CORRECTED)
    atoms = atoms.copy()
    result = []
    for k in range(n):
        frame = Frame(atoms.copy(), reference(atoms), k)
        atoms.positions, state = propose(state, frame, surrogate, 0.02, CORRECTED)
        result.append(atoms.positions.copy())
        if through_bytes:
            back = from_bytes(to_bytes(state))
            assert isinstance(back, CorrectedState)
            state = back
    return result


def test_resumed_after_each_step_it_goes_the_same_way_to_the_last_bit() -> None:
    through = steps(emt, Surface(scaled(emt, 0.5)), copper(), 6)
    resumed = steps(emt, Surface(scaled(emt, 0.5)), copper(), 6, through_bytes=True)
    for here, there in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(here, there)


def test_states_are_not_changed_in_place() -> None:
    atoms = copper()
    frame = Frame(atoms, emt(atoms), 0)
    surrogate = Surface(scaled(emt, 0.5))
    positions, state = propose(corrected_init(len(atoms), CORRECTED), frame, surrogate, 0.02, CORRECTED)
    kept = to_bytes(state)
    moved = atoms.copy()
    moved.positions = positions
    following = Frame(moved, emt(moved), 1)
    once, _ = propose(state, following, surrogate, 0.02, CORRECTED)
    twice, _ = propose(state, following, surrogate, 0.02, CORRECTED)
    np.testing.assert_array_equal(once, twice)
    assert to_bytes(state) == kept


def test_turned_shifted_and_reordered_it_goes_the_same_way() -> None:
    atoms = copper()
    turn = Rotation.random(random_state=3).as_matrix()
    order = np.random.default_rng(0).permutation(len(atoms))
    shift = np.array([0.3, -1.0, 2.0])
    other = Atoms(
        atoms.numbers[order], atoms.positions[order] @ turn.T + shift, cell=atoms.cell.array @ turn.T, pbc=True
    )
    here = steps(emt, Surface(scaled(emt, 0.5)), atoms, 4)
    there = steps(emt, Surface(scaled(emt, 0.5)), other, 4)
    for mine, theirs in zip(here, there, strict=True):
        np.testing.assert_allclose(theirs, mine[order] @ turn.T + shift, atol=1e-6)


def test_the_whole_does_not_drift() -> None:
    """Not even if the reference's forces do not add up to zero, as on a grid."""

    def tilted(atoms: Atoms) -> Prediction:
        said = emt(atoms)
        return Prediction(said.energy - 0.02 * float(atoms.positions[:, 0].sum()), said.forces + np.array([0.02, 0, 0]))

    atoms = copper()
    for positions in steps(tilted, Surface(scaled(emt, 0.5)), atoms, 5):
        np.testing.assert_allclose(positions.mean(axis=0), atoms.positions.mean(axis=0), atol=1e-10)


def test_no_atom_moves_farther_than_the_radius_from_the_best_point() -> None:
    atoms = copper(stdev=0.25)
    state = corrected_init(len(atoms), CORRECTED)
    for k in range(6):
        frame = Frame(atoms.copy(), emt(atoms), k)
        atoms.positions, state = propose(state, frame, Surface(zero), 0.02, CORRECTED)
        moved = np.linalg.norm(atoms.positions - state.known.anchor, axis=1).max()
        assert 0 < moved <= state.trust * (1 + 1e-9) <= CORRECTED.trust_max * (1 + 1e-9)


def test_after_a_step_uphill_it_goes_on_from_the_better_point_and_less_far() -> None:
    atoms = copper()
    surrogate = Surface(scaled(emt, 0.5))
    first = Frame(atoms, emt(atoms), 0)
    positions, state = propose(corrected_init(len(atoms), CORRECTED), first, surrogate, 0.02, CORRECTED)
    worse = atoms.copy()
    worse.positions = positions
    said = emt(worse)
    uphill = Prediction(first.prediction.energy + 1.0, -10 * said.forces)
    following, after = propose(state, Frame(worse, uphill, 1), surrogate, 0.02, CORRECTED)
    np.testing.assert_array_equal(after.known.anchor, atoms.positions)
    assert len(after.known.positions) == 2  # the bad point still teaches
    assert after.trust < np.linalg.norm(positions - atoms.positions, axis=1).max()
    assert np.linalg.norm(following - atoms.positions, axis=1).max() <= after.trust * (1 + 1e-9)


def test_no_more_points_are_kept_than_wanted_and_the_best_is_among_them() -> None:
    atoms, settings = copper(), CorrectedSettings(points=3)
    state = corrected_init(len(atoms), settings)
    energies = []
    for k in range(6):
        said = emt(atoms)
        energies.append(said.energy)
        atoms.positions, state = propose(state, Frame(atoms.copy(), said, k), Surface(zero), 0.02, settings)
        assert len(state.known.positions) == min(3, k + 1)
    assert min(energies) in state.known.energies


def test_another_surrogate_in_between_is_asked_of_the_earlier_points() -> None:
    atoms = copper()
    state = corrected_init(len(atoms), CORRECTED)
    for k in range(3):
        frame = Frame(atoms.copy(), emt(atoms), k)
        atoms.positions, state = propose(state, frame, Surface(scaled(emt, 0.5)), 0.02, CORRECTED)
    tuned = Surface(scaled(emt, 0.9))
    _, state = propose(state, Frame(atoms.copy(), emt(atoms), 3), tuned, 0.02, CORRECTED)
    for rows, energy, forces in zip(
        state.known.positions, state.known.surrogate_energies, state.known.surrogate_forces, strict=True
    ):
        there = atoms.copy()
        there.positions = rows
        assert energy == tuned.predict([there])[0].energy
        np.testing.assert_array_equal(forces, tuned.predict([there])[0].forces)


def test_where_the_surrogate_fails_the_steps_are_shorter_and_it_still_converges(by_fire: dict[str, Frame]) -> None:
    settings = SETTINGS.model_copy(update={"corrected": CorrectedSettings(inner_calls=20)})
    surrogate = Holes(scaled(emt, 0.7), reach=0.06)

    def reference(atoms: Atoms) -> Prediction:
        surrogate.known.append(atoms)
        return emt(atoms)

    stepper = CorrectedStepper(settings, surrogate)
    start = relaxed(reference, copper(), stepper)
    end = stepper.ended(start)
    assert end is not None
    assert end.state is RelaxationState.CONVERGED
    assert end.final is not None
    assert end.final.prediction.energy == pytest.approx(by_fire["copper"].prediction.energy, abs=3e-3)
    assert surrogate.fallen > 0


def test_where_the_surrogate_has_nothing_to_say_the_step_is_down_the_force() -> None:
    atoms = copper()
    surrogate = Holes(emt, reach=0.0)
    surrogate.known.append(atoms.copy())
    said = emt(atoms)
    positions, state = propose(corrected_init(len(atoms), CORRECTED), Frame(atoms, said, 0), surrogate, 0.02, CORRECTED)
    step = positions - atoms.positions
    assert np.vdot(step, said.forces) > 0.99 * np.linalg.norm(step) * np.linalg.norm(said.forces)
    assert state.expected < 0
    lower = atoms.copy()
    lower.positions = positions
    assert emt(lower).energy < said.energy


def test_a_surrogate_that_cannot_evaluate_the_first_structure_is_an_error() -> None:
    atoms = copper()
    nowhere = Holes(emt, reach=0.0)
    with pytest.raises(CalculationError, match="energy is not a finite number"):
        propose(corrected_init(len(atoms), CORRECTED), Frame(atoms, emt(atoms), 0), nowhere, 0.02, CORRECTED)


def test_surrogate_calls_are_limited() -> None:
    atoms, settings = copper(), CorrectedSettings(inner_calls=7)
    surrogate = Surface(zero)
    propose(corrected_init(len(atoms), settings), Frame(atoms, emt(atoms), 0), surrogate, 0.02, settings)
    assert surrogate.n <= 1 + 2 * 7


def test_stretching_is_exact_for_a_parabola() -> None:
    hessian = np.random.default_rng(0).normal(size=(9, 9))
    hessian += hessian.T
    slope = np.linspace(-1, 1, 9)

    def parabola(x: FloatArray) -> Prediction:
        return Prediction(float(slope @ x + 0.5 * x @ hessian @ x), -(slope + hessian @ x).reshape(-1, 3))

    small = np.random.default_rng(1).normal(size=9) * 0.01
    meant = shrunk(parabola(10 * small), parabola(0 * small), small.reshape(-1, 3), 10.0)
    assert meant.energy == pytest.approx(parabola(small).energy, abs=1e-12)
    np.testing.assert_allclose(meant.forces, parabola(small).forces, atol=1e-12)


def test_a_kink_of_the_surrogate_does_not_keep_it_from_the_minimum(by_fire: dict[str, Frame]) -> None:
    """The force on two atoms jumps by 0.4 eV/Å right at the minimum."""
    bottom = by_fire["copper"].atoms

    def kinked(atoms: Atoms) -> Prediction:
        said = emt(atoms)
        away = (atoms.positions - bottom.positions)[3, 0] - (atoms.positions - bottom.positions)[9, 0] - 0.004
        forces = said.forces.copy()
        forces[3, 0] -= 0.2 * np.sign(away)
        forces[9, 0] += 0.2 * np.sign(away)
        return Prediction(said.energy + 0.2 * abs(away), forces)

    stepper = CorrectedStepper(SETTINGS, Surface(kinked))
    start = relaxed(emt, copper(), stepper)
    assert frame_of(start).prediction.fmax < SETTINGS.force
    assert frame_of(start).step < 12


@pytest.mark.parametrize("growth", [1.0, 1.3, 2.0])
def test_after_a_step_that_kept_its_promise_the_radius_grows_by_no_more_than_is_set(growth: float) -> None:
    atoms = copper(stdev=0.25)
    settings = CORRECTED.model_copy(update={"trust_start": 0.01, "growth": growth})
    state, radii = corrected_init(len(atoms), settings), []
    for k in range(4):
        atoms.positions, state = propose(state, Frame(atoms.copy(), emt(atoms), k), Surface(emt), 0.02, settings)
        radii.append(state.trust)
    np.testing.assert_allclose(radii, 0.01 * growth ** np.arange(4), rtol=1e-3)
