"""What finished searches found, and what each of their force calls told: read back from what they left.

Campaigns are read from their exports and, without opening it for writing, from their record, so that those of
earlier versions can be read, too, and one that is locked.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Bond, Defect, Minimum
from defectscout.core.errors import CampaignError, DatasetError
from defectscout.core.frames import Frame
from defectscout.evaluation.discovery import (
    DiscoveryCurve,
    SearchOutcome,
    discovery_curve,
    outcome_of_reference_search,
)
from defectscout.evaluation.reference_searches import Ends, search_of_ends
from defectscout.learning.frames import BULK, LabelledFrame, SiteRecord
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.minima.lattice import fell_apart
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.campaign import LOG_NAME, RECORD_NAME, read_campaign
from defectscout.workflow.exports import STRUCTURES_FOLDER, SUMMARY_NAME, structure_name
from defectscout.workflow.record import ASK, CHECK, REFERENCE, Record, Task
from defectscout.workflow.serial import defects_from_json

ANSWERING: Final = (ASK, REFERENCE)
"""Stages whose frames are force calls that led to the answer."""

LONGEST_PAUSE: Final = 600.0
"""Seconds: a longer gap in a log is not work but the time between two runs."""


@dataclass(frozen=True, slots=True, eq=False)
class FinishedSearch:
    """A search of one defect that has its answer.

    Attributes:
        outcome: what it found and what it cost.
        energies: of each reference force call in the order in which they were made, eV; NaN for one that gave no
            energy, whose host fell apart, or that was not kept.
        fresh_calls: how many of the calls could not go on from the wavefunction of the one before: the first of
            each relaxation, and every question of a learning loop.
        confidence: high, moderate or low; empty where nothing says so.
    """

    outcome: SearchOutcome
    energies: tuple[float, ...]
    fresh_calls: int
    confidence: str = ""

    def curve(self, zero: float) -> DiscoveryCurve:
        """How the search went down, relative to `zero` (eV)."""
        return discovery_curve(self.energies, zero)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedCampaign:
    """A campaign that has its answer.

    Attributes:
        folder: where it lies.
        surrogate: name of its surrogate; empty without one.
        defects: the search of each defect, by label.
        seconds: wall time in all, by its log; see `log_seconds`.
    """

    folder: Path
    surrogate: str
    defects: Mapping[str, FinishedSearch]
    seconds: float


def learned_surrogate(folder: Path, label: str) -> Path:
    """The surrogate that a learning loop has left of a defect: a model folder inside the campaign's.

    Raises:
        CampaignError: there is no campaign, or its loop has tuned none for this defect.
    """
    read_campaign(folder)
    stored = Record(folder / RECORD_NAME).read_document("learn")
    model = json.loads(stored or "{}").get(label, {}).get("model")
    if not model:
        raise CampaignError(f"The campaign in {folder} has tuned no surrogate on {label}: it has no finished round.")
    return folder / str(model)


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a campaign with an answer for each of its defects."""
    try:
        content = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))
        return all(item["minima"] for item in content["defects"].values()) and bool(content["defects"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_finished(folder: Path) -> FinishedCampaign:
    """What a finished campaign found, and its force calls.

    Raises:
        CampaignError: there is no campaign, or it has no answer yet, or its files do not fit together.
    """
    settings, _ = read_campaign(folder)
    if not is_finished(folder):
        raise CampaignError(f"The campaign in {folder} has no answer yet. Go on with it: defectscout resume {folder}")
    content = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))
    record = Record(folder / RECORD_NAME)
    stored = record.read_document("defects")
    defects = {defect.label: defect for defect in defects_from_json(stored or "[]")}
    missing = sorted(set(content["defects"]) - set(defects))
    if missing:
        raise CampaignError(f"{folder / SUMMARY_NAME} has the defects {', '.join(missing)}, and {RECORD_NAME} has not.")
    return FinishedCampaign(
        folder=folder,
        surrogate=content["surrogate"] or "",
        defects={
            label: _finished(folder, record, defects[label], summary, settings.minima)
            for label, summary in content["defects"].items()
        },
        seconds=log_seconds(folder / LOG_NAME),
    )


