"""Frames for tests: made up ones, and true relaxations of the model crystal (see model_crystal.py)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.optimize import FIRE

from defectscout.core.frames import Prediction
from defectscout.learning.frames import FrameOrigin, IndexRow, LabelledFrame
from model_crystal import LATTICE_PARAMETER, ModelCrystal

CRYSTAL = bulk("CdTe", "zincblende", a=6.5, cubic=True)


def origin(
    step: int = 0,
    start: str = "Unperturbed",
    defect: str = "v_Cd",
    charge: int = 0,
    host: str = "CdTe",
    method: str = "toy",
    source: str = "toy.extxyz",
) -> FrameOrigin:
    return FrameOrigin(host, defect, charge, start, step, method, source)


def frame(
    where: FrameOrigin,
    seed: int = 0,
    energy: float | None = None,
    atoms: Atoms = CRYSTAL,
    scf_converged: bool | None = None,
) -> LabelledFrame:
    """A rattled crystal with made-up labels; the same for the same arguments."""
    random = np.random.default_rng([seed, where.step])
    moved = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    moved.positions += random.normal(scale=0.1, size=(len(moved), 3))
    energy = float(random.normal(-30.0)) if energy is None else energy
    prediction = Prediction(energy, random.normal(size=(len(moved), 3)), random.normal(scale=0.01, size=6))
    return LabelledFrame(moved, prediction, where, scf_converged)


def row(
    number: int,
    where: FrameOrigin | None = None,
    energy: float = -30.0,
    fmax: float = 1.0,
    scf_converged: bool | None = None,
    dropped: str = "",
    composition: tuple[tuple[str, int], ...] = (("Cd", 4), ("Te", 4)),
) -> IndexRow:
    return IndexRow(number, where or origin(number), energy, fmax, composition, scf_converged, dropped, selected=False)


@cache
def vacancy_relaxation(seed: int, steps: int) -> tuple[Atoms, ...]:
    """Ionic steps of v_Mg in the model crystal from a rattled start, with energies, forces and stresses."""
    host = bulk("MgS", "rocksalt", a=LATTICE_PARAMETER, cubic=True) * (2, 2, 2)
    atoms = host[1:]
    atoms.rattle(0.15, seed=seed)
    return _relaxed(atoms, steps)


@cache
def bulk_relaxation(steps: int) -> tuple[Atoms, ...]:
    """Ionic steps of the pristine model crystal from a slightly rattled start."""
    atoms = bulk("MgS", "rocksalt", a=LATTICE_PARAMETER, cubic=True) * (2, 2, 2)
    atoms.rattle(0.03, seed=1)
    return _relaxed(atoms, steps)


def _relaxed(atoms: Atoms, steps: int) -> tuple[Atoms, ...]:
    atoms.calc = ModelCrystal()
    frames: list[Atoms] = []

    def keep() -> None:
        now = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        results = {name: atoms.calc.results[name] for name in ("energy", "forces", "stress")}
        now.calc = SinglePointCalculator(now, **results)
        frames.append(now)

    optimiser = FIRE(atoms, logfile=None)
    optimiser.attach(keep)
    optimiser.run(fmax=1e-3, steps=steps - 1)
    return tuple(frames)


def write_extxyz(path: Path, frames: Iterable[Atoms], **info: str | int) -> Path:
    """Frames as a file that says what they are of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = []
    for step, atoms in enumerate(frames):
        copy = atoms.copy()
        copy.calc = atoms.calc
        copy.info.update(info, step=step)
        named.append(copy)
    write(path, named, format="extxyz")
    return path


def toy_sources(folder: Path, relaxations: int = 2, steps: int = 8) -> Path:
    """A folder with relaxations of v_Mg in MgS and of pristine MgS."""
    for seed in range(relaxations):
        write_extxyz(
            folder / f"start_{seed}.extxyz",
            vacancy_relaxation(seed, steps),
            host="MgS", defect="v_Mg", charge=0, start=f"Rattled_{seed}", method="model",
        )  # fmt: skip
    write_extxyz(
        folder / "bulk.extxyz", bulk_relaxation(6),
        host="MgS", defect="bulk", charge=0, start="Unperturbed", method="model",
    )  # fmt: skip
    return folder
