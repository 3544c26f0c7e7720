"""CP2K's data files: which basis sets and potentials there are, and how many electrons they count."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from defectscout.core.errors import MissingProgramError, UnsupportedElementError
from defectscout.references.cp2k_settings import Cp2kSettings

VARIABLE: Final = "CP2K_DATA_DIR"
"""CP2K's own environment variable for the folder."""

_HEAD = re.compile(r"^\s*([A-Z][a-z]?)\s+([A-Za-z]\S*(?:\s+\S+)*)\s*$")


@dataclass(frozen=True, slots=True)
class Kind:
    """What CP2K takes for an element.

    Attributes:
        symbol: the element.
        basis: full name of the basis set, such as `DZVP-MOLOPT-SR-GTH-q6`.
        potential: full name of the potential, such as `GTH-PBE-q6`.
        valence: electrons that are not in the potential.
        files: data files that the three are in: basis, potential and, with a hybrid, auxiliary basis.
        auxiliary: full name of ADMM's basis set; empty where there is no exact exchange.
    """

    symbol: str
    basis: str
    potential: str
    valence: int
    files: tuple[str, ...]
    auxiliary: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A basis set or potential in a data file.

    Attributes:
        name: with -q, where the file has that.
        file: where it stands.
        plain: whether the name without -q means this one.
    """

    name: str
    file: str
    plain: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """The choice that there is for an element.

    Attributes:
        what: basis set, potential or auxiliary basis set.
        name: as asked for, without -q.
        entries: by valence electrons; 0 where the name does not say, as with some auxiliary basis sets.
    """

    what: str
    name: str
    entries: dict[int, _Entry]

    def with_valence(self, count: int) -> _Entry | None:
        """The one for so many valence electrons; None if there is none."""
        return self.entries.get(count) or self.entries.get(0)

    def __str__(self) -> str:
        counts = [f"q{count}" if count else "any number of electrons" for count in sorted(self.entries)]
        return f"{self.what} {self.name} for {', '.join(counts) or 'no number of electrons'}"


def data_folder(settings: Cp2kSettings) -> Path:
    """The folder with CP2K's data files.

    Looked for in the setting `data`, in CP2K_DATA_DIR, and beside the program and this Python,
    as Debian, conda and CP2K's own toolchain lay it out.

    Raises:
        MissingProgramError: it is in none of them.
    """
    wanted = settings.potential_files[0] if settings.potential_files else "GTH_POTENTIALS"
    named = settings.data or os.environ.get(VARIABLE, "")
    folders = [Path(named).expanduser()] if named else list(_usual_folders())
    for folder in folders:
        if (folder / wanted).is_file():
            return folder
    raise MissingProgramError(
        f"CP2K's data files were not found: there is no {wanted} in {', '.join(str(folder) for folder in folders)}. "
        f"Install them (apt install cp2k-data, or conda install -c conda-forge cp2k), or name their folder with the "
        f"environment variable {VARIABLE} or the setting data."
    )


def _usual_folders() -> Iterable[Path]:
    import sys

    yield Path("/usr/share/cp2k")
    programs = [shutil.which(name) for name in ("cp2k.psmp", "cp2k.ssmp", "cp2k")]
    roots = [Path(sys.prefix), *(Path(program).resolve().parents[1] for program in programs if program)]
    for root in dict.fromkeys(roots):
        yield root / "share" / "cp2k" / "data"
        yield root / "share" / "cp2k"
    yield from (Path(program).resolve().parents[2] / "data" for program in programs if program)


def choose_kinds(symbols: Sequence[str], settings: Cp2kSettings) -> tuple[Kind, ...]:
    """Basis set and potential of each element, in the order of first appearance.

    A potential is taken whose number of valence electrons the basis set was made for. Where there
    are several, `valence` of the settings decides, else the one that CP2K means by the plain name,
    else the one with most electrons.

    Raises:
        UnsupportedElementError: an element has no basis set, potential or auxiliary basis set.
        MissingProgramError: the data files were not found.
    """
    folder = data_folder(settings)
    return tuple(_kind(symbol, settings, folder) for symbol in dict.fromkeys(symbols))


def _kind(symbol: str, settings: Cp2kSettings, folder: Path) -> Kind:
    looked = [
        ("basis set", settings.basis, settings.basis_files),
        ("potential", settings.potential, settings.potential_files),
    ]
    if settings.hybrid:
        looked.append(("auxiliary basis set", settings.auxiliary_basis, settings.auxiliary_basis_files))
    parts = [_Part(what, name, _entries(folder, files, name, symbol)) for what, name, files in looked]
    basis, wanted = parts[0], settings.valence.get(symbol)
    counts = {count for count in basis.entries if count and all(part.with_valence(count) for part in parts)}
    if not counts or (wanted is not None and wanted not in counts):
        raise UnsupportedElementError(_unsupported(symbol, wanted, parts, folder))
    q = wanted if wanted is not None else max(counts, key=lambda count: (basis.entries[count].plain, count))
    chosen = [entry for part in parts if (entry := part.with_valence(q)) is not None]
    return Kind(
        symbol=symbol,
        basis=chosen[0].name,
        potential=chosen[1].name,
        valence=q,
        files=tuple(entry.file for entry in chosen),
        auxiliary=chosen[2].name if settings.hybrid else "",
    )


def _unsupported(symbol: str, wanted: int | None, parts: Sequence[_Part], folder: Path) -> str:
    asked = f" with {wanted} valence electrons" if wanted is not None else ""
    return (
        f"CP2K has no basis set and potential that fit together for {symbol}{asked}. In {folder} there are: "
        f"{'; '.join(str(part) for part in parts)}. Choose others with the settings basis, potential, auxiliary_basis "
        "and their files, and valence, in a file for --reference cp2k:FILE.toml."
    )


def _entries(folder: Path, files: Sequence[str], name: str, symbol: str) -> dict[int, _Entry]:
    """Those of an element by valence electrons, 0 where the name does not say; the first file wins."""
    found: dict[int, _Entry] = {}
    for file in files:
        for names in _read(folder / file).get(symbol, ()):
            full = next((other for other in names if re.fullmatch(re.escape(name) + r"-q\d+", other)), None)
            if full is not None:
                found.setdefault(int(full.rpartition("-q")[2]), _Entry(full, file, plain=name in names))
            elif name in names:
                found.setdefault(0, _Entry(name, file, plain=True))
    return found


@cache
def _read(path: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    """All names of each entry of a data file, by element; empty if there is no such file."""
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        head = _HEAD.match(line.partition("#")[0])
        if head is not None:
            found[head[1]] = (*found.get(head[1], ()), tuple(head[2].split()))
    return found
