"""Which format a file is in: by its name, then by its content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from defectscout.learning.readers.files import head, plain_name
from defectscout.learning.readers.vasp import is_vasp_name


class Kind(Enum):
    """A format that frames or sites are read from."""

    OUTCAR = auto()
    VASPRUN = auto()
    CP2K = auto()
    ESPRESSO = auto()
    EXTXYZ = auto()
    TRAJ = auto()
    DB = auto()
    JSON = auto()
    SITES = auto()
    CAMPAIGN = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Found:
    """A file and its format."""

    path: Path
    kind: Kind

    @property
    def stem(self) -> str:
        """Its name without what tells the format."""
        name = plain_name(self.path)
        return re.sub(r"(?:-pos-\d+)?\.(?:extxyz|xyz|traj|db|json|out|pwo|log)$", "", name)


_CP2K_BESIDE = re.compile(r".+-(?:frc|vel)-\d+\.xyz")
_CP2K_POSITIONS = re.compile(r".+-pos-\d+\.xyz")
_CAMPAIGN = "campaign.db"
_SITES = re.compile(r"(?:distortion_)?metadata\.json")
_TEXT_OUTPUT = (".out", ".pwo", ".log")


def recognise(path: Path, asked_for: bool = False) -> Found:
    """The format of a file.

    Args:
        path: the file.
        asked_for: whether a person named this very file; then its content is looked at whatever
            its name is.
    """
    return Found(path, _by_name(path) or _by_content(path, asked_for))


def _by_name(path: Path) -> Kind | None:
    name = plain_name(path)
    if is_vasp_name(path):
        return Kind.VASPRUN if name.startswith("vasprun") else Kind.OUTCAR
    if _CP2K_POSITIONS.fullmatch(name):
        return Kind.CP2K
    if _CP2K_BESIDE.fullmatch(name):
        return Kind.NOTHING
    if _SITES.fullmatch(name):
        return Kind.SITES
    if name == _CAMPAIGN:
        return Kind.CAMPAIGN
    return {".extxyz": Kind.EXTXYZ, ".xyz": Kind.EXTXYZ, ".traj": Kind.TRAJ, ".db": Kind.DB}.get(Path(name).suffix)


def _by_content(path: Path, asked_for: bool) -> Kind:
    name = plain_name(path)
    if name.endswith(".json"):
        return _json_kind(path)
    if not asked_for and not name.endswith(_TEXT_OUTPUT):
        return Kind.NOTHING
    text = head(path)
    if "Program PWSCF" in text:
        return Kind.ESPRESSO
    if asked_for:
        if text.lstrip().startswith("<?xml") and "<modeling>" in text:
            return Kind.VASPRUN
        if text.lstrip().startswith("vasp."):
            return Kind.OUTCAR
        if "Properties=" in text or "Lattice=" in text:
            return Kind.EXTXYZ
    return Kind.NOTHING


def _json_kind(path: Path) -> Kind:
    """doped's defects say where sites are; ASE's database may be a JSON file, too."""
    from defectscout.hosts.read import is_doped_json

    text = head(path, 65536)
    if is_doped_json(str(path)):
        return Kind.SITES
    if '"structure' in text and "lattice" in text:
        return Kind.JSON
    if '"ids"' in text and '"nextid"' in text:
        return Kind.DB
    return Kind.NOTHING
