"""Reading back reference relaxations that ran elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.core.errors import InputFileError, SamplingError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.core.progress import Progress
from defectscout.relaxation.fire import fire_init
from defectscout.relaxation.records import Checkpoint
from defectscout.sampling.folder import fit_to_supercell
from defectscout.sampling.labels import folder_name
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import REFERENCE, TaskKey
from defectscout.workflow.stages.candidates import DefectCandidates, candidate_structures

OUTPUT_NAMES = ("vasprun.xml", "vasprun.xml.gz", "OUTCAR", "OUTCAR.gz")


@dataclass(frozen=True, slots=True)
class Collected:
    """What was read, what is not there yet, and what could not be read with the reason."""

    read: tuple[str, ...]
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]


def collect(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: dict[str, DefectCandidates],
    folder: Path,
    progress: Progress,
) -> Collected:
    """Read VASP relaxations of the candidates in ShakeNBreak's layout into the record.

    May be called any number of times: what has been read before and has not changed
    is replaced by itself, what is not there yet stays pending.

    Args:
        campaign: the open campaign.
        defects: its defects.
        candidates: their candidates, by the defect's label.
        folder: holds `v_Cd_0/LABEL/vasprun.xml` or `OUTCAR`, also gzipped.
        progress: told about every relaxation.

    Raises:
        InputFileError: if the folder does not exist or holds nothing of this campaign.
    """
    if not folder.is_dir():
        raise InputFileError(f"The folder {folder} does not exist. Give the folder with the finished relaxations.")
    read: list[str] = []
    missing: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for defect in defects:
        structures = candidate_structures(campaign, defect, candidates[defect.label])
        campaign.record.add_tasks(REFERENCE, defect.label, [(item.label, atoms) for item, atoms in structures])
        for candidate, _ in structures:
            name = f"{defect.label}/{candidate.label}"
            output = _find_output(folder / defect.label / folder_name(candidate.label))
            if output is None:
                missing.append(name)
                continue
            try:
                _record(campaign, defect, candidate.label, output)
            except (InputFileError, SamplingError) as error:
                unreadable.append((name, str(error)))
                progress.warn(f"{name}: {error}")
                continue
            read.append(name)
            progress.message(f"{name}: read {output}")
    if not read and not unreadable:
        raise InputFileError(
            f"No finished relaxation of this campaign was found under {folder}. Expected are folders such as "
            f"{missing[0] if missing else 'v_Cd_0/Unperturbed'} with one of {', '.join(OUTPUT_NAMES)} in them."
        )
    # Agreement with the surrogate has to be worked out anew from the new frames.
    campaign.record.forget([], ["agreement"])
    return Collected(tuple(read), tuple(missing), tuple(unreadable))


def _find_output(folder: Path) -> Path | None:
    return next((folder / name for name in OUTPUT_NAMES if (folder / name).is_file()), None)


def _record(campaign: Campaign, defect: Defect, label: str, output: Path) -> None:
    frames = _frames(output, defect)
    key = TaskKey(REFERENCE, defect.label, label)
    campaign.record.forget_frames(key)
    first = frames[0].prediction.energy
    for frame in frames:
        checkpoint = Checkpoint(frame, fire_init(len(frame.atoms), campaign.settings.refinement.fire), first)
        campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    converged = _converged(output)
    state = RelaxationState.CONVERGED if converged else RelaxationState.UNCONVERGED
    reason = "" if converged else f"{output} says that the relaxation did not reach its criterion"
    campaign.record.finish(key, state, reason, len(frames))


def _frames(output: Path, defect: Defect) -> list[Frame]:
    from ase.io import read

    try:
        images = read(output, index=":")
    except Exception as error:
        raise InputFileError(
            f"Cannot read {output}: {type(error).__name__}: {error}. If the calculation is still running or was cut "
            "off, collect it again when it has finished."
        ) from error
    frames = []
    for step, image in enumerate(images):
        atoms, order = _fit(image, defect, output)
        try:
            energy, forces = image.get_potential_energy(), image.get_forces()[order]
            stress = image.get_stress() if "stress" in image.calc.results else None
        except Exception as error:
            raise InputFileError(f"{output}, ionic step {step + 1}: no energy or forces ({error}).") from error
        if not np.isfinite(energy) or not np.isfinite(forces).all():
            raise InputFileError(f"{output}, ionic step {step + 1}: energy or forces are not finite numbers.")
        frames.append(Frame(atoms, Prediction(float(energy), forces, stress), step))
    if not frames:
        raise InputFileError(f"{output} holds no ionic step.")
    return frames


def _fit(image: Atoms, defect: Defect, output: Path) -> tuple[Atoms, np.ndarray]:
    """The configuration in the defect's order of atoms, and the order that brings forces along."""
    tagged = Atoms(image.get_chemical_symbols(), image.get_positions(), cell=image.cell, pbc=True)
    try:
        fitted = fit_to_supercell(tagged, defect)
    except SamplingError as error:
        raise SamplingError(f"{output} does not fit {defect.label}: {error}.") from None
    from ase.geometry import get_distances

    _, distances = get_distances(fitted.positions, tagged.positions, cell=fitted.cell, pbc=True)
    distances[fitted.numbers[:, None] != tagged.numbers[None, :]] = np.inf
    return fitted, distances.argmin(axis=1)


def _converged(output: Path) -> bool:
    if "OUTCAR" in output.name:
        import gzip

        opener = gzip.open if output.suffix == ".gz" else open
        with opener(output, "rt", errors="replace") as lines:
            return any("reached required accuracy" in line for line in lines)
    from pymatgen.io.vasp import Vasprun

    run = Vasprun(output, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    return bool(run.converged)
