"""Candidate stage: the distinct minima of the surrogate, chosen for the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms
from pydantic import TypeAdapter

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.errors import CampaignError, NothingFoundError
from defectscout.core.frames import RelaxationState
from defectscout.core.progress import Progress
from defectscout.evaluation.confidence import bonds_were_erased
from defectscout.minima.distinct import DistinctMinima, distinct_minima
from defectscout.minima.symmetry import site_symmetry
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.stages.sampling import sampling_structures
from defectscout.workflow.stages.scout import scouted

UNPERTURBED_SCOUTED = "Unperturbed_scouted"
"""Label of a candidate that the surrogate made of the unperturbed structure by itself."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A structure that goes to the reference.

    Attributes:
        label: the sampling structure that it stands for.
        members: all sampling structures that relaxed into the same surrogate minimum.
        scouted: whether it starts from the surrogate's relaxed structure, or from
            the sampling structure itself.
        surrogate_energy: energy on the surrogate's surface, eV.
    """

    label: str
    members: tuple[str, ...]
    scouted: bool
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
    measured from it. A surrogate minimum that merely is its relaxed form adds
    nothing and is not sent twice.

    Raises:
        NothingFoundError: if every scouting relaxation of every defect failed.
    """
    chosen = read_candidates(campaign)
    missing = [defect for defect in defects if defect.label not in chosen]
    for defect in missing:
        if campaign.settings.strategy == "reference-only":
            chosen[defect.label] = _all_structures(campaign, defect)
        else:
            chosen[defect.label] = _surrogate_minima(campaign, defect, progress)
    if missing:
        campaign.record.write_document("candidates", _CANDIDATES.dump_json(chosen).decode())
    _check_some_left(campaign, defects)
    return chosen


def _all_structures(campaign: Campaign, defect: Defect) -> DefectCandidates:
    labels = [structure.label for structure in sampling_structures(campaign, defect)]
    candidates = tuple(Candidate(label, (label,), scouted=False, surrogate_energy=None) for label in labels)
    return DefectCandidates(candidates=candidates)


def _surrogate_minima(campaign: Campaign, defect: Defect, progress: Progress) -> DefectCandidates:
    found = distinct_minima(defect, scouted(campaign, defect), campaign.settings.minima)
    for flag in found.flagged:
        progress.warn(f"{defect.label} {flag.label}: set aside: {flag.reason}")
    return DefectCandidates(
        candidates=tuple(_with_baseline(defect, found, campaign.settings.minima.symprec)),
        flagged=tuple((flag.label, flag.reason) for flag in found.flagged),
        n_minima=len(found.minima),
        erased_bonds=bonds_were_erased(defect, sampling_structures(campaign, defect), found.minima),
    )


def _with_baseline(defect: Defect, found: DistinctMinima, symprec: float) -> list[Candidate]:
    unperturbed_symmetry = site_symmetry(defect.atoms, symprec)
    baseline = Candidate(UNPERTURBED, (UNPERTURBED,), scouted=False, surrogate_energy=None)
    others = []
    for minimum in found.minima:
        relaxed_in_place = not minimum.new_bonds and minimum.site_symmetry == unperturbed_symmetry
        if UNPERTURBED in minimum.members and relaxed_in_place:
            baseline = Candidate(UNPERTURBED, minimum.members, scouted=False, surrogate_energy=minimum.energy)
            continue
        # The surrogate may have broken the symmetry of the unperturbed structure or
        # made bonds in it: then that is a structure in its own right, too.
        label = minimum.representative if minimum.representative != UNPERTURBED else UNPERTURBED_SCOUTED
        others.append(Candidate(label, minimum.members, scouted=True, surrogate_energy=minimum.energy))
    return [baseline, *others]


def _check_some_left(campaign: Campaign, defects: Sequence[Defect]) -> None:
    tasks = campaign.record.tasks("scout")
    if tasks and all(task.state is RelaxationState.FAILED for task in tasks):
        reasons = sorted({task.reason for task in tasks})
        raise NothingFoundError(
            f"Every one of the {len(tasks)} surrogate relaxations of {', '.join(d.label for d in defects)} failed "
            f"({'; '.join(reasons[:3])}). Try another surrogate with --surrogate, smaller distortions with "
            "--distortions, or --reference-only."
        )


def read_candidates(campaign: Campaign) -> dict[str, DefectCandidates]:
    """The recorded candidates by the defect's label; empty before the stage has run."""
    stored = campaign.record.read_document("candidates")
    return _CANDIDATES.validate_json(stored) if stored is not None else {}


def candidate_structures(
    campaign: Campaign, defect: Defect, candidates: DefectCandidates
) -> list[tuple[Candidate, Atoms]]:
    """The structure that each candidate starts its reference relaxation from."""
    starts = {structure.label: structure.atoms for structure in sampling_structures(campaign, defect)}
    ends = {relaxation.label: relaxation.final for relaxation in scouted(campaign, defect)}
    structures = []
    for candidate in candidates.candidates:
        if not candidate.scouted:
            structures.append((candidate, starts[candidate.label]))
            continue
        source = UNPERTURBED if candidate.label == UNPERTURBED_SCOUTED else candidate.label
        final = ends[source]
        if final is None:
            raise CampaignError(f"The record of {campaign.folder} lacks the relaxed structure of {source}.")
        structures.append((candidate, final.atoms))
    return structures
