"""From the record to the answer: minima on the reference's surface, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from defectscout.core.defect import UNPERTURBED, Defect, DefectKind, Host
from defectscout.core.errors import CalculationError
from defectscout.core.frames import Frame, Relaxation, RelaxationState
from defectscout.core.progress import Progress
from defectscout.evaluation.agreement import Agreement, agreement
from defectscout.evaluation.confidence import Evidence, assess
from defectscout.evaluation.funnel import Funnel
from defectscout.minima.bonds import has_bond_unlike_host
from defectscout.minima.distinct import DistinctMinima, distinct_minima
from defectscout.minima.symmetry import site_symmetry
from defectscout.references.base import ElectronicState
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.judging import judged
from defectscout.workflow.learn.rounds import calls_of, read_records, tasks_of
from defectscout.workflow.record import CHECK, REFERENCE, Task
from defectscout.workflow.results import DefectResult, RankedMinimum, SearchResult
from defectscout.workflow.siblings import with_siblings
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, read_candidates
from defectscout.workflow.stages.host import HostReport
from defectscout.workflow.stages.reference import electronic_states, referenced
from defectscout.workflow.stages.sampling import sampling_structures
from defectscout.workflow.stages.scout import load_recorded_surrogate, scouted, surrogate_info, unfamiliar_to

AGREEMENT_FRAMES = 24
"""Reference frames of each defect on which the surrogate is judged: enough for a rank correlation, seconds of work."""

# Ranks of equal energies are undefined: such numbers are NaN, and must come back as that.
_AGREEMENTS = TypeAdapter(dict[str, Agreement], config=ConfigDict(ser_json_inf_nan="constants"))


def answer(
    campaign: Campaign,
    host: Host,
    report: HostReport,
    defects: Sequence[Defect],
    baseline_calls: Mapping[str, int],
    progress: Progress,
) -> SearchResult:
    """What the record says, defect by defect.

    Args:
        campaign: the open campaign.
        host: host as used.
        report: what was found out about it.
        defects: the defects of the campaign.
        baseline_calls: reference force calls that a reference-only search of the
            same defects spent, by label; empty if there is none to compare with.
        progress: told about the work.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    candidates = read_candidates(campaign)
    states = electronic_states(campaign.settings, defects)
    agreements = _agreements(campaign, defects, progress)
    results = defect_results(campaign, defects, candidates, states, agreements, baseline_calls, report)
    info = surrogate_info(campaign)
    return SearchResult(
        folder=campaign.folder,
        host=report,
        bulk=AseAtomsAdaptor.get_atoms(host.supercell, msonable=False),
        surrogate=info.name if info is not None else "",
        reference=campaign.settings.reference.name,
        defects=results,
        trained_on=info.trained_on if info is not None else None,
        lattice_scale=info.lattice_scale if info is not None else 1.0,
    )


def defect_results(
    campaign: Campaign,
    defects: Sequence[Defect],
    candidates: Mapping[str, DefectCandidates],
    states: Mapping[str, ElectronicState],
    agreements: Mapping[str, Agreement],
    baseline_calls: Mapping[str, int],
    report: HostReport,
) -> dict[str, DefectResult]:
    """What the record says of each defect, by its label, beside the others; see `defect_result`."""
    results = {
        defect.label: defect_result(
            campaign,
            defect,
            candidates.get(defect.label, DefectCandidates()),
            states.get(defect.label),
            agreements.get(defect.label),
            baseline_calls.get(defect.label),
            report,
        )
        for defect in defects
    }
    return with_siblings(results, campaign.settings.minima)


