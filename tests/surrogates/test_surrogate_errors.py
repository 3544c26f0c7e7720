"""What happens when a surrogate cannot answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.errors import CalculationError, UnsupportedElementError
from defectscout.core.frames import Prediction
from defectscout.surrogates.batched import BatchedSurrogate, check_finite


def test_untrained_element(surrogate: BatchedSurrogate) -> None:
    with pytest.raises(UnsupportedElementError, match="was not trained on Po"):
        surrogate.predict([bulk("Cu", "fcc", a=3.6), bulk("Po", "sc", a=3.3)])


def test_structure_is_named_by_its_place_among_all(surrogate: BatchedSurrogate) -> None:
    good = bulk("Cu", "fcc", a=3.6)
    broken = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0.01]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(CalculationError, match=r"structure 2: atoms 0 \(Cu\) and 1 \(Cu\)"):
        surrogate.predict([good, good, broken])


def test_numbers_that_are_not_finite(load_cached, rattled: Atoms) -> None:
    chgnet = load_cached("chgnet")

    def broken(batch):
        predictions = chgnet.evaluate(batch)
        return [Prediction(p.energy, np.full_like(p.forces, np.nan), p.stress) for p in predictions]

    with pytest.raises(CalculationError, match="structure 0: the force is not finite"):
        dataclasses.replace(chgnet, evaluate=broken).predict([rattled])


def test_each_quantity_is_checked() -> None:
    forces, stress = np.zeros((2, 3)), np.zeros(6)
    check_finite([Prediction(1.0, forces, stress), Prediction(1.0, forces, None)], "test")
    for wrong in (
        Prediction(float("inf"), forces, stress),
        Prediction(1.0, np.array([[np.nan, 0, 0]]), stress),
        Prediction(1.0, forces, np.full(6, np.nan)),
    ):
        with pytest.raises(CalculationError, match=r"structure 1: the (energy|force|stress) is not finite"):
            check_finite([Prediction(1.0, forces, stress), wrong], "test")


def test_failure_inside_the_model_names_the_batch(load_cached) -> None:
    chgnet = load_cached("chgnet")
    copper = bulk("Cu", "fcc", a=3.6)

    def out_of_memory(batch):
        raise RuntimeError("CUDA out of memory")

    one = dataclasses.replace(chgnet, evaluate=out_of_memory)
    with pytest.raises(CalculationError, match=r"failed on structure 0: CUDA out of memory.*batch_size"):
        one.predict([copper])
    with pytest.raises(CalculationError, match="failed on structures 0 to 1"):
        dataclasses.replace(one, structures_at_once=2).predict([copper] * 3)
