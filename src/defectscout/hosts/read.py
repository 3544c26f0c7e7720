"""Read a host crystal from a file, or from the Materials Project."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from defectscout.core.errors import HostError, InputFileError, MissingExtraError
from defectscout.core.quiet import quiet

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

_MATERIALS_PROJECT_ID = re.compile(r"m(p|vc)-\d+")
_ASE_BINARY = (b"- of Ulm", b"CDF", b"\x89HDF")
"""First bytes of binary formats that ASE reads (traj, NetCDF, HDF5)."""

_REMEDY = "Give a CIF, POSCAR, vasprun.xml, extxyz, or another structure file that pymatgen or ASE reads."


def read_structure(source: str) -> Structure:
    """The crystal structure in a file, or of a Materials Project id.

    CIF, POSCAR/CONTCAR, vasprun.xml (its last ionic step), pymatgen's JSON and the other
    formats of pymatgen are read with pymatgen, everything else with ASE; compressed files
    as they are. Oxidation states, magnetic moments, selective dynamics, velocities and
    all other site properties are dropped: a search starts from elements, cell and positions.

    Args:
        source: path, or an id such as `mp-149`. A file of that name is preferred.

    Raises:
        InputFileError: the file is missing, a folder, empty, not a structure, malformed, or
            holds more than one structure; or the Materials Project gives none.
        HostError: the file holds atoms without a cell.
        MissingExtraError: an id is given and mp-api is not installed.
    """
    path = Path(source).expanduser()
    if not path.exists() and _MATERIALS_PROJECT_ID.fullmatch(source):
        return _bare(_from_materials_project(source))
    head = _checked_head(path)
    try:
        with quiet() as warnings:
            structure = _reader(path)(path)
    except (InputFileError, HostError):
        raise
    except Exception as error:  # parsers raise whatever they stumble over
        raise InputFileError(_malformed(path, head, error, warnings)) from error
    made_up = [text for text in warnings if "cannot be determined" in text and "POSCAR" in text]
    if made_up:
        raise InputFileError(
            f"{path}: the POSCAR does not name its elements (VASP 4 format). Write the element symbols into line 6, "
            "above the numbers of atoms."
        )
    incomplete = [
        text
        for text in warnings
        if "No structure parsed for section" in text or "Missing elements" in text or "Incorrect stoichiometry" in text
    ]
    if incomplete and structure.is_ordered:  # of partial occupancies the check of the host speaks
        raise InputFileError(
            f"{path}: the CIF's structure is not what the CIF says it is: {_one_line(incomplete[0])} Add the atoms "
            "that are missing, or correct the part that is wrong."
        )
    if len(structure) == 0:
        raise InputFileError(f"{path} holds a cell without atoms. {_REMEDY}")
    return _bare(structure)


def is_doped_json(source: str) -> bool:
    """Whether `source` is a JSON file (plain or compressed) with doped's defects in it.

    True for doped's DefectsGenerator and for doped's or ShakeNBreak's lists and
    dictionaries of DefectEntry; False for anything else, a missing file included.
    """
    path = Path(source).expanduser()
    if not path.is_file() or ".json" not in path.suffixes:
        return False
    overlap = b""
    try:
        with _opened(path) as stream:
            while chunk := stream.read(1 << 20):
                if re.search(rb'"@module":\s*"(doped|shakenbreak)\.', overlap + chunk):
                    return True
                overlap = chunk[-64:]
    except (OSError, EOFError, lzma.LZMAError):
        return False
    return False


def _checked_head(path: Path) -> bytes:
    """First bytes of the (decompressed) file, or the error that says why there are none."""
    if path.is_dir():
        inside = sorted(
            child.name
            for child in path.iterdir()
            if child.is_file() and re.search(r"\.cif|POSCAR|CONTCAR|\.vasp|vasprun|xyz", child.name)
        )
        hint = f"Name one of its files, such as {path / inside[0]}." if inside else _REMEDY
        raise InputFileError(f"{path} is a folder, not a structure file. {hint}")
    if not path.exists():
        raise InputFileError(
            f"{path}: there is no such file. Check the path (the current folder is {Path.cwd()}), or give a "
            "Materials Project id such as mp-149."
        )
    try:
        with _opened(path) as stream:
            head = stream.read(4096)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputFileError(f"{path} cannot be read: {error}. Check its permissions and that it is whole.") from error
    if not head.strip():
        raise InputFileError(f"{path} is empty. {_REMEDY}")
    if b"\0" in head and not head.startswith(_ASE_BINARY):
        raise InputFileError(f"{path} is a binary file, not a structure. {_REMEDY}")
    return head


def _opened(path: Path) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            return cast(IO[bytes], gzip.open(path, "rb"))
        case ".bz2":
            return bz2.open(path, "rb")
        case ".xz" | ".lzma":
            return lzma.open(path, "rb")
        case _:
            return path.open("rb")


def _reader(path: Path) -> Callable[[Path], Structure]:
    name = path.name.lower()
    if re.search(r"\.m?cif(\.|$)", name):
        return _from_cif
    if re.search(r"poscar|contcar|\.vasp(\.|$)", name):
        return _from_poscar
    if re.search(r"vasprun.*\.xml", name):
        return _from_vasprun
    if ".json" in path.suffixes:
        return _from_json
    return _from_ase


def _from_cif(path: Path) -> Structure:
    from pymatgen.io.cif import CifParser

    with _opened(path) as stream:
        text = stream.read().decode("utf-8", errors="replace")
    parser = CifParser.from_str(text)
    structures = parser.parse_structures(primitive=False)
    # Blocks of equal name overwrite each other in the parser, so they are counted in the text too.
    cells = len(re.findall(r"^\s*_cell_length_a\b", text, flags=re.MULTILINE | re.IGNORECASE))
    _only_one(path, max(len(structures), cells), "data blocks with a cell")
    return structures[0]


def _from_poscar(path: Path) -> Structure:
    from pymatgen.io.vasp.inputs import Poscar

    with _opened(path) as stream:
        text = stream.read().decode("utf-8", errors="replace")
    # From the text, so that a POTCAR that happens to lie beside the file changes nothing.
    return Poscar.from_str(text, read_velocities=False).structure


def _from_vasprun(path: Path) -> Structure:
    from pymatgen.io.vasp.outputs import Vasprun

    run = Vasprun(str(path), parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    return run.final_structure


def _from_json(path: Path) -> Structure:
    from monty.serialization import loadfn
    from pymatgen.core import Structure

    content = loadfn(str(path))
    if isinstance(content, dict) and "lattice" in content:
        content = Structure.from_dict(content)
    if not isinstance(content, Structure):
        raise InputFileError(
            f"{path} is a JSON file without a pymatgen structure at its top (it holds a "
            f"{type(content).__name__}). Give a structure's JSON, or doped's DefectsGenerator or DefectEntry JSON."
        )
    return content


def _from_ase(path: Path) -> Structure:
    from ase.io import read
    from pymatgen.core import Structure

    try:
        frames = read(path, index=":")
    except Exception as error:
        # pymatgen knows formats that ASE does not (CSSR, exciting, ...): it goes by the file name.
        try:
            return Structure.from_file(path)
        except Exception:
            raise error from None
    images: list[Atoms] = frames if isinstance(frames, list) else [frames]
    _only_one(path, len(images), "frames")
    return _from_atoms(images[0], path)


def _from_atoms(atoms: Atoms, path: Path) -> Structure:
    from pymatgen.core import Lattice, Structure

    if atoms.cell.rank < 3:
        raise HostError(
            f"{path} holds {len(atoms)} atoms in {atoms.cell.rank or 'no'} lattice vector"
            f"{'' if atoms.cell.rank == 1 else 's'}: a molecule or a layer, not a crystal. Give a structure with a "
            "three-dimensional cell (in extxyz, the Lattice entry of the second line)."
        )
    pbc = tuple(bool(periodic) for periodic in atoms.pbc)
    return Structure(
        Lattice(atoms.cell.array, pbc=pbc), atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False)
    )


def _only_one(path: Path, count: int, what: str) -> None:
    if count != 1:
        raise InputFileError(
            f"{path} holds {count} {what}, and which of them is the host cannot be guessed. Write the one that you "
            f"mean into a file of its own, for example the last with: ase convert -n -1 '{path}' host.cif"
        )


def _bare(structure: Structure) -> Structure:
    """Elements (with occupancies), cell and positions only."""
    from pymatgen.core import Composition, Structure

    species = []
    for site in structure:
        amounts: dict[str, float] = {}
        for kind, amount in site.species.items():
            amounts[kind.symbol] = amounts.get(kind.symbol, 0.0) + amount
        species.append(Composition(amounts) if _is_elements(amounts) else site.species)
    return Structure(structure.lattice, species, structure.frac_coords)


def _is_elements(amounts: dict[str, float]) -> bool:
    from pymatgen.core import Element

    return all(Element.is_valid_symbol(symbol) for symbol in amounts)


def _from_materials_project(identifier: str) -> Structure:
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        raise MissingExtraError(f"Reading {identifier} from the Materials Project", "mp-api", "mp") from error
    from pymatgen.core import SETTINGS

    key = os.environ.get("MP_API_KEY") or SETTINGS.get("PMG_MAPI_KEY")
    if not key:
        raise InputFileError(
            f"{identifier} is no file, and reading it from the Materials Project needs an API key. Set the environment "
            "variable MP_API_KEY to yours (https://materialsproject.org/api), or give a structure file."
        )
    try:
        with quiet(), MPRester(key, mute_progress_bars=True) as rester:
            structure = rester.get_structure_by_material_id(identifier)
    except Exception as error:  # network, key, unknown id: the client's classes differ between versions
        raise InputFileError(
            f"{identifier} cannot be read from the Materials Project: {_one_line(str(error))} Check the id, the key "
            "and the connection, or give a structure file."
        ) from error
    if isinstance(structure, list) or structure is None:
        raise InputFileError(f"The Materials Project has no single structure for {identifier}. Check the id.")
    return structure


def _malformed(path: Path, head: bytes, error: Exception, warnings: list[str]) -> str:
    said = _one_line(str(error))
    if isinstance(error, (IndexError, EOFError, StopIteration)):
        said = "it ends too early, or is of another format."
    elif isinstance(error, (AttributeError, TypeError, AssertionError)) or not said:
        said = f"no parser knows its format ({type(error).__name__})."
    reasons = [text.split("\n", 1)[1] for text in warnings if text.startswith("No structure parsed for section")]
    if isinstance(error, KeyError) or (reasons and reasons[0].startswith("'")):
        said = f"the entry {_one_line(reasons[0] if reasons else str(error)).rstrip('.')} is missing."
    elif reasons:  # pymatgen's CIF parser keeps the reason for its warnings
        said = _one_line(reasons[0])
    if said.startswith("Occupancy"):
        said = f"atoms coincide, or occupancies of a site sum to more than 1 ({said.rstrip('.')})."
    line = getattr(error, "lineno", None) or _offending_line(path, said)
    where = f" (line {line})" if line else ""
    text = re.search(rb"[\x20-\x7e]{1,40}", head)
    begins = f" It begins with '{text.group().decode()}'." if text else ""
    return f"{path} is not a readable structure file{where}: {said}{begins} {_REMEDY}"


def _offending_line(path: Path, said: str) -> int | None:
    """Number of the only line with the value that a parser quotes in its complaint."""
    quoted = re.search(r"'([^']{1,60})'", said)
    if not quoted:
        return None
    value = quoted.group(1).replace("\\n", "").strip()
    with _opened(path) as stream:
        lines = stream.read(1 << 20).decode("utf-8", errors="replace").splitlines()
    hits = [number for number, line in enumerate(lines, 1) if value and value in line]
    return hits[0] if len(hits) == 1 else None


def _one_line(text: str) -> str:
    line = " ".join(text.split())[:300]
    return line if not line or line.endswith((".", "!", "?")) else line + "."
