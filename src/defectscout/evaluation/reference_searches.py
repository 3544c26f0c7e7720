"""Finished reference searches out of a dataset: where each relaxation started and where it ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ase import Atoms

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.core.errors import DatasetError, SamplingError
from defectscout.core.frames import Frame, Prediction, Relaxation, RelaxationState
from defectscout.evaluation.defect_of_frames import defect_of_frames
from defectscout.evaluation.placing import Placement, equivalent_sites, place
from defectscout.evaluation.pristine import tolerance_of
from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import DefectId, IndexRow, LabelledFrame, RelaxationId, SiteRecord
from defectscout.minima.distinct import Flagged

CONVERGED_FORCE: Final = 0.1
"""eV/Å. A relaxation whose last frame has a larger force on an atom did not end in a minimum. Codes stop
at 0.01 to 0.05 eV/Å, and datasets keep frames with energies and forces that differ a little from those."""

BULK_FRAMES: Final = 5
"""Bulk frames of a host that are looked at for its pristine supercell: the last ones of its relaxations."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSearch:
    """A finished search of one defect in one supercell.

    Attributes:
        defect_id: which defect.
        defect: the defect supercell, see `defect_of_frames`.
        starts: sampling structures, atoms in the order and place of `defect.atoms`.
        relaxed: where the reference relaxed them to, in the order of `starts`; one that did not
            converge is in state UNCONVERGED and no minimum of the reference.
        left_out: relaxations that cannot be used at all.
    """

    defect_id: DefectId
    defect: Defect
    starts: tuple[SamplingStructure, ...]
    relaxed: tuple[Relaxation, ...]
    left_out: tuple[Flagged, ...] = ()

    @property
    def label(self) -> str:
        """The defect and the size of its supercell, such as `InP aP_0 (64 atoms)`."""
        return f"{self.defect_id} ({len(self.defect.atoms)} atoms)"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A defect whose search cannot be used, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class FinishedSearches:
    """The searches of a dataset.

    Attributes:
        searches: those that a surrogate can be judged by.
        skipped: the others.
    """

    searches: tuple[ReferenceSearch, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The first and the last frame of one relaxation, and how many frames there are."""

    label: str
    first: LabelledFrame
    last: LabelledFrame
    count: int


def reference_searches(dataset: Dataset, wanted: Callable[[DefectId], bool] = lambda _: True) -> FinishedSearches:
    """The reference searches that a dataset holds, one for each defect and supercell size.

    Takes the first and the last ionic step of each relaxation, also where cleaning dropped them or frame
    sampling passed them by, and reads no other configuration. Sampling structures are
    what the first steps in the dataset are: a source that was thinned out, or that lacks its
    first steps, gives starts that are nearer to the end.

    Args:
        dataset: the dataset.
        wanted: which defects.

    Raises:
        DatasetError: the dataset cannot be read.
    """
    rows = [row for row in dataset.index() if not row.origin.is_bulk and wanted(row.origin.defect_id)]
    relaxations: dict[tuple[RelaxationId, tuple[tuple[str, int], ...]], list[IndexRow]] = defaultdict(list)
    for row in rows:
        relaxations[row.origin.relaxation, row.composition].append(row)
    supercells: dict[tuple[DefectId, tuple[tuple[str, int], ...]], list[Sequence[IndexRow]]] = defaultdict(list)
    for (relaxation, composition), members in relaxations.items():
        ordered = sorted(members, key=lambda row: (row.origin.step, row.row))
        supercells[relaxation.defect_id, composition].append(ordered)
    bulk = _bulk_rows(dataset.index())
    # A recorded site is in fractional coordinates: with two supercells it would be wrong for one of them.
    sizes = Counter(defect_id for defect_id, _ in supercells)
    sites = {defect_id: site for defect_id, site in dataset.sites().items() if sizes[defect_id] == 1}
    searches: list[ReferenceSearch] = []
    skipped: list[Skipped] = []
    for (defect_id, _), found in supercells.items():
        ends = _read_ends(dataset, found)
        bulk_frames = [frame.atoms for frame in dataset.frames(_of_host(bulk, defect_id))]
        try:
            searches.append(search_of_ends(defect_id, ends, bulk_frames, sites))
        except DatasetError as error:
            skipped.append(Skipped(f"{defect_id} ({len(ends[0].first.atoms)} atoms)", str(error)))
    return FinishedSearches(tuple(searches), tuple(skipped))


def search_of_ends(
    defect_id: DefectId, ends: Sequence[Ends], bulk: Sequence[Atoms], sites: Mapping[DefectId, SiteRecord]
) -> ReferenceSearch:
    """The search that the ends of relaxations of one defect in one supercell make up.

    Raises:
        DatasetError: there is no relaxation of two frames, or the defect cannot be told from them.
    """
    left_out = [
        Flagged(end.label, "the dataset holds only one frame of it, so that it has no start apart from its end")
        for end in ends
        if end.count < 2
    ]
    usable = [end for end in ends if end.count >= 2]
    if not usable:
        raise DatasetError(
            f"No relaxation of {defect_id} has more than one frame, so that there is no start to relax with a "
            f"surrogate. Add whole relaxations to the dataset."
        )
    starts = [SamplingStructure(end.label, end.first.atoms) for end in usable]
    defect = defect_of_frames(defect_id, sites.get(defect_id), starts, [end.last.atoms for end in usable], bulk)
    tolerance = tolerance_of([defect.bulk])
    equivalents = equivalent_sites(defect.bulk, defect.site)
    placed: list[SamplingStructure] = []
    relaxed: list[Relaxation] = []
    for end in sorted(usable, key=lambda end: end.label):
        try:
            placement = place(end.first.atoms, defect.atoms, defect.bulk, equivalents, tolerance)
            first, last = placement.apply(end.first.atoms), placement.apply(end.last.atoms)
        except SamplingError as error:
            left_out.append(Flagged(end.label, str(error)))
            continue
        if (first.numbers != defect.atoms.numbers).any() or (last.numbers != defect.atoms.numbers).any():
            left_out.append(Flagged(end.label, "its frames list their atoms in different orders"))
            continue
        placed.append(SamplingStructure(end.label, first))
        relaxed.append(_relaxation(end, last, placement))
    if not placed:
        reasons = "; ".join(f"{item.label}: {item.reason}" for item in left_out[:3])
        raise DatasetError(f"No relaxation of {defect_id} can be laid over its supercell ({reasons}).")
    return ReferenceSearch(defect_id, defect, tuple(placed), tuple(relaxed), tuple(left_out))


def _relaxation(end: Ends, last: Atoms, placement: Placement) -> Relaxation:
    given = end.last.prediction
    # A stress would have to be turned as well, and nothing here needs it.
    prediction = Prediction(given.energy, placement.forces(given.forces, end.last.atoms.cell))
    converged = prediction.fmax <= CONVERGED_FORCE and end.last.scf_converged is not False
    reason = ""
    if prediction.fmax > CONVERGED_FORCE:
        reason = f"its last frame has a force of {prediction.fmax:.2g} eV/Å (limit {CONVERGED_FORCE:g} eV/Å)"
    elif not converged:
        reason = "the electronic structure of its last frame did not converge"
    return Relaxation(
        label=end.label,
        final=Frame(last, prediction, end.last.origin.step),
        initial_energy=end.first.prediction.energy,
        state=RelaxationState.CONVERGED if converged else RelaxationState.UNCONVERGED,
        reason=reason,
        n_evaluations=end.count,
    )


def _read_ends(dataset: Dataset, members: Iterable[Sequence[IndexRow]]) -> list[Ends]:
    relaxations = list(members)
    labels = [rows[0].origin.start for rows in relaxations]
    wanted = [row for rows in relaxations for row in (rows[0].row, rows[-1].row)]
    frames = list(dataset.frames(wanted))
    ends = []
    for index, rows in enumerate(relaxations):
        start, source = labels[index], rows[0].origin.source
        label = start if labels.count(start) == 1 else f"{start} ({source})"
        ends.append(Ends(label, frames[2 * index], frames[2 * index + 1], len(rows)))
    return ends


def _bulk_rows(index: Sequence[IndexRow]) -> list[IndexRow]:
    """The last frame of each bulk relaxation and each cell of it."""
    last: dict[tuple[RelaxationId, int], IndexRow] = {}
    for row in sorted((row for row in index if row.origin.is_bulk), key=lambda row: (row.origin.step, row.row)):
        last[row.origin.relaxation, row.n_atoms] = row
    return list(last.values())


def _of_host(bulk: Sequence[IndexRow], defect_id: DefectId) -> list[int]:
    """Bulk frames of a defect's host, those of its own method and with small forces first."""
    rows = [row for row in bulk if row.origin.host == defect_id.host]
    rows.sort(key=lambda row: (row.origin.method != defect_id.method, row.fmax, row.row))
    return [row.row for row in rows[:BULK_FRAMES]]
