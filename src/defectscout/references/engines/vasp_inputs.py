"""The text of VASP's input files, with doped's and ShakeNBreak's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from defectscout.core.errors import UnsupportedElementError
from defectscout.core.quiet import quiet
from defectscout.references.engines.base import Calculation, Purpose
from defectscout.references.engines.vasp_presets import VaspPreset
from defectscout.sampling.geometry import to_structure
from defectscout.sampling.poscar import poscar_order, poscar_text


@dataclass(frozen=True, slots=True)
class VaspFiles:
    """Texts of the input files of one calculation.

    Attributes:
        poscar: POSCAR, atoms sorted by species as ShakeNBreak sorts them.
        incar: INCAR; what is missing stands in comments at its top.
        kpoints: KPOINTS.
        potcar: POTCAR; None if pymatgen has none.
        spec: names of the potentials, one a line.
        missing: what the user has to add, one sentence each.
    """

    poscar: str
    incar: str
    kpoints: str
    potcar: str | None
    spec: str
    missing: tuple[str, ...]


def vasp_files(calculation: Calculation, preset: VaspPreset) -> VaspFiles:
    """The input files of a calculation.

    NELECT stands in INCAR for a charged cell where the potentials, and with them the number of valence electrons,
    are known; NUPDOWN always, since its parity does not depend on them. POTCAR comes from pymatgen's folder of
    pseudopotentials (PMG_VASP_PSP_DIR) and is kept nowhere. Without it, doped refuses to make an INCAR for a
    charged cell, and the neutral one lacks NELECT only: that one is written, and says so at its top.

    Raises:
        UnsupportedElementError: neither doped nor ShakeNBreak names a potential for an element.
    """
    atoms = calculation.atoms
    charge = calculation.state.charge
    potentials_of(sorted(set(atoms.get_chemical_symbols())))
    with quiet():
        make = _host_set if calculation.purpose is Purpose.HOST else _defect_set
        inputs = make(atoms, charge, preset)
        potcar, reason = _potcar(inputs)
        spec = tuple(str(symbol) for symbol in inputs.potcar_symbols)
        kpoints = str(inputs.kpoints)
        incar = (inputs if potcar is not None else make(atoms, 0, preset)).incar
        unpaired = _unpaired(calculation)
        if unpaired is not None:
            incar["NUPDOWN"] = unpaired
        text = str(incar)
    missing = () if potcar is not None else _missing(calculation, reason, spec)
    return VaspFiles(
        poscar=poscar_text(atoms, calculation.title),
        incar="".join(f"# {sentence}\n" for sentence in missing) + text,
        kpoints=kpoints,
        potcar=potcar,
        spec="\n".join(spec) + "\n",
        missing=missing,
    )


def valence_parity(atoms: Atoms, charge: int) -> int:
    """1 for an odd number of valence electrons, 0 for an even one.

    Cores hold pairs of electrons, so that the potentials need not be known; but those whose names end in `_3`
    (`Dy_3`) leave three valence electrons, or these and closed shells, and keep open 4f shells in the core.

    Args:
        atoms: the cell.
        charge: its charge, e.
    """
    symbols = atoms.get_chemical_symbols()
    potentials = potentials_of(sorted(set(symbols)))
    odd = {symbol: _parity_of(name) for symbol, name in potentials.items()}
    return (sum(odd[symbol] for symbol in symbols) - charge) % 2


def potentials_of(symbols: Sequence[str]) -> dict[str, str]:
    """Names of the potentials that ShakeNBreak, and else doped, takes for elements.

    Raises:
        UnsupportedElementError: there is none for an element.
    """
    with quiet():
        from doped.vasp import default_potcar_dict

        names = {**default_potcar_dict, **_shakenbreak_file("default_POTCARs.yaml")["POTCAR"]}
    unknown = [symbol for symbol in symbols if symbol not in names]
    if unknown:
        raise UnsupportedElementError(
            f"doped and ShakeNBreak name no VASP potential for {', '.join(unknown)}. Leave these elements out, or "
            "choose another engine with --engine."
        )
    return {symbol: str(names[symbol]) for symbol in symbols}


def _parity_of(potential: str) -> int:
    from ase.data import atomic_numbers

    element, _, kind = potential.partition("_")
    if kind in ("3", "2"):
        return int(kind) % 2
    return int(atomic_numbers[element]) % 2


def _unpaired(calculation: Calculation) -> int | None:
    """NUPDOWN; None for a closed-shell crystal, which is computed without spin."""
    multiplicity = calculation.state.multiplicity
    if multiplicity is None or (multiplicity == 1 and calculation.purpose is Purpose.HOST):
        return None
    return multiplicity - 1


def _missing(calculation: Calculation, reason: str, potentials: Sequence[str]) -> tuple[str, ...]:
    sentences = [f"POTCAR is missing ({reason}): join the potentials {' '.join(potentials)} in this order."]
    charge = calculation.state.charge
    if charge:
        sentences.append(
            f"NELECT is missing and must be set, or VASP computes the neutral cell: the sum of all atoms' ZVAL in "
            f"POTCAR minus the charge, {charge:+d}."
        )
    return tuple(sentences)


def _defect_set(atoms: Atoms, charge: int, preset: VaspPreset) -> Any:
    """doped's input set with ShakeNBreak's settings.

    ShakeNBreak's own function for this renames folders that it finds; its settings are taken from the files that it
    ships.
    """
    from doped.vasp import DefectDictSet
    from pymatgen.io.vasp.inputs import Kpoints

    structure = to_structure(atoms[poscar_order(atoms)])
    incar = dict(_shakenbreak_file("incar.yaml"))
    incar["ROPT"] = " ".join(["1e-3"] * len(structure.composition.elements))
    incar.update(preset.defect)
    return DefectDictSet(
        structure,
        charge_state=charge,
        user_incar_settings=incar,
        user_kpoints_settings=Kpoints.from_dict(
            {"comment": "Γ-only KPOINTS from ShakeNBreak", "generation_style": "Gamma"}
        ),
        user_potcar_settings=_shakenbreak_potentials(),
    )


def _host_set(atoms: Atoms, charge: int, preset: VaspPreset) -> Any:
    """doped's settings for crystals, cell and positions free."""
    from doped.vasp import DopedDictSet, default_HSE_set, default_relax_set
    from pymatgen.io.vasp.inputs import Kpoints

    if charge:
        raise ValueError(f"A host has no charge, not {charge:+d}.")
    structure = to_structure(atoms[poscar_order(atoms)])
    incar = dict(default_relax_set["INCAR"])
    if preset.host.get("LHFCALC", True):
        incar.update(default_HSE_set["INCAR"])
    incar.update(preset.host)
    if "EDIFF" in preset.host:
        incar.pop("EDIFF_PER_ATOM")
    if preset.kppa is None:
        kpoints = dict(default_relax_set["KPOINTS"])
    else:
        kpoints = Kpoints.automatic_density(structure, preset.kppa)
    return DopedDictSet(
        structure,
        user_incar_settings=incar,
        user_kpoints_settings=kpoints,
        user_potcar_settings=_shakenbreak_potentials(),
    )


def _shakenbreak_potentials() -> dict[str, Any]:
    return dict(_shakenbreak_file("default_POTCARs.yaml")["POTCAR"])


def _shakenbreak_file(name: str) -> Any:
    import shakenbreak
    from monty.serialization import loadfn

    return loadfn(Path(str(shakenbreak.__file__)).parent / "SnB_input_files" / name)


def _potcar(inputs: Any) -> tuple[str | None, str]:
    """Text of POTCAR, or why there is none."""
    from pymatgen.core import SETTINGS

    if not any("VASP_PSP_DIR" in key for key in SETTINGS):
        return None, "PMG_VASP_PSP_DIR of pymatgen is not set"
    try:
        return str(inputs.potcar), ""
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        return None, f"pymatgen cannot give it: {reason[:160]}"
