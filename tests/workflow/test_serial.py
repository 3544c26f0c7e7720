"""Hosts and defects come back from the record as they went in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.core.progress import SilentProgress
from defectscout.workflow.serial import (
    atoms_from_dict,
    atoms_to_dict,
    defects_from_json,
    defects_to_json,
    host_from_json,
    host_to_json,
)
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.defects import make_defects
from defectscout.workflow.stages.host import read_host
from minima.vacancy_cases import CUBIC, vacancy


def same_atoms(one: Atoms, other: Atoms) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("numbers", "positions", "cell", "pbc")
    )


def test_atoms_keep_every_digit() -> None:
    atoms = Atoms("CdTe", positions=[[0.1 + 0.2, 1 / 3, -1e-17], [2**0.5, 0, 7]], cell=[3.3, 4.4, 5.5], pbc=[1, 0, 1])
    assert same_atoms(atoms_from_dict(json.loads(json.dumps(atoms_to_dict(atoms)))), atoms)


def test_a_host_and_dopeds_entries_come_back(model_host: Path) -> None:
    settings = SearchSettings()
    host = read_host(str(model_host), settings)
    again = host_from_json(host_to_json(host))
    assert again.primitive == host.primitive
    assert again.supercell == host.supercell
    np.testing.assert_array_equal(again.supercell_matrix, host.supercell_matrix)
    assert again.source == host.source
    defects = make_defects(str(model_host), host, settings.defects, SilentProgress())
    (defect,), (copy,) = defects, defects_from_json(defects_to_json(defects))
    assert_same(copy, defect)
    assert copy.entry is not None
    assert defect.entry is not None
    assert copy.entry.name == defect.entry.name
    assert copy.entry.defect_supercell == defect.entry.defect_supercell


def test_a_defect_without_dopeds_entry() -> None:
    defect = vacancy(CUBIC)
    (copy,) = defects_from_json(defects_to_json((defect,)))
    assert_same(copy, defect)
    assert copy.entry is None


def assert_same(copy: Defect, defect: Defect) -> None:
    for name in ("name", "charge", "kind", "multiplicity", "site_symmetry", "excess_charge", "label"):
        assert getattr(copy, name) == getattr(defect, name)
    assert same_atoms(copy.atoms, defect.atoms)
    assert same_atoms(copy.bulk, defect.bulk)
    np.testing.assert_array_equal(copy.site, defect.site)
