"""Errors of a surrogate on labelled frames, one row of numbers for each frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray, Prediction
from defectscout.learning.frames import DefectId, FrameOrigin, LabelledFrame, RelaxationId

IntArray = NDArray[np.int64]

_NINE_FROM_VOIGT = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
"""How often each Voigt component stands in the stress tensor."""


@dataclass(frozen=True, slots=True)
class Landscape:
    """A defect in one supercell: the configurations whose energies can be compared with each other.

    Attributes:
        defect_id: which defect.
        composition: formula of the supercell, such as `Cd26Te27`.
    """

    defect_id: DefectId
    composition: str

    def __str__(self) -> str:
        return f"{self.defect_id} ({self.composition})"


@dataclass(frozen=True, slots=True, eq=False)
class FrameErrors:
    """What is kept of each frame: a few numbers, so that 100,000 frames fit.

    All arrays have shape (n_frames,).

    Attributes:
        landscapes: the defects that the frames belong to.
        relaxations: the relaxations that they come from.
        landscape: index into `landscapes`.
        relaxation: index into `relaxations`.
        step: ionic step.
        n_atoms: atoms of the cell.
        energy_reference: eV for the cell.
        energy_predicted: eV for the cell.
        force_absolute: sum of the absolute errors of the 3n force components, eV/Å.
        force_square: sum of their squares, (eV/Å)².
        force_error: length of the error of the force on an atom, averaged over the atoms, eV/Å.
        fmax_reference: largest force on an atom, eV/Å.
        stress_absolute: sum of the absolute errors of the nine components of the stress tensor, eV/Å³; NaN where
            reference or surrogate has no stress.
        stress_square: sum of their squares, (eV/Å³)²; NaN likewise.
        failed: frames that the surrogate could not evaluate, or with numbers that are not finite; in no array.
    """

    landscapes: tuple[Landscape, ...]
    relaxations: tuple[RelaxationId, ...]
    landscape: IntArray
    relaxation: IntArray
    step: IntArray
    n_atoms: IntArray
    energy_reference: FloatArray
    energy_predicted: FloatArray
    force_absolute: FloatArray
    force_square: FloatArray
    force_error: FloatArray
    fmax_reference: FloatArray
    stress_absolute: FloatArray
    stress_square: FloatArray
    failed: tuple[FrameOrigin, ...]

    def __len__(self) -> int:
        return len(self.landscape)

    @property
    def is_bulk(self) -> NDArray[np.bool_]:
        """Which frames are of a pristine host."""
        bulk = np.array([item.defect_id.is_bulk for item in self.landscapes], dtype=bool)
        return bulk[self.landscape] if len(self) else np.zeros(0, dtype=bool)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host of each frame."""
        names = [item.defect_id.host for item in self.landscapes]
        return tuple(names[index] for index in self.landscape)


@dataclass(slots=True)
class ErrorAccumulator:
    """Takes frames one after the other and keeps only their errors."""

    _landscapes: dict[Landscape, int] = field(default_factory=dict)
    _relaxations: dict[RelaxationId, int] = field(default_factory=dict)
    _indices: list[tuple[int, int, int, int]] = field(default_factory=list)
    _numbers: list[tuple[float, ...]] = field(default_factory=list)
    _failed: list[FrameOrigin] = field(default_factory=list)

    def add(self, frame: LabelledFrame, prediction: Prediction | None) -> bool:
        """Take one frame and what the surrogate says of it; None if it could not be evaluated.

        Returns:
            Whether the frame counts: False for one that was not evaluated or has numbers that are not finite.

        Raises:
            ValueError: forces of different shapes.
        """
        reference = frame.prediction
        if prediction is not None and prediction.forces.shape != reference.forces.shape:
            raise ValueError(
                f"{frame.origin.relaxation}, step {frame.origin.step}: forces of shapes {reference.forces.shape} and "
                f"{prediction.forces.shape}"
            )
        if prediction is None or not (_is_finite(reference) and _is_finite(prediction)):
            self._failed.append(frame.origin)
            return False
        landscape = Landscape(frame.origin.defect_id, frame.atoms.get_chemical_formula())
        self._indices.append(
            (
                self._landscapes.setdefault(landscape, len(self._landscapes)),
                self._relaxations.setdefault(frame.origin.relaxation, len(self._relaxations)),
                frame.origin.step,
                len(frame.atoms),
            )
        )
        self._numbers.append(_numbers(reference, prediction))
        return True

    def result(self) -> FrameErrors:
        """The errors of all frames so far."""
        indices = np.array(self._indices, dtype=np.int64).reshape(-1, 4)
        numbers = np.array(self._numbers, dtype=float).reshape(-1, 8)
        return FrameErrors(
            landscapes=tuple(self._landscapes),
            relaxations=tuple(self._relaxations),
            landscape=indices[:, 0],
            relaxation=indices[:, 1],
            step=indices[:, 2],
            n_atoms=indices[:, 3],
            energy_reference=numbers[:, 0],
            energy_predicted=numbers[:, 1],
            force_absolute=numbers[:, 2],
            force_square=numbers[:, 3],
            force_error=numbers[:, 4],
            fmax_reference=numbers[:, 5],
            stress_absolute=numbers[:, 6],
            stress_square=numbers[:, 7],
            failed=tuple(self._failed),
        )


def measure_errors(frames: Iterable[LabelledFrame], predictions: Iterable[Prediction | None]) -> FrameErrors:
    """Errors of `predictions` on `frames`, in the same order; both may be streams.

    Raises:
        ValueError: unequal numbers of frames and predictions, or forces of different shapes.
    """
    accumulator = ErrorAccumulator()
    for frame, prediction in zip(frames, predictions, strict=True):
        accumulator.add(frame, prediction)
    return accumulator.result()


def _is_finite(prediction: Prediction) -> bool:
    stress = prediction.stress if prediction.stress is not None else 0.0
    return all(bool(np.isfinite(value).all()) for value in (prediction.energy, prediction.forces, stress))


def _numbers(reference: Prediction, prediction: Prediction) -> tuple[float, ...]:
    difference = prediction.forces - reference.forces
    stress_absolute = stress_square = np.nan
    if reference.stress is not None and prediction.stress is not None:
        error = prediction.stress - reference.stress
        stress_absolute, stress_square = np.abs(error) @ _NINE_FROM_VOIGT, error**2 @ _NINE_FROM_VOIGT
    return (
        reference.energy,
        prediction.energy,
        float(np.abs(difference).sum()),
        float((difference**2).sum()),
        float(np.linalg.norm(difference, axis=1).mean()),
        reference.fmax,
        float(stress_absolute),
        float(stress_square),
    )