def defect_result(
    campaign: Campaign,
    defect: Defect,
    candidates: DefectCandidates,
    state: ElectronicState | None,
    agreed: Agreement | None,
    baseline_calls: int | None,
    report: HostReport,
) -> DefectResult:
    """What the record says of one defect, as far as its search has come.

    Args:
        campaign: the campaign; it is only read.
        defect: one of its defects.
        candidates: what went to the reference, or is to go.
        state: charge and spin there.
        agreed: how well the surrogate agrees with the reference.
        baseline_calls: reference force calls of a reference-only search of the defect; None if there is none.
        report: what was found out about the host.
    """
    tasks = relaxed_tasks(campaign, defect, candidates)
    ended = [task.as_relaxation() for task in tasks if task.state.is_finished]
    learned = read_records(campaign).get(defect.label)
    told = judged(campaign, defect)
    found = distinct_minima(defect, ended, campaign.settings.minima)
    scouts = scouted(campaign, defect)
    minima = _rank(found, candidates, ended)
    symmetry = site_symmetry(defect.atoms, campaign.settings.minima.symprec)
    funnel = Funnel(
        sampling=len(sampling_structures(campaign, defect)),
        scouted=len(scouts) if learned is None else len(sampling_structures(campaign, defect)),
        failed=sum(relaxation.state is RelaxationState.FAILED for relaxation in (*scouts, *ended)),
        flagged=_n_fell_apart(scouts, [label for label, _ in candidates.flagged])
        + _n_fell_apart(ended, [flag.label for flag in found.flagged]),
        candidates=len(candidates.candidates),
        reference_relaxations=len(ended),
        minima=len(found.minima),
        surrogate_calls=sum(relaxation.n_evaluations for relaxation in scouts)
        + (learned.surrogate_calls if learned is not None else 0),
        reference_calls=calls_of(tasks_of(campaign, defect.label)),
        reference_only_calls=baseline_calls,
    )
    info = surrogate_info(campaign)
    evidence = Evidence(
        surrogate=campaign.settings.strategy == "scout",
        surrogate_tuned=info.tuned if info is not None else False,
        learned=told,
        unfamiliar=unfamiliar_to(info, report.formula, defect, campaign.settings),
        agreement=agreed,
        has_reference=bool(ended),
        n_sampling=funnel.sampling,
        n_surrogate_minima=candidates.n_minima,
        erased_bonds=candidates.erased_bonds,
        n_failed=funnel.failed + funnel.flagged,
        n_unanswered=len(candidates.candidates) - len(ended) if ended else 0,
        lower_set_aside=_lower_set_aside(found, ended),
        ground_state_converged=not minima or minima[0].minimum.converged,
        n_unconverged=sum(not item.minimum.converged for item in minima[1:]),
        only_unperturbed=bool(minima) and _kept_unperturbed(minima[0], symmetry),
        n_minima=len(minima),
        n_reached_once=sum(len(item.sampled_by) == 1 for item in minima),
        ground_state_reached_once=bool(minima) and len(minima[0].sampled_by) == 1,
        found_new_bond=any(item.minimum.new_bonds for item in minima) or _is_bonded(defect, minima),
        excess_charge=defect.excess_charge,
        host_accepted_unstable=bool(report.unstable),
    )
    return DefectResult(
        defect=defect,
        symmetry_before=symmetry,
        minima=minima,
        candidates=candidates,
        set_aside=(*candidates.flagged, *((flag.label, flag.reason) for flag in found.flagged)),
        funnel=funnel,
        agreement=agreed,
        confidence=assess(evidence),
        state=state,
        trust=told,
    )


def relaxed_tasks(campaign: Campaign, defect: Defect, candidates: DefectCandidates) -> tuple[Task, ...]:
    """The reference relaxations whose ends may be minima.

    In a campaign that learns those are the ones that its candidates name: what was begun and left, and what fell into
    a minimum that was known, are none.
    """
    if campaign.settings.strategy != "learn":
        return referenced(campaign, defect)
    named = {candidate.label for candidate in candidates.candidates}
    return tuple(task for task in tasks_of(campaign, defect.label, (REFERENCE, CHECK)) if task.key.label in named)


def _n_fell_apart(relaxations: Sequence[Relaxation], set_aside: Sequence[str]) -> int:
    """How many of those set aside ended in a structure, but without their host."""
    failed = {relaxation.label for relaxation in relaxations if relaxation.state is RelaxationState.FAILED}
    return sum(label not in failed for label in set_aside)


def _lower_set_aside(found: DistinctMinima, ended: Sequence[Relaxation]) -> bool:
    """Whether a structure that lost its host lies below every minimum."""
    labels = {flag.label for flag in found.flagged}
    energies = [
        relaxation.final.prediction.energy
        for relaxation in ended
        if relaxation.label in labels and relaxation.final and relaxation.state is not RelaxationState.FAILED
    ]
    return bool(energies and found.minima) and min(energies) < found.minima[0].energy


