"""Sampling stage: the distorted starting structures of each defect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from defectscout.core.defect import Defect, Host, SamplingStructure
from defectscout.core.progress import Progress
from defectscout.sampling.metadata import DistortionMetadata
from defectscout.sampling.sample import sample
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import SAMPLING
from defectscout.workflow.related_minima import related_structures

_METADATA = TypeAdapter(dict[str, DistortionMetadata])


def prepare_sampling(campaign: Campaign, host: Host, defects: Sequence[Defect], progress: Progress) -> None:
    """Make the sampling structures of every defect that has none yet.

    Where the search starts from what was learned on related hosts, what the same defect relaxed to there is among them.

    Raises:
        SamplingError: if structures cannot be made, or do not fit the defect.
        DatasetError: if frames of the store cannot be read.
    """
    metadata = dict(read_metadata(campaign))
    missing = [defect for defect in defects if defect.label not in metadata]
    if not missing:
        return
    left_out: dict[str, list[str]] = {}
    progress.stage("sampling", len(missing))
    lent = related_structures(campaign.settings, host, missing)
    for number, (defect, related) in enumerate(zip(missing, lent, strict=True), start=1):
        sampling = sample(defect, campaign.settings.sampling)
        campaign.record.add_tasks(
            SAMPLING,
            defect.label,
            [(structure.label, structure.atoms) for structure in (*sampling.structures, *related.structures)],
        )
        taken = tuple(structure.label for structure in related.structures)
        metadata[defect.label] = replace(sampling.metadata, related=taken)
        if taken:
            progress.message(f"{defect.label}: starts from related hosts as well: {', '.join(taken)}")
        for reason in related.left_out:
            left_out.setdefault(reason, []).append(defect.label)
        for omission in sampling.metadata.omissions:
            progress.warn(f"{defect.label} {omission.label}: not made: {omission.reason}")
        _write_metadata(campaign, metadata)
        progress.advance("sampling", number, defect.label)
    progress.finish("sampling")
    for reason, labels in left_out.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        progress.message(f"{labels[0]}{more}: nothing to start from in {reason}")


def sampling_structures(campaign: Campaign, defect: Defect) -> tuple[SamplingStructure, ...]:
    """The recorded sampling structures of a defect."""
    return tuple(
        SamplingStructure(label=task.key.label, atoms=task.start)
        for task in campaign.record.tasks(SAMPLING, defect.label)
    )


def read_metadata(campaign: Campaign) -> Mapping[str, DistortionMetadata]:
    """How each defect's sampling structures were made, by the defect's label."""
    stored = campaign.record.read_document("sampling")
    return _METADATA.validate_json(stored) if stored is not None else {}


def _write_metadata(campaign: Campaign, metadata: Mapping[str, DistortionMetadata]) -> None:
    campaign.record.write_document("sampling", _METADATA.dump_json(dict(metadata)).decode())
