"""OUTCAR and vasprun.xml files with the lines that VASP writes and readers look for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.units import GPa


@dataclass(frozen=True)
class IonicStep:
    atoms: Atoms
    energy: float
    forces: np.ndarray
    stress: np.ndarray  # Voigt, eV/Å³, ASE's sign
    electronic: int = 5


@dataclass(frozen=True)
class VaspSettings:
    nelm: int = 60
    nelect: float = 18.0
    gga: str = "--"
    hybrid: bool = False
    aexx: float = 0.0
    hfscreen: float = 0.0
    valences: dict[str, float] = field(default_factory=lambda: {"Cd": 12.0, "Te": 6.0})


def outcar(steps: Sequence[IonicStep], settings: VaspSettings, reached: bool | None = True) -> str:
    symbols, counts = _species(steps[0].atoms)
    flag = "T" if settings.hybrid else "F"
    lines = [" vasp.6.3.2 27Jun22 (build Nov 18 2022 11:47:58) complex"]
    for symbol in symbols:
        lines += [
            f"   TITEL  = PAW_PBE {symbol}_sv 06Sep2000",
            f"   POMASS =   65.390; ZVAL   =   {settings.valences[symbol]:.3f}    mass and valenz",
        ]
    lines += [
        f"   ions per type =              {'  '.join(map(str, counts))}",
        f"   NELM   =    {settings.nelm};   NELMIN=  2; NELMDL=  0     # of ELM steps",
        f"   NELECT =     {settings.nelect:.4f}    total number of electrons",
        f"   GGA     =    {settings.gga}    GGA type",
        f"   LHFCALC =     {flag}    Hartree Fock is set to",
        f"   AEXX    =    {settings.aexx:.4f} exact exchange contribution",
        f"   HFSCREEN=    {settings.hfscreen:.4f} screening length (either q_TF or 0.3 A-1)",
    ]
    for number, step in enumerate(steps, 1):
        for electronic in range(1, step.electronic + 1):
            lines += [
                f"--------------------- Iteration {number:6d}({electronic:4d})  -----------------",
                f"  free energy    TOTEN  =      {step.energy + 1:.8f} eV",
            ]
        if reached is not None:
            text = "because EDIFF is reached" if reached else "EDIFF was not reached (unconverged)"
            lines.append(f"------------------------ aborting loop {text} ------")
        xx, yy, zz, yz, zx, xy = -step.stress / (0.1 * GPa)
        lines.append("  in kB  " + "".join(f"{value:12.5f}" for value in (xx, yy, zz, xy, yz, zx)))
        lines += [
            "  volume of cell :     1277.70",
            "      direct lattice vectors                 reciprocal lattice vectors",
        ]
        lines += [
            "   " + "".join(f"{value:13.9f}" for value in (*row, *other))
            for row, other in zip(step.atoms.cell.array, step.atoms.cell.reciprocal().array, strict=True)
        ]
        rule = " " + "-" * 83
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", rule]
        lines += [
            "".join(f"{value:13.5f}" for value in place) + "    " + "".join(f"{value:14.6f}" for value in force)
            for place, force in zip(step.atoms.positions, step.forces, strict=True)
        ]
        lines += [
            rule,
            f"  free  energy   TOTEN  =      {step.energy:.8f} eV",
            "",
            f"  energy  without entropy=     {step.energy + 0.02:.8f}  energy(sigma->0) =     {step.energy + 0.01:.8f}",
        ]
    lines.append(" General timing and accounting informations for this job:")
    return "\n".join(lines) + "\n"


def vasprun(steps: Sequence[IonicStep], settings: VaspSettings) -> str:
    symbols, counts = _species(steps[0].atoms)
    types = "".join(
        f"<rc><c>{count}</c><c>{symbol}</c><c>1.0</c><c>{settings.valences[symbol]}</c><c> PAW_PBE {symbol}</c></rc>"
        for symbol, count in zip(symbols, counts, strict=True)
    )
    ions = "".join(f"<rc><c>{symbol:2s}</c><c>1</c></rc>" for symbol in steps[0].atoms.get_chemical_symbols())
    flag = "T" if settings.hybrid else "F"
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<parameters>\n'
        f'<separator name="electronic"><i type="int" name="NELM"> {settings.nelm}</i>'
        f'<i name="NELECT"> {settings.nelect}</i></separator>\n'
        f'<separator name="electronic exchange-correlation"><i type="string" name="GGA">{settings.gga}</i>'
        f'<i type="logical" name="LHFCALC"> {flag} </i><i name="AEXX"> {settings.aexx}</i>'
        f'<i name="HFSCREEN"> {settings.hfscreen}</i></separator>\n'
        '<separator name="response functions"><i type="int" name="NELM"> 1</i></separator>\n</parameters>\n'
        f'<atominfo><array name="atoms"><set>{ions}</set></array>'
        f'<array name="atomtypes"><set>{types}</set></array></atominfo>\n'
    )
    for step in steps:
        xx, yy, zz, yz, zx, xy = -step.stress / (0.1 * GPa)
        stress = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
        text += (
            "<calculation>\n"
            + "<scstep><energy><i name='e_fr_energy'>0.0</i></energy></scstep>\n" * step.electronic
            + f"<structure><crystal>{_varray('basis', step.atoms.cell.array)}</crystal>"
            + f"{_varray('positions', step.atoms.get_scaled_positions(wrap=False))}</structure>\n"
            + f"{_varray('forces', step.forces)}{_varray('stress', stress)}"
            + f'<energy><i name="e_fr_energy"> {step.energy:.8f}</i><i name="e_wo_entrp"> {step.energy + 0.02:.8f}</i>'
            + f'<i name="e_0_energy"> {step.energy + 0.01:.8f}</i></energy>\n</calculation>\n'
        )
    return text + "</modeling>\n"


def _varray(name: str, rows: np.ndarray) -> str:
    body = "".join("<v>" + " ".join(f"{value:.9f}" for value in row) + "</v>" for row in rows)
    return f'<varray name="{name}">{body}</varray>'


def _species(atoms: Atoms) -> tuple[list[str], list[int]]:
    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    return symbols, [atoms.get_chemical_symbols().count(symbol) for symbol in symbols]
