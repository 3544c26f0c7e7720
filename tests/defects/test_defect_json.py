"""doped's own files, written by doped and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monty.serialization import dumpfn
from pymatgen.core import Structure

from defectscout.core.errors import InputFileError
from defectscout.core.quiet import quiet
from defectscout.defects.from_json import read_defects
from defectscout.hosts.read import is_doped_json, read_structure
from defectscout.hosts.supercell import repeat_host


@pytest.fixture(scope="module")
def generator(cdte_cif: Path) -> Any:
    from doped.generation import DefectsGenerator

    supercell = read_structure(str(cdte_cif)).make_supercell([[-2, 2, 2], [2, -2, 2], [2, 2, -2]], in_place=False)
    with quiet():
        return DefectsGenerator(supercell, generate_supercell=False, interstitial_gen_kwargs=False, processes=1)


@pytest.mark.parametrize("name", ["generator.json", "generator.json.gz"])
def test_generator(generator: Any, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    generator.to_json(path)
    assert is_doped_json(path)
    host, defects = read_defects(path)
    assert {defect.label for defect in defects} == set(generator.defect_entries)
    assert [s.specie.symbol for s in host.supercell] == [s.specie.symbol for s in generator.bulk_supercell]
    assert np.allclose(host.supercell.frac_coords, generator.bulk_supercell.frac_coords)
    found = {defect.label: defect for defect in defects}
    assert [found[f"v_Cd_{q}"].excess_charge for q in ("+1", "0", "-1", "-2")] == [3, 2, 1, 0]
    vacancy = found["v_Cd_0"]
    assert (vacancy.site_symmetry, vacancy.multiplicity) == ("Td", 1)
    # Nothing of the bulk is moved, and the vacancy is where an atom is missing.
    place = vacancy.site @ vacancy.bulk.cell.array
    removed = min(vacancy.bulk, key=lambda atom: float(np.linalg.norm(atom.position - place)))
    assert removed.symbol == "Cd"
    assert np.linalg.norm(removed.position - place) < 1e-3


def test_host_repeats_to_the_files_supercell(generator: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "generator.json")
    generator.to_json(path)
    host, _ = read_defects(path)
    assert len(host.primitive) == 2
    assert np.allclose(host.supercell_matrix @ host.primitive.lattice.matrix, host.supercell.lattice.matrix, atol=1e-5)
    again = repeat_host(host, host.primitive)
    assert again.supercell.species == host.supercell.species
    difference = again.supercell.frac_coords - host.supercell.frac_coords
    assert np.abs(difference - np.round(difference)).max() < 1e-6


def test_dictionaries_lists_and_nestings(generator: Any, tmp_path: Path) -> None:
    entries = generator.defect_entries
    chosen = {name: entries[name] for name in ("v_Cd_0", "v_Cd_-2", "Te_Cd_0")}
    shapes = {
        "dictionary.json": chosen,
        "list.json.gz": list(chosen.values()),
        "nested.json": {"v_Cd": [chosen["v_Cd_0"], chosen["v_Cd_-2"]], "Te_Cd": [chosen["Te_Cd_0"]]},
        "one.json": chosen["v_Cd_0"],
    }
    for name, content in shapes.items():
        path = str(tmp_path / name)
        dumpfn(content, path)
        _, defects = read_defects(path)
        expected = ["v_Cd_0"] if name == "one.json" else list(chosen)
        assert [defect.label for defect in defects] == expected, name


def test_other_json(tmp_path: Path, generator: Any, cdte_cif: Path) -> None:
    cases: dict[str, tuple[object, str]] = {
        "numbers.json": ([1, 2], "holds no defect entries"),
        "structure.json": (Structure.from_file(cdte_cif), "holds no defect entries"),
        "defects.json": (generator.defects["vacancies"], "holds no defect entries"),
        "twice.json": ([generator.defect_entries["v_Cd_0"]] * 2, "v_Cd_0 more than once"),
    }
    for name, (content, complaint) in cases.items():
        path = str(tmp_path / name)
        dumpfn(content, path)
        with pytest.raises(InputFileError, match=complaint):
            read_defects(path)
    broken = tmp_path / "broken.json"
    broken.write_text('{"@module": "doped.core"')
    for path in (str(broken), str(tmp_path / "missing.json")):
        with pytest.raises(InputFileError, match=r"broken\.json|missing\.json"):
            read_defects(path)


def test_entries_of_two_supercells(generator: Any, tmp_path: Path) -> None:
    import copy

    other = copy.deepcopy(generator.defect_entries["Te_Cd_0"])
    other.bulk_supercell = other.bulk_supercell.copy().scale_lattice(other.bulk_supercell.volume * 1.1)
    path = str(tmp_path / "two.json")
    dumpfn([generator.defect_entries["v_Cd_0"], other], path)
    with pytest.raises(InputFileError, match="another bulk supercell"):
        read_defects(path)


def test_entry_without_supercell(generator: Any, tmp_path: Path) -> None:
    import copy

    bare = copy.deepcopy(generator.defect_entries["v_Cd_0"])
    bare.bulk_supercell = None
    path = str(tmp_path / "bare.json")
    dumpfn([bare], path)
    with pytest.raises(InputFileError, match=r"v_Cd_?0? ?.*no supercells"):
        read_defects(path)
