"""Stands in for VASP: relaxes POSCAR on the model crystal's surface and leaves the files that VASP would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io import read, write
from ase.optimize import FIRE

from learning.vasp_files import IonicStep, VaspSettings
from model_crystal import ModelCrystal
from references.vasp_runs import outcar_text

FORCE = 0.01  # eV/Å
VALENCES = {"Mg": 2.0, "S": 6.0}


@dataclass
class StandIn:
    """How it is run.

    Attributes:
        steps: ionic steps that it may take.
        killed: whether its output ends without an end.
        charge: of the cell.
        hybrid: whether it says that it is HSE06; PBE if not.
        electronic: electronic steps of each ionic step; 60 is one too many.
        bond: depth of the model crystal's bond, eV.
    """

    steps: int = 300
    killed: bool = False
    charge: int = 0
    hybrid: bool = False
    electronic: int = 8
    bond: float = 4.5

    def run(self, folder: Path) -> None:
        atoms = read(folder / "POSCAR", format="vasp")
        atoms.calc = ModelCrystal(bond=self.bond)
        taken: list[IonicStep] = []

        def keep() -> None:
            if len(taken) < self.steps:
                energy, stress = atoms.get_potential_energy(), atoms.get_stress()
                taken.append(IonicStep(atoms.copy(), energy, atoms.get_forces().copy(), stress, self.electronic))

        optimiser = FIRE(atoms, logfile=None)
        optimiser.attach(keep)
        optimiser.run(fmax=FORCE, steps=self.steps - 1)
        fmax = np.linalg.norm(taken[-1].forces, axis=1).max()
        electrons = sum(VALENCES[symbol] for symbol in atoms.get_chemical_symbols()) - self.charge
        settings = VaspSettings(
            nelect=electrons, hybrid=self.hybrid, aexx=0.25, hfscreen=0.2, valences=VALENCES, gga="PE"
        )
        text = outcar_text(
            taken, reached=bool(fmax < FORCE), nsw=self.steps, scf=self.electronic < 60, settings=settings
        )
        if self.killed:
            text = text.partition(" General timing")[0]
        (folder / "OUTCAR").write_text(text)
        write(folder / "CONTCAR", taken[-1].atoms, format="vasp", direct=True)
