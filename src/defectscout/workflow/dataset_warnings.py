"""What the reader of a dataset must not miss."""

from __future__ import annotations

from defectscout.learning.cleaning import CleaningReport
from defectscout.learning.settings import FrameSamplingSettings
from defectscout.workflow.dataset_summary import DatasetSummary

_MANY = 0.5
"""A rule that takes more than this share of a defect's frames is spoken of."""


def build_warnings(summary: DatasetSummary, report: CleaningReport, sampling: FrameSamplingSettings) -> tuple[str, ...]:
    """Sentences on defects that are gone, rules that took much, mixed methods and supercells, and missing bulk."""
    found = []
    emptied = report.emptied()
    found += [f"Cleaning left no frame of {defect_id}." for defect_id in emptied]
    found += [
        f"'{item.rule}' took out {item.frames} of the {item.of} frames of {item.defect_id}: check its lowest frame, "
        "and whether its energies are on one scale."
        for item in report.removals
        if item.defect_id not in emptied and item.frames > _MANY * item.of
    ]
    if len(summary.methods) > 1:
        found.append(
            f"Energies of {len(summary.methods)} methods are in one dataset ({', '.join(summary.methods)}). They are "
            "on different scales: train on one method, or name those that are the same with --method."
        )
    sizes = [
        f"{item.defect_id} with {' and '.join(str(n) for n in item.n_atoms)} atoms"
        for item in summary.defects
        if item.energy_scales > 1
    ]
    if sizes:
        found.append(f"In several supercells: {', '.join(sizes)}. Energies are compared within each.")
    pristine = {item.defect_id.host for item in summary.defects if item.defect_id.is_bulk}
    without = [host for host in summary.hosts if host not in pristine]
    if sampling.bulk_frames and without:
        found.append(
            f"No frames of the pristine host for {', '.join(without)}: element references are fitted to bulk "
            "frames by default; add its relaxation, or train with element_references = all."
        )
    if summary.unreadable:
        count = len(summary.unreadable)
        found.append(f"Files, or parts of them, that gave no frame: {count}. `defectscout dataset inspect` lists them.")
    return tuple(found)
