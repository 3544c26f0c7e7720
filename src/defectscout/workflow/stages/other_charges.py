"""Charge states together: each tries the structures that the others have found.

A reconstruction that one charge state reaches from its sampling structures may be a
minimum, or the ground state, of another one that never reaches it: a fully ionised
vacancy has no excess charge, and so no bond distortions. ShakeNBreak does the same with
its `regenerate` (Mosquera-Lois et al., DOI 10.21105/joss.04817). Structures are
compared across charge states by the fingerprint of the defect site alone; energies of
different charge states never are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from defectscout.core.defect import Defect, Minimum
from defectscout.core.errors import SamplingError
from defectscout.core.frames import Relaxation, RelaxationState
from defectscout.core.progress import Progress
from defectscout.minima.distinct import distinct_minima
from defectscout.minima.places import fingerprint_distances
from defectscout.relaxation.steppers import Stepper
from defectscout.sampling.labels import borrowed_label, folder_name
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import CHECK, REFERENCE, Task
from defectscout.workflow.stages.borrowed import Borrowed, read_borrowed, record_borrowed
from defectscout.workflow.stages.candidates import DefectCandidates, Origin, read_candidates, with_borrowed
from defectscout.workflow.stages.reference import relax_candidates
from defectscout.workflow.stages.sampling import sampling_structures

__all__ = ["LONGEST_CHAIN", "Borrowed", "borrowed_starts", "charge_states", "check_charge_states", "relax_borrowed"]

LONGEST_CHAIN = 4
"""How often a structure may be handed on, as in 0 → −1 → 0 → −1 → 0. Ends that differ by what a relaxation leaves
undone may look new each time, so that without a limit two charge states could pass one minimum to and fro."""

SAME_PLACE = 0.1
"""Å. Sites and lattice vectors of one supercell agree to the digits of a file; other supercells differ by far more."""

SAME_ATOM = 1.0
"""Å. Less than any bond, and more than unperturbed structures of two charge states differ by where a file has relaxed
them a little."""

RELAXING_STAGES = (REFERENCE, CHECK)
"""Stages of the record whose tasks may end in a minimum; the second is the learning loop's."""

