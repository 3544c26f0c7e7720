"""Structures that a charge state takes from another one, as recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from defectscout.workflow.campaign import Campaign
from defectscout.workflow.serial import atoms_from_dict, atoms_to_dict

_DOCUMENT = "borrowed"


@dataclass(frozen=True, slots=True, eq=False)
class Borrowed:
    """A minimum of one charge state as a starting structure of another.

    Attributes:
        defect: label of the defect that tries it, such as `v_Cd_0`.
        label: its name there, such as `Dimer_from_-1`.
        atoms: the structure, relaxed in the other charge state.
        came_from: label of the other charge state, such as `v_Cd_-1`.
        source: label of the reference relaxation there that ended in it.
    """

    defect: str
    label: str
    atoms: Atoms
    came_from: str
    source: str


def read_borrowed(campaign: Campaign) -> tuple[Borrowed, ...]:
    """Everything borrowed so far, in the order in which it was."""
    stored = campaign.record.read_document(_DOCUMENT)
    items = json.loads(stored) if stored is not None else []
    return tuple(Borrowed(**{**item, "atoms": atoms_from_dict(item["atoms"])}) for item in items)


def record_borrowed(campaign: Campaign, new: Sequence[Borrowed]) -> None:
    """Add to what is recorded, names and structures in one write, so that a kill leaves all of them or none."""
    content = [
        {
            "defect": item.defect,
            "label": item.label,
            "atoms": atoms_to_dict(item.atoms),
            "came_from": item.came_from,
            "source": item.source,
        }
        for item in (*read_borrowed(campaign), *new)
    ]
    campaign.record.write_document(_DOCUMENT, json.dumps(content))
