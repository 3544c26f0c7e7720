"""Hosts and defects as JSON, for the record. Floats keep every digit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, DefectKind, Host


def atoms_to_dict(atoms: Atoms) -> dict[str, Any]:
    """Species, positions (Å), cell (Å) and periodicity of a configuration."""
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": np.asarray(atoms.cell).tolist(),
        "pbc": atoms.pbc.tolist(),
    }


def atoms_from_dict(content: dict[str, Any]) -> Atoms:
    """The inverse of `atoms_to_dict`."""
    return Atoms(**content)


def host_to_json(host: Host) -> str:
    """A host as JSON."""
    return json.dumps(
        {
            "primitive": host.primitive.as_dict(),
            "supercell": host.supercell.as_dict(),
            "matrix": np.asarray(host.supercell_matrix).tolist(),
            "source": host.source,
        },
        default=_plain,
    )


def host_from_json(text: str) -> Host:
    """The inverse of `host_to_json`."""
    from pymatgen.core import Structure

    content = json.loads(text)
    return Host(
        primitive=Structure.from_dict(content["primitive"]),
        supercell=Structure.from_dict(content["supercell"]),
        supercell_matrix=np.array(content["matrix"]),
        source=content["source"],
    )


def defects_to_json(defects: tuple[Defect, ...]) -> str:
    """Defects as JSON, doped's entries included."""
    from monty.json import MontyEncoder

    return json.dumps([_defect_to_dict(defect) for defect in defects], cls=MontyEncoder)


def _defect_to_dict(defect: Defect) -> dict[str, Any]:
    return {
        "name": defect.name,
        "charge": defect.charge,
        "kind": defect.kind.value,
        "atoms": atoms_to_dict(defect.atoms),
        "bulk": atoms_to_dict(defect.bulk),
        "site": np.asarray(defect.site).tolist(),
        "multiplicity": defect.multiplicity,
        "site_symmetry": defect.site_symmetry,
        "excess_charge": defect.excess_charge,
        "entry": defect.entry,
    }


def defects_from_json(text: str) -> tuple[Defect, ...]:
    """The inverse of `defects_to_json`."""
    from monty.json import MontyDecoder

    decoder = MontyDecoder()
    defects = []
    for content in json.loads(text):
        entry = content.pop("entry")
        defects.append(
            Defect(
                name=content["name"],
                charge=content["charge"],
                kind=DefectKind(content["kind"]),
                atoms=atoms_from_dict(content["atoms"]),
                bulk=atoms_from_dict(content["bulk"]),
                site=np.array(content["site"]),
                multiplicity=content["multiplicity"],
                site_symmetry=content["site_symmetry"],
                excess_charge=content["excess_charge"],
                entry=decoder.process_decoded(entry) if entry is not None else None,
            )
        )
    return tuple(defects)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