_NOTHING: Mapping[str, Sequence[Atoms]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    """A minimum of another charge state, its place among the minima there, and how often it was handed on before."""

    state: Defect
    minimum: Minimum
    rank: int
    chain: int


@dataclass(frozen=True, slots=True, eq=False)
class _Survey:
    """What there is to try, and what is not tried because it has been handed on too often."""

    new: tuple[Borrowed, ...]
    cut: tuple[Borrowed, ...]


def charge_states(defects: Sequence[Defect]) -> tuple[tuple[Defect, ...], ...]:
    """The charge states of each defect that has several."""
    groups: dict[str, list[Defect]] = {}
    for defect in defects:
        groups.setdefault(defect.name, []).append(defect)
    return tuple(tuple(states) for states in groups.values() if len(states) > 1)


def check_charge_states(defects: Sequence[Defect]) -> None:
    """Check that the charge states of each defect can try each other's structures.

    Raises:
        SamplingError: if two of them differ in supercell, order of atoms or defect site,
            as defects read from a file may.
    """
    for first, *others in charge_states(defects):
        for other in others:
            difference = _difference(first, other)
            if difference:
                raise SamplingError(
                    f"{first.label} and {other.label} cannot try each other's structures: {difference}. Give both in "
                    "one supercell with one order of atoms, or search each charge state for itself (--charge instead "
                    "of --charges, or defects.cross_charges = false)."
                )


def _difference(one: Defect, other: Defect) -> str:
    if one.atoms.get_chemical_symbols() != other.atoms.get_chemical_symbols():
        formulae = [defect.atoms.get_chemical_formula() for defect in (one, other)]
        return f"their atoms are {formulae[0]} and {formulae[1]}, or come in another order"
    if np.abs(one.atoms.cell.array - other.atoms.cell.array).max() > SAME_PLACE:
        return "their supercells have different lattice vectors"
    apart = one.atoms.cell.cartesian_positions(one.site - other.site)
    if np.linalg.norm(find_mic(apart, one.atoms.cell, pbc=True)[0]) > SAME_PLACE:
        return "their defect sites lie at different places of the supercell"
    moved = find_mic(one.atoms.positions - other.atoms.positions, one.atoms.cell, pbc=True)[1]
    return "their atoms come in another order" if moved.max() > SAME_ATOM else ""


def borrowed_starts(
    campaign: Campaign, defects: Sequence[Defect], tried: Mapping[str, Sequence[Atoms]] = _NOTHING
) -> tuple[Borrowed, ...]:
    """Structures of other charge states that a charge state has neither found nor tried.

    Offered are the distinct minima on the reference's surface, ground states first, and
    of those the nearest charge state's; left out is what lies within `minima.threshold`
    (fingerprint of the defect site) of the start or the end of one of the charge state's own
    reference relaxations, of what it has borrowed before, or of another structure on
    offer. Nothing is written: asked again with the same record, it gives the same.

    Args:
        campaign: the open campaign; the finished reference relaxations of its candidates
            count, or all of them where no candidates are recorded yet.
        defects: its defects; those with one charge state are passed over.
        tried: further structures that a charge state need not try, by the defect's label.

    Raises:
        SamplingError: see `check_charge_states`.
    """
    return _survey(campaign, defects, read_candidates(campaign), tried).new


def relax_borrowed(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    progress: Progress,
    steppers: Mapping[str, Stepper] = MappingProxyType({}),
) -> bool:
    """Relax what the charge states borrow from each other, until none has a structure that is new to another.

    May be interrupted at any point and called again; nothing is tried twice.

    Args:
        campaign: the open campaign, with the candidates of every charge state relaxed.
        defects: its defects.
        candidates: their candidates, by the defect's label.
        progress: told about the work.
        steppers: as of `relax_candidates`.

    Returns:
        Whether anything was tried.

    Raises:
        SamplingError: see `check_charge_states`.
    """
    check_charge_states(defects)
    if not charge_states(defects):
        progress.warn("No defect has more than one charge state, so that there is none to take structures from.")
        return False
    known = with_borrowed(candidates, read_borrowed(campaign))
    relax_candidates(campaign, defects, known, progress, steppers)  # what an interruption has left half done
    some = False
    while (survey := _survey(campaign, defects, known, _NOTHING)).new:
        for item in survey.new:
            progress.message(f"{item.defect}: trying {item.source} of {item.came_from}.")
        record_borrowed(campaign, survey.new)
        known = with_borrowed(candidates, read_borrowed(campaign))
        relax_candidates(campaign, defects, known, progress, steppers)
        some = True
    for item in survey.cut:
        progress.warn(
            f"{item.defect}: {item.source} of {item.came_from} is not tried: it has come through {LONGEST_CHAIN} "
            "charge states before."
        )
    return some


def _survey(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    tried: Mapping[str, Sequence[Atoms]],
) -> _Survey:
    check_charge_states(defects)
    known = read_borrowed(campaign)
    new: list[Borrowed] = []
    cut: list[Borrowed] = []
    for states in charge_states(defects):
        answered = {state.label: _answered(campaign, state, candidates.get(state.label)) for state in states}
        offers = [offer for state in states for offer in _offers(campaign, state, answered[state.label], known)]
        for taker in states:
            mine = [item.atoms for item in known if item.defect == taker.label]
            seen = [*tried.get(taker.label, ()), *mine, *_seen(campaign, taker, answered[taker.label])]
            for offer in _unknown(campaign, taker, offers, known, seen):
                item = _as_borrowed(campaign, taker, offer, (*known, *new))
                (new if offer.chain < LONGEST_CHAIN else cut).append(item)
    return _Survey(tuple(new), tuple(cut))


def _tasks(campaign: Campaign, defect: Defect) -> list[Task]:
    return [task for stage in RELAXING_STAGES for task in campaign.record.tasks(stage, defect.label)]


def _answered(campaign: Campaign, defect: Defect, own: DefectCandidates | None) -> list[Relaxation]:
    """The finished relaxations of the candidates; of all tasks where none but borrowed ones are recorded."""
    finished = [task.as_relaxation() for task in _tasks(campaign, defect) if task.state.is_finished]
    candidates = own.candidates if own is not None else ()
    if all(candidate.origin is Origin.BORROWED for candidate in candidates):
        return finished
    # The learning loop leaves relaxations that are not worth an end: these are no candidates.
    named = {candidate.label for candidate in candidates}
    return [relaxation for relaxation in finished if relaxation.label in named]


def _offers(
    campaign: Campaign, state: Defect, answered: Sequence[Relaxation], known: Sequence[Borrowed]
) -> Iterator[_Offer]:
    for rank, minimum in enumerate(distinct_minima(state, answered, campaign.settings.minima).minima):
        chain = min(_chain(state.label, label, known) for label in minimum.members)
        yield _Offer(state, minimum, rank, chain)


def _chain(defect: str, label: str, known: Iterable[Borrowed]) -> int:
    """How often the start of a relaxation has been handed on; 0 for a charge state's own."""
    origin = {(item.defect, item.label): (item.came_from, item.source) for item in known}
    key, length = (defect, label), 0
    while key in origin:
        key, length = origin[key], length + 1
    return length


def _unknown(
    campaign: Campaign, taker: Defect, offers: Sequence[_Offer], known: Sequence[Borrowed], seen: Sequence[Atoms]
) -> list[_Offer]:
    """The offers of the others that are new to a charge state: by rank there, the nearest charge first."""
    taken = {(item.came_from, item.source) for item in known if item.defect == taker.label}
    others = [
        offer
        for offer in offers
        if offer.state is not taker and not any((offer.state.label, label) in taken for label in offer.minimum.members)
    ]
    if not others:
        return []
    others.sort(key=lambda offer: (offer.rank, abs(offer.state.charge - taker.charge)))
    structures = [*seen, *(offer.minimum.atoms for offer in others)]
    distances = fingerprint_distances(taker, structures, campaign.settings.minima)
    have = list(range(len(seen)))
    new = []
    for index, offer in enumerate(others, start=len(seen)):
        if not (distances[index, have] <= campaign.settings.minima.threshold).any():
            new.append(offer)
            if offer.chain < LONGEST_CHAIN:
                have.append(index)
    return new


def _seen(campaign: Campaign, defect: Defect, answered: Sequence[Relaxation]) -> Iterator[Atoms]:
    """The structures that a charge state has tried, and those that it has found."""
    for task in _tasks(campaign, defect):
        yield task.start
    for relaxation in answered:
        if relaxation.final is not None and relaxation.state is not RelaxationState.FAILED:
            yield relaxation.final.atoms


def _as_borrowed(campaign: Campaign, taker: Defect, offer: _Offer, known: Sequence[Borrowed]) -> Borrowed:
    labels = [structure.label for structure in sampling_structures(campaign, taker)]
    labels += [task.key.label for task in _tasks(campaign, taker)]
    labels += [item.label for item in known if item.defect == taker.label]
    folders = {folder_name(label) for label in labels}
    source = offer.minimum.representative
    label = borrowed_label(source, offer.state.charge)
    while folder_name(label) in folders:  # such as a folder of the user's that ShakeNBreak's regenerate has written to
        label = borrowed_label(label, offer.state.charge)
    return Borrowed(taker.label, label, offer.minimum.atoms, offer.state.label, source)
