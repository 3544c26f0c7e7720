"""Where a relaxation stands, so that it can go on after an interruption."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame
from defectscout.relaxation.corrected import CorrectedState
from defectscout.relaxation.corrected_model import Known
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.lbfgs import LbfgsState

OptimiserState = FireState | LbfgsState | CorrectedState


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A relaxation after the evaluation of one frame.

    A resumed relaxation takes its next step from `frame.prediction`, so that no
    force call is spent again.

    Attributes:
        frame: the last frame that was evaluated.
        optimiser: the optimiser's state *before* the forces of that frame were used.
        initial_energy: energy of frame 0, eV.
    """

    frame: Frame
    optimiser: OptimiserState
    initial_energy: float


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a relaxation starts or goes on.

    Attributes:
        label: name of the sampling structure.
        atoms: the structure at step 0, also when the relaxation is resumed.
        checkpoint: where it was interrupted; None to start at `atoms`.
    """

    label: str
    atoms: Atoms
    checkpoint: Checkpoint | None = None


def to_bytes(state: OptimiserState) -> bytes:
    """Exact binary form of an optimiser's state, a NumPy `.npz` archive."""
    buffer = io.BytesIO()
    if isinstance(state, FireState):
        np.savez(
            buffer,
            kind="fire",
            velocities=state.velocities,
            scalars=np.array([state.dt, state.alpha, state.n_downhill]),
        )
    elif isinstance(state, CorrectedState):
        np.savez(
            buffer,
            kind="corrected",
            positions=state.known.positions,
            energies=np.array([state.known.energies, state.known.surrogate_energies]),
            forces=np.array([state.known.forces, state.known.surrogate_forces]),
            scalars=np.array([state.known.best, state.trust, state.expected]),
        )
    else:
        np.savez(
            buffer,
            kind="lbfgs",
            steps=state.steps,
            changes=state.changes,
            last=np.array([state.step, state.gradient]),
            scalars=np.array([state.energy, state.trust]),
        )
    return buffer.getvalue()


def from_bytes(data: bytes) -> OptimiserState:
    """The state that `to_bytes` wrote.

    Raises:
        CampaignError: if `data` is not such a state.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            kind = str(archive["kind"])
            if kind == "fire":
                dt, alpha, n_downhill = (float(x) for x in archive["scalars"])
                return FireState(archive["velocities"], dt, alpha, int(n_downhill))
            if kind == "lbfgs":
                energy, trust = (float(x) for x in archive["scalars"])
                step, gradient = archive["last"]
                return LbfgsState(archive["steps"], archive["changes"], step, gradient, energy, trust)
            if kind == "corrected":
                return _corrected(archive)
    except Exception as error:
        raise CampaignError(_UNREADABLE) from error
    raise CampaignError(_UNREADABLE)


def _corrected(archive: Mapping[str, NDArray[np.float64]]) -> CorrectedState:
    best, trust, expected = (float(x) for x in archive["scalars"])
    energies, surrogate_energies = archive["energies"]
    forces, surrogate_forces = archive["forces"]
    known = Known(archive["positions"], energies, forces, surrogate_energies, surrogate_forces, int(best))
    return CorrectedState(known, trust, expected)


_UNREADABLE = (
    "The recorded state of an optimiser cannot be read: it is damaged or was written by another version. "
    "Start this relaxation anew, or use the version of defectscout that wrote the campaign."
)
