from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.optimize import FIRE

from defectscout.core.frames import RelaxationState
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Checkpoint, Start, from_bytes, to_bytes
from defectscout.relaxation.settings import PAPER, RelaxationSettings
from relaxation.engines import EmtSurrogate, vacancy

PARITY = 1e-9
"""Å and eV. Rounding, grown over some tens of steps."""

SETTINGS = RelaxationSettings(force=0.02)


def starts() -> list[Start]:
    return [Start(f"rattled {seed}", vacancy(seed, 0.02 * seed)) for seed in (1, 2, 5)]


@pytest.mark.parametrize("index", range(3))
def test_the_end_is_that_of_ases_fire_alone(index: int) -> None:
    end = relax_batch(EmtSurrogate(), starts(), SETTINGS)[index]
    atoms = starts()[index].atoms
    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=SETTINGS.force, steps=SETTINGS.max_steps)
    assert end.state is RelaxationState.CONVERGED
    assert end.reason == ""
    assert end.final is not None
    np.testing.assert_allclose(end.final.atoms.positions, atoms.positions, rtol=0, atol=PARITY)
    assert end.final.prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=PARITY)


def test_converged_ones_leave_the_batch() -> None:
    surrogate = EmtSurrogate()
    ends = relax_batch(surrogate, starts(), SETTINGS)
    assert sum(surrogate.batches) == sum(end.n_evaluations for end in ends)
    assert surrogate.batches[0] == 3
    assert surrogate.batches[-1] == 1
    assert len({end.n_evaluations for end in ends}) > 1


def test_the_step_limit_is_ases() -> None:
    end = relax_batch(EmtSurrogate(), starts()[2:], RelaxationSettings(max_steps=4))[0]
    atoms = starts()[2].atoms
    atoms.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=0.03, steps=4)
    assert end.state is RelaxationState.UNCONVERGED
    assert "limit of 4 steps" in end.reason
    assert end.n_evaluations == 5
    assert end.final is not None
    np.testing.assert_allclose(end.final.atoms.positions, atoms.positions, rtol=0, atol=PARITY)


def test_the_mean_force_is_a_criterion_too() -> None:
    by_mean = RelaxationSettings(criterion="fmean", force=0.02)
    end = relax_batch(EmtSurrogate(), starts(), by_mean)[2]
    assert end.final is not None
    assert end.final.prediction.fmean < 0.02 < end.final.prediction.fmax


def test_the_papers_settings() -> None:
    assert (PAPER.criterion, PAPER.force, PAPER.max_steps) == ("fmean", 1e-5, 1500)


def test_one_that_cannot_be_evaluated_fails_alone() -> None:
    alone = {end.label: end for end in relax_batch(EmtSurrogate(), starts(), SETTINGS)}
    bad = vacancy()
    bad.symbols[0] = "Ag"
    mixed = [starts()[0], Start("bad", bad), *starts()[1:]]
    ends = relax_batch(EmtSurrogate(poison=str(bad.symbols)), mixed, SETTINGS)
    assert [end.label for end in ends] == [start.label for start in mixed]
    assert ends[1].state is RelaxationState.FAILED
    assert ends[1].reason == "poisoned"
    assert ends[1].final is None
    for end in (ends[0], *ends[2:]):
        same = alone[end.label]
        assert end.state is RelaxationState.CONVERGED
        assert end.final is not None
        assert same.final is not None
        assert end.final.prediction.energy == same.final.prediction.energy


class StopError(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 7])
def test_resumed_it_ends_the_same_and_costs_nothing_twice(steps: int) -> None:
    through = relax_batch(EmtSurrogate(), starts(), SETTINGS)
    kept: dict[str, Checkpoint] = {}
    seen = 0

    def keep(frames: Sequence[tuple[str, Checkpoint]]) -> None:
        nonlocal seen
        kept.update(frames)
        seen += 1
        if seen == steps:
            raise StopError

    first = EmtSurrogate()
    with pytest.raises(StopError):
        relax_batch(first, starts(), SETTINGS, keep)
    again = [
        Start(
            start.label,
            start.atoms,
            Checkpoint(
                kept[start.label].frame,
                from_bytes(to_bytes(kept[start.label].optimiser)),
                kept[start.label].initial_energy,
            ),
        )
        for start in starts()
    ]
    second = EmtSurrogate()
    ends = relax_batch(second, again, SETTINGS)
    for end, same in zip(ends, through, strict=True):
        assert (end.n_evaluations, end.initial_energy) == (same.n_evaluations, same.initial_energy)
        assert end.final is not None
        assert same.final is not None
        np.testing.assert_array_equal(end.final.atoms.positions, same.final.atoms.positions)
    assert sum(first.batches) + sum(second.batches) == sum(end.n_evaluations for end in through)


def test_a_finished_one_costs_nothing() -> None:
    end = relax_batch(EmtSurrogate(), starts()[:1], SETTINGS)[0]
    assert end.final is not None
    last: list[Checkpoint] = []
    relax_batch(EmtSurrogate(), starts()[:1], SETTINGS, lambda frames: last.append(frames[0][1]))
    surrogate = EmtSurrogate()
    again = relax_batch(surrogate, [Start("rattled 1", starts()[0].atoms, last[-1])], SETTINGS)[0]
    assert surrogate.batches == []
    assert (again.state, again.n_evaluations) == (end.state, end.n_evaluations)


def test_every_frame_is_handed_on_once_and_in_order() -> None:
    steps: dict[str, list[int]] = {start.label: [] for start in starts()}

    def keep(frames: Sequence[tuple[str, Checkpoint]]) -> None:
        for label, checkpoint in frames:
            steps[label].append(checkpoint.frame.step)

    for end in relax_batch(EmtSurrogate(), starts(), SETTINGS, keep):
        assert steps[end.label] == list(range(end.n_evaluations))


def test_structures_that_were_handed_in_stay_as_they_are() -> None:
    mine = starts()
    before = [start.atoms.positions.copy() for start in mine]
    relax_batch(EmtSurrogate(), mine, RelaxationSettings(max_steps=3))
    for start, positions in zip(mine, before, strict=True):
        np.testing.assert_array_equal(start.atoms.positions, positions)


def test_labels_must_differ() -> None:
    with pytest.raises(ValueError, match="labels"):
        relax_batch(EmtSurrogate(), [starts()[0], starts()[0]], SETTINGS)