def campaign_curves(folder: Path, zeros: Mapping[str, float] | None = None) -> dict[str, DiscoveryCurve]:
    """How a finished campaign went down, for each of its defects.

    Args:
        folder: of the campaign.
        zeros: energy that the curve of each defect is relative to, eV; the campaign's own ground state where
            none is given.

    Raises:
        CampaignError: as `read_finished`.
    """
    found = read_finished(folder).defects
    return {
        label: search.curve((zeros or {}).get(label, search.outcome.minima[0].energy))
        for label, search in found.items()
    }


def _finished(
    folder: Path, record: Record, defect: Defect, summary: Mapping[str, Any], settings: MinimaSettings
) -> FinishedSearch:
    tasks = [task for stage in (*ANSWERING, CHECK) for task in record.tasks(stage, defect.label)]
    counted = {task.key.stage: 0 for task in tasks}
    for task in tasks:
        counted[task.key.stage] += task.evaluations
    asked = counted.get(ASK, 0)
    begun = sum(task.evaluations > 0 for task in tasks if task.key.stage != ASK)
    return FinishedSearch(
        outcome=SearchOutcome(
            defect=defect,
            minima=tuple(_minima(folder, defect, summary["minima"])),
            unperturbed=_unperturbed(summary["minima"]),
            calls=sum(counted.get(stage, 0) for stage in ANSWERING),
            check_calls=counted.get(CHECK, 0),
        ),
        energies=_energies(record, defect, tasks, settings),
        fresh_calls=asked + begun,
        confidence=summary["confidence"]["level"],
    )


def _unperturbed(minima: Sequence[Mapping[str, Any]]) -> float | None:
    known = (
        item["energy_eV"] - item["energy_lowering_eV"] for item in minima if item["energy_lowering_eV"] is not None
    )
    return next(known, None)


def _minima(folder: Path, defect: Defect, minima: Sequence[Mapping[str, Any]]) -> Iterator[Minimum]:
    for item in minima:
        path = folder / STRUCTURES_FOLDER / defect.label / f"{structure_name(item['rank'])}.POSCAR"
        bonds = (Bond(tuple(bond["species"]), bond["length_A"], tuple(bond["atoms"])) for bond in item["new_bonds"])
        yield Minimum(
            representative=item["representative"],
            members=tuple(item["sampled_by"]),
            atoms=_structure(path, defect),
            energy=item["energy_eV"],
            new_bonds=tuple(bonds),
            site_symmetry=item["symmetry_after"],
            converged=item["converged"],
        )


def _structure(path: Path, defect: Defect) -> Atoms:
    """An exported structure, atoms in the defect's order: the export sorts by element and keeps the order within."""
    from ase.io import read

    try:
        atoms = read(path, format="vasp")
    except (OSError, ValueError, IndexError) as error:
        raise CampaignError(
            f"Cannot read {path}: {error}. Write the exports of the campaign again: defectscout resume"
        ) from None
    ordered = defect.atoms.copy()
    positions = ordered.get_positions()
    for number in set(defect.atoms.numbers.tolist()):
        here, there = defect.atoms.numbers == number, atoms.numbers == number
        if here.sum() != there.sum():
            raise CampaignError(f"{path} is no structure of {defect.label}: its numbers of atoms differ.")
        positions[here] = atoms.get_positions()[there]
    ordered.set_positions(positions)
    return ordered


@dataclass(frozen=True, slots=True)
class _Call:
    """One force call: where it stands among the others, and what it told."""

    order: tuple[float, int, int]  # row of the record, place of its task, step
    energy: float
    atoms: Atoms | None


def _energies(record: Record, defect: Defect, tasks: Sequence[Task], settings: MinimaSettings) -> tuple[float, ...]:
    rows = _rows(record.path, defect.label)
    calls: list[_Call] = []
    for place, task in enumerate(tasks):
        frames = record.frames(task.key)
        at = rows.get((task.key.stage, task.key.label), {})
        calls += [_Call((at[f.step], place, f.step), f.prediction.energy, f.atoms) for f in frames]
        calls += _not_kept(task, frames, max(at.values(), default=math.inf), place)
    energies: list[float] = []
    lowest = math.inf
    for call in sorted(calls, key=lambda call: call.order):
        energy = call.energy
        if energy < lowest:
            # A host that fell apart may lie lower than any structure of the defect; what does not set a mark may.
            if call.atoms is not None and fell_apart(defect, call.atoms, settings):
                energy = math.nan
            else:
                lowest = energy
        energies.append(energy)
    return tuple(energies)


