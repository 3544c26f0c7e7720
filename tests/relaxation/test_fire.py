from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.optimize import FIRE
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.relaxation.fire import fire_init, fire_step
from defectscout.relaxation.settings import FireSettings
from relaxation.engines import predict, vacancy

PARITY = 1e-12
"""Å. The same operations in the same order as ASE; only the summation in the norms may differ in the last bit."""

PARAMETERS = (
    FireSettings(),
    FireSettings(dt=0.3, dtmax=2.0, maxstep=0.05, n_min=1, f_inc=1.3, f_dec=0.3, alpha_start=0.25, f_alpha=0.9),
)


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_every_step_is_ases(parameters: FireSettings) -> None:
    theirs = vacancy()
    theirs.calc = EMT()
    optimiser = FIRE(
        theirs,
        logfile=None,
        dt=parameters.dt,
        dtmax=parameters.dtmax,
        maxstep=parameters.maxstep,
        Nmin=parameters.n_min,
        finc=parameters.f_inc,
        fdec=parameters.f_dec,
        astart=parameters.alpha_start,
        a=parameters.alpha_start,
        fa=parameters.f_alpha,
    )
    ours = vacancy()
    state = fire_init(len(ours), parameters)
    uphill = 0
    for _ in range(60):
        optimiser.step()
        displacement, after = fire_step(state, predict(ours).forces, parameters)
        ours.positions += displacement
        uphill += after.n_downhill == 0 and after.dt < state.dt
        state = after
        np.testing.assert_allclose(ours.positions, theirs.positions, rtol=0, atol=PARITY)
        assert state.dt == pytest.approx(optimiser.dt, rel=1e-14)
    assert uphill > 0  # both branches were taken


@settings(max_examples=50, deadline=None)
@given(
    forces=st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6),
    maxstep=st.floats(0.01, 1.0),
)
def test_no_step_is_longer_than_maxstep(forces: list[float], maxstep: float) -> None:
    parameters = FireSettings(maxstep=maxstep)
    state = fire_init(2, parameters)
    for _ in range(5):
        displacement, state = fire_step(state, np.reshape(forces, (2, 3)), parameters)
        assert np.linalg.norm(displacement) <= maxstep * (1 + 1e-12)


def test_states_are_not_changed_in_place() -> None:
    parameters = FireSettings()
    state = fire_init(1, parameters)
    _, second = fire_step(state, np.ones((1, 3)), parameters)
    kept = second.velocities.copy()
    fire_step(second, -np.ones((1, 3)), parameters)
    fire_step(second, np.ones((1, 3)), parameters)
    assert not state.velocities.any()
    np.testing.assert_array_equal(second.velocities, kept)
