"""A random sample of atoms with their forces, for figures of datasets that do not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from defectscout.core.frames import FloatArray, Prediction
from defectscout.learning.frames import DefectId, LabelledFrame


@dataclass(frozen=True, slots=True, eq=False)
class ForceSample:
    """Forces on a sample of atoms.

    Attributes:
        defect_ids: the defect of each atom's frame.
        reference: eV/Å, shape (n, 3).
        predicted: eV/Å, shape (n, 3).
        n_seen: atoms that the sample was drawn from.
    """

    defect_ids: tuple[DefectId, ...]
    reference: FloatArray
    predicted: FloatArray
    n_seen: int


@dataclass(slots=True)
class ForceSampler:
    """Keeps a uniform random sample of the atoms that it is shown: those with the largest random keys.

    Args:
        most: atoms kept.
        seed: of the draws.
    """

    most: int = 20_000
    seed: int = 0
    _generator: np.random.Generator = field(init=False)
    _defects: dict[DefectId, int] = field(default_factory=dict)
    _parts: list[FloatArray] = field(default_factory=list)
    _kept: int = 0
    _seen: int = 0

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)

    def add(self, frame: LabelledFrame, prediction: Prediction) -> None:
        """Show it the atoms of a frame."""
        n_atoms = len(prediction.forces)
        number = self._defects.setdefault(frame.origin.defect_id, len(self._defects))
        columns = (
            self._generator.random(n_atoms)[:, None],
            np.full((n_atoms, 1), float(number)),
            frame.prediction.forces,
            prediction.forces,
        )
        self._parts.append(np.hstack(columns))
        self._kept += n_atoms
        self._seen += n_atoms
        if self._kept > 2 * self.most:
            self._parts = [self._largest()]
            self._kept = len(self._parts[0])

    def result(self) -> ForceSample:
        """The sample so far, in random order."""
        rows = self._largest()
        names = tuple(self._defects)
        return ForceSample(tuple(names[int(number)] for number in rows[:, 1]), rows[:, 2:5], rows[:, 5:8], self._seen)

    def _largest(self) -> FloatArray:
        rows = np.vstack(self._parts) if self._parts else np.zeros((0, 8))
        return rows[np.argsort(-rows[:, 0], kind="stable")[: self.most]]
