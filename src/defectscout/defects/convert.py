"""From doped's objects to ours."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, DefectKind, Host, label_of
from defectscout.core.frames import FloatArray
from defectscout.core.quiet import quiet
from defectscout.defects.excess_charge import excess_charge

if TYPE_CHECKING:
    from doped.core import DefectEntry
    from pymatgen.core import Structure


def to_atoms(structure: Structure) -> Atoms:
    """ASE atoms with cell, positions and elements, periodic, and nothing else."""
    return Atoms(
        symbols=[site.specie.symbol for site in structure],
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        pbc=True,
    )


def without_oxidation_states(structure: Structure) -> Structure:
    """Elements, cell and positions of `structure` only."""
    from pymatgen.core import Structure

    symbols = [site.specie.symbol for site in structure]
    return Structure(structure.lattice, symbols, structure.frac_coords)


def kind_of(entry: DefectEntry) -> DefectKind:
    """Vacancy, substitution (antisites too) or interstitial."""
    return {
        "vacancy": DefectKind.VACANCY,
        "substitution": DefectKind.SUBSTITUTION,
        "antisite": DefectKind.SUBSTITUTION,
        "interstitial": DefectKind.INTERSTITIAL,
    }[entry.defect.defect_type.name.lower()]


def in_charge_state(entry: DefectEntry, name: str, charge: int) -> DefectEntry:
    """A copy of `entry` in another charge state, named as doped would name it."""
    charged = copy.deepcopy(entry)
    charged.charge_state = charge
    charged.name = label_of(name, charge)
    return charged


def site_symmetry(entry: DefectEntry, symprec: float) -> str:
    """Point group of the defect's site in the host, before anything relaxes (Schoenflies)."""
    from doped.utils.symmetry import point_symmetry_from_defect

    with quiet():
        return str(point_symmetry_from_defect(entry.defect, symprec=symprec))


def to_defect(entry: DefectEntry, name: str, symmetry: str) -> Defect:
    """Our defect from doped's entry, whose supercells it takes as they are.

    Args:
        entry: with defect and bulk supercell.
        name: name without the charge.
        symmetry: point group of the site.
    """
    charge = int(entry.charge_state)
    return Defect(
        name=name,
        charge=charge,
        kind=kind_of(entry),
        atoms=to_atoms(entry.sc_entry.structure),
        bulk=to_atoms(entry.bulk_supercell),
        site=np.array(entry.sc_defect_frac_coords, dtype=np.float64) % 1.0,
        multiplicity=int(entry.defect.multiplicity),
        site_symmetry=symmetry,
        excess_charge=excess_charge(entry, charge),
        entry=entry,
    )


def defect_supercell(bulk: Structure, kind: DefectKind, site: FloatArray, symbol: str) -> tuple[Structure, FloatArray]:
    """The defect in the host's own supercell, and the exact place of the site.

    Atoms stay in the order of `bulk`; the atom that a substitution or an interstitial
    brings in stands last among its element, or last of all if the host lacks it.

    Args:
        bulk: pristine supercell.
        kind: what is done to it.
        site: shape (3,), fractional coordinates of the defect.
        symbol: element that is removed (vacancy) or brought in.

    Returns:
        Defect supercell, and fractional coordinates of the defect: those of the host's
        atom exactly, where there is one.
    """
    from pymatgen.core import Structure

    symbols = [atom.specie.symbol for atom in bulk]
    coords = list(np.asarray(bulk.frac_coords))
    place = np.asarray(site, dtype=np.float64) % 1.0
    if kind is not DefectKind.INTERSTITIAL:
        difference = np.asarray(coords) - place
        difference -= np.round(difference)
        index = int(np.linalg.norm(difference @ bulk.lattice.matrix, axis=1).argmin())
        place = coords.pop(index)
        symbols.pop(index)
    if kind is not DefectKind.VACANCY:
        last = max((k for k, name in enumerate(symbols) if name == symbol), default=len(symbols) - 1)
        symbols.insert(last + 1, symbol)
        coords.insert(last + 1, place)
    return Structure(bulk.lattice, symbols, coords), np.asarray(place)


def put_into_host(entry: DefectEntry, host: Host) -> None:
    """Give doped's entry the host's own supercells: same cell, same order of atoms, to the last digit."""
    from pymatgen.core import PeriodicSite
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    kind = kind_of(entry)
    symbol = str(entry.defect.site.specie.symbol)
    structure, place = defect_supercell(host.supercell, kind, entry.sc_defect_frac_coords, symbol)
    entry.sc_entry = ComputedStructureEntry(structure, energy=0.0)
    entry.defect_supercell = structure
    entry.bulk_supercell = without_oxidation_states(host.supercell)
    entry.sc_defect_frac_coords = place
    entry.defect_supercell_site = PeriodicSite(symbol, place, structure.lattice)
