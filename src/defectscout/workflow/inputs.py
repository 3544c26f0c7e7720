"""DFT inputs for the candidates, to be run by hand or on a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Defect
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.references.engines.base import Calculation, Engine, RunState
from defectscout.references.engines.retries import FILE_NAME as RETRIES
from defectscout.references.engines.templates import JobTemplate, read_template, write_job
from defectscout.sampling.labels import folder_name
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.handwork import (
    DEFAULT_ENGINE,
    INPUTS_FOLDER,
    InputsRecord,
    read_inputs_record,
    write_inputs_record,
)
from defectscout.workflow.stages.candidates import DefectCandidates, candidate_structures

__all__ = ["INPUTS_FOLDER", "InputChoices", "InputsWritten", "write_inputs"]


@dataclass(frozen=True, slots=True)
class InputChoices:
    """What inputs are written for.

    Attributes:
        engine: name of the engine; empty for the one that they were written for before, else `vasp`.
        preset: its settings, by name or, where the engine takes that, a TOML file; empty for those that were written
            before, else the engine's first.
        job: template of a job script; None for none.
    """

    engine: str = ""
    preset: str = ""
    job: Path | None = None


@dataclass(frozen=True, slots=True)
class InputsWritten:
    """Folders with DFT inputs, what the user has to add by hand, and folders that were left as they are."""

    folders: tuple[Path, ...]
    notes: tuple[str, ...]
    kept: tuple[Path, ...] = ()


def write_inputs(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    folder: Path,
    choices: InputChoices | None = None,
) -> InputsWritten:
    """Write the inputs of every candidate, one folder each, in ShakeNBreak's layout.

    A folder in which a calculation runs or has run is left as it is: its input is what its output belongs to.

    Args:
        campaign: the open campaign; it remembers engine and preset.
        defects: its defects.
        candidates: of each, by its label.
        folder: the files go to `folder/v_Cd_0/LABEL/`.
        choices: engine, preset and job script; None for the defaults.

    Raises:
        UnknownMethodError: there is no such engine.
        SettingsError: there is no such preset, or the template of the job script cannot be used.
        CampaignError: calculations with another engine or preset have run in the folder.
    """
    from defectscout.references.engines.registry import load_engine

    choices = choices or InputChoices()
    before = read_inputs_record(campaign)
    name = choices.engine or (before.engine if before is not None else DEFAULT_ENGINE)
    engine = load_engine(name)
    same_engine = before is not None and before.engine == engine.info.name
    preset = chosen_preset(engine, choices.preset, before.preset if before is not None and same_engine else "")
    template = read_template(choices.job) if choices.job is not None else None
    structures = [
        (defect, candidate.label, atoms)
        for defect in defects
        for candidate, atoms in candidate_structures(campaign, defect, candidates[defect.label])
    ]
    targets = [folder / defect.label / folder_name(label) for defect, label, _ in structures]
    kept = tuple(target for target in targets if _has_begun(engine, target))
    if kept and before is not None and (before.engine, before.preset) != (name, preset):
        raise CampaignError(
            f"{len(kept)} of the folders under {folder} hold calculations with {before.engine}, preset "
            f"{before.preset}: energies of two methods cannot be compared. Give another folder for {name}, preset "
            f"{preset}, or delete those calculations, such as {kept[0]}."
        )
    notes: dict[str, None] = {}
    written = []
    for (defect, label, atoms), target in zip(structures, targets, strict=True):
        if target in kept:
            continue
        state = engine.electronic_state(atoms, defect.charge)
        added = engine.write(target, Calculation(f"{defect.label} {label}", atoms, state), preset)
        notes.update({f"{defect.label}: {note}": None for note in added})
        _write_job(target, template, defect)
        written.append(target)
    job = template.file_name if template is not None else ""
    write_inputs_record(campaign, InputsRecord(name, preset, str(folder.resolve()), job))
    return InputsWritten(folders=tuple(written), notes=tuple(notes), kept=kept)


def chosen_preset(engine: Engine, asked: str, before: str = "") -> str:
    """The settings to write inputs with: those asked for, else those of before, else the engine's first.

    Raises:
        SettingsError: the engine has no preset of that name.
    """
    presets = engine.info.presets
    preset = asked
    if not preset and (before in presets or before.endswith(".toml")):
        preset = before
    preset = preset or next(iter(presets))
    if preset.endswith(".toml"):  # settings of the user's own; an engine that has none says so
        return str(Path(preset).expanduser().resolve())
    if preset not in presets:
        raise SettingsError(f"{engine.info.program} has no preset '{preset}'. Choose one of: {', '.join(presets)}.")
    return preset


def _has_begun(engine: Engine, folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return (folder / RETRIES).exists() or engine.diagnose(folder).state is not RunState.NOT_RUN


def _write_job(folder: Path, template: JobTemplate | None, defect: Defect) -> None:
    if template is not None:
        write_job(folder, template, defect.label, folder.name)
