"""Small defects of zincblende CdTe, made with ASE alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atom, Atoms
from ase.build import bulk
from ase.build.tools import sort

from defectscout.core.defect import Defect, DefectKind


def cdte(repeat: int = 2) -> Atoms:
    return sort(bulk("CdTe", "zincblende", a=6.62, cubic=True) * (repeat, repeat, repeat))


def vacancy(charge: int = 0, host: Atoms | None = None, index: int = 0) -> Defect:
    """v_Cd, or the vacancy of any atom of `host`, in the charge states that leave 2 + charge holes."""
    pristine = cdte() if host is None else host
    atoms = pristine.copy()
    symbol = atoms[index].symbol
    site = atoms.get_scaled_positions()[index]
    del atoms[index]
    return Defect(f"v_{symbol}", charge, DefectKind.VACANCY, atoms, pristine, site, 1, "Td", 2 + charge)


def antisite() -> Defect:
    """Cd_Te: neutral, with four electrons too many; the antisite atom comes last."""
    pristine = cdte()
    index = len(pristine) - 1
    site = pristine.get_scaled_positions()[index]
    atoms = pristine.copy()
    del atoms[index]
    atoms.append(Atom("Cd", pristine.positions[index]))
    return Defect("Cd_Te", 0, DefectKind.SUBSTITUTION, atoms, pristine, site, 1, "Td", -4)


def interstitial() -> Defect:
    """Te_i amid four Te; the interstitial atom is neither first nor last."""
    pristine = cdte()
    site = np.array([0.25, 0.25, 0.25])
    index = 40
    atoms = pristine[:index] + Atoms("Te", [site @ np.array(pristine.cell)]) + pristine[index:]
    atoms.set_cell(pristine.cell)
    atoms.pbc = True
    return Defect("Te_i", 0, DefectKind.INTERSTITIAL, atoms, pristine, site, 1, "Td", -2)


def selenide(defect: Defect, scale: float) -> Defect:
    """The same defect with selenium in the place of tellurium, in a lattice that is larger by a factor."""

    def of(atoms: Atoms) -> Atoms:
        other = atoms.copy()
        other.symbols = ["Se" if symbol == "Te" else symbol for symbol in atoms.symbols]
        other.set_cell(scale * atoms.cell.array, scale_atoms=True)
        return other

    return replace(defect, atoms=of(defect.atoms), bulk=of(defect.bulk))
