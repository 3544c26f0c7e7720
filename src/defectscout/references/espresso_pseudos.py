"""Pseudopotentials of Quantum ESPRESSO: which file an element has, its electrons, and the cutoffs that it wants."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from defectscout.core.errors import InputFileError, MissingProgramError, SettingsError, UnsupportedElementError
from defectscout.references.espresso_settings import EspressoSettings

VARIABLES: Final = ("DEFECTSCOUT_PSEUDO", "ESPRESSO_PSEUDO")
"""Environment variables for the folder, the first one that is set; the second is pw.x's own."""

_HEADER_LENGTH: Final = 400_000  # generators put their input before the header


@dataclass(frozen=True, slots=True)
class Pseudo:
    """The pseudopotential of an element.

    Attributes:
        symbol: the element.
        path: the UPF file.
        valence: electrons that are not in the potential.
        norm_conserving: whether the density needs no more than four times the wavefunctions' cutoff.
        cutoff: of the wavefunctions, Ry, as whoever made it suggests; 0 where nothing is said.
        density_cutoff: of the density, Ry, likewise.
    """

    symbol: str
    path: Path
    valence: int
    norm_conserving: bool
    cutoff: float = 0.0
    density_cutoff: float = 0.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a family's list says of an element: SSSP comes with one beside its files."""

    file: str
    cutoff: float
    density_cutoff: float


def pseudo_folder(settings: EspressoSettings) -> Path:
    """The folder with the UPF files.

    Raises:
        MissingProgramError: no folder is named, or it does not exist.
    """
    named = settings.pseudopotentials or next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    folder = Path(named).expanduser()
    if not named or not folder.is_dir():
        found = f"the folder {folder} does not exist" if named else "no folder is named"
        raise MissingProgramError(
            f"Quantum ESPRESSO comes without pseudopotentials, and {found}. Get a family, such as SSSP or PseudoDojo, "
            f"and name the folder of its UPF files with the environment variable {VARIABLES[0]} or the setting "
            "pseudopotentials."
        )
    return folder


def choose_pseudos(symbols: Sequence[str], settings: EspressoSettings) -> tuple[Pseudo, ...]:
    """The pseudopotential of each element, in the order of first appearance.

    A file is for the element that its name begins with, as in `Si.UPF`, `si_pbe_v1.uspp.F.UPF` or `Te-hard.upf`.
    Where several are, the setting `files` decides, else a family's list beside them (`SSSP_1.3.0_PBE_efficiency.json`).

    Raises:
        UnsupportedElementError: an element has no file, or several of which nothing names one.
        InputFileError: a file is no UPF file, or is for another element; there are lists of several families.
        MissingProgramError: the folder is not there.
    """
    folder = pseudo_folder(settings)
    listed = _family(folder)
    return tuple(_pseudo(symbol, settings, folder, listed.get(symbol)) for symbol in dict.fromkeys(symbols))


def cutoffs(pseudos: Sequence[Pseudo], settings: EspressoSettings) -> tuple[float, float]:
    """Cutoffs of wavefunctions and density, Ry: those of the settings, else the largest that a potential suggests.

    Raises:
        SettingsError: neither the settings nor a potential name a cutoff.
    """
    silent = [pseudo.path.name for pseudo in pseudos if not pseudo.cutoff]
    if not settings.cutoff and silent:
        raise SettingsError(
            f"No plane-wave cutoff is known: {', '.join(silent)} in {pseudos[0].path.parent} suggest"
            f"{'s' if len(silent) == 1 else ''} none. Give one with the setting cutoff (Ry), in a file that ends with "
            ".toml, after a convergence test or from where the potentials are published."
        )
    cutoff = settings.cutoff or max(pseudo.cutoff for pseudo in pseudos)
    times = 4 if all(pseudo.norm_conserving for pseudo in pseudos) else 8
    suggested = [pseudo.density_cutoff for pseudo in pseudos]
    if settings.density_cutoff:
        return cutoff, settings.density_cutoff
    if settings.cutoff or not all(suggested):
        return cutoff, times * cutoff
    return cutoff, max(*suggested, 4 * cutoff)


