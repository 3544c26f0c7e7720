"""Reading a host: what is kept, what is dropped, and what each bad file is told."""

from __future__ import annotations

import builtins
import gzip
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from pymatgen.core import Lattice, Structure

from defectscout.core.errors import HostError, InputFileError, MissingExtraError
from defectscout.hosts.read import is_doped_json, read_structure

POSCAR = "CdTe\n1.0\n0 3.28 3.28\n3.28 0 3.28\n3.28 3.28 0\n{symbols}1 1\n{rest}"
ZINC_BLENDE = Structure(
    Lattice([[0, 3.28, 3.28], [3.28, 0, 3.28], [3.28, 3.28, 0]]), ["Cd", "Te"], [[0] * 3, [0.25] * 3]
)


def poscar(folder: Path, rest: str = "direct\n0 0 0\n.25 .25 .25\n", symbols: str = "Cd Te\n") -> str:
    path = folder / "POSCAR"
    path.write_text(POSCAR.format(symbols=symbols, rest=rest))
    return str(path)


def same(first: Structure, second: Structure) -> bool:
    return first.matches(second) and [s.specie for s in first] == [s.specie for s in second]


@pytest.mark.parametrize(
    "name", ["host.cif", "POSCAR", "CONTCAR_relaxed", "host.vasp", "host.extxyz", "host.json", "host.traj"]
)
def test_every_format_gives_the_same_crystal(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith((".extxyz", ".traj")):
        write(path, ZINC_BLENDE.to_ase_atoms())
    else:
        ZINC_BLENDE.to(str(path), fmt="json" if name.endswith("json") else "cif" if name.endswith("cif") else "poscar")
    assert same(read_structure(str(path)), ZINC_BLENDE)


def test_compressed_cif(tmp_path: Path, cdte_cif: Path) -> None:
    path = tmp_path / "CdTe.cif.gz"
    path.write_bytes(gzip.compress(cdte_cif.read_bytes()))
    assert same(read_structure(str(path)), read_structure(str(cdte_cif)))


def test_decorations_and_dynamics_are_dropped(tmp_path: Path) -> None:
    decorated = ZINC_BLENDE.copy(site_properties={"magmom": [1.0, -1.0]})
    decorated.add_oxidation_state_by_element({"Cd": 2, "Te": -2})
    path = tmp_path / "decorated.json"
    decorated.to(str(path))
    moving = poscar(tmp_path, "Selective dynamics\ndirect\n0 0 0 T T F\n.25 .25 .25 T T T\n\n0 0 0.1\n0 0 1\n")
    for structure in (read_structure(str(path)), read_structure(moving)):
        assert not structure.site_properties
        assert [str(site.specie) for site in structure] == ["Cd", "Te"]


def test_vasprun_gives_its_last_step(shared_data: Path) -> None:
    runs = sorted((shared_data / "dft_raw").rglob("vasprun.xml*"))
    from pymatgen.io.vasp.outputs import Vasprun

    run = Vasprun(str(runs[0]), parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    structure = read_structure(str(runs[0]))
    assert np.allclose(structure.frac_coords, run.final_structure.frac_coords)


def test_missing_file_names_path_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"nothing\.cif.*no such file.*current folder"):
        read_structure(str(tmp_path / "nothing.cif"))


def test_folder_suggests_a_file_in_it(tmp_path: Path) -> None:
    poscar(tmp_path)
    with pytest.raises(InputFileError, match=r"is a folder.*POSCAR"):
        read_structure(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.cif", b"", "is empty"),
        ("blank.cif", b"  \n\n", "is empty"),
        ("binary.cif", bytes(range(256)), "binary"),
        ("words.cif", b"hello world\n", "begins with 'hello world'"),
        ("words.xyz", b"hello world\n", "xyz"),
        ("words.dat", b"hello world\n", "no parser knows its format|format"),
        ("cut.json", b'{"lattice": ', "JSON|Expecting"),
        ("other.json", b'{"a": 1}', "without a pymatgen structure"),
        ("broken.cif.gz", b"not gzip", "cannot be read"),
        ("short.xyz", b'3\nLattice="4 0 0 0 4 0 0 0 4"\nC 0 0 0\n', "expected 3"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=complaint) as caught:
        read_structure(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_number_is_placed(tmp_path: Path, cdte_cif: Path) -> None:
    with pytest.raises(InputFileError, match=r"line 10.*'abc'"):
        read_structure(poscar(tmp_path, "direct\n0 0 0\n.25 abc .25\n"))
    lines = cdte_cif.read_text().splitlines()
    line = next(k for k, text in enumerate(lines) if "_cell_length_a" in text)
    lines[line] = "_cell_length_a   4.64q"
    path = tmp_path / "length.cif"
    path.write_text("\n".join(lines))
    with pytest.raises(InputFileError, match=rf"line {line + 1}.*4\.64q"):
        read_structure(str(path))


def test_poscar_that_ends_early(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="ends too early"):
        read_structure(poscar(tmp_path, "direct\n0 0 0\n"))


def test_poscar_without_symbols_is_not_taken_for_hydrogen_and_helium(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="does not name its elements"):
        read_structure(poscar(tmp_path, symbols=""))


def test_several_structures_are_counted(tmp_path: Path, cdte_cif: Path) -> None:
    frames = tmp_path / "frames.extxyz"
    write(frames, [ZINC_BLENDE.to_ase_atoms()] * 3)
    with pytest.raises(InputFileError, match="holds 3 frames"):
        read_structure(str(frames))
    blocks = tmp_path / "blocks.cif"
    blocks.write_text(cdte_cif.read_text() * 2)  # of the same name, so that one would overwrite the other
    with pytest.raises(InputFileError, match="holds 2 data blocks"):
        read_structure(str(blocks))


def test_atoms_missing_from_a_cif_are_noticed(tmp_path: Path, cdte_cif: Path) -> None:
    path = tmp_path / "hydrogen.cif"
    path.write_text(cdte_cif.read_text().replace("Cd1 Te1", "Cd1 Te1 H2"))
    with pytest.raises(InputFileError, match="Missing elements H"):
        read_structure(str(path))


def test_molecule_has_no_cell(tmp_path: Path) -> None:
    path = tmp_path / "co.xyz"
    write(path, Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.13]]))
    with pytest.raises(HostError, match="not a crystal"):
        read_structure(str(path))


