"""What the same defect of related hosts relaxed to, as structures to start from: the store remembers it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect, Host, SamplingStructure, label_of
from defectscout.core.errors import SamplingError
from defectscout.learning.dataset import Dataset
from defectscout.learning.families import group_of, valence_class
from defectscout.learning.frames import DefectId, IndexRow
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.site import is_near_site
from defectscout.minima.symmetry import is_symmetric
from defectscout.relaxation.steppers import AT_REST
from defectscout.sampling.distortions import too_close
from defectscout.sampling.geometry import bare_atoms
from defectscout.sampling.labels import related_label
from defectscout.sampling.seeds import rattle_seed
from defectscout.sampling.settings import SamplingSettings
from defectscout.sampling.transplant import carried_over, correspondence
from defectscout.workflow.earlier import earlier
from defectscout.workflow.nearest import nearest
from defectscout.workflow.settings import SearchSettings

if TYPE_CHECKING:
    from pymatgen.core import Structure

WINDOW: Final = 0.5
"""eV above the lowest of the related host's defect up to where its minima are tried."""

RATTLE: Final = 0.1
"""Å, standard deviation, of the atoms near the site, as far as the fingerprint sees. A motif that is symmetric in one
host may be a saddle in the next: in CdSe the three Se–Se bonds of V_Cd carried over from CdTe relaxed to a symmetric
structure 0.01 eV above the ground state, from which a few atoms of the motif lead away. See
benchmarks/carried_over_rattle.py for what comes of rattling all atoms by half as much."""


