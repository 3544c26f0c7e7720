"""What a dataset holds, defect by defect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.learning.cleaning import energy_scale
from defectscout.learning.dataset import SUBSETS, Dataset
from defectscout.learning.frames import DefectId, IndexRow, Unreadable


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many frames one cleaning rule took out."""

    rule: str
    frames: int


@dataclass(frozen=True, slots=True)
class SubsetCount:
    """How many selected frames are in one subset."""

    subset: str
    frames: int


@dataclass(frozen=True, slots=True)
class DefectSummary:
    """What a dataset holds of one defect.

    Attributes:
        defect_id: which defect.
        n_atoms: sizes of its supercells, sorted.
        energy_scales: compositions; energies of two of them cannot be compared.
        has_site: whether it is known where the defect lies, which fingerprints need.
        relaxations: how many.
        frames: how many in all.
        dropped: by cleaning rule, without those that took nothing.
        selected: frames for training and evaluation.
        energy_range: highest less lowest energy of the frames that are left, eV; 0 if none is.
        max_force: largest force on an atom in the frames that are left, eV/Å; 0 if none is.
        subsets: selected frames by subset; empty before the dataset is split.
    """

    defect_id: DefectId
    n_atoms: tuple[int, ...]
    energy_scales: int
    has_site: bool
    relaxations: int
    frames: int
    dropped: tuple[RuleCount, ...]
    selected: int
    energy_range: float
    max_force: float
    subsets: tuple[SubsetCount, ...]


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """What a dataset holds.

    Attributes:
        path: the file.
        digest: hash of its selected frames.
        frames: how many in all.
        selected: frames for training and evaluation.
        hosts: reduced formulas, sorted.
        elements: symbols, sorted.
        methods: what gave the energies, sorted; those of two methods are on different scales.
        dropped: frames that cleaning took out, by rule.
        subsets: selected frames by subset; empty before the dataset is split.
        defects: each defect, in the order in which they were read.
        unreadable: what gave no frame, and why.
    """

    path: Path
    digest: str
    frames: int
    selected: int
    hosts: tuple[str, ...]
    elements: tuple[str, ...]
    methods: tuple[str, ...]
    dropped: tuple[RuleCount, ...]
    subsets: tuple[SubsetCount, ...]
    defects: tuple[DefectSummary, ...]
    unreadable: tuple[Unreadable, ...]


def inspect_dataset(path: Path) -> DatasetSummary:
    """What a dataset holds, defect by defect.

    Raises:
        DatasetError: if it is missing or no dataset.
    """
    with Dataset.open(path) as dataset:
        index = dataset.index()
        subsets = dataset.subsets()
        sites = dataset.sites()
        unreadable = dataset.unreadable()
        digest = dataset.digest()
    members: dict[DefectId, list[IndexRow]] = {}
    for row in index:
        members.setdefault(row.origin.defect_id, []).append(row)
    return DatasetSummary(
        path=path,
        digest=digest,
        frames=len(index),
        selected=sum(row.selected for row in index),
        hosts=tuple(sorted({defect_id.host for defect_id in members})),
        elements=tuple(sorted({symbol for row in index for symbol, _ in row.composition})),
        methods=tuple(sorted({defect_id.method for defect_id in members})),
        dropped=_dropped(index),
        subsets=_subsets(index, subsets),
        defects=tuple(_defect(rows, subsets, has_site=who in sites) for who, rows in members.items()),
        unreadable=unreadable,
    )


def _defect(rows: Sequence[IndexRow], subsets: dict[int, str], *, has_site: bool) -> DefectSummary:
    left = [row for row in rows if not row.dropped]
    scales: dict[object, list[float]] = {}
    for row in left:
        scales.setdefault(energy_scale(row), []).append(row.energy)
    return DefectSummary(
        defect_id=rows[0].origin.defect_id,
        n_atoms=tuple(sorted({row.n_atoms for row in rows})),
        energy_scales=len({energy_scale(row) for row in rows}),
        has_site=has_site,
        relaxations=len({row.origin.relaxation for row in rows}),
        frames=len(rows),
        dropped=_dropped(rows),
        selected=sum(row.selected for row in rows),
        energy_range=max((max(energies) - min(energies) for energies in scales.values()), default=0.0),
        max_force=max((row.fmax for row in left), default=0.0),
        subsets=_subsets(rows, subsets),
    )


def _dropped(rows: Sequence[IndexRow]) -> tuple[RuleCount, ...]:
    counts = Counter(row.dropped for row in rows if row.dropped)
    return tuple(RuleCount(rule, frames) for rule, frames in sorted(counts.items()))


def _subsets(rows: Sequence[IndexRow], subsets: dict[int, str]) -> tuple[SubsetCount, ...]:
    if not subsets:
        return ()
    counts = Counter(subsets[row.row] for row in rows if row.row in subsets)
    return tuple(SubsetCount(subset, counts[subset]) for subset in SUBSETS)
