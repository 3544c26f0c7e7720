"""Sampling stage: the distorted starting structures of each defect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.progress import Progress
from defectscout.sampling.metadata import DistortionMetadata
from defectscout.sampling.sample import sample
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import SAMPLING

_METADATA = TypeAdapter(dict[str, DistortionMetadata])


def prepare_sampling(campaign: Campaign, defects: Sequence[Defect], progress: Progress) -> None:
    """Make the sampling structures of every defect that has none yet."""
    metadata = dict(read_metadata(campaign))
    missing = [defect for defect in defects if defect.label not in metadata]
    if not missing:
        return
    progress.stage("sampling", len(missing))
    for number, defect in enumerate(missing, start=1):
        sampling = sample(defect, campaign.settings.sampling)
        campaign.record.add_tasks(
            SAMPLING,
            defect.label,
            [(structure.label, structure.atoms) for structure in sampling.structures],
        )
        metadata[defect.label] = sampling.metadata
        for omission in sampling.metadata.omissions:
            progress.warn(f"{defect.label} {omission.label}: not made: {omission.reason}")
        _write_metadata(campaign, metadata)
        progress.advance("sampling", number, defect.label)
    progress.finish("sampling")


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
