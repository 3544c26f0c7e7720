"""DFT inputs for the candidates, and reading back what has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.stages.candidates import DefectCandidates, candidate_structures

INPUTS_FOLDER = "inputs"


@dataclass(frozen=True, slots=True)
class InputsWritten:
    """Folders with DFT inputs, and what the user has to add by hand."""

    folders: tuple[Path, ...]
    notes: tuple[str, ...]


def write_inputs(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    folder: Path,
) -> InputsWritten:
    """Write VASP inputs of every candidate, one folder each, in ShakeNBreak's layout."""
    from defectscout.references.dft_inputs import missing_vasp_inputs, write_vasp_inputs

    folders: list[Path] = []
    notes: list[str] = []
    for defect in defects:
        structures = [
            SamplingStructure(label=candidate.label, atoms=atoms)
            for candidate, atoms in candidate_structures(campaign, defect, candidates[defect.label])
        ]
        folders += write_vasp_inputs(folder, defect, structures)
        notes += [f"{defect.label}: {note}" for note in missing_vasp_inputs(defect)]
    return InputsWritten(folders=tuple(folders), notes=tuple(notes))
