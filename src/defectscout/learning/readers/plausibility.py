"""Whether energies, forces and stresses of a relaxation can be in the units that they are taken to be in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from ase.geometry import find_mic
from ase.units import Bohr, GPa, Hartree, Rydberg, kcal, kJ, mol

from defectscout.core.frames import FloatArray
from defectscout.learning.frames import LabelledFrame

MIN_PAIRS: Final = 4
"""Pairs of frames below which nothing is decided."""

_MAX_STEP = 0.15  # Å, of any atom: the trapezoidal rule is good to a few per cent up to there
_MAX_STRAIN = 0.03
_NOISE = 2e-3  # eV, below which the convergence of the electronic structure decides
_OFF = 3.0
_SCATTER = 0.35  # of log10 between the quartiles
_TIGHT = 0.04


@dataclass(frozen=True, slots=True)
class _Work:
    """Energy changes between frames, and the work that forces or stresses do on the way, eV."""

    change: FloatArray
    work: FloatArray

    @property
    def ratios(self) -> FloatArray:
        clear = (np.abs(self.change) > _NOISE) & (self.work != 0)
        return np.asarray(self.change[clear] / self.work[clear])


def check_units(frames: Sequence[LabelledFrame]) -> str:
    """Say which unit of a relaxation is wrong; empty if none is, or if that cannot be told.

    Between two frames close to each other the energy falls by the work of the forces and of
    the stress, (F1 + F2)/2 · Δx and V (σ1 + σ2)/2 : ε. In a relaxation where the ratio of the two is
    three or more, or negative, in nearly all of at least four pairs, a unit or a sign is
    wrong; a ratio of 1.89 or 0.53 (Å and bohr) is believed when it hardly scatters.

    Args:
        frames: of one relaxation, in order.
    """
    forces, stresses = _forces_at_work(frames), _stresses_at_work(frames)
    n_atoms = len(frames[0].atoms) if frames else 1
    volume = float(frames[0].atoms.get_volume()) if frames else 1.0
    ratio = _wrong_ratio(forces)
    if ratio is not None:
        return _sentence("forces", ratio, _force_units(n_atoms))
    ratio = _wrong_ratio(stresses)
    return _sentence("stresses", ratio, _stress_units(volume)) if ratio is not None else ""


def _pairs(frames: Sequence[LabelledFrame]) -> list[tuple[LabelledFrame, LabelledFrame]]:
    return [
        (one, two)
        for one, two in pairwise(frames)
        if np.array_equal(one.atoms.numbers, two.atoms.numbers)
        and one.scf_converged is not False
        and two.scf_converged is not False
    ]


def _forces_at_work(frames: Sequence[LabelledFrame]) -> _Work:
    change, work = [], []
    for one, two in _pairs(frames):
        if not np.allclose(one.atoms.cell.array, two.atoms.cell.array, atol=1e-6):
            continue
        moved, distance = find_mic(two.atoms.positions - one.atoms.positions, one.atoms.cell, pbc=True)
        if distance.max() > _MAX_STEP:
            continue
        change.append(two.prediction.energy - one.prediction.energy)
        work.append(-float(((one.prediction.forces + two.prediction.forces) / 2 * moved).sum()))
    return _Work(np.array(change), np.array(work))


def _stresses_at_work(frames: Sequence[LabelledFrame]) -> _Work:
    change, work = [], []
    for one, two in _pairs(frames):
        if one.prediction.stress is None or two.prediction.stress is None:
            continue
        gradient = np.linalg.solve(one.atoms.cell.array, two.atoms.cell.array)
        strain = (gradient + gradient.T) / 2 - np.eye(3)
        size = np.abs(strain).max()
        if size < 1e-6 or size > _MAX_STRAIN:
            continue
        moved, distance = find_mic(two.atoms.positions - one.atoms.positions @ gradient, two.atoms.cell, pbc=True)
        if distance.max() > _MAX_STEP:
            continue
        of_forces = -float(((one.prediction.forces + two.prediction.forces) / 2 * moved).sum())
        stress = (one.prediction.stress + two.prediction.stress) / 2
        volume = (one.atoms.get_volume() + two.atoms.get_volume()) / 2
        own = volume * float(stress @ (strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]))
        change.append(two.prediction.energy - one.prediction.energy - of_forces)
        work.append(own)
    return _Work(np.array(change), np.array(work))


def _wrong_ratio(pairs: _Work) -> float | None:
    """The ratio of energy change and work, if it is clear and not 1."""
    ratios = pairs.ratios
    if len(ratios) < MIN_PAIRS:
        return None
    median = float(np.median(ratios))
    if median == 0 or np.mean(np.sign(ratios) == np.sign(median)) < 0.85:
        return None
    logs = np.log10(np.abs(ratios[np.sign(ratios) == np.sign(median)]))
    scatter = float(np.subtract(*np.percentile(logs, [75, 25])))
    off = abs(np.log10(abs(median)))
    if scatter < _SCATTER and (off > np.log10(_OFF) or median < 0):
        return median
    length = abs(off - np.log10(1 / Bohr)) < 0.03
    return median if length and scatter < _TIGHT else None


def _force_units(n_atoms: int) -> tuple[tuple[float, str], ...]:
    """Ratios of energy change and work that a wrong unit gives, and what it is."""
    return (
        (-1.0, "the forces have the opposite sign (they are gradients)"),
        (1 / Hartree, "the energies are in hartree rather than eV"),
        (1 / Rydberg, "the energies are in rydberg rather than eV"),
        (Hartree / Bohr, "the forces are in hartree/bohr rather than eV/Å"),
        (Rydberg / Bohr, "the forces are in rydberg/bohr rather than eV/Å"),
        (1 / Bohr, "energies are in hartree (or rydberg) and forces in hartree/bohr (or rydberg/bohr)"),
        (Bohr, "the lengths are in bohr rather than Å"),
        (1 / n_atoms, "the energies are per atom rather than of the whole cell"),
        (mol / kJ, "the energies are in kJ/mol rather than eV"),
        (mol / kcal, "the energies are in kcal/mol rather than eV"),
        (1000.0, "the energies are in meV rather than eV"),
        (1 / 1000.0, "the forces are in meV/Å rather than eV/Å"),
    )


def _stress_units(volume: float) -> tuple[tuple[float, str], ...]:
    plain = (
        (GPa, "the stresses are in GPa rather than eV/Å³"),
        (GPa / 10, "the stresses are in kbar rather than eV/Å³"),
        (Hartree / Bohr**3, "the stresses are in hartree/bohr³ rather than eV/Å³"),
        (Rydberg / Bohr**3, "the stresses are in rydberg/bohr³ rather than eV/Å³"),
        (1 / volume, "the stresses are virials (times the volume)"),
    )
    opposite = "with the opposite sign (ASE's is positive where the cell wants to contract)"
    turned = tuple((-ratio, f"{text}, {opposite}") for ratio, text in plain)
    return ((-1.0, f"the stresses come {opposite}"), *plain, *turned)


def _sentence(what: str, ratio: float, units: Sequence[tuple[float, str]]) -> str:
    same_sign = [(abs(np.log(ratio / factor)), text) for factor, text in units if ratio / factor > 0]
    distance, text = min(same_sign, default=(np.inf, ""))
    likely = f"Most likely {text}" if distance < np.log(1.35) else "No usual unit gives that factor"
    return (
        f"from step to step the energy changes by {ratio:.3g} times the work of the {what}, which should be once. "
        f"{likely}: convert the file to eV, eV/Å and eV/Å³ (ASE's sign) and read it again."
    )
