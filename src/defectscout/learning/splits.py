"""Share the frames of a dataset among training, validation and test (paper, section II B)."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from defectscout.core.defect import label_of
from defectscout.core.errors import DatasetError, SettingsError
from defectscout.learning.balance import Group, assign
from defectscout.learning.families import family_of
from defectscout.learning.frames import IndexRow
from defectscout.learning.settings import SplitSettings

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SUBSETS: Final = (TRAIN, VALIDATION, TEST)

AUGMENTED: Final = frozenset({"composition", "defect", "host-list"})
"""Splits whose validation set is augmented with training configurations."""

K = TypeVar("K", bound=Hashable)

_Defect = tuple[str, str, int]
"""Host, name and charge: a defect whatever its method, since two methods see the same geometries."""


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """Settings of a split, and why they were chosen."""

    settings: SplitSettings
    sentence: str


def split(index: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    """The subset of each selected row: `train`, `validation` or `test`.

    What stays together, what the shares count, and where frames of the pristine hosts go:

    - `composition`: hosts, whatever their method; the shares count defects, each charge state as one. Elements and
      families of hosts (`families.family_of`) are balanced over the subsets, and as far as the shares
      allow, training has every element of the others. Pristine frames go with their host.
    - `defect`: all charge states and methods of a defect, because they share sampling structures and often
      the relaxed geometry; the shares count charge states, balanced over the hosts. Pristine frames train.
    - `relaxation`: the ionic steps from one sampling structure of one defect, whatever the method; the shares count
      relaxations, shared out within each defect, of which one always trains. Pristine frames train.
    - `host-list`: what `test_hosts` and `validation_hosts` name (`CdTe`, `CdTe/v_Cd` or `CdTe/v_Cd_-1`; the
      longer name wins) is taken out of training; pristine frames go with a host that is named whole.
    - `random`: nothing; the shares count frames.

    Validation is then augmented with `augment_validation` of the training set's defect frames, evenly over
    its defects, which leave training (composition, defect and host-list only: with relaxations and
    frames, validation has frames of training defects anyway).

    The result depends on the rows and the seed alone, not on the order of the rows.

    Raises:
        DatasetError: no selected frame, too few hosts, defects or relaxations for the shares, or an unknown host.
        SettingsError: shares that do not add up to 1, or host-list without hosts.
    """
    rows = sorted((row for row in index if row.selected), key=lambda row: row.row)
    if not rows:
        raise DatasetError(
            "The dataset has no selected frame to split. Sample frames first: `defectscout dataset build` does it."
        )
    if settings.by == "host-list":
        subsets = _by_list(rows, settings)
    else:
        _check_shares(settings)
        subsets = _BY[settings.by](rows, settings)
    if settings.by in AUGMENTED:
        subsets = _augment(rows, subsets, settings)
    return subsets


def default_split(index: Sequence[IndexRow]) -> SplitChoice:
    """How to split a dataset that nobody split: by composition if it can be, else by defect, else by relaxation."""
    defects = [row.origin for row in index if row.selected and not row.origin.is_bulk]
    n_hosts = len({origin.host for origin in defects})
    n_defects = len({(origin.host, origin.defect) for origin in defects})
    if n_hosts >= 6:
        settings = SplitSettings()
        return SplitChoice(settings, f"Split by composition (68/5/27 % of the defects), as there are {n_hosts} hosts.")
    few_hosts = f"there {_are(n_hosts, 'host')}, too few to leave some out"
    if n_defects >= 4:
        settings = SplitSettings(by="defect", train=0.7, validation=0.1, test=0.2)
        return SplitChoice(
            settings,
            f"Split by defect (70/10/20 %), as {few_hosts}: errors hold for other defects of these hosts, "
            f"not for other hosts.",
        )
    settings = SplitSettings(by="relaxation", train=0.8, validation=0.2, test=0.0)
    return SplitChoice(
        settings,
        f"Split by relaxation (80/20/0 %), as {few_hosts}, and {_count(n_defects, 'defect')}: validation holds other "
        f"sampling structures of the same defects, so that its errors are lower than those on an unseen defect, and "
        f"there is no test set.",
    )


def _by_composition(rows: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    elements: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        elements[row.origin.host] |= {symbol for symbol, _ in row.composition}
    weights = Counter(host for host, _, _ in _defects(rows))
    groups = {
        host: Group(weights[host], frozenset(elements[host]), frozenset({str(family_of(host))})) for host in weights
    }
    chosen = _assign(groups, settings, "host", "--by defect or --by relaxation")
    return {row.row: chosen.get(row.origin.host, TRAIN) for row in rows}


def _by_defect(rows: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    weights = Counter((host, name) for host, name, _ in _defects(rows))
    groups = {key: Group(count, frozenset({key[0]})) for key, count in weights.items()}
    chosen = _assign(groups, settings, "defect", "--by relaxation")
    return {row.row: chosen.get((row.origin.host, row.origin.defect), TRAIN) for row in rows}


def _by_relaxation(rows: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    starts: dict[_Defect, set[str]] = defaultdict(set)
    for row in rows:
        if not row.origin.is_bulk:
            starts[_defect(row)].add(row.origin.start)
    n_starts = sum(map(len, starts.values()))
    held_out = {VALIDATION: settings.validation, TEST: settings.test}
    held_out = {name: share for name, share in held_out.items() if share}
    if n_starts - len(starts) < len(held_out):
        raise DatasetError(
            f"A split by relaxation holds out sampling structures of defects that have more than one of them; there "
            f"{_are(n_starts, 'relaxation')} of {_count(len(starts), 'defect')}, too few for {' and '.join(held_out)}. "
            f"Use --by random, set a share to 0, or add relaxations."
        )
    rng = random.Random(settings.seed)
    carried = dict.fromkeys(held_out, 0.0)
    left: dict[_Defect, list[str]] = {}
    chosen: dict[tuple[_Defect, str], str] = {}
    for defect in sorted(starts):
        left[defect] = sorted(starts[defect])
        rng.shuffle(left[defect])
        for name, share in held_out.items():
            # What rounding takes from one defect is given to the next, so that shares hold over all.
            carried[name] += share * len(starts[defect])
            count = min(max(round(carried[name]), 0), len(left[defect]) - 1)
            carried[name] -= count
            chosen |= {(defect, left[defect].pop()): name for _ in range(count)}
    for name in held_out:
        if name not in chosen.values():
            chosen[_spare(left, chosen)] = name
    return {row.row: chosen.get((_defect(row), row.origin.start), TRAIN) for row in rows}


def _spare(left: Mapping[_Defect, list[str]], chosen: Mapping[tuple[_Defect, str], str]) -> tuple[_Defect, str]:
    """A relaxation that training, or else a subset that has several, can give to a subset that got none."""
    richest = max(sorted(left), key=lambda defect: len(left[defect]))
    if len(left[richest]) > 1:
        return richest, left[richest].pop()
    counts = Counter(chosen.values())
    return next(key for key, name in chosen.items() if counts[name] > 1)


def _by_frame(rows: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    shares = (settings.train, settings.validation, settings.test)
    counts = _largest_remainders(dict(zip(SUBSETS, shares, strict=True)), len(rows))
    empty = [name for name, share in zip(SUBSETS, shares, strict=True) if share and not counts[name]]
    if empty:
        raise DatasetError(
            f"{len(rows)} frames are too few to give a share to {' and '.join(empty)}. Add frames, or set that share "
            f"to 0."
        )
    numbers = [row.row for row in rows]
    random.Random(settings.seed).shuffle(numbers)
    labels = [name for name in SUBSETS for _ in range(counts[name])]
    return dict(sorted(zip(numbers, labels, strict=True)))


def _by_list(rows: Sequence[IndexRow], settings: SplitSettings) -> dict[int, str]:
    listed = {VALIDATION: settings.validation_hosts, TEST: settings.test_hosts}
    entries: dict[str, str] = {}
    for subset, names in listed.items():
        for name in names:
            if entries.setdefault(name, subset) != subset:
                raise SettingsError(f"'{name}' is in validation_hosts and in test_hosts. Name it in one of them.")
    if not entries:
        raise SettingsError(
            "A split by host-list needs hosts: set test_hosts or validation_hosts (--test CdTe,InP/iIn)."
        )
    names_of = {row.row: _names(row) for row in rows}
    there_are = {name for names in names_of.values() for name in names}
    unknown = sorted(set(entries) - there_are)
    if unknown:
        raise DatasetError(
            f"The dataset has no selected frame of {', '.join(unknown)}, named in test_hosts or validation_hosts. "
            f"There are: {_listing(rows)}. Name a host as in CdTe, or one of its defects as in CdTe/v_Cd."
        )
    subsets = {row.row: next((entries[name] for name in names_of[row.row] if name in entries), TRAIN) for row in rows}
    if TRAIN not in subsets.values():
        raise DatasetError(
            "test_hosts and validation_hosts name every host of the dataset: nothing is left to train on."
        )
    return subsets


def _names(row: IndexRow) -> tuple[str, ...]:
    """Names that host-list knows a row by, the most specific first."""
    origin = row.origin
    if origin.is_bulk:
        return (f"{origin.host}/{origin.defect}", origin.host)
    charged = f"{origin.host}/{label_of(origin.defect, origin.charge)}"
    return (charged, f"{origin.host}/{origin.defect}", origin.host)


def _listing(rows: Sequence[IndexRow]) -> str:
    defects: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        defects[row.origin.host].add(row.origin.defect)
    return "; ".join(f"{host} ({', '.join(sorted(names))})" for host, names in sorted(defects.items()))


def _augment(rows: Sequence[IndexRow], subsets: Mapping[int, str], settings: SplitSettings) -> dict[int, str]:
    """Move a share of the training set's defect frames to validation, evenly over its defects."""
    candidates: dict[_Defect, list[int]] = defaultdict(list)
    for row in rows:
        if subsets[row.row] == TRAIN and not row.origin.is_bulk:
            candidates[_defect(row)].append(row.row)
    total = sum(map(len, candidates.values()))
    defects = sorted(candidates)
    rng = random.Random(settings.seed)
    rng.shuffle(defects)  # which of equally rich defects gives one more is left to the seed
    quotas = _largest_remainders(
        {defect: len(candidates[defect]) / total for defect in defects}, round(settings.augment_validation * total)
    )
    moved = {row for defect in defects for row in rng.sample(candidates[defect], quotas[defect])}
    return {row: VALIDATION if row in moved else subset for row, subset in subsets.items()}


