"""Output of Quantum ESPRESSO's pw.x: its ionic steps.

Units are pw.x's own in the output (Ry, bohr) and eV and Å in what is returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.units import Bohr, Rydberg

from defectscout.core.frames import FloatArray

FINAL: Final = "scf calculation at the relaxed structure"
"""Ends a relaxation of the cell: one more calculation, in another basis. Before it stands `A final` or `Final`."""

FORCE_UNIT: Final = Rydberg / Bohr
"""pw.x's unit of forces in eV/Å."""

_NUMBER: Final = r"-?\d+\.\d+"  # columns may touch: a minus sign is all that stands between them
_ENERGY: Final = re.compile(r"^(!!|!|) *total energy +=\s*(\S+) Ry", re.MULTILINE)
_FORCE: Final = re.compile(rf"^ +atom +\d+ +type +\d+ +force = *({_NUMBER}) *({_NUMBER}) *({_NUMBER})", re.MULTILINE)
_STRUCTURE: Final = re.compile(
    r"(?:^CELL_PARAMETERS\W+(?P<cell_unit>\w+)(?:= *(?P<alat>[\d.]+))?.*\n(?P<cell>(?:.*\n){3})\s*)?"
    r"^ATOMIC_POSITIONS\W+(?P<unit>\w+).*\n(?P<sites>(?: *[A-Za-z]\w*(?: +-?\d\S*){3}.*\n)+)",
    re.MULTILINE,
)
_SITE: Final = re.compile(
    rf"^ +\d+ +([A-Za-z]+)\S* +tau\( *\d+\) = \( *({_NUMBER}) *({_NUMBER}) *({_NUMBER})", re.MULTILINE
)
_AXIS: Final = re.compile(rf"^ +a\([123]\) = \( *({_NUMBER}) *({_NUMBER}) *({_NUMBER})", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class IonicStep:
    """A structure and what was calculated for it.

    Attributes:
        atoms: the structure, periodic, without calculator.
        energy: total energy, eV; where electrons are smeared, the free energy, whose gradient the forces are.
        forces: shape (n_atoms, 3), eV/Å; None where they were not printed (yet).
        stress: shape (6,), Voigt order xx yy zz yz xz xy, eV/Å³, ASE's sign; None where not printed.
        scf_converged: whether the self-consistent field converged, that of exact exchange included.
    """

    atoms: Atoms
    energy: float
    forces: FloatArray | None
    stress: FloatArray | None
    scf_converged: bool


def ionic_steps(text: str) -> Iterator[IonicStep]:
    """The ionic steps in an output that may hold several runs, and may be cut anywhere.

    With a hybrid functional pw.x prints the energy of each self-consistent field inside the loop over exact exchange,
    the first without any exchange; the one that counts comes last, marked with `!!`. The calculation that ends a
    relaxation of the cell is left out, for its basis is another one.

    Raises:
        ValueError: the output is not as pw.x writes it.
    """
    for run in re.split(r"^(?= +Program PWSCF)", text, flags=re.MULTILINE):
        if "Program PWSCF" in run:
            yield from _steps_of_run(run.partition(FINAL)[0])


def _steps_of_run(run: str) -> Iterator[IonicStep]:
    atoms = _first_structure(run)
    if atoms is None:
        return
    hybrid = "EXX-fraction" in run
    at = 0
    for card in _STRUCTURE.finditer(run):
        yield from _results(run[at : card.start()], atoms, hybrid)
        atoms, at = _next_structure(card, atoms), card.end()
    yield from _results(run[at:], atoms, hybrid)


def _results(text: str, atoms: Atoms, hybrid: bool) -> Iterator[IonicStep]:
    """None or one ionic step."""
    energies: list[tuple[str, str]] = _ENERGY.findall(text)
    if not energies:
        return
    mark = "!!" if hybrid else "!"
    marked = [value for sign, value in energies if sign == mark]
    energy = float(marked[-1] if marked else energies[-1][1])
    yield IonicStep(atoms, energy * Rydberg, _forces(text, len(atoms)), _stress(text), bool(marked))


def _forces(text: str, count: int) -> FloatArray | None:
    # Contributions to the forces follow in the same form where a user asked for them.
    rows = _FORCE.findall(text.rpartition("Forces acting on atoms")[2])[:count]
    return np.array(rows, dtype=float) * FORCE_UNIT if len(rows) == count else None


def _stress(text: str) -> FloatArray | None:
    block = text.rpartition("total   stress")[2].splitlines()[1:4]
    rows = [re.findall(_NUMBER, line)[:3] for line in block]
    if [len(row) for row in rows] != [3, 3, 3]:
        return None
    tensor = -np.array(rows, dtype=float) * Rydberg / Bohr**3
    voigt: FloatArray = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return voigt


def _first_structure(run: str) -> Atoms | None:
    """The structure at the top of a run; None if it ended before that."""
    length = re.search(r"celldm\(1\)= *([\d.]+)", run)
    count = re.search(r"number of atoms/cell += *(\d+)", run)
    axes = _AXIS.findall(run)[:3]
    sites = _SITE.findall(run)[: int(count[1]) if count is not None else 0]
    if length is None or count is None or len(axes) < 3 or len(sites) < int(count[1]):
        return None
    alat = float(length[1]) * Bohr
    places = np.array([site[1:] for site in sites], dtype=float) * alat
    symbols = [site[0].capitalize() for site in sites]
    return Atoms(symbols, positions=places, cell=np.array(axes, dtype=float) * alat, pbc=True)


def _next_structure(card: re.Match[str], before: Atoms) -> Atoms:
    atoms = before.copy()
    if card["cell"] is not None:
        size = {"alat": float(card["alat"] or 0) * Bohr, "bohr": Bohr}.get(card["cell_unit"], 1.0)
        atoms.set_cell(np.array([row.split() for row in card["cell"].splitlines()], dtype=float) * size)
    places = np.array([row.split()[1:4] for row in card["sites"].splitlines()], dtype=float)
    if places.shape != atoms.positions.shape:
        raise ValueError(f"positions of {len(places)} atoms where there are {len(atoms)}")
    if card["unit"] == "crystal":
        atoms.set_scaled_positions(places)
    elif card["unit"] in ("angstrom", "bohr"):
        atoms.positions = places * (Bohr if card["unit"] == "bohr" else 1.0)
    else:
        raise ValueError(f"positions in units of {card['unit']}, which cannot be told")
    return atoms
