from __future__ import annotations

import numpy as np
import pytest

from defectscout.core.errors import CampaignError
from defectscout.relaxation.corrected import CorrectedState
from defectscout.relaxation.corrected_model import Known
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from defectscout.relaxation.records import from_bytes, to_bytes


def test_fire_state_comes_back_exactly() -> None:
    state = FireState(np.random.default_rng(0).normal(size=(5, 3)), 0.1 / 3, 0.1 * 0.99**7, 4)
    back = from_bytes(to_bytes(state))
    assert isinstance(back, FireState)
    np.testing.assert_array_equal(back.velocities, state.velocities)
    assert (back.dt, back.alpha, back.n_downhill) == (state.dt, state.alpha, state.n_downhill)
    assert isinstance(back.n_downhill, int)


@pytest.mark.parametrize("n_steps", [0, 3])
def test_lbfgs_state_comes_back_exactly(n_steps: int) -> None:
    rng = np.random.default_rng(1)
    state = lbfgs_init(4)
    for k in range(n_steps):
        _, state = lbfgs_step(state, -float(k), rng.normal(size=(4, 3)), np.ones((4, 1)))
    back = from_bytes(to_bytes(state))
    assert isinstance(back, LbfgsState)
    for name in ("steps", "changes", "step", "gradient", "energy", "trust"):
        np.testing.assert_array_equal(getattr(back, name), getattr(state, name))


@pytest.mark.parametrize("m", [0, 3])
def test_corrected_state_comes_back_exactly(m: int) -> None:
    rng = np.random.default_rng(2)
    rows, values = (m, 5, 3), rng.normal(size=(2, m))
    known = Known(rng.normal(size=rows), values[0], rng.normal(size=rows), values[1], rng.normal(size=rows), m - 1)
    state = CorrectedState(known, 0.1 / 3, -0.7 / 3)
    back = from_bytes(to_bytes(state))
    assert isinstance(back, CorrectedState)
    for name in ("positions", "energies", "forces", "surrogate_energies", "surrogate_forces"):
        np.testing.assert_array_equal(getattr(back.known, name), getattr(known, name))
    assert (back.known.best, back.trust, back.expected) == (m - 1, state.trust, state.expected)
    assert isinstance(back.known.best, int)


@pytest.mark.parametrize("data", [b"", b"nonsense", to_bytes(FireState(np.zeros((2, 3)), 0.1, 0.1, 0))[:-30]])
def test_damaged_bytes_are_said_to_be_damaged(data: bytes) -> None:
    with pytest.raises(CampaignError, match="cannot be read"):
        from_bytes(data)