def _assign(groups: Mapping[K, Group], settings: SplitSettings, noun: str, instead: str) -> dict[K, str]:
    shares = (settings.train, settings.validation, settings.test)
    needed = sum(share > 0 for share in shares)
    if len(groups) < needed:
        raise DatasetError(
            f"A split by {settings.by} into {needed} subsets needs at least {needed} {noun}s with defect frames; there "
            f"{_are(len(groups), noun)}. Use {instead}, or set a share to 0."
        )
    keys = sorted(groups, key=str)
    chosen = assign([groups[key] for key in keys], shares, settings.seed)
    return {key: SUBSETS[subset] for key, subset in zip(keys, chosen, strict=True)}


def _defect(row: IndexRow) -> _Defect:
    return (row.origin.host, row.origin.defect, row.origin.charge)


def _defects(rows: Sequence[IndexRow]) -> set[_Defect]:
    return {_defect(row) for row in rows if not row.origin.is_bulk}


def _check_shares(settings: SplitSettings) -> None:
    total = settings.train + settings.validation + settings.test
    if abs(total - 1) > 1e-6:
        raise SettingsError(
            f"The shares of a split must add up to 1; train = {settings.train:g}, validation = {settings.validation:g} "
            f"and test = {settings.test:g} add up to {total:g}. Change one of them."
        )
    if not settings.train:
        raise SettingsError("A split needs a share for training; train = 0. Raise it, and lower that of the others.")


def _largest_remainders(shares: Mapping[K, float], total: int) -> dict[K, int]:
    """Whole numbers that add up to `total`, as near as can be to the shares; ties to the first."""
    exact = {key: share * total for key, share in shares.items()}
    counts = {key: int(value + 1e-9) for key, value in exact.items()}
    rest = total - sum(counts.values())
    for key in sorted(exact, key=lambda key: counts[key] - exact[key])[:rest]:
        counts[key] += 1
    return counts


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count or 'no'} {noun}s"


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count or 'no'} {noun}s"


_BY: Final = {
    "composition": _by_composition,
    "defect": _by_defect,
    "relaxation": _by_relaxation,
    "random": _by_frame,
}
