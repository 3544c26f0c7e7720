"""Input of Quantum ESPRESSO's pw.x, from settings to text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.units import Bohr, Rydberg

from defectscout.references.base import ElectronicState
from defectscout.references.espresso_output import FORCE_UNIT
from defectscout.references.espresso_pseudos import Pseudo, choose_pseudos, cutoffs
from defectscout.references.espresso_settings import EspressoSettings

PREFIX: Final = "espresso"
"""Beginning of the names of what pw.x writes."""

OUT: Final = "out"
"""Folder that pw.x keeps density and wavefunctions in."""

_KBAR: Final = 0.1
"""GPa."""

Value = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Task:
    """What pw.x is to do.

    Attributes:
        calculation: `scf`, `relax` or `vc-relax`.
        reuse: whether density and wavefunctions of an earlier calculation are there to start from.
        title: said in a comment at the top.
    """

    calculation: str
    reuse: bool
    title: str = ""


def input_text(atoms: Atoms, state: ElectronicState, settings: EspressoSettings, task: Task) -> str:
    """An input of pw.x: at the Γ point and without use of symmetry, which defects break on their way.

    Only `vc-relax`, which is for hosts and so perhaps for a primitive cell, has more k-points, and symmetry.

    A relaxation ends when the largest component of a force is below the setting: the criterion of the energy is one
    that is always met.

    Raises:
        UnsupportedElementError, InputFileError, MissingProgramError: as `choose_pseudos`.
        SettingsError: no cutoff is known.
    """
    pseudos = choose_pseudos(atoms.get_chemical_symbols(), settings)
    grid = kpoints(atoms, settings) if task.calculation == "vc-relax" else (1, 1, 1)
    relaxes = task.calculation != "scf"
    lines = [f"! {task.title}"] if task.title else []
    lines += _namelist("CONTROL", _control(settings, task, pseudos))
    lines += _namelist("SYSTEM", _system(atoms, state, settings, pseudos, grid))
    lines += _namelist("ELECTRONS", _electrons(settings, task))
    if relaxes:
        # pw.x would tighten conv_thr a hundredfold on its way: forces of each step are as good as those of the last.
        lines += _namelist("IONS", {"ion_dynamics": "bfgs", "upscale": 1.0})
    if task.calculation == "vc-relax":
        lines += _namelist("CELL", {"cell_dynamics": "bfgs", "press_conv_thr": settings.host_pressure / _KBAR})
    lines.append("ATOMIC_SPECIES")
    lines += [f"  {p.symbol} {atomic_masses[atomic_numbers[p.symbol]]:.6f} {p.path.name}" for p in pseudos]
    points = ["K_POINTS gamma"]
    if grid != (1, 1, 1):
        points = ["K_POINTS automatic", f"  {' '.join(str(count) for count in grid)} 0 0 0"]
    return "\n".join([*lines, *points, *structure_cards(atoms)]) + "\n"


def kpoints(atoms: Atoms, settings: EspressoSettings) -> tuple[int, int, int]:
    """A grid around the Γ point, as dense as the settings have it for hosts."""
    lengths = 2 * math.pi * np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    first, second, third = (max(1, math.ceil(length / settings.host_kpoint_spacing - 1e-6)) for length in lengths)
    return first, second, third


def structure_cards(atoms: Atoms) -> list[str]:
    """Cell and positions in Å, to the last digit."""
    places = zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    return [
        "CELL_PARAMETERS angstrom",
        *(f"  {numbers(row)}" for row in atoms.cell.array),
        "ATOMIC_POSITIONS angstrom",
        *(f"  {symbol} {numbers(place)}" for symbol, place in places),
    ]


def pseudo_dir(settings: EspressoSettings, pseudos: Sequence[Pseudo]) -> str:
    """The folder of the potentials as an input names it."""
    return settings.pseudo_dir or str(pseudos[0].path.parent.resolve())


def _control(settings: EspressoSettings, task: Task, pseudos: Sequence[Pseudo]) -> Mapping[str, Value]:
    values: dict[str, Value] = {
        "calculation": task.calculation,
        "prefix": PREFIX,
        "outdir": f"./{OUT}",
        "pseudo_dir": pseudo_dir(settings, pseudos),
        "tprnfor": True,
        "tstress": True,
        "disk_io": "low",
    }
    if task.calculation != "scf":
        force = settings.host_force if task.calculation == "vc-relax" else settings.force
        values |= {"nstep": settings.max_steps, "forc_conv_thr": force / FORCE_UNIT, "etot_conv_thr": 1.0}
        if settings.walltime:
            values["max_seconds"] = round(settings.walltime * 3600)
    return values


def _system(
    atoms: Atoms,
    state: ElectronicState,
    settings: EspressoSettings,
    pseudos: Sequence[Pseudo],
    grid: tuple[int, int, int],
) -> Mapping[str, Value]:
    cutoff, density_cutoff = cutoffs(pseudos, settings)
    values: dict[str, Value] = {
        "ibrav": 0,
        "nat": len(atoms),
        "ntyp": len(pseudos),
        "ecutwfc": cutoff,
        "ecutrho": density_cutoff,
        "occupations": "smearing" if settings.smearing else "fixed",
        "nosym": grid == (1, 1, 1),
        "tot_charge": state.charge,
    }
    if state.multiplicity is not None and state.multiplicity > 1:
        values |= {"nspin": 2, "tot_magnetization": state.multiplicity - 1}
    if settings.smearing:
        values |= {"smearing": "gaussian", "degauss": settings.smearing / Rydberg}
    if settings.hybrid:
        values |= {
            "input_dft": "HSE",
            "exx_fraction": settings.exact_exchange,
            "screening_parameter": settings.screening * Bohr,
            "exxdiv_treatment": "gygi-baldereschi",
            "x_gamma_extrapolation": True,
            **{f"nqx{axis}": count for axis, count in enumerate(grid, 1)},
        }
    else:
        values["input_dft"] = settings.functional
    return values


def _electrons(settings: EspressoSettings, task: Task) -> Mapping[str, Value]:
    start: dict[str, Value] = {"startingpot": "file", "startingwfc": "file"} if task.reuse else {}
    return {
        "conv_thr": settings.conv_thr,
        "electron_maxstep": settings.max_scf,
        "mixing_beta": settings.mixing,
        "mixing_mode": settings.mixing_mode,
        "diagonalization": settings.diagonalisation,
        **start,
    }


def _namelist(name: str, values: Mapping[str, Value]) -> list[str]:
    return [f"&{name}", *(f"  {key} = {fortran(value)}" for key, value in values.items()), "/"]


def fortran(value: Value) -> str:
    """A value as a namelist has it."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return f"'{value}'"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def numbers(row: Sequence[float]) -> str:
    """Three of them to the last digit."""
    return " ".join(f"{value:.12f}" for value in row)


def exists(folder: Path) -> bool:
    """Whether density and wavefunctions of an earlier calculation are in a folder."""
    saved = folder / OUT / f"{PREFIX}.save"
    return any((saved / f"charge-density.{end}").is_file() for end in ("dat", "hdf5"))
