"""Labels of sampling structures: ShakeNBreak's folder names."""

from __future__ import annotations

import re

from defectscout.core.defect import UNPERTURBED, charge_text

RATTLED = "Rattled"
"""Label of the structure that is only rattled, made where a defect has no excess charge."""

DIMER = "Dimer"
"""Label of the structure with two neighbours of a vacancy pushed together to their covalent bond length."""

HIGH_ENERGY = "_High_Energy"
"""Suffix that ShakeNBreak appends to the folder of a relaxation that blew up."""

_BOND_DISTORTION = re.compile(r"Bond_Distortion_(?P<percent>[+-]?\d+(?:\.\d+)?)%(?P<origin>(?:_from_[A-Za-z0-9.+-]+)*)")
_CHARGES = r"(?P<charges>(?:_from_(?:0|[+-]\d+))+)"
_BORROWED_WORD = re.compile(rf"(?:{RATTLED}|{DIMER}){_CHARGES}")
_BORROWED = re.compile(rf"(?P<label>.+?){_CHARGES}")


def bond_distortion_label(distortion: float) -> str:
    """ShakeNBreak's folder name of a bond distortion.

    Args:
        distortion: fraction of the bond length, such as -0.6.

    Returns:
        Such as `Bond_Distortion_-60.0%`.
    """
    return f"Bond_Distortion_{round(distortion * 100, 1) + 0.0}%"


def pair_label(distortion: float, pair: tuple[tuple[int, str], tuple[int, str]]) -> str:
    """Folder name of a bond distortion of one pair of neighbours.

    ShakeNBreak's parsers know exactly one form with something after the
    percentage: `_from_ORIGIN`, meant for structures imported from another charge
    state. Any other makes `snb-plot` and `snb-groundstate` fail, so that the pair
    takes the place of the origin; `snb-plot` draws it at its distortion and names
    it `From Te29-Te31` in the legend.

    Args:
        distortion: fraction of the bond length.
        pair: index in the defect supercell (from 0) and symbol of both atoms.

    Returns:
        Such as `Bond_Distortion_-60.0%_from_Te29-Te31`.
    """
    (first, first_symbol), (second, second_symbol) = pair
    return f"{bond_distortion_label(distortion)}_from_{first_symbol}{first}-{second_symbol}{second}"


def borrowed_label(label: str, charge: int) -> str:
    """Folder name of a structure that comes from another charge state, as ShakeNBreak's `regenerate` writes it.

    A structure that is handed on a second time says so (`Dimer_from_0_from_-1`), where
    ShakeNBreak would keep the first name: two structures must not share one. Its parsers
    read the last charge.

    Args:
        label: its label in the other charge state.
        charge: the other charge state, e.

    Returns:
        Such as `Bond_Distortion_-40.0%_from_-1`.
    """
    return f"{label}_from_{charge_text(charge)}"


def related_label(defect: str, host: str, number: int) -> str:
    """Name of a structure that the same defect of a related host relaxed to.

    Args:
        defect: label of the defect there, such as `v_Cd_0`.
        host: formula of that host.
        number: counts those of one host, from 1, the lowest in energy first.

    Returns:
        Such as `v_Cd_0_of_CdTe`, and `v_Cd_0_of_CdTe-2`.
    """
    return f"{defect}_of_{host}{f'-{number}' if number > 1 else ''}"


def label_of_folder(name: str) -> str:
    """Label of a folder that ShakeNBreak made, whatever its version.

    Args:
        name: the folder's name.

    Returns:
        `Bond_Distortion_-50.0%` for itself, for `-50.0%` (older versions) and for the
        same with `_High_Energy` behind it; any other name as it is.
    """
    label = name.removesuffix(HIGH_ENERGY)
    match = _BOND_DISTORTION.fullmatch(label) or _BOND_DISTORTION.fullmatch(f"Bond_Distortion_{label}")
    if match is None or match["origin"]:
        return label
    return bond_distortion_label(float(match["percent"]) / 100)


def energy_key(label: str) -> float | str | None:
    """Name of a sampling structure inside ShakeNBreak's energy files.

    Args:
        label: a sampling structure's label.

    Returns:
        -0.6 for `Bond_Distortion_-60.0%`, `-60.0%_from_Te29-Te31` for a pair or
        `-60.0%_from_-1` for another charge state, the label itself for `Unperturbed`,
        `Rattled`, `Dimer` and the last two from another charge state; None if
        ShakeNBreak does not know such a name.
    """
    if label in (UNPERTURBED, RATTLED, DIMER) or _BORROWED_WORD.fullmatch(label):
        return label
    match = _BOND_DISTORTION.fullmatch(label)
    if match is None:
        return None
    if match["origin"]:
        return label.removeprefix("Bond_Distortion_")
    # The same arithmetic as ShakeNBreak's, so that its own files hold the same key.
    return float(match["percent"]) / 100


def distortion_of(label: str) -> float | None:
    """How much bonds were distorted in a sampling structure, as a fraction of their length.

    Args:
        label: a sampling structure's label.

    Returns:
        -0.6 for `Bond_Distortion_-60.0%`, for that of a pair (`..._from_Te29-Te31`) and for one from another charge
        state; None for anything that is no bond distortion, such as `Unperturbed`, `Rattled` and `Dimer`.
    """
    match = _BOND_DISTORTION.fullmatch(label)
    return float(match["percent"]) / 100 if match is not None else None


def folder_name(label: str) -> str:
    """Folder of a sampling structure in ShakeNBreak's layout.

    Args:
        label: a sampling structure's label; one that ShakeNBreak knows is its own
            folder name, any other (a structure of the user's) becomes a distortion
            of 0 % imported from there, `Bond_Distortion_0.0%_from_my-structure`.

    Returns:
        A name that ShakeNBreak's parsers recognise.
    """
    if energy_key(label) is not None:
        return label
    borrowed = _BORROWED.fullmatch(label)
    if borrowed is not None:
        # ShakeNBreak takes the energy of any folder with `Unperturbed` in its name for that of its zero.
        own = _plain(borrowed["label"].replace(UNPERTURBED, UNPERTURBED.lower()))
        return f"Bond_Distortion_0.0%_from_{own}{borrowed['charges']}"
    # ShakeNBreak's legend shows what follows the last underscore.
    return f"Bond_Distortion_0.0%_from_{_plain(label)}"


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", label).strip("-") or "file"
