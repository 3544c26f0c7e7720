"""Names and numbers as a paper has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from defectscout.reporting.report.names import method_name
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.overview import Overview

FAMILIES: Final = {
    "chgnet": "CHGNet",
    "m3gnet": "M3GNet",
    "tensornet": "TensorNet",
    "mace": "MACE",
    "7net": "SevenNet",
    "7net-0": "SevenNet-0",
    "7net-l3i5": "SevenNet-l3i5",
}
"""How the makers of each family write its name."""

REFERENCES: Final = {"gfn1-xtb": "GFN1-xTB", "gfn2-xtb": "GFN2-xTB"}

NAMES: Final = {
    "defectscout": "defectscout",
    "doped": "doped",
    "shakenbreak": "ShakeNBreak",
    "pymatgen": "pymatgen",
    "ase": "ASE",
    "dscribe": "DScribe",
}
"""Packages that every search uses."""

_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """A setting as a paper has it: `0.03`, `4 × 10⁻⁴`."""
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:e}".split("e")
        factor = f"{float(mantissa):g}"
        power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
        return power if factor == "1" else f"{factor} × {power}"
    return f"{value:g}"


def signed(value: float, digits: int = 0) -> str:
    """A number with its sign: `+1.7`, `−60`, `0`."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"


def span(values: Sequence[int]) -> str:
    """Numbers as one or as a range: `15`, `12 to 15`."""
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def surrogate_name(overview: Overview) -> str:
    """The surrogate with its version and weights: `M3GNet (M3GNet-MP-2021.2.8-PES, matgl 4.1.2)`."""
    info, asked_for = overview.surrogate, overview.settings.surrogate.name
    family, colon, rest = asked_for.partition(":")
    known = FAMILIES.get(family)
    told: list[str] = []
    if family == "ase":
        name = f"the ASE calculator {method_name(asked_for)}"
    elif known is None:
        name = f"the tuned model {PurePath(asked_for).name}"
    else:
        name, told = known, [PurePath(rest).name] if colon else []
    if info is not None:
        told += [info.package] if family != "ase" else []
        told += [_weights(info)] if info.weights else []
        if info.lattice_scale != 1:
            told += [f"shown all structures {info.lattice_scale - 1:+.1%} in every length, in its own lattice"]
    return f"{name} ({', '.join(told)})" if told else name


def family_name(name: str) -> str:
    """A surrogate's family, as its makers write it: `M3GNet`."""
    family = name.partition(":")[0]
    return FAMILIES.get(family, method_name(name))


def _weights(info: SurrogateInfo) -> str:
    digest = info.weights.removeprefix("sha256:")
    return f"weights with SHA-256 {digest[:12]}…" if digest != info.weights else f"weights {info.weights}"


def reference_name(name: str) -> str:
    """A reference's name: `GFN1-xTB`."""
    if name.partition(":")[0] == "ase":
        return f"the ASE calculator {method_name(name)}"
    return REFERENCES.get(name, name)


def named_packages(overview: Overview) -> list[str]:
    """Packages with their versions, those of surrogate and reference among them."""
    found = [f"{name} {overview.packages[package]}" for package, name in NAMES.items() if package in overview.packages]
    if overview.surrogate is not None and overview.surrogate.package:
        found.append(overview.surrogate.package)
    if overview.surrogate is not None and "torch" in overview.packages:
        found.append(f"PyTorch {overview.packages['torch']}")
    if overview.reference is not None and overview.reference.package:
        found.append(overview.reference.package)
    return list(dict.fromkeys(found))
