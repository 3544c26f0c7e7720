"""VASP, by hand or on a queue: input files, how a calculation stands, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.files import write_atomically
from defectscout.references.base import ElectronicState
from defectscout.references.engines import retries
from defectscout.references.engines.base import Calculation, Diagnosis, EngineInfo, Execution, RunState
from defectscout.references.engines.vasp_presets import PRESETS, vasp_preset

_INFO: Final = EngineInfo(
    name="vasp",
    program="VASP",
    citation="10.1103/PhysRevB.54.11169",
    presets={name: preset.line for name, preset in PRESETS.items()},
    order_kept=False,  # POSCAR is sorted by species
)

_EXECUTION: Final = Execution(
    stdout="vasp.out",
    stderr="vasp.err",
    retrieve=("OUTCAR", "vasprun.xml", "OSZICAR", "CONTCAR", "vasp.out", "vasp.err"),
    carry=("WAVECAR", "CHGCAR"),  # presets write neither, but an INCAR of the user's own may
    history=("*.[0-9]*",),
    secret=("POTCAR",),
)


class Vasp:
    """VASP with input as doped and ShakeNBreak write it."""

    @property
    def info(self) -> EngineInfo:
        return _INFO

    @property
    def execution(self) -> Execution:
        return _EXECUTION

    def end_in_time(self, folder: Path, seconds: float) -> None:
        """VASP has no such setting, and needs none: each ionic step is in its files as soon as it is done."""

    def electronic_state(self, atoms: Atoms, charge: int) -> ElectronicState:
        """The lowest spin that the number of valence electrons allows, as doped has it (NUPDOWN 0 or 1)."""
        from defectscout.references.engines.vasp_inputs import valence_parity

        if valence_parity(atoms, charge):
            return ElectronicState(charge, 2, "an odd number of electrons leaves one unpaired")
        return ElectronicState(charge, 1)

    def write(self, folder: Path, calculation: Calculation, preset: str) -> tuple[str, ...]:
        from defectscout.references.engines.vasp_inputs import vasp_files

        files = vasp_files(calculation, vasp_preset(preset))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "POSCAR", files.poscar)
        write_atomically(folder / "INCAR", files.incar)
        write_atomically(folder / "KPOINTS", files.kpoints)
        if files.potcar is None:
            write_atomically(folder / "POTCAR.spec", files.spec)
        else:
            write_atomically(folder / "POTCAR", files.potcar)
            (folder / "POTCAR.spec").unlink(missing_ok=True)
        (folder / retries.FILE_NAME).unlink(missing_ok=True)
        return files.missing

    def diagnose(self, folder: Path) -> Diagnosis:
        from defectscout.references.engines.vasp_diagnosis import vasp_state

        try:
            return vasp_state(folder).diagnosis
        except (CalculationError, OSError) as error:
            return Diagnosis(RunState.FAILED, str(error))

    def go_on(self, folder: Path, preset: str) -> str:
        """As `vasp_restart.go_on`; INCAR as it stands counts, since it may have been changed by hand."""
        from defectscout.references.engines.vasp_restart import go_on

        vasp_preset(preset)
        return go_on(folder)


def load(name: str) -> Vasp:
    """The engine `vasp`."""
    return Vasp()