@dataclass(frozen=True, slots=True, eq=False)
class RelatedStructures:
    """What a search takes over from related hosts.

    Attributes:
        structures: sampling structures, those of the nearest host first, and of each host the lowest first.
        left_out: defects there that bear the same name and do not fit, and why.
    """

    structures: tuple[SamplingStructure, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Chosen:
    """Structures chosen so far, and what they must differ from."""

    defect: Defect
    apart: MinimaSettings
    sampling: SamplingSettings
    starts: list[SamplingStructure] = field(default_factory=list)
    known: list[Atoms] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, identity: DefectId, atoms: Atoms) -> None:
        """Take a structure that is unlike all before it, and unlike what is not worth trying."""
        if len(self.starts) >= self.sampling.related:
            return
        if reason := too_close(atoms):
            self.left_out.append(f"{identity}: {reason}")
            return
        try:
            distances = fingerprint_distances(self.defect, [atoms, *self.known], self.apart)
        except SamplingError as error:  # a site that cannot be followed through the displacements
            self.left_out.append(f"{identity}: {error}")
            return
        if self.known and distances[0, 1:].min() <= self.apart.threshold:
            return
        defect, taken = label_of(identity.defect, identity.charge), {start.label for start in self.starts}
        labels = (related_label(defect, identity.host, number) for number in count(1))
        label = next(label for label in labels if label not in taken)
        self.known.append(atoms)
        self.starts.append(SamplingStructure(label, self._rattled(label, atoms)))

    def _rattled(self, label: str, atoms: Atoms) -> Atoms:
        if not is_symmetric(atoms, self.apart.symprec):
            return atoms
        deviation = RATTLE if self.sampling.rattle is None else min(RATTLE, self.sampling.rattle)
        random = np.random.default_rng(rattle_seed(self.sampling.seed, self.defect, label))
        near = is_near_site(self.defect, atoms, self.apart.cutoff)
        moves = random.normal(scale=deviation, size=atoms.positions.shape)
        return bare_atoms(atoms, atoms.positions + np.where(near[:, None], moves, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """Frames of earlier searches in one charge state, by defect and number of atoms; `open` reads them."""

    open: Callable[[], AbstractContextManager[Dataset]]
    defects: Mapping[tuple[DefectId, int], Sequence[IndexRow]]


def related_structures(
    settings: SearchSettings, host: Host, defects: Sequence[Defect]
) -> tuple[RelatedStructures, ...]:
    """Low minima of the same defects of related hosts, carried over to this one (see `sampling.transplant`).

    They come from the frames that the store keeps with the surrogates of related hosts, the nearest host first, if the
    search starts from one of those, or from the frames in the folder of the surrogate that it starts from; there are
    none where the user has chosen the sampling structures (`sampling.none`, `sampling.folder`). Left out
    are structures that the unperturbed one relaxed to, structures alike (by the fingerprint of the defect site), and
    whatever lies more than `WINDOW` above the lowest minimum there. A defect whose supercell there has another number
    of atoms or another shape has none. What has a symmetry is rattled, so that it does not keep it.

    Args:
        settings: of the search, with its surrogate settled.
        host: the new host.
        defects: some of its defects.

    Returns:
        For each of `defects`.

    Raises:
        DatasetError: if frames of the store cannot be read.
    """
    sampling = settings.sampling
    chosen_by_hand = sampling.none or sampling.folder is not None
    if not sampling.related or chosen_by_hand or settings.strategy == "reference-only":
        return tuple(RelatedStructures() for _ in defects)
    charges = {defect.charge for defect in defects}
    sources = {charge: list(_sources(settings, host.primitive, charge)) for charge in charges}
    return tuple(_carried_over(defect, sources[defect.charge], settings) for defect in defects)


def _sources(settings: SearchSettings, primitive: Structure, charge: int) -> Iterator[_Source]:
    """Where to look for the minima of defects in this charge state, the nearest host first."""
    found, method = earlier(settings.surrogate.name), settings.reference.name
    places: list[Callable[[], AbstractContextManager[Dataset]]] = []
    for offer in nearest(found.models, primitive, charge, method):
        if offer.is_offered and offer.model.frames is not None:
            places.append(offer.model.open_frames)
    if found.frames is not None:
        places.append(partial(Dataset.open, found.frames))
    for place in places:
        groups: dict[tuple[DefectId, int], list[IndexRow]] = defaultdict(list)
        with place() as dataset:
            for row in dataset.index():
                origin = row.origin
                if not row.dropped and not origin.is_bulk and origin.charge == charge and origin.method == method:
                    groups[origin.defect_id, row.n_atoms].append(row)
        yield _Source(place, groups)


def _carried_over(defect: Defect, sources: Sequence[_Source], settings: SearchSettings) -> RelatedStructures:
    chosen = _Chosen(defect, settings.minima, settings.sampling)
    for source in sources:
        with source.open() as dataset:
            for (identity, _), rows in source.defects.items():
                reason = _take(dataset, identity, rows, chosen)
                if reason:
                    chosen.left_out.append(f"{identity}: {reason}")
    return RelatedStructures(tuple(chosen.starts), tuple(dict.fromkeys(chosen.left_out)))


def _take(dataset: Dataset, identity: DefectId, rows: Sequence[IndexRow], chosen: _Chosen) -> str:
    """Add the low minima of one defect; if it does not fit though its name does, say why."""
    elements = replacements(_symbols(rows[0]), chosen.defect.atoms.get_chemical_symbols())
    namesake = _renamed(identity.defect, elements) == _renamed(chosen.defect.name, {})
    first = min((row for row in rows if row.origin.start == UNPERTURBED), key=lambda row: row.origin.step, default=None)
    if first is None:
        return "its unperturbed structure is not among the frames" if namesake else ""
    ideal = next(dataset.frames([first.row])).atoms
    found = correspondence(ideal, chosen.defect, elements)
    if found is None:
        here, there = len(chosen.defect.atoms), len(ideal)
        what = f"has {there} atoms, and this one {here}" if here != there else "is of another shape or structure"
        return f"its supercell {what}" if namesake else ""
    ends = _ends(rows)
    lowest = min((row.energy for row in ends), default=0.0)
    for row in sorted(ends, key=lambda row: row.origin.start != UNPERTURBED):  # stable: else the lowest first
        relaxed = next(dataset.frames([row.row])).atoms
        atoms = carried_over(found, ideal, relaxed, chosen.defect)
        if row.origin.start == UNPERTURBED:
            chosen.known.append(atoms)
        elif row.energy <= lowest + WINDOW:
            chosen.add(identity, atoms)
    return ""


def _renamed(defect: str, elements: Mapping[str, str]) -> tuple[str, ...]:
    """What is where in doped's name of a defect, in the elements of the new host: `v` and `Se` for `v_Te_s0`."""
    return tuple(elements.get(part, part) for part in defect.split("_")[:2])


def _ends(rows: Sequence[IndexRow]) -> list[IndexRow]:
    """The lowest frame of each relaxation that came to rest, the lowest first."""
    ends: dict[str, IndexRow] = {}
    for row in rows:
        if row.fmax <= AT_REST:
            key = f"{row.origin.source} {row.origin.start}"
            ends[key] = min(ends.get(key, row), row, key=lambda one: one.energy)
    return sorted(ends.values(), key=lambda row: (row.energy, row.origin.start))


def _symbols(row: IndexRow) -> list[str]:
    return [symbol for symbol, _ in row.composition]


def replacements(theirs: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Which element of `own` takes the place of each of `theirs`: itself, else one of its group, else of its class.

    Classes are those of `learning.families`. An element for which there is none is left out.

    >>> replacements(["Cd", "Te"], ["Cd", "Se"])
    {'Cd': 'Cd', 'Te': 'Se'}
    """
    found = {symbol: symbol for symbol in theirs if symbol in own}
    for alike in (group_of, valence_class):
        for symbol in (symbol for symbol in theirs if symbol not in found):
            free = sorted(set(own) - set(found.values()))
            kin = next((other for other in free if alike(other) == alike(symbol)), None)
            if kin is not None:
                found[symbol] = kin
    return {symbol: found[symbol] for symbol in theirs if symbol in found}
