"""That a campaign has been submitted, in its own record. AiiDA is not needed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from defectscout.workflow.campaign import RECORD_NAME, Campaign
from defectscout.workflow.record import Record

DOCUMENT = "aiida"


@dataclass(frozen=True, slots=True)
class Submission:
    """Where a campaign was submitted to.

    Attributes:
        profile: AiiDA's profile.
        uuid: of the search's work chain.
        engine: what relaxes.
        preset: its settings, a name or the path of a file.
        code: `cp2k@localhost`.
    """

    profile: str
    uuid: str
    engine: str
    preset: str
    code: str


_SUBMISSION = TypeAdapter(Submission)


def read_submission(folder: Path) -> Submission | None:
    """What was submitted last of the campaign in `folder`; None if nothing was."""
    if not (folder / RECORD_NAME).is_file():
        return None
    stored = Record(folder / RECORD_NAME).read_document(DOCUMENT)
    return _SUBMISSION.validate_json(stored) if stored is not None else None


def write_submission(campaign: Campaign, submission: Submission) -> None:
    """Remember what was submitted."""
    campaign.record.write_document(DOCUMENT, _SUBMISSION.dump_json(submission).decode())