def _kept_unperturbed(item: RankedMinimum, symmetry: str) -> bool:
    """Whether a minimum may be a saddle point: nothing but a start on it, with symmetry to lose, led there."""
    return item.sampled_by == (UNPERTURBED,) and item.minimum.site_symmetry == symmetry != "C1"


def _is_bonded(defect: Defect, minima: Sequence[RankedMinimum]) -> bool:
    """Whether an interstitial has bonds that its host has not, be it that it was made with them."""
    if defect.kind is not DefectKind.INTERSTITIAL:
        return False
    return any(has_bond_unlike_host(defect, item.minimum.atoms) for item in minima)


def _rank(
    found: DistinctMinima, candidates: DefectCandidates, ended: Sequence[Relaxation]
) -> tuple[RankedMinimum, ...]:
    by_label = {candidate.label: candidate for candidate in candidates.candidates}
    answered = {label for minimum in found.minima for label in minimum.members}
    unperturbed = next(
        (
            relaxation.final.prediction.energy
            for relaxation in ended
            if relaxation.label == UNPERTURBED and relaxation.label in answered and relaxation.final
        ),
        None,
    )
    scouted_energies = [
        candidate.surrogate_energy for candidate in candidates.candidates if candidate.surrogate_energy is not None
    ]
    ranked = []
    for rank, minimum in enumerate(found.minima):
        energies = [
            by_label[label].surrogate_energy
            for label in minimum.members
            if label in by_label and by_label[label].surrogate_energy is not None
        ]
        led_here = [member for label in minimum.members for member in _members(by_label, label)]
        ranked.append(
            RankedMinimum(
                rank=rank,
                minimum=minimum,
                candidates=minimum.members,
                sampled_by=tuple(dict.fromkeys(led_here)),
                relative_energy=minimum.energy - found.minima[0].energy,
                lowering=minimum.energy - unperturbed if unperturbed is not None else None,
                surrogate_energy=min(e for e in energies if e is not None) - min(scouted_energies)
                if energies
                else None,
            )
        )
    return tuple(ranked)


def _members(by_label: Mapping[str, Candidate], label: str) -> tuple[str, ...]:
    candidate = by_label.get(label)
    return candidate.members if candidate is not None else (label,)


def stored_agreements(campaign: Campaign) -> dict[str, Agreement]:
    """How well the surrogate agrees with the reference, by the defect's label, as far as it was worked out."""
    stored = campaign.record.read_document("agreement")
    return _AGREEMENTS.validate_json(stored) if stored is not None else {}


def _agreements(campaign: Campaign, defects: Sequence[Defect], progress: Progress) -> dict[str, Agreement]:
    """How well the surrogate agrees with the reference on each defect's reference frames, worked out once."""
    if surrogate_info(campaign) is None or campaign.settings.strategy == "learn":
        return {}  # a surrogate that has learned from these very frames is judged by what it said before (`Trust`)
    known = stored_agreements(campaign)
    missing = {}
    for defect in defects:
        tasks = referenced(campaign, defect)
        if defect.label in known or not tasks or not all(task.state.is_finished for task in tasks):
            continue
        frames = _evenly_spaced(campaign, tasks)
        if frames:
            missing[defect.label] = frames
    if not missing:
        return known
    surrogate = load_recorded_surrogate(campaign, defects)
    charges = {defect.label: defect.charge for defect in defects}
    for label, frames in missing.items():
        structures = [with_charge(frame.atoms, charges[label]) for frame in frames]
        try:
            known[label] = agreement(frames, surrogate.predict(structures))
        except CalculationError as error:
            progress.warn(f"{label}: the surrogate could not be compared with the reference: {error}")
    campaign.record.write_document("agreement", _AGREEMENTS.dump_json(known).decode())
    return known


def _evenly_spaced(campaign: Campaign, tasks: Sequence[Task]) -> list[Frame]:
    # A relaxation that failed has left the structures that the surrogate should be right for.
    ended_well = [task for task in tasks if task.state is not RelaxationState.FAILED]
    frames = [frame for task in ended_well for frame in campaign.record.frames(task.key)]
    if len(frames) <= AGREEMENT_FRAMES:
        return frames
    picks = np.linspace(0, len(frames) - 1, AGREEMENT_FRAMES).round().astype(int)
    return [frames[pick] for pick in picks]
