"""CP2K's input, from settings to text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ase import Atoms
from ase.units import Bohr, Hartree

from defectscout.references.base import ElectronicState
from defectscout.references.cp2k_data import Kind, choose_kinds
from defectscout.references.cp2k_settings import Cp2kSettings

FORCE_UNIT: Final = Hartree / Bohr
"""CP2K's unit of forces in eV/Å."""

_BAR: Final = 1e-4
"""GPa."""

_LOOSE: Final = 10.0
"""A criterion that is always met: only forces decide when a relaxation ends."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of CP2K's input: `&NAME parameter`, then keywords and sections, then `&END NAME`."""

    name: str
    items: Sequence[str | Section] = ()
    parameter: str = ""

    def lines(self) -> Iterator[str]:
        """Its lines, indented."""
        yield f"&{self.name} {self.parameter}".rstrip()
        for item in self.items:
            for line in (item,) if isinstance(item, str) else item.lines():
                yield f"  {line}"
        yield f"&END {self.name}"


def text_of(sections: Iterable[Section], title: str) -> str:
    """An input file, its title as a comment at the top."""
    lines = [f"# {title}", *(line for section in sections for line in section.lines())]
    return "\n".join(lines) + "\n"


def evaluation_input(atoms: Atoms, state: ElectronicState, settings: Cp2kSettings, project: str) -> str:
    """Input of calculations whose atoms another program moves, for CP2K's shell.

    Raises:
        UnsupportedElementError: an element has no basis set or potential.
        MissingProgramError: CP2K's data files were not found.
    """
    sections = [
        _global(project, "ENERGY_FORCE", settings, walltime=False),
        # The wavefunction stays in memory: nothing is read or written between steps.
        _force_eval(atoms, state, settings, guess="ATOMIC", keep_wavefunction=False),
    ]
    return text_of(sections, f"{atoms.get_chemical_formula()}, charge {state.charge:+d}")


def relaxation_input(
    title: str, atoms: Atoms, state: ElectronicState, settings: Cp2kSettings, project: str, cell: bool
) -> str:
    """Input of a relaxation by CP2K itself.

    Forces, cell and stress are written at each step beside the positions, and the run ends when the largest
    component of a force is below `force`: the other criteria of CP2K's are set so that they are always met.

    Args:
        title: said in a comment at the top.
        atoms: where it starts.
        state: charge and spin.
        settings: how it is calculated.
        project: beginning of the names of all files that it writes.
        cell: whether the cell relaxes, too.

    Raises:
        UnsupportedElementError: an element has no basis set or potential.
        MissingProgramError: CP2K's data files were not found.
    """
    run = "CELL_OPT" if cell else "GEO_OPT"
    sections = [
        _global(project, run, settings, walltime=True),
        _motion(run, settings),
        _force_eval(atoms, state, settings, guess="RESTART", keep_wavefunction=True),
    ]
    return text_of(sections, title)


def _global(project: str, run: str, settings: Cp2kSettings, walltime: bool) -> Section:
    items = [f"PROJECT {project}", f"RUN_TYPE {run}", "PRINT_LEVEL LOW"]
    if walltime and settings.walltime:
        items.append(f"WALLTIME {settings.walltime * 3600:.0f}")
    return Section("GLOBAL", items)


def _motion(run: str, settings: Cp2kSettings) -> Section:
    force = (settings.host_force if run == "CELL_OPT" else settings.force) / FORCE_UNIT
    optimiser: list[str | Section] = [
        "OPTIMIZER BFGS",
        f"MAX_ITER {settings.max_steps}",
        f"MAX_FORCE {force:.6e}",
        f"RMS_FORCE {force:.6e}",
        f"MAX_DR {_LOOSE}",
        f"RMS_DR {_LOOSE}",
    ]
    if run == "CELL_OPT":
        optimiser += ["TYPE DIRECT_CELL_OPT", f"PRESSURE_TOLERANCE [bar] {settings.host_pressure / _BAR:g}"]
    restart = Section("RESTART", ["BACKUP_COPIES 1"])
    history = Section("RESTART_HISTORY", parameter="OFF")
    printed = [Section("TRAJECTORY"), Section("FORCES"), Section("CELL"), Section("STRESS"), restart, history]
    return Section("MOTION", [Section(run, optimiser), Section("PRINT", printed)])


def _force_eval(
    atoms: Atoms, state: ElectronicState, settings: Cp2kSettings, guess: str, keep_wavefunction: bool
) -> Section:
    kinds = choose_kinds(atoms.get_chemical_symbols(), settings)
    # Forces of the first structure are nowhere else: trajectories begin with the step after it.
    forces = Section("FORCES", ["NDIGITS 12"])
    printed = Section("PRINT", [Section("STRESS_TENSOR"), *([forces] if keep_wavefunction else [])])
    items: list[str | Section] = [
        "METHOD QUICKSTEP",
        "STRESS_TENSOR ANALYTICAL",
        printed,
        _dft(kinds, state, settings, guess, keep_wavefunction),
        _subsys(atoms, kinds),
    ]
    return Section("FORCE_EVAL", items)


