"""Host stage: read, check, choose the supercell, relax, and judge stability."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.defect import Host
from defectscout.core.errors import CalculationError, UnstableHostError
from defectscout.core.frames import Relaxation
from defectscout.core.progress import Progress
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import HOST, Task, TaskKey
from defectscout.workflow.serial import host_from_json, host_to_json
from defectscout.workflow.settings import SearchSettings

RELAX = TaskKey(HOST, "bulk", "relax")
STABILITY = TaskKey(HOST, "bulk", "stability")

ATOMS_WORTH_THREADS = 100
"""Supercells from this size on are evaluated with all cores (measured at 54 and 128 atoms)."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """What was found out about the host.

    Attributes:
        formula: reduced formula.
        space_group: international symbol.
        supercell_matrix: rows in units of the primitive cell's vectors.
        supercell_atoms: atoms of the pristine supercell.
        image_distance: least distance between periodic images, Å.
        kept: why cell and positions were kept as read; empty if they were relaxed.
        energy: energy of the pristine supercell on the reference's surface, eV: the energy zero.
        length_changes: relative changes of the lattice parameters on relaxation.
        energy_gain: what breaking the symmetry gained in the stability test, eV/atom.
        unstable: why the host is not stable on the reference's surface; empty if it is.
        evaluations: force calls spent on the host.
    """

    formula: str
    space_group: str
    supercell_matrix: tuple[tuple[int, ...], ...]
    supercell_atoms: int
    image_distance: float
    kept: str = ""
    energy: float | None = None
    length_changes: tuple[float, ...] = ()
    energy_gain: float | None = None
    unstable: tuple[str, ...] = ()
    evaluations: int = 0


_REPORT = TypeAdapter(HostReport)


def read_host(source: str, settings: SearchSettings) -> Host:
    """Read and check the host's file and choose its supercell; nothing is calculated."""
    from defectscout.defects.from_json import read_defects
    from defectscout.hosts.check import check_crystal, check_host
    from defectscout.hosts.read import is_doped_json, read_structure
    from defectscout.hosts.supercell import choose_supercell, given_supercell

    if is_doped_json(source):
        return read_defects(source)[0]
    structure = read_structure(source)
    if settings.supercell.as_given:
        check_crystal(structure, settings.host, source)
        return given_supercell(structure, settings.supercell, source)
    primitive = check_host(structure, settings.host, source)
    return choose_supercell(primitive, settings.supercell, source, settings.host.symprec)


def why_kept(source: str, settings: SearchSettings) -> str:
    """Why the host is not relaxed, or an empty string if it is."""
    from defectscout.hosts.read import is_doped_json

    if is_doped_json(source):
        return "its defects were made elsewhere, in the supercell as it stands"
    if settings.reference.name == "none":
        return "there is no reference to relax it with: give the host as relaxed with your own DFT settings"
    if settings.host.keep:
        return "asked for with --keep-host"
    return ""


def prepare_host(campaign: Campaign, progress: Progress) -> tuple[Host, HostReport]:
    """The host as the rest of the search uses it, relaxed and judged once.

    Raises:
        UnstableHostError: if the host does not keep its structure on the reference's
            surface, unless the settings accept that.
    """
    stored, known = campaign.record.read_document("host"), stored_report(campaign)
    if stored is not None and known is not None:
        host, report = host_from_json(stored), known
    else:
        host, report = _make_host(campaign, progress)
        campaign.record.write_document("host", host_to_json(host))
        campaign.record.write_document("host-report", _REPORT.dump_json(report).decode())
    _check_stable(report, campaign.settings, progress)
    return host, report


def stored_report(campaign: Campaign) -> HostReport | None:
    """What was recorded of the host; None before it was made."""
    stored = campaign.record.read_document("host-report")
    return _REPORT.validate_json(stored) if stored is not None else None


def _check_stable(report: HostReport, settings: SearchSettings, progress: Progress) -> None:
    if not report.unstable:
        return
    found = (
        f"The host {report.formula} is not stable on the surface of {settings.reference.name}: "
        f"{'; '.join(report.unstable)}."
    )
    if settings.host.accept_unstable:
        progress.warn(
            f"{found} Going on because --accept-unstable-host was given: judge every result with that in mind."
        )
        return
    raise UnstableHostError(
        f"{found} A ground state found on this surface would say nothing about the real crystal, so nothing was spent "
        "on its defects. Use a reference that describes the host, or go on all the same with --accept-unstable-host."
    )


