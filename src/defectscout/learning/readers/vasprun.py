"""VASP's vasprun.xml."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import GPa

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.files import READING_ERRORS, open_bytes
from defectscout.learning.readers.steps import Rest, Step, voigt
from defectscout.learning.readers.vasp_header import VaspHeader, charge_from, functional_name

_LARGE = frozenset({"eigenvalues", "dos", "projected", "dielectricfunction", "kpoints", "dynmat"})


def read_vasprun(path: Path) -> Iterator[VaspHeader | Step | Rest]:
    """Header and ionic steps of a vasprun.xml, one at a time.

    The energy is the free energy (`e_fr_energy`), whose gradient VASP's forces are. Stresses in
    kbar with VASP's sign become eV/Å³ with ASE's. A step counts as converged if it took fewer
    electronic steps than NELM.

    Yields:
        The header once, before the first step; what could not be read as `Rest`.
    """
    number = 0
    try:
        with open_bytes(path) as file:
            for found in _parse(ET.iterparse(file, events=("end",))):
                yield found
                number += isinstance(found, Step)
    except ET.ParseError as error:
        yield Rest(
            f"The calculation was stopped or the file cut after {number} ionic steps ({error}); those were read."
        )
    except READING_ERRORS as error:
        yield Rest(f"The file is damaged after {number} ionic steps ({type(error).__name__}: {error}).")


def _parse(events: Iterator[tuple[str, ET.Element]]) -> Iterator[VaspHeader | Step | Rest]:
    settings: dict[str, str] = {}
    symbols: tuple[str, ...] = ()
    valences: dict[str, float] = {}
    title = ""
    header: VaspHeader | None = None
    number = 0
    for _, element in events:
        if element.tag in ("incar", "parameters"):
            settings.update(_settings(element))
        elif element.tag == "atominfo":
            symbols, valences, title = _atominfo(element)
            element.clear()
        elif element.tag in _LARGE:
            element.clear()
        elif element.tag == "calculation":
            if header is None:
                header = _header(settings, symbols, valences, title)
                yield header
            step = _step(element, header)
            yield Rest(f"Ionic step {number} was not read: {step}.") if isinstance(step, str) else step
            number += 1
            element.clear()
    if header is None:
        yield Rest("It holds no ionic step.")


def _settings(element: ET.Element) -> dict[str, str]:
    settings: dict[str, str] = {}
    for item in element.iter("i"):
        # Some names stand twice: the NELM of ground states comes before that of response functions.
        settings.setdefault(item.get("name", ""), (item.text or "").strip())
    return settings


def _atominfo(element: ET.Element) -> tuple[tuple[str, ...], dict[str, float], str]:
    symbols = tuple((row.findtext("c") or "").strip() for row in element.findall("array[@name='atoms']/set/rc"))
    symbols = tuple({"r": "Zr"}.get(symbol, symbol) for symbol in symbols)  # VASP cuts Zr in some versions
    valences, title = {}, ""
    for row in element.findall("array[@name='atomtypes']/set/rc"):
        _, symbol, _, valence, potential = ((cell.text or "").strip() for cell in row.findall("c"))
        valences[symbol] = float(valence)
        title = title or potential
    return symbols, valences, title


def _header(settings: dict[str, str], symbols: tuple[str, ...], valences: dict[str, float], title: str) -> VaspHeader:
    def number(name: str) -> float | None:
        try:
            return float(settings[name].split()[0])
        except (KeyError, ValueError, IndexError):
            return None

    nelm = number("NELM")
    return VaspHeader(
        symbols=symbols,
        nelm=int(nelm) if nelm is not None else None,
        charge=charge_from(number("NELECT"), valences, symbols),
        method=functional_name(
            gga=settings.get("GGA", ""),
            metagga=settings.get("METAGGA", ""),
            hybrid=settings.get("LHFCALC", "F").upper().startswith("T"),
            aexx=number("AEXX") or 0.0,
            hfscreen=number("HFSCREEN") or 0.0,
            dispersion=int(number("IVDW") or 0),
            spin_orbit=settings.get("LSORBIT", "F").upper().startswith("T"),
            potentials=title,
        ),
    )


def _step(element: ET.Element, header: VaspHeader) -> Step | str:
    cell = _rows(element.find("structure/crystal/varray[@name='basis']"))
    scaled = _rows(element.find("structure/varray[@name='positions']"))
    forces = _rows(element.find("varray[@name='forces']"))
    stress = _rows(element.find("varray[@name='stress']"))
    energy = element.find("energy/i[@name='e_fr_energy']")
    if cell is None or scaled is None or forces is None or energy is None or not (energy.text or "").strip():
        return "structure, forces or free energy are missing"
    if len(scaled) != len(header.symbols):
        return f"it has {len(scaled)} positions for {len(header.symbols)} atoms"
    electronic = len(element.findall("scstep"))
    return Step(
        atoms=Atoms(symbols=header.symbols, scaled_positions=scaled, cell=cell, pbc=True),
        energy=float(energy.text or "nan"),
        forces=forces,
        stress=-voigt(stress) * 0.1 * GPa if stress is not None and stress.shape == (3, 3) else None,
        scf_converged=electronic < header.nelm if header.nelm is not None and electronic else None,
    )


def _rows(element: ET.Element | None) -> FloatArray | None:
    if element is None:
        return None
    try:
        return np.array([[float(value) for value in (row.text or "").split()] for row in element.findall("v")])
    except ValueError:  # **** where a number did not fit
        return None
