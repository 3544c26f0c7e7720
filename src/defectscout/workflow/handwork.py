"""What a campaign keeps of runs by hand: which engine they were written for, and whose energies came back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import Record

DEFAULT_ENGINE = "vasp"
_DOCUMENT = "inputs"
_METHOD = "collected-method"


@dataclass(frozen=True, slots=True)
class InputsRecord:
    """What was written for runs by hand.

    Attributes:
        engine: name of the engine.
        preset: its settings.
        folder: where the inputs are.
        job: name of the job script in each folder; empty if there is none.
    """

    engine: str = DEFAULT_ENGINE
    preset: str = ""
    folder: str = ""
    job: str = ""


_RECORD = TypeAdapter(InputsRecord)

INPUTS_FOLDER = "inputs"
"""Where inputs go, inside the campaign's folder, unless the user says otherwise."""


def inputs_folder(campaign: Campaign) -> Path:
    """Where the inputs were written last, if that folder is still there; else where they would be."""
    written = read_inputs_record(campaign)
    if written is not None and written.folder and Path(written.folder).is_dir():
        return Path(written.folder)
    return campaign.folder / INPUTS_FOLDER


def read_inputs_record(campaign: Campaign) -> InputsRecord | None:
    """What was written last; None if nothing was."""
    stored = campaign.record.read_document(_DOCUMENT)
    return _RECORD.validate_json(stored) if stored is not None else None


def write_inputs_record(campaign: Campaign, record: InputsRecord) -> None:
    """Remember what was written."""
    campaign.record.write_document(_DOCUMENT, _RECORD.dump_json(record).decode())


def write_method(campaign: Campaign, method: str) -> None:
    """Remember the functional, or else the engine, of the relaxations that were collected."""
    campaign.record.write_document(_METHOD, method)


def read_method(record: Record) -> str:
    """Whose energies were collected, such as `HSE06`; empty before anything was."""
    return record.read_document(_METHOD) or ""