def _make_host(campaign: Campaign, progress: Progress) -> tuple[Host, HostReport]:
    settings, source = campaign.settings, campaign.source.name
    host = read_host(source, settings)
    kept = why_kept(source, settings)
    if kept:
        progress.message(f"Host {host.formula}: cell and positions kept as read ({kept}).")
        return host, _report(host, settings, kept=kept)
    try:
        return _relax_host(campaign, host, progress)
    except CalculationError as error:
        raise CalculationError(
            f"The host {host.formula} ({len(host.supercell)} atoms) could not be relaxed: {error}. Nothing was spent "
            "on its defects. Check the reference and the host's structure; the same command goes on from the last step."
        ) from error


def _report(host: Host, settings: SearchSettings, kept: str) -> HostReport:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    from defectscout.hosts.supercell import image_distance

    return HostReport(
        formula=host.formula,
        space_group=SpacegroupAnalyzer(host.primitive, symprec=settings.host.symprec).get_space_group_symbol(),
        supercell_matrix=tuple(tuple(round(value) for value in row) for row in host.supercell_matrix),
        supercell_atoms=len(host.supercell),
        image_distance=image_distance(host.supercell),
        kept=kept,
    )


def _relax_host(campaign: Campaign, host: Host, progress: Progress) -> tuple[Host, HostReport]:
    from defectscout.references.registry import load_reference
    from defectscout.relaxation.cell import relax_cell
    from defectscout.relaxation.pool import evaluate_in_worker
    from defectscout.relaxation.stability import stability_test

    settings = campaign.settings
    name = settings.reference.name
    load_reference(name).check_elements([str(element) for element in host.primitive.composition.elements])
    campaign.record.add_tasks(HOST, "bulk", [(RELAX.label, _atoms(host))])
    progress.stage("host", 2)
    with evaluate_in_worker(name, 0, _threads(len(host.supercell))) as evaluate:
        relaxed = relax_cell(
            evaluate,
            host,
            settings.host,
            on_step=_keeper(campaign, RELAX, progress, "relaxing the cell"),
            checkpoint=_task(campaign, RELAX).checkpoint,
        )
        _finish(campaign, RELAX, relaxed.relaxation)
        campaign.record.add_tasks(HOST, "bulk", [(STABILITY.label, _atoms(relaxed.host))])
        stability = stability_test(
            evaluate,
            relaxed.host,
            settings.host,
            seed=settings.host.rattle_seed,
            on_step=_keeper(campaign, STABILITY, progress, "testing its stability"),
            checkpoint=_task(campaign, STABILITY).checkpoint,
            relaxed=relaxed,
        )
        if stability.relaxation is not None:
            _finish(campaign, STABILITY, stability.relaxation)
    progress.finish("host")
    final = relaxed.relaxation.final
    calls = sum(task.evaluations for task in campaign.record.tasks(HOST))
    report = replace(
        _report(relaxed.host, settings, kept=""),
        energy=final.prediction.energy if final is not None else None,
        length_changes=tuple(float(change) for change in relaxed.length_changes),
        energy_gain=stability.energy_gain_per_atom if stability.relaxation is not None else None,
        unstable=stability.reasons,
        evaluations=calls,
    )
    if report.image_distance < settings.supercell.min_image_distance:
        progress.warn(
            f"The relaxed supercell has {report.image_distance:.2f} Å between images, less than "
            f"{settings.supercell.min_image_distance:g} Å: the host shrank on the reference's surface. "
            "Start again with a larger --min-image-distance to make up for it."
        )
    return relaxed.host, report


def _threads(n_atoms: int) -> int:
    """Threads of the one calculation that runs: with GFN1-xTB a second one slows a cell of 54 atoms down."""
    from defectscout.relaxation.process import available_cores

    return 1 if n_atoms < ATOMS_WORTH_THREADS else available_cores()


def _atoms(host: Host) -> Atoms:
    structure = host.supercell
    return Atoms(
        numbers=[site.specie.Z for site in structure],
        positions=structure.cart_coords,
        cell=structure.lattice.matrix,
        pbc=True,
    )


def _task(campaign: Campaign, key: TaskKey) -> Task:
    return next(task for task in campaign.record.tasks(HOST) if task.key == key)


def _finish(campaign: Campaign, key: TaskKey, relaxation: Relaxation) -> None:
    campaign.record.finish(key, relaxation.state, relaxation.reason, relaxation.n_evaluations)


def _keeper(campaign: Campaign, key: TaskKey, progress: Progress, what: str) -> Callable[[Checkpoint], None]:
    """A callback that records each step and says where the relaxation stands."""
    clock = time.monotonic()

    def keep(checkpoint: Checkpoint) -> None:
        nonlocal clock
        campaign.record.write_steps([(key, checkpoint)], seconds=time.monotonic() - clock)
        clock = time.monotonic()
        frame = checkpoint.frame
        done = 0 if key == RELAX else 1
        progress.advance("host", done, f"{what}, step {frame.step}, {frame.prediction.energy:.3f} eV")

    return keep
