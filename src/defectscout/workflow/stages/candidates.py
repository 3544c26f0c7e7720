"""Candidate stage: the distinct minima of the surrogate, chosen for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.defect import UNPERTURBED, Defect, Minimum
from defectscout.core.errors import CampaignError, NothingFoundError
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import Progress
from defectscout.evaluation.confidence import bonds_were_erased
from defectscout.minima.alignment import displacements
from defectscout.minima.distinct import DistinctMinima, distinct_minima
from defectscout.minima.symmetry import is_symmetric, site_symmetry
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.record import REFERENCE, SCOUT
from defectscout.workflow.stages.borrowed import Borrowed, read_borrowed
from defectscout.workflow.stages.sampling import sampling_structures
from defectscout.workflow.stages.scout import scouted

UNPERTURBED_SCOUTED = "Unperturbed_scouted"
"""Label of a candidate that the surrogate made of the unperturbed structure by itself."""

SADDLE_RATTLE = 0.05
"""Å, standard deviation. Enough for a force above the threshold along a mode that is unstable by 1 eV/Å²."""

STAYED_IN_PLACE = 0.5
"""Å. Neighbours of a defect relax by 0.1 to 0.4 Å; an atom that moves farther is on its way to another place."""


class Origin(StrEnum):
    """What a candidate's reference relaxation starts from."""

    SAMPLED = "sampled"  # the sampling structure itself
    SCOUTED = "scouted"  # what the surrogate made of it
    RATTLED = "scouted, rattled"  # that, rattled to leave a saddle point
    LEARNED = "learning loop"  # what the surrogate of a round proposed, or a sampling structure as a check
    FURTHER = "further round"  # a minimum of a surrogate that was tuned on the candidates before it
    BORROWED = (
        "other charge state"  # a minimum of another charge state on the reference's surface, rattled if symmetric
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A structure that goes to the reference.

    Attributes:
        label: the sampling structure that it stands for.
        members: all sampling structures that relaxed into the same surrogate minimum.
        origin: what its reference relaxation starts from.
        surrogate_energy: energy on the surrogate's surface, eV.
    """

    label: str
    members: tuple[str, ...]
    origin: Origin
    surrogate_energy: float | None


@dataclass(frozen=True, slots=True)
class DefectCandidates:
    """The candidates of one defect.

    Attributes:
        candidates: what goes to the reference, the unperturbed structure first.
        flagged: label and reason of each scouting relaxation that failed or lost its host.
        n_minima: distinct minima on the surrogate's surface; 0 if nothing was scouted.
        erased_bonds: whether the surrogate undid every short bond that sampling had made.
    """

    candidates: tuple[Candidate, ...] = ()
    flagged: tuple[tuple[str, str], ...] = ()
    n_minima: int = 0
    erased_bonds: bool = False


_CANDIDATES = TypeAdapter(dict[str, DefectCandidates])


def choose_candidates(campaign: Campaign, defects: Sequence[Defect], progress: Progress) -> dict[str, DefectCandidates]:
    """The candidates of each defect, by its label.

    The unperturbed structure is always one, untouched by the surrogate: it is what
    a study without a structure search would have reported, and energy lowerings are
    measured from it. But symmetric as it is, it may relax into a saddle point of the
    reference's surface and stay there. So where the surrogate has a minimum that merely is its
    relaxed form, another member of that minimum goes too, rattled by `SADDLE_RATTLE`.

    Raises:
        CampaignError: if the scouting of a defect has not come to its end.
        NothingFoundError: if every scouting relaxation of every defect failed.
    """
    chosen = _read_chosen(campaign)
    missing = [defect for defect in defects if defect.label not in chosen]
    if campaign.settings.strategy != "reference-only":
        _check_scouted(campaign, missing)
    for defect in missing:
        if campaign.settings.strategy == "reference-only":
            chosen[defect.label] = _all_structures(campaign, defect)
        else:
            chosen[defect.label] = _surrogate_minima(campaign, defect, progress)
    if missing:
        write_candidates(campaign, chosen)
    _check_some_left(campaign, defects)
    return with_borrowed(chosen, read_borrowed(campaign))


def _all_structures(campaign: Campaign, defect: Defect) -> DefectCandidates:
    labels = [structure.label for structure in sampling_structures(campaign, defect)]
    candidates = tuple(Candidate(label, (label,), Origin.SAMPLED, surrogate_energy=None) for label in labels)
    return DefectCandidates(candidates=candidates)


def _surrogate_minima(campaign: Campaign, defect: Defect, progress: Progress) -> DefectCandidates:
    found = distinct_minima(defect, scouted(campaign, defect), campaign.settings.minima)
    for flag in found.flagged:
        progress.warn(f"{defect.label} {flag.label}: set aside: {flag.reason}")
    return DefectCandidates(
        candidates=tuple(_with_baseline(found, _relaxed_in_place(campaign, defect, found))),
        flagged=tuple((flag.label, flag.reason) for flag in found.flagged),
        n_minima=len(found.minima),
        erased_bonds=bonds_were_erased(defect, sampling_structures(campaign, defect), found.minima),
    )


def _check_scouted(campaign: Campaign, defects: Sequence[Defect]) -> None:
    """Candidates are chosen once: chosen too early, those not scouted yet would be lost."""
    for defect in defects:
        tasks = campaign.record.tasks(SCOUT, defect.label)
        running = sum(not task.state.is_finished for task in tasks)
        if not tasks or running:
            state = f"{running} of {len(tasks)} surrogate relaxations are still to do" if tasks else "it has not begun"
            raise CampaignError(
                f"The scouting of {defect.label} in {campaign.folder} has not come to its end ({state}), so that its "
                f"candidates cannot be chosen yet. Go on with: defectscout scout {campaign.folder}"
            )


def _relaxed_in_place(campaign: Campaign, defect: Defect, found: DistinctMinima) -> Minimum | None:
    """The surrogate minimum that is the unperturbed structure, merely relaxed; None if there is none.

    Its symmetry alone does not tell: an unperturbed structure without any has none to lose.
    """
    minimum = next((minimum for minimum in found.minima if UNPERTURBED in minimum.members), None)
    if minimum is None or minimum.new_bonds:
        return None
    if minimum.site_symmetry != site_symmetry(defect.atoms, campaign.settings.minima.symprec):
        return None
    (end,) = (end.final for end in scouted(campaign, defect) if end.label == UNPERTURBED)
    stayed = end is not None and displacements(defect, end.atoms).max() <= STAYED_IN_PLACE
    return minimum if stayed else None


def _with_baseline(found: DistinctMinima, relaxed_in_place: Minimum | None) -> list[Candidate]:
    baseline = Candidate(UNPERTURBED, (UNPERTURBED,), Origin.SAMPLED, surrogate_energy=None)
    others = []
    for minimum in found.minima:
        if minimum is relaxed_in_place:
            baseline = Candidate(UNPERTURBED, (UNPERTURBED,), Origin.SAMPLED, surrogate_energy=minimum.energy)
            away = tuple(label for label in minimum.members if label != UNPERTURBED)
            if away:
                others.append(Candidate(away[0], away, Origin.RATTLED, surrogate_energy=minimum.energy))
            continue
        # The surrogate may have broken the symmetry of the unperturbed structure, made bonds
        # in it or moved an atom away: then that is a structure in its own right, too.
        label = minimum.representative if minimum.representative != UNPERTURBED else UNPERTURBED_SCOUTED
        others.append(Candidate(label, minimum.members, Origin.SCOUTED, surrogate_energy=minimum.energy))
    return [baseline, *others]


def _check_some_left(campaign: Campaign, defects: Sequence[Defect]) -> None:
    tasks = campaign.record.tasks(SCOUT)
    if tasks and all(task.state is RelaxationState.FAILED for task in tasks):
        reasons = sorted({task.reason for task in tasks})
        raise NothingFoundError(
            f"Every one of the {len(tasks)} surrogate relaxations of {', '.join(d.label for d in defects)} failed "
            f"({'; '.join(reasons[:3])}). Try another surrogate with --surrogate, smaller distortions with "
            "--distortions, or --reference-only."
        )


def read_candidates(campaign: Campaign) -> dict[str, DefectCandidates]:
    """The recorded candidates by the defect's label, borrowed ones last; empty before the stage has run."""
    return with_borrowed(_read_chosen(campaign), read_borrowed(campaign))


def candidate_names(campaign: Campaign) -> list[tuple[str, str]]:
    """Label of the defect and of the candidate, of every recorded one."""
    return [(defect, one.label) for defect, chosen in read_candidates(campaign).items() for one in chosen.candidates]


def write_candidates(campaign: Campaign, candidates: Mapping[str, DefectCandidates]) -> None:
    """Record the candidates of every defect, without borrowed ones, in the place of those that were recorded."""
    campaign.record.write_document("candidates", _CANDIDATES.dump_json(dict(candidates)).decode())


def with_borrowed(
    candidates: Mapping[str, DefectCandidates], borrowed: Sequence[Borrowed]
) -> dict[str, DefectCandidates]:
    """Candidates together with what each charge state has borrowed from the others and does not list yet."""
    found = dict(candidates)
    for item in borrowed:
        own = found.get(item.defect, DefectCandidates())
        if all(candidate.label != item.label for candidate in own.candidates):
            new = Candidate(item.label, (item.label,), Origin.BORROWED, surrogate_energy=None)
            found[item.defect] = replace(own, candidates=(*own.candidates, new))
    return found


def _read_chosen(campaign: Campaign) -> dict[str, DefectCandidates]:
    """Those that the candidate stage itself has chosen."""
    stored = campaign.record.read_document("candidates")
    return _CANDIDATES.validate_json(stored) if stored is not None else {}


def candidate_structures(
    campaign: Campaign, defect: Defect, candidates: DefectCandidates
) -> list[tuple[Candidate, Atoms]]:
    """The structure that each candidate starts its reference relaxation from."""
    starts = {structure.label: structure.atoms for structure in sampling_structures(campaign, defect)}
    ends = {relaxation.label: relaxation.final for relaxation in scouted(campaign, defect)}
    borrowed = dict(borrowed_structures(campaign, defect))
    recorded = {task.key.label: task.start for task in campaign.record.tasks(REFERENCE, defect.label)}
    structures = []
    for candidate in candidates.candidates:
        if candidate.origin is Origin.FURTHER:
            structures.append((candidate, recorded[candidate.label]))
            continue
        if candidate.origin is Origin.SAMPLED:
            structures.append((candidate, starts[candidate.label]))
            continue
        if candidate.origin is Origin.BORROWED:
            structures.append((candidate, borrowed[candidate.label]))
            continue
        if candidate.origin is Origin.LEARNED:
            continue  # the loop has added and relaxed it
        source = UNPERTURBED if candidate.label == UNPERTURBED_SCOUTED else candidate.label
        final = ends[source]
        if final is None:
            raise CampaignError(f"The record of {campaign.folder} lacks the relaxed structure of {source}.")
        atoms = final.atoms
        if candidate.origin is Origin.RATTLED:
            atoms = _rattled(atoms, campaign, f"{defect.label}/{candidate.label}")
        structures.append((candidate, atoms))
    return structures


def borrowed_structures(campaign: Campaign, defect: Defect) -> Iterator[tuple[str, Atoms]]:
    """Label and structure of each relaxation that starts from another charge state's minimum.

    A structure with a symmetry is rattled by `SADDLE_RATTLE`: what is a minimum in one charge state may be a saddle
    point in another, and a relaxation would stay there.
    """
    for item in read_borrowed(campaign):
        if item.defect != defect.label:
            continue
        if is_symmetric(item.atoms, campaign.settings.minima.symprec):
            yield item.label, _rattled(item.atoms, campaign, f"{defect.label}/{item.label}")
        else:
            yield item.label, item.atoms


def _rattled(atoms: Atoms, campaign: Campaign, name: str) -> Atoms:
    """A copy with normally distributed displacements that depend on the search's seed and the name alone."""
    random = np.random.default_rng([campaign.settings.sampling.seed, *name.encode()])
    moved = atoms.copy()
    moved.positions += random.normal(0.0, SADDLE_RATTLE, size=moved.positions.shape)
    return moved
