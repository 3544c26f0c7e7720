"""FHI-aims and CASTEP: input files with ShakeNBreak's settings; to be run, and looked after, by hand.

ShakeNBreak writes these inside a method that makes the distortions anew, so that only its settings are taken: those
of `castep.param` from the file that it ships, those of FHI-aims from `write_fhi_aims_files` of its version 3.4.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ase import Atoms

from defectscout.core.errors import CalculationError, SettingsError, UnsupportedElementError
from defectscout.core.files import write_atomically
from defectscout.core.quiet import quiet
from defectscout.references.base import ElectronicState
from defectscout.references.engines.base import Calculation, Diagnosis, EngineInfo, Purpose, RunState

SPECIES_VARIABLE = "AIMS_SPECIES_DIR"
CONVERTED = "relaxation.extxyz"
"""Into which the ionic steps go, for `collect`."""

_AIMS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "k_grid": (1, 1, 1),
        "relax_geometry": ("bfgs", 5e-3),
        "xc": ("hse06", 0.11),
        "hse_unit": "A",
        "spin": "collinear",
        "default_initial_moment": 0,
        "hybrid_xc_coeff": 0.25,
    }
)


@dataclass(frozen=True, slots=True)
class Program:
    """What is written for a program, and read of it.

    Attributes:
        info: as every engine has it.
        output: name of its output.
        ase_format: ASE's name for that.
    """

    info: EngineInfo
    output: str
    ase_format: str


AIMS: Final = Program(
    EngineInfo(
        name="fhi-aims",
        program="FHI-aims",
        citation="10.1016/j.cpc.2009.06.022",
        presets={"shakenbreak": "HSE06 with ShakeNBreak's settings: BFGS to 0.005 eV/Å, Γ point"},
        order_kept=True,
    ),
    output="aims.out",
    ase_format="aims-output",
)
CASTEP: Final = Program(
    EngineInfo(
        name="castep",
        program="CASTEP",
        citation="10.1524/zkri.220.5.567.65075",
        presets={"shakenbreak": "HSE06 with ShakeNBreak's settings: BFGS to 0.05 eV/Å, Γ point"},
        order_kept=False,  # CASTEP sorts atoms by species
    ),
    output="castep.castep",
    ase_format="castep-castep",
)


class AseWriter:
    """An engine that writes inputs and leaves the rest to the user."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def info(self) -> EngineInfo:
        return self._program.info

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        """The lowest spin that the number of electrons allows, as ShakeNBreak has it."""
        if (int(atoms.numbers.sum()) - charge) % 2:
            return ElectronicState(charge, 2, "an odd number of electrons leaves one unpaired")
        return ElectronicState(charge, 1)

    def write(self, folder: Path, calculation: Calculation, preset: str) -> tuple[str, ...]:
        info = self.info
        if preset not in info.presets:
            raise SettingsError(f"{info.program} has no preset '{preset}'. Choose one of: {', '.join(info.presets)}.")
        if calculation.purpose is Purpose.HOST:
            raise SettingsError(
                f"Inputs of {info.program} are written for defects alone: ShakeNBreak has no settings for hosts. Relax "
                "the host by hand and give its structure."
            )
        folder.mkdir(parents=True, exist_ok=True)
        return _write_aims(folder, calculation) if self._program is AIMS else _write_castep(folder, calculation)

    def diagnose(self, folder: Path) -> Diagnosis:
        """Whether there is output; what is in it is for the user to say, by converting it."""
        output = folder / self._program.output
        if (folder / CONVERTED).is_file():
            note = f"{CONVERTED} is taken for a whole relaxation: whether it converged is not known here"
            return Diagnosis(RunState.FINISHED, note)
        if not output.is_file():
            return Diagnosis(RunState.NOT_RUN)
        return Diagnosis(
            RunState.RUNNING,
            f"output of {self.info.program} is not read here. When it has converged, make its ionic steps readable: "
            f"ase convert -i {self._program.ase_format} {output.name} {CONVERTED}",
        )

    def go_on(self, folder: Path, preset: str) -> str:
        raise CalculationError(
            f"Runs of {self.info.program} cannot be prepared to go on: only its inputs are written. Go on by hand in "
            f"{folder}."
        )


def load(name: str) -> AseWriter:
    """The engine `fhi-aims` or `castep`."""
    return AseWriter(AIMS if name == AIMS.info.name else CASTEP)


def _write_aims(folder: Path, calculation: Calculation) -> tuple[str, ...]:
    from ase.io.aims import write_aims, write_control

    atoms = calculation.atoms
    text = io.StringIO()
    with quiet():
        write_aims(text, atoms, info_str=calculation.title)
    write_atomically(folder / "geometry.in", text.getvalue())
    multiplicity = calculation.state.multiplicity or 1
    # As in ShakeNBreak: a moment on each atom to start from, since without one FHI-aims ends without spin.
    parameters = {**_AIMS, "default_initial_moment": multiplicity - 1, "charge": calculation.state.charge}
    species = os.environ.get(SPECIES_VARIABLE)
    if not species:
        lines = "".join(f"{name:<34} {_aims_value(value)}\n" for name, value in parameters.items())
        missing = (
            f"The species are missing in control.in ({SPECIES_VARIABLE} is not set): append the basis sets of "
            f"{', '.join(dict.fromkeys(atoms.get_chemical_symbols()))}."
        )
        write_atomically(folder / "control.in", f"# {missing}\n{lines}")
        return (missing,)
    control = io.StringIO()
    try:
        with quiet():
            write_control(control, atoms, {**parameters, "species_dir": species})
    except FileNotFoundError as error:
        raise UnsupportedElementError(
            f"FHI-aims' folder of species {species} ({SPECIES_VARIABLE}) lacks {Path(str(error.filename)).name}. Point "
            "it to a folder such as species_defaults/defaults_2020/light."
        ) from None
    except RuntimeError as error:
        raise SettingsError(f"{SPECIES_VARIABLE} cannot be used: {error}.") from None
    write_atomically(folder / "control.in", control.getvalue())
    return ()


def _aims_value(value: object) -> str:
    return " ".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def _write_castep(folder: Path, calculation: Calculation) -> tuple[str, ...]:
    import shakenbreak

    atoms, state = calculation.atoms, calculation.state
    rows = [" ".join(f"{value:.10f}" for value in vector) for vector in atoms.cell.array]
    sites = [
        f"{symbol} " + " ".join(f"{value:.12f}" for value in place)
        for symbol, place in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(wrap=False), strict=True)
    ]
    cell = [
        f"# {calculation.title}",
        *("%BLOCK LATTICE_CART", *rows, "%ENDBLOCK LATTICE_CART", ""),
        *("%BLOCK POSITIONS_FRAC", *sites, "%ENDBLOCK POSITIONS_FRAC", ""),
        "KPOINTS_MP_GRID : 1 1 1",
        "FIX_ALL_CELL : TRUE",
    ]
    write_atomically(folder / "castep.cell", "\n".join(cell) + "\n")
    settings = Path(str(shakenbreak.__file__)).parent / "SnB_input_files" / "castep.param"
    added = [
        "",
        "# What ShakeNBreak's file leaves open",
        "TASK : GeometryOptimization",
        f"CHARGE : {state.charge}",
        "SPIN_POLARIZED : TRUE",
        f"SPIN : {(state.multiplicity or 1) - 1}",
    ]
    text = settings.read_text(encoding="utf-8").rstrip("\n") + "\n" + "\n".join(added) + "\n"
    write_atomically(folder / "castep.param", text)
    return ()
