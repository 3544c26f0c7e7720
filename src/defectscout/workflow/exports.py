"""What a search leaves beside its record: tables, structures, ShakeNBreak's layout.

Everything here is rebuilt from the record by running the search again.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.files import write_atomically
from defectscout.core.frames import Relaxation
from defectscout.workflow.answer import relaxed_tasks
from defectscout.workflow.campaign import Campaign, package_versions
from defectscout.workflow.results import DefectResult, RankedMinimum, SearchResult
from defectscout.workflow.shakenbreak_layout import write_layout
from defectscout.workflow.stages.candidates import DefectCandidates, borrowed_structures, read_candidates
from defectscout.workflow.stages.sampling import read_metadata, sampling_structures

SUMMARY_NAME = "summary.json"
CSV_NAME = "minima.csv"
STRUCTURES_FOLDER = "structures"

CSV_COLUMNS = (
    "defect",
    "rank",
    "energy_eV",
    "relative_energy_eV",
    "energy_lowering_eV",
    "surrogate_relative_energy_eV",
    "new_bonds",
    "symmetry_before",
    "symmetry_after",
    "converged",
    "representative",
    "sampled_by",
    "confidence",
)


def summary(result: SearchResult) -> dict[str, Any]:
    """The answer as plain data: what `summary.json` and `--json` hold."""
    return {
        "folder": str(result.folder),
        "surrogate": result.surrogate or None,
        "surrogate_lattice_scale": result.lattice_scale if result.surrogate else None,
        "surrogate_trained_on": asdict(result.trained_on) if result.trained_on is not None else None,
        "reference": result.reference,
        "host": asdict(result.host),
        "defects": {label: _defect_summary(item) for label, item in result.defects.items()},
        "packages": package_versions(),
    }


def summary_json(result: SearchResult) -> str:
    """The answer as JSON text."""
    return json.dumps(_without_nan(summary(result)), indent=1, default=_plain, allow_nan=False)


def _defect_summary(result: DefectResult) -> dict[str, Any]:
    funnel = result.funnel
    return {
        "charge": result.defect.charge,
        "excess_charge": result.defect.excess_charge,
        "site_symmetry_in_host": result.defect.site_symmetry,
        "symmetry_before": result.symmetry_before,
        "electronic_state": asdict(result.state) if result.state is not None else None,
        "minima": [_minimum_summary(item) for item in result.minima],
        "candidates": [asdict(candidate) for candidate in result.candidates.candidates],
        "set_aside": [{"label": label, "reason": reason} for label, reason in result.set_aside],
        "funnel": {
            **asdict(funnel),
            "calls_saved": funnel.calls_saved,
            "share_saved": funnel.share_saved,
        },
        "agreement": asdict(result.agreement) if result.agreement is not None else None,
        "learning": asdict(result.trust) if result.trust is not None else None,
        "same_atoms_and_charge": [
            {"defect": one.label, "ground_state_above_eV": one.above, "same_structure": one.is_same}
            for one in result.siblings
        ],
        "confidence": {"level": result.confidence.level, "reasons": list(result.confidence.reasons)},
    }


def _minimum_summary(item: RankedMinimum) -> dict[str, Any]:
    return {
        "rank": item.rank,
        "energy_eV": item.minimum.energy,
        "relative_energy_eV": item.relative_energy,
        "energy_lowering_eV": item.lowering,
        "surrogate_relative_energy_eV": item.surrogate_energy,
        "new_bonds": [
            {"species": list(bond.species), "length_A": bond.length, "atoms": list(bond.atoms)}
            for bond in item.minimum.new_bonds
        ],
        "symmetry_after": item.minimum.site_symmetry,
        "converged": item.minimum.converged,
        "representative": item.minimum.representative,
        "candidates": list(item.candidates),
        "sampled_by": list(item.sampled_by),
    }


def csv_table(result: SearchResult) -> str:
    """One row for each minimum."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for label, item in result.defects.items():
        for minimum in item.minima:
            writer.writerow(
                [
                    label,
                    minimum.rank,
                    f"{minimum.minimum.energy:.6f}",
                    f"{minimum.relative_energy:.4f}",
                    "" if minimum.lowering is None else f"{minimum.lowering:.4f}",
                    "" if minimum.surrogate_energy is None else f"{minimum.surrogate_energy:.4f}",
                    "; ".join(str(bond) for bond in minimum.minimum.new_bonds),
                    item.symmetry_before,
                    minimum.minimum.site_symmetry,
                    "yes" if minimum.minimum.converged else "no",
                    minimum.minimum.representative,
                    " ".join(minimum.sampled_by),
                    item.confidence.level,
                ]
            )
    return text.getvalue()


def export_result(campaign: Campaign, result: SearchResult) -> None:
    """Write the tables, the structures of all minima and ShakeNBreak's layout."""
    write_atomically(campaign.folder / SUMMARY_NAME, summary_json(result) + "\n")
    write_atomically(campaign.folder / CSV_NAME, csv_table(result))
    for item in result.defects.values():
        _write_structures(campaign.folder / STRUCTURES_FOLDER, item)
    export_layout(campaign, [item.defect for item in result.defects.values()])


def export_layout(campaign: Campaign, defects: Sequence[Defect]) -> None:
    """Write ShakeNBreak's layout of what the record holds so far."""
    metadata = read_metadata(campaign)
    candidates = read_candidates(campaign)
    for defect in defects:
        starts = [SamplingStructure(label, atoms) for label, atoms in borrowed_structures(campaign, defect)]
        relaxed: dict[str, Relaxation] = {
            task.key.label: task.as_relaxation()
            for task in relaxed_tasks(campaign, defect, candidates.get(defect.label, DefectCandidates()))
            if task.state.is_finished
        }
        write_layout(
            campaign.folder,
            defect,
            metadata.get(defect.label),
            [*sampling_structures(campaign, defect), *starts],
            relaxed,
        )


def structure_name(rank: int) -> str:
    """File name, without suffix, of a minimum's structure."""
    return "ground_state" if rank == 0 else f"metastable_{rank}"


def _write_structures(folder: Path, result: DefectResult) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter
    from pymatgen.io.vasp import Poscar

    target = folder / result.defect.label
    expected = set()
    for item in result.minima:
        structure = AseAtomsAdaptor.get_structure(item.minimum.atoms)
        name = structure_name(item.rank)
        comment = f"{result.defect.label} {name} {item.minimum.energy:.4f} eV"
        write_atomically(target / f"{name}.cif", str(CifWriter(structure)))
        poscar = Poscar(structure.get_sorted_structure(), comment=comment)
        write_atomically(target / f"{name}.POSCAR", poscar.get_str(significant_figures=10))
        expected |= {f"{name}.cif", f"{name}.POSCAR"}
    if target.is_dir():
        for path in target.iterdir():
            # An earlier answer may have had more minima.
            if path.name not in expected and path.name.startswith(("ground_state", "metastable_")):
                path.unlink()


def _without_nan(value: object) -> object:
    """Numbers that are not known become null: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
