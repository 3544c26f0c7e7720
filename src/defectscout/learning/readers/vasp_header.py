"""What a VASP calculation says of itself before its first ionic step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FUNCTIONALS: Final = {
    "PE": "PBE",
    "PS": "PBEsol",
    "91": "PW91",
    "RP": "RPBE",
    "RE": "revPBE",
    "AM": "AM05",
    "CA": "LDA",
    "PZ": "LDA",
    "PB": "PB",
    "B3": "B3LYP",
    "OR": "optPBE",
    "BO": "optB88",
    "MK": "optB86b",
    "ML": "rPW86",
    "": "PBE",
}
_DISPERSION: Final = {
    1: "D2",
    10: "D2",
    11: "D3",
    12: "D3BJ",
    13: "D4",
    2: "TS",
    20: "TS",
    21: "TSHP",
    202: "MBD",
    4: "dDsC",
}


@dataclass(frozen=True, slots=True)
class VaspHeader:
    """Settings of a VASP calculation.

    Attributes:
        symbols: element of each ion.
        nelm: the most electronic steps that an ionic step may take.
        charge: charge from NELECT and the potentials' valence electrons, units of e; None if
            either is not given or the difference is not whole.
        method: the functional's name only, see `functional_name`; None if it is not known.
    """

    symbols: tuple[str, ...]
    nelm: int | None
    charge: int | None
    method: str | None


def functional_name(
    gga: str,
    metagga: str,
    hybrid: bool,
    aexx: float,
    hfscreen: float,
    dispersion: int,
    spin_orbit: bool,
    potentials: str,
) -> str:
    """Name of a functional: `PBE`, `PBEsol`, `HSE06`, `HSE(0.345)`, `PBE0`, `R2SCAN`, `LDA`, `PBE+D3`, `HSE06+SOC`.

    `HSE06` has 25 % of exact exchange screened with 0.2 to 0.208 Å⁻¹; another share stands in
    brackets, another screening too: `HSE(0.25,0.3)`. The name is that of the functional only:
    k-points, cutoff and potentials shift energies, too, so that calculations that differ in
    them need names of their own (`--method`).

    Args:
        gga: VASP's GGA, two letters; empty or `--` for that of the potentials.
        metagga: VASP's METAGGA.
        hybrid: VASP's LHFCALC.
        aexx: share of exact exchange.
        hfscreen: screening, Å⁻¹; 0 for none.
        dispersion: VASP's IVDW.
        spin_orbit: VASP's LSORBIT.
        potentials: title of a potential, such as `PAW_PBE Zn 06Sep2000`.
    """
    letters = gga.strip().strip("-").upper()
    base = _FUNCTIONALS.get(letters, letters)
    if not letters and "PBE" not in potentials.upper():
        base = "PW91" if "GGA" in potentials.upper() else "LDA"
    meta = metagga.strip().strip("-").upper()
    if meta not in ("", "F", "NONE"):
        base = meta
    if hybrid:
        base = _hybrid_name(base, aexx, hfscreen)
    if dispersion:
        base += f"+{_DISPERSION.get(dispersion, f'IVDW{dispersion}')}"
    return f"{base}+SOC" if spin_orbit else base


def _hybrid_name(base: str, aexx: float, hfscreen: float) -> str:
    if aexx == 1.0 and not hfscreen:
        return "HF"
    family = {"PBE": ("HSE", "PBE0"), "PBEsol": ("HSEsol", "PBEsol0")}.get(base, (f"HSE-{base}", f"{base}0"))
    if not hfscreen:
        return family[1] if abs(aexx - 0.25) < 1e-6 else f"{family[1]}({aexx:g})"
    usual = 0.195 < hfscreen < 0.2105
    if not usual:
        return f"{family[0]}({aexx:g},{hfscreen:g})"
    if abs(aexx - 0.25) < 1e-6:
        return "HSE06" if family[0] == "HSE" else family[0]
    return f"{family[0]}({aexx:g})"


def charge_from(nelect: float | None, valences: dict[str, float], symbols: tuple[str, ...]) -> int | None:
    """Charge of a cell from its number of electrons; None where that is not known or not whole."""
    if nelect is None or not symbols or any(symbol not in valences for symbol in symbols):
        return None
    charge = sum(valences[symbol] for symbol in symbols) - nelect
    return round(charge) if abs(charge - round(charge)) < 1e-3 else None
