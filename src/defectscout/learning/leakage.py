"""What of the training set is also, or nearly, in validation or test.

Errors on a test set say something of unseen defects only if the model has not met them. This runs
on every split; what the split's own definition lets happen is reported as expected.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.learning.frames import DefectId, FrameOrigin, IndexRow, LabelledFrame
from defectscout.learning.settings import SplitSettings
from defectscout.learning.splits import AUGMENTED, SUBSETS, TRAIN, VALIDATION

SAME_ENERGY: Final = 1e-4
"""Largest difference of energies of near-identical configurations, eV."""
SAME_DISTANCE: Final = 0.01
"""Largest difference of sorted interatomic distances of near-identical configurations, Å."""
CHARGE: Final = re.compile(r"_(0|[+-]\d+)$")
"""The charge state at the end of a name such as `v_Cd_-1`."""
NAMED: Final = 3
"""How many examples a sentence names."""

Kind = Literal["relaxation", "host", "charge-states", "near-identical"]
_Pair = tuple[str, str]


class IndexedFrames(Protocol):
    """What is asked of a dataset; `learning.dataset.Dataset` offers it."""

    def index(self) -> tuple[IndexRow, ...]:
        """All rows."""

    def frames(self, rows: Sequence[int]) -> Iterator[LabelledFrame]:
        """The frames of these rows, in the order asked."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that is in two subsets.

    Attributes:
        kind: `relaxation` (ionic steps of one relaxation), `host`, `charge-states` (charge states or methods of one
            defect), or `near-identical` (the same configuration within 1e-4 eV and 0.01 Å).
        where: the two subsets, such as `train/test`.
        count: how many relaxations, hosts or defects are in both; or how many frames of the second subset have a
            near-identical one in the first.
        expected: whether the split's definition, or the augmentation of validation, lets it happen.
        sentence: for a person.
    """

    kind: Kind
    where: str
    count: int
    expected: bool
    sentence: str


def check_leakage(dataset: IndexedFrames, subsets: Mapping[int, str], settings: SplitSettings) -> tuple[Leak, ...]:
    """Find what is in two subsets of a split.

    Configurations are read only where two frames of different subsets have the same composition, method
    and energy, in the order of energy with a window of them in memory, so that a large dataset need not fit in it.

    Args:
        dataset: the dataset that was split.
        subsets: row to subset, as `splits.split` returns it.
        settings: how it was split.

    Returns:
        Leaks, the unexpected ones first.
    """
    rows = [row for row in dataset.index() if row.row in subsets]
    leaks = [
        *_shared("relaxation", rows, subsets, settings),
        *_shared("host", rows, subsets, settings),
        *_shared("charge-states", rows, subsets, settings),
        *_near_identical(dataset, rows, subsets, settings),
    ]
    return tuple(sorted(leaks, key=lambda leak: leak.expected))


def _group_of(kind: Kind, origin: FrameOrigin) -> str | None:
    """Name of the group that should stay together, or None if the frame is in no such group."""
    if kind == "relaxation":
        return str(origin.relaxation) if not origin.source else f"{origin.relaxation} of {origin.source}"
    if kind == "host":
        return origin.host
    return None if origin.is_bulk else f"{origin.host}/{origin.defect}"


def _shared(
    kind: Kind, rows: Sequence[IndexRow], subsets: Mapping[int, str], settings: SplitSettings
) -> Iterator[Leak]:
    members: dict[str, set[str]] = defaultdict(set)
    defects: dict[str, dict[str, set[DefectId]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        group = _group_of(kind, row.origin)
        if group is not None:
            members[group].add(subsets[row.row])
            defects[group][subsets[row.row]].add(row.origin.defect_id)
    for pair in combinations(SUBSETS, 2):
        both = sorted(group for group, found in members.items() if found.issuperset(pair))
        if kind == "charge-states":
            both = [group for group in both if len(defects[group][pair[0]] | defects[group][pair[1]]) > 1]
        expected = [group for group in both if _is_expected(kind, pair, group, settings)]
        for names, allowed in ((sorted(set(both) - set(expected)), False), (expected, True)):
            if names:
                yield _leak(kind, pair, names, allowed, settings)


def _is_expected(kind: Kind, pair: _Pair, group: str, settings: SplitSettings) -> bool:
    if _is_augmented(pair, settings) or settings.by == "random":
        return True
    if settings.by == "relaxation":
        return kind != "relaxation"
    if settings.by == "defect":
        return kind == "host"
    if settings.by == "host-list":
        entries = settings.test_hosts + settings.validation_hosts
        if kind == "host":
            return any(entry.startswith(f"{group}/") for entry in entries)
        if kind == "charge-states":
            # Two charge states are apart only where an entry names one of them.
            return any(CHARGE.sub("", entry) == group != entry for entry in entries)
    return False


def _leak(kind: Kind, pair: _Pair, names: Sequence[str], expected: bool, settings: SplitSettings) -> Leak:
    nouns = {
        "relaxation": ("relaxation has ionic steps", "relaxations have ionic steps"),
        "host": ("host is", "hosts are"),
        "charge-states": ("defect has charge states or methods", "defects have charge states or methods"),
    }
    noun = nouns[kind][len(names) > 1]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    sentence = f"{len(names)} {noun} in {pair[0]} and in {pair[1]}: {', '.join(names[:NAMED])}{more}."
    return Leak(kind, "/".join(pair), len(names), expected, f"{sentence} {_remark(kind, pair, expected, settings)}")


def _is_augmented(pair: _Pair, settings: SplitSettings) -> bool:
    return pair == (TRAIN, VALIDATION) and settings.by in AUGMENTED and settings.augment_validation > 0


def _remark(kind: Kind, pair: _Pair, expected: bool, settings: SplitSettings) -> str:
    if expected:
        why = "Augmenting validation" if _is_augmented(pair, settings) else f"A split by {settings.by}"
        return f"{why} lets this happen; errors there are lower than on what was never seen."
    advice = (
        "keep both defects together with --by host-list"
        if kind == "near-identical"
        else "split again with `defectscout dataset split`"
    )
    return f"Errors there are lower than on what was never seen: {advice}."


def _near_identical(
    dataset: IndexedFrames, rows: Sequence[IndexRow], subsets: Mapping[int, str], settings: SplitSettings
) -> Iterator[Leak]:
    twins: dict[_Pair, dict[int, FrameOrigin]] = defaultdict(dict)
    origins = {row.row: row.origin for row in rows}
    for first, second in _twins(dataset, rows, subsets):
        ordered = sorted((first, second), key=lambda row: SUBSETS.index(subsets[row]))
        pair = (subsets[ordered[0]], subsets[ordered[1]])
        twins[pair][ordered[1]] = origins[ordered[1]]
    for pair in sorted(twins, key=lambda pair: (SUBSETS.index(pair[0]), SUBSETS.index(pair[1]))):
        found = twins[pair]
        total = sum(subset == pair[1] for subset in subsets.values())
        # An augmented frame is a training frame's neighbour by intention; two relaxations that
        # end in one minimum are so in a split by relaxation.
        expected = _is_expected("near-identical", pair, "", settings)
        where = Counter(str(origin.defect_id) for origin in found.values())
        named = ", ".join(f"{name} ({count})" for name, count in sorted(where.items(), key=_most_first)[:NAMED])
        more = f" and {len(where) - NAMED} more" if len(where) > NAMED else ""
        sentence = (
            f"{len(found)} of {total} frames in {pair[1]} {'has' if len(found) == 1 else 'have'} a near-identical "
            f"one in {pair[0]} (within {SAME_ENERGY:g} eV and {SAME_DISTANCE:g} Å): {named}{more}."
        )
        yield Leak(
            "near-identical",
            "/".join(pair),
            len(found),
            expected,
            f"{sentence} {_remark('near-identical', pair, expected, settings)}",
        )


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _twins(dataset: IndexedFrames, rows: Sequence[IndexRow], subsets: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Pairs of rows in different subsets whose configurations are near-identical."""
    groups: dict[Hashable, list[IndexRow]] = defaultdict(list)
    for row in rows:
        groups[row.origin.method, row.composition].append(row)
    for group in groups.values():
        suspects = _suspects(sorted(group, key=lambda row: (row.energy, row.row)), subsets)
        window: deque[tuple[IndexRow, NDArray[np.float32]]] = deque()
        frames = dataset.frames([row.row for row in suspects])
        for row, frame in zip(suspects, frames, strict=True):
            while window and row.energy - window[0][0].energy > SAME_ENERGY:
                window.popleft()
            distances = _sorted_distances(frame.atoms)
            for other, others_distances in window:
                apart = subsets[other.row] != subsets[row.row]
                if apart and float(np.abs(distances - others_distances).max(initial=0.0)) <= SAME_DISTANCE:
                    yield other.row, row.row
            window.append((row, distances))


def _suspects(ordered: Sequence[IndexRow], subsets: Mapping[int, str]) -> list[IndexRow]:
    """Rows, sorted by energy, that have one of another subset within `SAME_ENERGY`."""
    suspects: set[int] = set()
    first = 0
    for last, row in enumerate(ordered):
        while row.energy - ordered[first].energy > SAME_ENERGY:
            first += 1
        others = [other.row for other in ordered[first:last] if subsets[other.row] != subsets[row.row]]
        if others:
            suspects |= {row.row, *others}
    return [row for row in ordered if row.row in suspects]


def _sorted_distances(atoms: Atoms) -> NDArray[np.float32]:
    """Shortest distances of all pairs of atoms, Å, sorted within each pair of elements.

    They are the same however atoms are numbered, moved or turned. The lengths of the cell are with them.
    """
    first, second = np.triu_indices(len(atoms), k=1)
    numbers = atoms.numbers
    elements = 1000 * np.minimum(numbers[first], numbers[second]) + np.maximum(numbers[first], numbers[second])
    distances = atoms.get_all_distances(mic=True)[first, second]
    in_order = distances[np.lexsort((distances, elements))]
    return np.concatenate([in_order, np.sort(atoms.cell.lengths())]).astype(np.float32)
