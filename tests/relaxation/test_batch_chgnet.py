from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.optimize import FIRE

from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

POSITIONS = 1e-4
"""Å. Single precision in the network, and another order of summation in a batch, over some steps."""

ENERGY = 1e-4
"""eV in the cell."""


def zinc_sulphide(seed: int) -> Atoms:
    atoms = bulk("ZnS", "zincblende", a=5.41, cubic=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


def test_a_batch_takes_the_steps_of_chgnets_own_calculator() -> None:
    chgnet_dynamics = pytest.importorskip("chgnet.model.dynamics")
    settings = RelaxationSettings(force=1e-6, max_steps=6)
    surrogate = load_surrogate(SurrogateSettings(name="chgnet", device="cpu"))
    ends = relax_batch(surrogate, [Start(str(seed), zinc_sulphide(seed)) for seed in (1, 2)], settings)
    with contextlib.redirect_stdout(io.StringIO()):
        calculator = chgnet_dynamics.CHGNetCalculator(use_device="cpu")
    for seed, end in zip((1, 2), ends, strict=True):
        atoms = zinc_sulphide(seed)
        start = atoms.positions.copy()
        atoms.calc = calculator
        FIRE(atoms, logfile=None).run(fmax=1e-6, steps=6)
        assert end.final is not None
        np.testing.assert_allclose(end.final.atoms.positions, atoms.positions, rtol=0, atol=POSITIONS)
        assert end.final.prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=ENERGY)
        assert np.abs(atoms.positions - start).max() > 100 * POSITIONS