def _family(folder: Path) -> Mapping[str, _Entry]:
    """The list of a family by element; empty where there is none."""
    found = {path.name: entries for path in sorted(folder.glob("*.json")) if (entries := _read_list(path))}
    if len(found) > 1:
        raise InputFileError(
            f"{folder} holds lists of several families of pseudopotentials: {', '.join(found)}. Give each a folder."
        )
    return next(iter(found.values()), {})


@cache
def _read_list(path: Path) -> Mapping[str, _Entry]:
    """A list as SSSP has it; empty for a JSON file of another kind."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            symbol: _Entry(str(entry["filename"]), float(entry["cutoff_wfc"]), float(entry["cutoff_rho"]))
            for symbol, entry in content.items()
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


def _pseudo(symbol: str, settings: EspressoSettings, folder: Path, listed: _Entry | None) -> Pseudo:
    named = settings.files.get(symbol) or (listed.file if listed is not None else "")
    pattern = re.compile(rf"{symbol}(?:[._-].*)?\.upf", re.IGNORECASE)
    found = [folder / named] if named else sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    if not found or not found[0].is_file():
        asked = f"the file {named}" if named else f"a file such as {symbol}.UPF"
        raise UnsupportedElementError(
            f"There is no pseudopotential for {symbol}: {folder} does not hold {asked}. Put it there, or name another "
            "folder with the setting pseudopotentials."
        )
    if len(found) > 1:
        raise UnsupportedElementError(
            f"There are several pseudopotentials for {symbol} in {folder}: {', '.join(path.name for path in found)}. "
            f"Say which with the setting files = {{ {symbol} = '{found[0].name}' }}, in a file for --reference "
            "espresso:FILE.toml."
        )
    pseudo = _read(found[0], symbol)
    if listed is None or listed.file != pseudo.path.name:
        return pseudo
    return replace(pseudo, cutoff=listed.cutoff, density_cutoff=listed.density_cutoff)


@cache
def _read(path: Path, symbol: str) -> Pseudo:
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_HEADER_LENGTH)
    header = text[text.find("<PP_HEADER") :].partition(">")
    attributes = dict(re.findall(r"(\w+)\s*=\s*[\"']\s*([^\"']*?)\s*[\"']", header[0]))
    if not attributes:  # before version 2 of the format
        attributes = _old_attributes(header[2].partition("</PP_HEADER>")[0])
    valence = _number(attributes.get("z_valence", ""))
    if valence is None:
        raise InputFileError(f"{path} is no UPF file: it does not say how many valence electrons it is for.")
    element = attributes.get("element", symbol)
    if element.strip().capitalize() != symbol:
        raise InputFileError(f"{path} is for {element}, not for {symbol}. Rename it, or choose another with files.")
    kind = attributes.get("pseudo_type", "").strip().upper()
    return Pseudo(
        symbol=symbol,
        path=path,
        valence=round(valence),
        norm_conserving=kind in ("NC", "SL", "1/R"),
        cutoff=_number(attributes.get("wfc_cutoff", "")) or 0.0,
        density_cutoff=_number(attributes.get("rho_cutoff", "")) or 0.0,
    )


def _old_attributes(body: str) -> dict[str, str]:
    attributes = {}
    for name, words in (("z_valence", "Z valence"), ("element", "Element"), ("pseudo_type", "Ultrasoft|NC|US|PAW")):
        line = re.search(rf"^\s*(\S+)\s+.*\b(?:{words})\b", body, re.MULTILINE)
        if line is not None:
            attributes[name] = line[1]
    cutoff = re.search(r"^\s*(\S+)\s+(\S+)\s+Suggested cutoff", body, re.MULTILINE)
    if cutoff is not None:
        attributes |= {"wfc_cutoff": cutoff[1], "rho_cutoff": cutoff[2]}
    return attributes


def _number(text: str) -> float | None:
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        return None
