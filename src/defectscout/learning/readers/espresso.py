"""Quantum ESPRESSO's pw.x output."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.files import open_text
from defectscout.learning.readers.names import Said
from defectscout.learning.readers.steps import Rest, Step
from defectscout.learning.readers.vasp_header import charge_from
from defectscout.references.espresso_output import FINAL, ionic_steps

_FUNCTIONALS = {
    "PBE": "PBE",
    "SLA PW PBX PBC": "PBE",
    "PBESOL": "PBEsol",
    "SLA PW PSX PSC": "PBEsol",
    "PZ": "LDA",
    "LDA": "LDA",
    "SLA PZ NOGX NOGC": "LDA",
    "SLA PW NOGX NOGC": "LDA",
    "PW": "LDA",
    "HSE": "HSE",
    "PBE0": "PBE0",
    "SCAN": "SCAN",
}


def read_espresso(path: Path) -> Iterator[Item | Rest]:
    """Ionic steps in the output of pw.x; the file is held whole while it is read.

    The energy is pw.x's `total energy`, which is the free energy where electrons are smeared, and
    so the one whose gradient its forces are. A variable-cell relaxation ends with one more
    calculation in another basis, whose energy is on another scale: that one is left out.
    """
    number = 0
    try:
        with open_text(path) as file:
            text = file.read()
        steps, final, _ = text.partition(FINAL)
        said = Said(charge=_charge(steps), method=_functional(steps))
        has_forces = "Forces acting on atoms" in steps
        for found in ionic_steps(text):
            if found.forces is not None:
                step = Step(found.atoms, found.energy, found.forces, found.stress, found.scf_converged)
                yield Item(said, step, number)
            elif not found.scf_converged and "convergence NOT achieved" in steps:
                yield Rest(f"Ionic step {number} was not read: its self-consistent field did not converge.")
                continue
            elif not found.scf_converged or has_forces:
                continue  # cut before the forces, which is said below
            else:
                yield Rest(f"Ionic step {number} was not read: no forces. Run pw.x with tprnfor = .true.")
            number += 1
        if not number:
            yield Rest("It holds no ionic step with an energy.")
        elif "JOB DONE" not in text:
            yield Rest(f"The calculation was stopped or the file cut after {number} ionic steps; those were read.")
        if final:
            yield Rest("The last calculation of the variable-cell relaxation is in another basis and was left out.")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        yield Rest(f"Reading it stopped after {number} ionic steps: {type(error).__name__}: {error}.")


def _functional(text: str) -> str | None:
    found = re.search(r"Exchange-correlation\s*=\s*([A-Za-z0-9 +_-]+?)\s*(?:\(|$)", text, re.MULTILINE)
    if found is None:
        return None
    letters = " ".join(found[1].upper().replace("-", " ").split())
    name = _FUNCTIONALS.get(letters)
    if name == "HSE":
        share = re.search(r"EXX-fraction\s*=\s*([\d.]+)", text)
        exact = float(share[1]) if share else 0.25
        name = "HSE06" if abs(exact - 0.25) < 1e-6 else f"HSE({exact:g})"
    if name is not None and "DFT-D3" in text:
        name += "+D3"
    return name


def _charge(text: str) -> int | None:
    electrons = re.search(r"number of electrons\s*=\s*([\d.]+)", text)
    table = re.search(r"atomic species\s+valence.*\n((?:\s+\w+\s+[\d.]+\s+[\d.]+.*\n)+)", text)
    atoms = re.findall(r"^\s+\d+\s+(\w+)\s+tau\(", text, re.MULTILINE)
    if electrons is None or table is None or not atoms:
        return None
    count = re.search(r"number of atoms/cell\s*=\s*(\d+)", text)
    symbols = tuple(atoms[: int(count[1])] if count else atoms)
    valences = {row.split()[0]: float(row.split()[1]) for row in table[1].splitlines() if row.strip()}
    return charge_from(float(electrons[1]), valences, symbols)