def test_materials_project_without_client_or_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    plain_import = builtins.__import__

    def without_client(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("mp_api"):
            raise ImportError(name)
        return plain_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_client)
    with pytest.raises(MissingExtraError, match=r"defectscout\[mp\]"):
        read_structure("mp-149")


def test_materials_project_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("mp_api.client")
    from pymatgen.core import SETTINGS

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.delitem(SETTINGS, "PMG_MAPI_KEY", raising=False)
    with pytest.raises(InputFileError, match="MP_API_KEY"):
        read_structure("mp-149")


def test_file_named_like_an_id_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    write("mp-149", ZINC_BLENDE.to_ase_atoms(), format="extxyz")
    assert len(read_structure("mp-149")) == 2


def test_doped_json_is_told_apart(tmp_path: Path) -> None:
    ZINC_BLENDE.to(str(tmp_path / "structure.json"))
    (tmp_path / "defects.json").write_text('{"@module": "doped.generation", "@class": "DefectsGenerator"}')
    with gzip.open(tmp_path / "defects.json.gz", "wt") as stream:
        stream.write(" " * ((1 << 20) - 8) + '{"@module": "doped.core"}')  # across a chunk's end
    assert is_doped_json(str(tmp_path / "defects.json"))
    assert is_doped_json(str(tmp_path / "defects.json.gz"))
    assert not is_doped_json(str(tmp_path / "structure.json"))
    assert not is_doped_json(str(tmp_path / "missing.json"))
    assert not is_doped_json(str(tmp_path))