def _dft(
    kinds: Sequence[Kind], state: ElectronicState, settings: Cp2kSettings, guess: str, keep_wavefunction: bool
) -> Section:
    unpaired = state.multiplicity is not None and state.multiplicity > 1
    bases = dict.fromkeys(file for kind in kinds for file in (kind.files[0], *kind.files[2:]))
    items: list[str | Section] = [
        *(f"BASIS_SET_FILE_NAME {file}" for file in bases),
        f"CHARGE {state.charge}",
        f"MULTIPLICITY {state.multiplicity or 1}",
    ]
    if unpaired:
        items.append("UKS")
    extrapolation = "USE_PREV_WF" if settings.solver == "ot" else "USE_PREV_P"
    items += [
        Section("MGRID", [f"CUTOFF {settings.cutoff:g}", f"REL_CUTOFF {settings.relative_cutoff:g}"]),
        Section("QS", [f"EPS_DEFAULT {settings.eps_default:.1e}", f"EXTRAPOLATION {extrapolation}"]),
        _scf(settings, guess, keep_wavefunction),
        _xc(settings),
    ]
    if settings.hybrid:
        # No purification: forces of the other choices need a solver of their own, and open shells have none.
        method = ["METHOD BASIS_PROJECTION", "ADMM_PURIFICATION_METHOD NONE", "EXCH_CORRECTION_FUNC PBEX"]
        items.append(Section("AUXILIARY_DENSITY_MATRIX_METHOD", method))
    return Section("DFT", items)


def _scf(settings: Cp2kSettings, guess: str, keep_wavefunction: bool) -> Section:
    convergence = f"EPS_SCF {settings.eps_scf:.1e}"
    items: list[str | Section] = [f"SCF_GUESS {guess}", convergence]
    if settings.solver == "ot":
        solver = [f"MINIMIZER {settings.minimiser}", f"PRECONDITIONER {settings.preconditioner}"]
        outer = Section("OUTER_SCF", [convergence, f"MAX_SCF {settings.max_outer_scf}"])
        items += [f"MAX_SCF {settings.max_scf}", Section("OT", solver), outer]
    else:
        items.append(f"MAX_SCF {settings.max_scf * settings.max_outer_scf}")
        if settings.smearing:
            items.append("ADDED_MOS -1")
            smear = ["METHOD FERMI_DIRAC", f"ELECTRONIC_TEMPERATURE [K] {settings.smearing:g}"]
            items.append(Section("SMEAR", smear))
        items.append(Section("DIAGONALIZATION"))
        items.append(Section("MIXING", ["METHOD BROYDEN_MIXING", f"ALPHA {settings.mixing:g}"]))
    restart = Section("RESTART", ["BACKUP_COPIES 0"]) if keep_wavefunction else Section("RESTART", parameter="OFF")
    items.append(Section("PRINT", [restart]))
    return Section("SCF", items)


def _xc(settings: Cp2kSettings) -> Section:
    if not settings.hybrid:
        pbe = Section("PBE", ["PARAMETRIZATION PBESOL"] if settings.functional == "PBEsol" else [])
        return Section("XC", [Section("XC_FUNCTIONAL", [pbe])])
    omega, share = settings.screening * Bohr, settings.exact_exchange
    functional = [
        Section("PBE", ["SCALE_X 0.0", "SCALE_C 1.0"]),
        Section("XWPBE", [f"SCALE_X -{share:g}", "SCALE_X0 1.0", f"OMEGA {omega:.6f}"]),
    ]
    exchange: list[str | Section] = [
        f"FRACTION {share:g}",
        Section("SCREENING", [f"EPS_SCHWARZ {settings.eps_schwarz:.1e}", "SCREEN_ON_INITIAL_P FALSE"]),
        Section("INTERACTION_POTENTIAL", ["POTENTIAL_TYPE SHORTRANGE", f"OMEGA {omega:.6f}"]),
        Section("MEMORY", [f"MAX_MEMORY {settings.exchange_memory}"]),
    ]
    return Section("XC", [Section("XC_FUNCTIONAL", functional), Section("HF", exchange)])


def _subsys(atoms: Atoms, kinds: Sequence[Kind]) -> Section:
    cell = [f"{axis} {_numbers(row)}" for axis, row in zip("ABC", atoms.cell.array, strict=True)]
    places = zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    items: list[str | Section] = [
        # The grid is that of the first cell, or energies jump where a strained cell takes one point more.
        Section("CELL", [*cell, Section("CELL_REF", cell)]),
        Section("COORD", [f"{symbol} {_numbers(place)}" for symbol, place in places]),
        *(_kind(kind) for kind in kinds),
    ]
    return Section("SUBSYS", items)


def _kind(kind: Kind) -> Section:
    items = [f"BASIS_SET {kind.basis}", f"POTENTIAL_FILE_NAME {kind.files[1]}", f"POTENTIAL {kind.potential}"]
    if kind.auxiliary:
        items.append(f"BASIS_SET AUX_FIT {kind.auxiliary}")
    return Section("KIND", items, parameter=kind.symbol)


def _numbers(row: Iterable[float]) -> str:
    return " ".join(f"{value:.12f}" for value in row)
