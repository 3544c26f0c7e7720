"""Hosts, defects, charges and starts in the names of files and folders.

Read are doped's names (`v_Cd_-2`, `Cd_i_C3v_+2`, `Te_Cd_0`), those of its first version
(`vac_1_Cd_0`, `Int_Cd_1_2`, `as_1_Cd_on_Te_0`), pymatgen-analysis-defects' (`Va_Cd`), and any
of them with the host before or behind it (`CdTe_v_Cd_0`, `v_N_GaN`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ase.data import chemical_symbols

from defectscout.core.defect import DefectKind
from defectscout.learning.frames import BULK
from defectscout.sampling.labels import label_of_folder

AS_RUN: Final = "as_run"
"""Start of a relaxation whose source does not say what it started from."""

_EL = "(?:" + "|".join(sorted(chemical_symbols[1:], key=len, reverse=True)) + ")"
_FORMULA = rf"(?:{_EL}(?:\d+(?:\.\d+)?)?)+"
_POINT_GROUP = r"(?:C1|Cs|Ci|C\d[vhi]?|D\d[hd]?|S\d|T[dh]?|Oh?|I[h]?)"
_SUFFIX = rf"(?:_(?:{_POINT_GROUP}|(?:{_EL}\d+\.\d+)+|s\d+|[a-hj-z]))*"
_CORE = (
    rf"(?:v|V|Va|vac|Vac)(?:_\d+)?_(?P<vacant>{_EL})"
    rf"|(?:[Ss]ub|[Aa]s|[Aa]nti(?:site)?)_\d+_(?P<new>{_EL})_on_(?P<old>{_EL})"
    rf"|(?:[Ii]nt|[Ii]nter)_\d+_(?P<inter>{_EL})"
    rf"|[Ii]nt_(?P<int>{_EL})_\d+"
    rf"|(?P<added>{_EL})_i"
    rf"|(?P<onto>{_EL})_(?P<site>{_EL})"
)
_TAIL = (
    rf"(?:_(?P<behind>(?:{_EL}\d*){{2,}}))?(?:_q?=?(?P<charge>[+-]?\d+))?"
    r"(?:_(?:HSE|PBE|SCAN|R2SCAN|LDA|GFN|gfn|xtb)\w*)?"
)
_NAME = re.compile(rf"(?P<defect>(?:{_CORE}){_SUFFIX}){_TAIL}")
_HOST_NAME = re.compile(rf"(?P<host>{_FORMULA})_(?P<rest>.+)")
_BULK = re.compile(
    rf"(?:(?P<host>{_FORMULA})_)?(?:[Bb]ulk|BULK|[Pp]erfect|[Pp]ristine)(?:_(?P<behind>{_FORMULA}))?(?:[_-].*)?"
)
_CHARGE = re.compile(r"(?:q|charge|chg)[=_ ]?(?P<charge>[+-]?\d+)|(?P<bare>[+-]\d+|0)")
_RUN = re.compile(r"(?:run|restart|cont|part)[_-]?\d+|vasp_(?:gam|std|nkred_std|ncl)|dft|relax|std|gam|ncl")


@dataclass(frozen=True, slots=True)
class Said:
    """What a source, or a name, says of its frames; None where it says nothing."""

    host: str | None = None
    defect: str | None = None
    charge: int | None = None
    method: str | None = None
    start: str | None = None

    def over(self, other: Said) -> Said:
        """What this says, and what `other` says where this says nothing."""
        defect = self.defect if self.defect is not None else other.defect
        return Said(
            host=self.host if self.host is not None else other.host,
            defect=defect,
            # A charge that a folder gives to a defect is not that of another one inside it.
            charge=self.charge if self.charge is not None or defect != other.defect else other.charge,
            method=self.method if self.method is not None else other.method,
            start=self.start if self.start is not None else other.start,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What a defect does to the host's composition."""

    kind: DefectKind
    added: str | None
    removed: str | None


def read_name(text: str) -> Said:
    """What the name of one file or folder says; empty where it is no name of a defect or of the bulk."""
    bulk = _BULK.fullmatch(text)
    if bulk is not None:
        return Said(host=bulk["host"] or bulk["behind"], defect=BULK, charge=0)
    match = _NAME.fullmatch(text)
    if match is not None:
        charge = match["charge"]
        return Said(match["behind"], match["defect"], None if charge is None else int(charge))
    with_host = _HOST_NAME.fullmatch(text)
    if with_host is not None:
        rest = _NAME.fullmatch(with_host["rest"])
        if rest is not None:
            charge = rest["charge"]
            return Said(with_host["host"], rest["defect"], None if charge is None else int(charge))
    return Said()


def read_path(parts: Sequence[str]) -> Said:
    """What the folders of a calculation say, the innermost first to be asked.

    Args:
        parts: names of the folders, outermost first, without the file.

    Returns:
        Defect and charge from the innermost folder that is named after a defect or the bulk
        (a charge also from a folder below it, such as `q=-1`), the host if it stands there, and the
        start from the folders below it: `Bond_Distortion_-60.0%` for itself and
        for `-60.0%`.
    """
    said = Said()
    below: list[str] = []
    for part in reversed(parts):
        if said.defect is not None:
            break
        found = read_name(part)
        charge = _CHARGE.fullmatch(part)
        if found.defect is not None:
            said = Said(
                found.host, found.defect, found.charge if said.charge is None else said.charge, start=_start(below)
            )
            if found.defect == BULK:
                said = replace(said, charge=0)
        elif charge is not None and said.charge is None:
            said = replace(said, charge=int(charge["charge"] or charge["bare"]))
        elif not _RUN.fullmatch(part):
            below.insert(0, part)
    if said.defect is None:
        return replace(said, start=_start(below[-1:]))
    return said


def _start(below: Sequence[str]) -> str | None:
    return "/".join(label_of_folder(part) for part in below) or None


def change_of(defect: str, elements: Collection[str]) -> Change | None:
    """What a defect of this name has added to its host and removed from it.

    Args:
        defect: name without charge.
        elements: the elements in its supercell; `V_O` is a vacancy unless vanadium is among them.

    Returns:
        None for a name that is none of a single point defect.
    """
    match = _NAME.fullmatch(defect)
    if match is None:
        return None
    if match["vacant"]:
        if defect.startswith("V_") and "V" in elements:
            return Change(DefectKind.SUBSTITUTION, "V", match["vacant"])
        return Change(DefectKind.VACANCY, None, match["vacant"])
    added = match["inter"] or match["int"] or match["added"]
    if added:
        return Change(DefectKind.INTERSTITIAL, added, None)
    return Change(DefectKind.SUBSTITUTION, match["new"] or match["onto"], match["old"] or match["site"])
