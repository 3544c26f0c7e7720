"""Relaxing a batch ends where the model's own ASE calculator and ASE's FIRE end."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.optimize import FIRE

from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.batched import BatchedSurrogate
from surrogates.own_calculators import own_calculator

POSITIONS = 2e-4
"""Å. Single precision in the network, and another order of summation, over some steps."""

ENERGY = 2e-4
"""eV in the cell."""

STEPS = 8


def _start(seed: int) -> Atoms:
    atoms = bulk("CdTe", "zincblende", a=6.5, cubic=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


def test_a_batch_takes_the_steps_of_the_models_own_calculator(together: BatchedSurrogate) -> None:
    settings = RelaxationSettings(force=1e-6, max_steps=STEPS)
    ends = relax_batch(together, [Start(str(seed), _start(seed)) for seed in (1, 2)], settings)
    calculator = own_calculator(together)
    for seed, end in zip((1, 2), ends, strict=True):
        atoms = _start(seed)
        start = atoms.positions.copy()
        atoms.calc = calculator
        FIRE(atoms, logfile=None).run(fmax=1e-6, steps=STEPS)
        assert end.final is not None
        np.testing.assert_allclose(end.final.atoms.positions, atoms.positions, rtol=0, atol=POSITIONS)
        assert end.final.prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=ENERGY)
        assert np.abs(atoms.positions - start).max() > 20 * POSITIONS
