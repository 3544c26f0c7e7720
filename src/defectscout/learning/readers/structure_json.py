"""Training sets in the JSON forms of M3GNet and CHGNet.

Three forms are told apart by their keys, and nothing else is guessed:

- M3GNet's and matgl's: lists `structures`, `energies` (eV for the whole cell), `forces` (eV/Å),
  `stresses` (GPa, ASE's sign) and perhaps `labels`;
- CHGNet's `parse_vasp_dir`: lists `structure`, `uncorrected_total_energy` (eV) or
  `energy_per_atom` (eV/atom), `force`, `stress` (kbar, VASP's sign);
- CHGNet's nested form, as in MPtrj: `{material: {frame: {structure, uncorrected_total_energy or
  energy_per_atom, force, stress}}}` with the same units. The uncorrected total energy is
  preferred: forces are its gradient, and corrected ones are on another scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa

from defectscout.core.frames import FloatArray
from defectscout.learning.readers.ase_files import said_by
from defectscout.learning.readers.assemble import Item
from defectscout.learning.readers.files import READING_ERRORS, open_text
from defectscout.learning.readers.names import Said, read_name
from defectscout.learning.readers.steps import Rest, Step, voigt

_VASP_KBAR = -0.1 * GPa
_REMEDY = (
    "It has the keys {keys}, which are none of the forms that are known: lists structures, energies (eV), forces, "
    "stresses (GPa); lists structure, uncorrected_total_energy or energy_per_atom, force, stress (kbar, VASP's sign); "
    "or the latter nested as in MPtrj. Rename the keys to one of them, or write extended XYZ."
)


def read_json(path: Path) -> Iterator[Item | Rest]:
    """Frames of a JSON file in one of three forms (see the module); it is held whole while it is read."""
    try:
        with open_text(path) as file:
            content = json.load(file)
    except READING_ERRORS as error:
        yield Rest(f"It is no complete JSON file: {error}.")
        return
    if not isinstance(content, dict):
        yield Rest(_REMEDY.format(keys="of no table"))
        return
    number = 0
    try:
        for item in _items(content):
            yield item
            number += 1
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        yield Rest(f"Frame {number} (counted from 0) and what follows were not read: {type(error).__name__}: {error}.")


def _items(content: Mapping[str, Any]) -> Iterator[Item | Rest]:
    if {"structures", "energies", "forces"} <= content.keys():
        yield from _m3gnet(content)
    elif {"structure", "force"} <= content.keys():
        keys = [
            key
            for key in ("structure", "uncorrected_total_energy", "energy_per_atom", "force", "stress")
            if key in content
        ]
        _same_length(content, keys)
        for values in zip(*(content[key] for key in keys), strict=True):
            yield _chgnet(dict(zip(keys, values, strict=True)), Said())
    elif content and all(isinstance(frames, dict) and _is_nested(frames) for frames in content.values()):
        for material, frames in content.items():
            # Frames of MPtrj come from several tasks: without labels each is on its own.
            for name, frame in frames.items():
                yield _chgnet(frame, read_name(material).over(Said(start=f"{material}/{name}")))
    else:
        yield Rest(_REMEDY.format(keys=", ".join(sorted(content)[:8]) or "(none)"))


def _is_nested(frames: Mapping[str, Any]) -> bool:
    return all(isinstance(frame, dict) and {"structure", "force"} <= frame.keys() for frame in frames.values())


def _m3gnet(content: Mapping[str, Any]) -> Iterator[Item | Rest]:
    keys = [key for key in ("structures", "energies", "forces", "stresses", "labels") if content.get(key) is not None]
    _same_length(content, keys)
    for values in zip(*(content[key] for key in keys), strict=True):
        frame = dict(zip(keys, values, strict=True))
        stress = frame.get("stresses")
        label = frame.get("labels")
        info = label if isinstance(label, dict) else {}
        step = Step(
            atoms=_atoms(frame["structures"]),
            energy=float(frame["energies"]),
            forces=np.asarray(frame["forces"], dtype=float).reshape(-1, 3),
            stress=voigt(np.asarray(stress, dtype=float)) * GPa if stress is not None else None,
            scf_converged=info.get("scf_converged"),
        )
        said = said_by(info) if info else read_name(label) if isinstance(label, str) else Said()
        number = info.get("step")
        yield Item(said, step, int(number) if number is not None else None)


def _chgnet(frame: Mapping[str, Any], said: Said) -> Item | Rest:
    atoms = _atoms(frame["structure"])
    if frame.get("uncorrected_total_energy") is not None:
        energy = float(frame["uncorrected_total_energy"])
    elif frame.get("energy_per_atom") is not None:
        energy = float(frame["energy_per_atom"]) * len(atoms)
    else:
        return Rest("A frame has neither uncorrected_total_energy nor energy_per_atom and was not read.")
    stress: FloatArray | None = None
    if frame.get("stress") is not None:
        stress = voigt(np.asarray(frame["stress"], dtype=float)) * _VASP_KBAR
    return Item(said, Step(atoms, energy, np.asarray(frame["force"], dtype=float).reshape(-1, 3), stress))


def _same_length(content: Mapping[str, Sequence[Any]], keys: Sequence[str]) -> None:
    lengths = {key: len(content[key]) for key in keys}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the lists have different lengths: {lengths}")


def _atoms(structure: Mapping[str, Any]) -> Atoms:
    """A configuration from pymatgen's dictionary of a structure, ordered ones only."""
    symbols, scaled = [], []
    for site in structure["sites"]:
        species = site["species"]
        if len(species) != 1 or abs(float(species[0].get("occu", 1)) - 1) > 1e-6:
            raise ValueError("a site is partly occupied")
        symbols.append(species[0]["element"])
        scaled.append(site["abc"])
    return Atoms(symbols=symbols, scaled_positions=scaled, cell=structure["lattice"]["matrix"], pbc=True)
