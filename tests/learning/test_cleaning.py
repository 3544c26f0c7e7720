"""Cleaning: each rule takes what it should, says from which defect, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.frames import Prediction
from defectscout.learning.cleaning import (
    DUPLICATE,
    FORCE,
    HIGH,
    POSITIVE,
    UNCONVERGED,
    Removal,
    clean,
    duplicates,
)
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import IndexRow, LabelledFrame
from defectscout.learning.settings import CleaningSettings
from learning.toy_relaxations import CRYSTAL, frame, origin, row

NO_RULE = CleaningSettings(
    positive_energies=False,
    max_energy_above_ground_state=None,
    unconverged_scf=False,
    max_force=None,
    duplicate_energy=0,
    duplicate_displacement=0,
)


def nothing_alike(rows: Sequence[int]) -> Iterator[LabelledFrame]:
    return (frame(origin(), seed=number) for number in rows)


def test_each_rule_takes_its_frames_and_says_from_where() -> None:
    other = origin(defect="v_Te")
    index = [
        row(1, energy=-30.0),
        row(2, energy=0.1),
        row(3, energy=-14.9),
        row(4, energy=-31.0, scf_converged=False),
        row(5, energy=-29.0, fmax=51.0),
        row(6, energy=-15.1),
        row(7, other, energy=5.0),
        row(8, other, energy=-9.0, scf_converged=True),
    ]
    report = clean(index, CleaningSettings(), nothing_alike)
    # The unconverged frame at -31 eV is out, so the ground state is -30 eV and -15.1 eV within 15 eV of it.
    assert report.rules == {2: POSITIVE, 3: HIGH, 4: UNCONVERGED, 5: FORCE, 7: POSITIVE}
    cd, te = origin().defect_id, other.defect_id
    assert report.removals == (
        Removal(UNCONVERGED, cd, 1, 6),
        Removal(POSITIVE, cd, 1, 6),
        Removal(POSITIVE, te, 1, 2),
        Removal(FORCE, cd, 1, 6),
        Removal(HIGH, cd, 1, 6),
    )
    assert report.rows(POSITIVE) == (2, 7)
    assert report.emptied() == ()


def test_rules_can_be_switched_off() -> None:
    index = [row(1, energy=-30.0), row(2, energy=0.1, fmax=1e3), row(3, energy=-1.0, scf_converged=False)]
    assert clean(index, NO_RULE, nothing_alike).rules == {}


def test_marks_of_an_earlier_cleaning_do_not_count() -> None:
    index = [row(1, energy=-30.0, dropped=HIGH), row(2, energy=-29.0)]
    assert clean(index, CleaningSettings(), nothing_alike).rules == {}


@pytest.mark.parametrize(
    "other",
    [
        {"where": origin(charge=-1)},
        {"where": origin(defect="v_Te")},
        {"where": origin(host="CdSe")},
        {"where": origin(method="HSE06")},
        {"composition": (("Cd", 107), ("Te", 108))},
    ],
)
def test_energies_are_compared_on_one_scale_only(other: dict[str, object]) -> None:
    index = [row(1, energy=-500.0, **other), row(2, energy=-30.0)]  # type: ignore[arg-type]
    assert clean(index, CleaningSettings(), nothing_alike).rules == {}
    assert clean([row(1, energy=-500.0), index[1]], CleaningSettings(), nothing_alike).rules == {2: HIGH}


def test_a_defect_of_which_nothing_is_left_is_named() -> None:
    index = [row(1, energy=1.0), row(2, energy=2.0, scf_converged=False), row(3, origin(defect="v_Te"))]
    assert clean(index, CleaningSettings(), nothing_alike).emptied() == (origin().defect_id,)


# near-duplicates


def _stored(path: Path, frames: Sequence[LabelledFrame]) -> Dataset:
    dataset = Dataset.create(path / "data.db")
    dataset.add(frames)
    return dataset


def _moved(one: LabelledFrame, step: int, shift: np.ndarray, energy: float = 0.0) -> LabelledFrame:
    atoms = one.atoms.copy()
    atoms.positions += shift
    prediction = Prediction(one.prediction.energy + energy, one.prediction.forces, one.prediction.stress)
    return LabelledFrame(atoms, prediction, replace(one.origin, step=step))


def test_near_duplicates_under_periodic_images(tmp_path: Path) -> None:
    one = frame(origin(), energy=-30.0)
    nudge = np.zeros((8, 3))
    nudge[2, 0] = 5e-4
    around = np.zeros((8, 3))
    around[5] = CRYSTAL.cell[1] - CRYSTAL.cell[0]
    far = np.zeros((8, 3))
    far[2, 0] = 5e-3
    frames = [
        one,
        _moved(one, 1, nudge, 5e-6),  # a duplicate
        _moved(one, 2, around + nudge, 2e-6),  # one, with an atom in another cell
        _moved(one, 3, far, 1e-6),  # moved too far
        _moved(one, 4, nudge, 1e-3),  # another energy
        replace(_moved(one, 5, nudge), origin=origin(5, charge=1)),  # another defect
    ]
    dataset = _stored(tmp_path, frames)
    report = clean(dataset.index(), CleaningSettings(), dataset.frames)
    assert report.rules == {2: DUPLICATE, 3: DUPLICATE}


def test_a_strained_copy_is_no_duplicate(tmp_path: Path) -> None:
    one = frame(origin(), energy=-30.0)
    strained = _moved(one, 1, np.zeros((8, 3)))
    strained.atoms.set_cell(one.atoms.cell * 1.01, scale_atoms=True)
    swapped = _moved(one, 2, np.zeros((8, 3)))
    swapped.atoms.numbers = swapped.atoms.numbers[::-1].copy()
    dataset = _stored(tmp_path, [one, strained, swapped])
    assert clean(dataset.index(), CleaningSettings(), dataset.frames).rules == {}


def test_zero_tolerance_takes_exact_copies(tmp_path: Path) -> None:
    one = frame(origin(), energy=-30.0)
    nudge = np.full((8, 3), 1e-9)
    dataset = _stored(tmp_path, [one, _moved(one, 1, np.zeros((8, 3))), _moved(one, 2, nudge)])
    assert clean(dataset.index(), NO_RULE, dataset.frames).rules == {2: DUPLICATE}


class _CountingReader:
    def __init__(self, frames: Sequence[LabelledFrame]) -> None:
        self.frames, self.read = frames, 0

    def __call__(self, rows: Sequence[int]) -> Iterator[LabelledFrame]:
        for number in rows:
            self.read += 1
            yield self.frames[number]


def _index(frames: Sequence[LabelledFrame]) -> list[IndexRow]:
    return [row(i, item.origin, energy=item.prediction.energy) for i, item in enumerate(frames)]


def test_frames_without_a_neighbour_in_energy_are_not_read() -> None:
    frames = [frame(origin(step), energy=-30.0 + step) for step in range(50)]
    frames += [_moved(frames[10], 60, np.zeros((8, 3)), 1e-7)]
    reader = _CountingReader(frames)
    assert duplicates(_index(frames), 1e-5, 1e-3, reader) == {50}
    assert reader.read == 2


@settings(max_examples=25, deadline=None)
@given(
    groups=st.lists(st.integers(0, 3), min_size=2, max_size=14),
    order=st.randoms(use_true_random=False),
)
def test_one_frame_of_each_kind_is_left_whatever_the_order(groups: list[int], order: object) -> None:
    kinds = [frame(origin(), seed=kind, energy=-30.0) for kind in range(4)]
    frames = [_moved(kinds[kind], step, np.zeros((8, 3))) for step, kind in enumerate(groups)]
    order.shuffle(frames)  # type: ignore[attr-defined]
    found = duplicates(_index(frames), 1e-5, 1e-3, _CountingReader(frames))
    left = [item for i, item in enumerate(frames) if i not in found]
    assert len(left) == len(set(groups))
