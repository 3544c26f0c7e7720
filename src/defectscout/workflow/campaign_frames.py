"""The relaxations of a campaign as frames to train on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defectscout.core.defect import Defect
from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame
from defectscout.learning.frames import BULK, DefectId, FrameOrigin, LabelledFrame, SiteRecord, Unreadable
from defectscout.workflow.campaign import RECORD_NAME
from defectscout.workflow.campaign import read_campaign as read_settings
from defectscout.workflow.handwork import read_method
from defectscout.workflow.learn.rounds import ANSWERING_STAGES
from defectscout.workflow.record import ASK, CHECK, HOST, Record, TaskKey
from defectscout.workflow.serial import defects_from_json, host_from_json


def is_campaign(path: Path) -> bool:
    """Whether a folder holds a campaign."""
    return (path / RECORD_NAME).is_file()


def read_campaign(path: Path) -> Iterator[LabelledFrame | SiteRecord | Unreadable]:
    """What the reference has evaluated in a campaign: relaxations of the defects and of the host, and single points.

    The method is the campaign's reference, or the functional of what was collected; the start of a relaxation is
    the label of its sampling structure, `relax` or `stability` for the host. What a learning loop asked beside the
    relaxations that may end in a minimum stands under its stage: `ask/r02/Dimer` is a single point of round 2, a
    relaxation of one frame, and `check/Rattled` a relaxation that checked the answer. Every frame counts as
    converged: a reference raises where its electronic structure does not. The campaign may be running: it is not
    locked, and what is recorded by then is read, one relaxation at a time.

    Args:
        path: the campaign's folder.

    Yields:
        Frames, the site of each defect that has some, and relaxations without a frame.

    Raises:
        CampaignError: there is no campaign in the folder.
    """
    settings, _ = read_settings(path)
    record = Record(path / RECORD_NAME)
    method = settings.reference.name if settings.reference.name != "none" else read_method(record)
    host = record.read_document("host")
    if not method:
        reason = "The campaign has no reference (none) and nothing was collected, so that it has nothing to learn."
        return iter((Unreadable(str(path), reason),))
    if host is None:
        return iter((Unreadable(str(path), "The campaign stopped before its host was known, and holds no frames."),))
    return _read(str(path), record, method, host_from_json(host).formula)


def _read(source: str, record: Record, method: str, formula: str) -> Iterator[LabelledFrame | SiteRecord | Unreadable]:
    bulk = DefectId(formula, BULK, 0, method)
    yield from _relaxations(source, record, HOST, BULK, bulk)
    stored = record.read_document("defects")
    for defect in defects_from_json(stored) if stored is not None else ():
        identity = DefectId(formula, defect.name, defect.charge, method)
        some = False
        for stage in ANSWERING_STAGES:
            for item in _relaxations(source, record, stage, defect.label, identity):
                some = some or isinstance(item, LabelledFrame)
                yield item
        if some:
            yield _site(defect, identity)


def _relaxations(
    source: str, record: Record, stage: str, label: str, identity: DefectId
) -> Iterator[LabelledFrame | Unreadable]:
    for task in record.tasks(stage, label):
        try:
            frames = record.frames(task.key)
        except (CampaignError, ValueError) as error:
            yield Unreadable(source, f"{task.key}: {error}")
            continue
        if not frames and (task.reason or task.evaluations):
            reason = task.reason or "its steps were not kept; search again in a new folder to have them"
            yield Unreadable(source, f"{task.key} has no frames: {reason}")
        for frame in frames:
            yield labelled(frame, task.key, identity, source)


def labelled(frame: Frame, key: TaskKey, identity: DefectId, source: str) -> LabelledFrame:
    """A frame of a task in a campaign's record; `source` is the campaign's folder."""
    origin = FrameOrigin(
        host=identity.host,
        defect=identity.defect,
        charge=identity.charge,
        start=f"{key.stage}/{key.label}" if key.stage in (ASK, CHECK) else key.label,
        step=frame.step,
        method=identity.method,
        source=source,
    )
    return LabelledFrame(frame.atoms, frame.prediction, origin, scf_converged=True)


def _site(defect: Defect, identity: DefectId) -> SiteRecord:
    x, y, z = (float(value) for value in defect.site)
    return SiteRecord(identity, defect.kind.value, (x, y, z))
