"""VASP inputs for candidates, with ShakeNBreak's and doped's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.quiet import quiet
from defectscout.sampling.geometry import to_structure
from defectscout.sampling.labels import folder_name
from defectscout.sampling.poscar import poscar_order, poscar_text


@dataclass(frozen=True, slots=True)
class _VaspFiles:
    """Texts of the files that all candidates share.

    Attributes:
        incar: INCAR.
        kpoints: KPOINTS, the Γ point.
        potcar: POTCAR; None if pymatgen has none.
        spec: names of the potentials, one a line.
        missing: what the user has to add, one sentence each.
    """

    incar: str
    kpoints: str
    potcar: str | None
    spec: str
    missing: tuple[str, ...]


def write_vasp_inputs(folder: Path, defect: Defect, candidates: Sequence[SamplingStructure]) -> tuple[Path, ...]:
    """Write VASP inputs for candidates, one folder each, in ShakeNBreak's layout.

    POSCAR, INCAR and KPOINTS are those of ShakeNBreak: doped's defect settings
    (HSE06) with ShakeNBreak's coarser ones for structure searching, the Γ point
    (vasp_gam), NELECT for charged defects and NUPDOWN. POTCAR is written where
    pymatgen knows a folder of pseudopotentials (PMG_VASP_PSP_DIR). Without them
    the numbers of valence electrons are not known: then POTCAR.spec lists the
    potentials, INCAR says in comments at its top what must be added, and
    `missing_vasp_inputs` says the same.

    Args:
        folder: the files go to `folder/v_Cd_0/LABEL/`.
        defect: the defect, for its charge and name.
        candidates: the structures, atoms in the order of the defect supercell.

    Returns:
        The candidates' folders, in the same order.
    """
    files = _vasp_files(defect)
    written = []
    for candidate in candidates:
        target = folder / defect.label / folder_name(candidate.label)
        target.mkdir(parents=True, exist_ok=True)
        _write(target / "POSCAR", poscar_text(candidate.atoms, f"{defect.label} {candidate.label}"))
        _write(target / "INCAR", files.incar)
        _write(target / "KPOINTS", files.kpoints)
        if files.potcar is None:
            _write(target / "POTCAR.spec", files.spec)
        else:
            _write(target / "POTCAR", files.potcar)
        written.append(target)
    return tuple(written)


def missing_vasp_inputs(defect: Defect) -> tuple[str, ...]:
    """What must be added to the written VASP inputs before they can run.

    Args:
        defect: the defect.

    Returns:
        One sentence each; empty if pymatgen finds all pseudopotentials.
    """
    return _vasp_files(defect).missing


def _vasp_files(defect: Defect) -> _VaspFiles:
    with quiet():
        inputs = _input_set(defect, defect.charge)
        kpoints = str(inputs.kpoints)
        spec = "\n".join(inputs.potcar_symbols) + "\n"
        potcar, reason = _potcar(inputs)
        if potcar is not None:
            return _VaspFiles(str(inputs.incar), kpoints, potcar, spec, ())
        # doped refuses to make the INCAR of a charged cell without POTCAR; all
        # tags but NELECT and NUPDOWN are those of the neutral cell.
        incar = str(_input_set(defect, 0).incar)
    missing = _missing(defect, reason, spec.split())
    comments = "".join(f"# {sentence}\n" for sentence in missing)
    return _VaspFiles(comments + incar, kpoints, None, spec, missing)


def _missing(defect: Defect, reason: str, potentials: Sequence[str]) -> tuple[str, ...]:
    sentences = [f"POTCAR is missing ({reason}): join the potentials {' '.join(potentials)} in this order."]
    if defect.charge:
        sentences.append(
            f"NELECT is missing and must be set, or VASP computes the neutral cell: the sum of "
            f"all atoms' ZVAL in POTCAR minus the charge of {defect.label}, {defect.charge:+d}."
        )
    sentences.append("NUPDOWN is missing: 0 for an even and 1 for an odd number of electrons.")
    return tuple(sentences)


def _input_set(defect: Defect, charge: int) -> Any:
    """doped's input set with ShakeNBreak's settings.

    ShakeNBreak's own function for this renames folders that it finds; its settings
    are taken from the files that it ships.
    """
    import shakenbreak
    from doped.vasp import DefectDictSet
    from monty.serialization import loadfn
    from pymatgen.io.vasp.inputs import Kpoints

    settings = Path(str(shakenbreak.__file__)).parent / "SnB_input_files"
    structure = to_structure(defect.atoms[poscar_order(defect.atoms)])
    incar = dict(loadfn(settings / "incar.yaml"))
    incar["ROPT"] = " ".join(["1e-3"] * len(structure.composition.elements))
    return DefectDictSet(
        structure,
        charge_state=charge,
        user_incar_settings=incar,
        user_kpoints_settings=Kpoints.from_dict(
            {"comment": "Γ-only KPOINTS from ShakeNBreak", "generation_style": "Gamma"}
        ),
        user_potcar_settings=dict(loadfn(settings / "default_POTCARs.yaml")["POTCAR"]),
    )


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


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