def _not_kept(task: Task, frames: Sequence[Frame], row: float, place: int) -> Iterator[_Call]:
    """Calls without a frame: those that failed, and in campaigns of earlier versions the steps but the last."""
    count = task.evaluations - len(frames)
    checkpoint = task.checkpoint if not frames else None
    for step in range(count):
        last = checkpoint.frame if checkpoint is not None and step == checkpoint.frame.step else None
        first = task.initial_energy if checkpoint is not None and step == 0 else None
        energy = last.prediction.energy if last is not None else math.nan if first is None else first
        yield _Call((row, place, len(frames) + step), energy, last.atoms if last is not None else None)


def _rows(path: Path, label: str) -> dict[tuple[str, str], dict[int, int]]:
    """Row of each step of each relaxation of a defect."""
    found: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for stage, name, step, row in connection.execute(
            "SELECT stage, label, step, row FROM frames WHERE defect = ?", (label,)
        ):
            found[stage, name][step] = row
    except sqlite3.Error as error:
        raise CampaignError(f"Cannot read the record {path}: {error}.") from error
    finally:
        connection.close()
    return found


def log_seconds(path: Path, longest_pause: float = LONGEST_PAUSE) -> float:
    """Wall time that a campaign took, by the lines of its log, without the pauses between its runs.

    Args:
        path: the log; without one the time is NaN.
        longest_pause: a longer gap between two lines counts as a pause, seconds.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return math.nan
    moments = []
    for line in lines:
        try:
            moments.append(datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f"))
        except ValueError:
            continue  # a line of a traceback
    gaps = ((later - earlier).total_seconds() for earlier, later in pairwise(moments))
    return sum(gap for gap in gaps if 0 <= gap <= longest_pause)


def read_reference_frames(
    source: Path, defaults: SourceDefaults, minima: MinimaSettings | None = None
) -> FinishedSearch:
    """A reference-only search of one defect that somebody else ran, from its files.

    Relaxations count in ShakeNBreak's order, `Unperturbed` first, then the distortions from the shortest bonds to
    the longest, and then the others.

    Args:
        source: file or folder with every ionic step of each relaxation (see `learning.readers`).
        defaults: what the source does not say.
        minima: how minima are told apart.

    Raises:
        InputFileError: there is no such file or folder.
        DatasetError: it holds frames of no defect, or of several.
    """
    relaxations: dict[str, list[LabelledFrame]] = defaultdict(list)
    sites: list[SiteRecord] = []
    bulk: list[LabelledFrame] = []
    for item in read_source(source, defaults):
        if isinstance(item, SiteRecord):
            sites.append(item)
        elif isinstance(item, LabelledFrame):
            (bulk if item.origin.defect == BULK else relaxations[item.origin.start]).append(item)
    of = {frame.origin.defect_id for frames in relaxations.values() for frame in frames}
    if len(of) != 1:
        names = ", ".join(sorted(str(item) for item in of)) or "none"
        raise DatasetError(f"{source} must hold the relaxations of one defect; it holds {names}.")
    ordered = {label: relaxations[label] for label in sorted(relaxations, key=_place)}
    search = search_of_ends(
        of.pop(),
        [Ends(label, frames[0], frames[-1], len(frames)) for label, frames in ordered.items()],
        [frame.atoms for frame in bulk[-1:]],
        {site.defect_id: site for site in sites},
    )
    energies = _flat(frames for frames in ordered.values())
    return FinishedSearch(outcome_of_reference_search(search, minima), energies, fresh_calls=len(ordered))


def _flat(relaxations: Iterable[Sequence[LabelledFrame]]) -> tuple[float, ...]:
    return tuple(frame.prediction.energy for frames in relaxations for frame in frames)


def _place(label: str) -> tuple[int, float, str]:
    """Sorts as ShakeNBreak does."""
    if label.startswith(UNPERTURBED):
        return 0, 0.0, label
    number = label.rpartition("_")[2].rstrip("pc%")
    try:
        return 1, float(number), label
    except ValueError:
        return 2, 0.0, label
