"""That a campaign has been submitted, in its own record; for a host, in a file. AiiDA is not needed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from defectscout.core.files import write_atomically
from defectscout.workflow.campaign import RECORD_NAME, Campaign
from defectscout.workflow.record import Record

DOCUMENT = "aiida"
_FILE = "aiida.json"
"""In the folder of a host's relaxation."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Where a campaign, or the relaxation of a host, was submitted to.

    Attributes:
        profile: AiiDA's profile.
        uuid: of the work chain.
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
    """What was submitted last of the campaign, or of the host's relaxation, in `folder`; None if nothing was."""
    if (folder / _FILE).is_file():
        return _SUBMISSION.validate_json((folder / _FILE).read_bytes())
    if not (folder / RECORD_NAME).is_file():
        return None
    stored = Record(folder / RECORD_NAME).read_document(DOCUMENT)
    return _SUBMISSION.validate_json(stored) if stored is not None else None


def write_submission(campaign: Campaign, submission: Submission) -> None:
    """Remember what was submitted."""
    campaign.record.write_document(DOCUMENT, _SUBMISSION.dump_json(submission).decode())


def write_host_submission(folder: Path, submission: Submission) -> None:
    """Remember what was submitted of a host's relaxation."""
    write_atomically(folder / _FILE, _SUBMISSION.dump_json(submission, indent=1).decode())
