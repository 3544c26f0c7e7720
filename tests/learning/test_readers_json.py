"""The JSON forms of M3GNet and CHGNet."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defectscout.core.units import EV_PER_A3_IN_GPA
from defectscout.learning.frames import LabelledFrame, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source

METHOD = SourceDefaults(method="PBE")
FORCES = [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]
STRESS = [[10.0, 1.0, 2.0], [1.0, 20.0, 3.0], [2.0, 3.0, 30.0]]


def structure() -> dict[str, Any]:
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice.cubic(4.0), ["Cd", "Te"], [[0, 0, 0], [0.5, 0.5, 0.5]]).as_dict()


def read(path: Path, content: object) -> list[Any]:
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return list(read_source(path, METHOD))


def test_m3gnets_lists(tmp_path: Path) -> None:
    content = {
        "structures": [structure()] * 2,
        "energies": [-5.0, -6.0],
        "forces": [FORCES] * 2,
        "stresses": [STRESS] * 2,
    }
    frames = read(tmp_path / "bulk.json.gz", content)
    assert [frame.prediction.energy for frame in frames] == [-5.0, -6.0]
    np.testing.assert_allclose(frames[0].prediction.stress * EV_PER_A3_IN_GPA, [10, 20, 30, 3, 2, 1])
    np.testing.assert_allclose(frames[0].atoms.positions[1], 2.0)
    labelled = read(tmp_path / "set.json.gz", {**content, "labels": ["CdTe_v_Cd_-1", "CdTe_bulk"]})
    assert [str(frame.origin.defect_id) for frame in labelled] == ["CdTe v_Cd_-1", "CdTe bulk"]


def test_chgnets_lists_and_nested_form(tmp_path: Path) -> None:
    frame = {"structure": structure(), "energy_per_atom": -2.5, "force": FORCES, "stress": STRESS}
    (one,) = read(tmp_path / "bulk.json.gz", {key: [value] for key, value in frame.items()})
    nested = {"mp-406": {"mp-406-0-1": frame, "mp-406-0-2": {**frame, "uncorrected_total_energy": -4.0}}}
    two, three = read(tmp_path / "bulk_nested.json.gz", nested)
    assert (one.prediction.energy, two.prediction.energy, three.prediction.energy) == (-5.0, -5.0, -4.0)
    # kbar with VASP's sign: 10 kbar of pressure are -1 GPa in ASE's.
    for item in (one, two):
        np.testing.assert_allclose(item.prediction.stress * EV_PER_A3_IN_GPA, [-1, -2, -3, -0.3, -0.2, -0.1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"structures": [{"lattice": 1}], "energy": [1.0]}, "Rename the keys"),
        ({"structures": [{"lattice": 1}], "energies": [1.0, 2.0], "forces": [1]}, "different lengths"),
        ({"structure": [structure()], "force": [FORCES], "energy": [0.0]}, "energy_per_atom"),
    ],
)
def test_what_is_not_documented_is_refused(tmp_path: Path, content: object, says: str) -> None:
    (refused,) = read(tmp_path / "x.json.gz", content)
    assert isinstance(refused, Unreadable)
    assert says in refused.reason


def test_a_cut_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"structures": [{"lattice": {')
    (refused,) = read_source(tmp_path, METHOD)
    assert isinstance(refused, Unreadable)
    assert not isinstance(refused, LabelledFrame)
