"""What a report says of one defect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defectscout.analysis.motifs import motif_of
from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import RelaxationState
from defectscout.references.base import ElectronicState
from defectscout.reporting.report.document import Answer, Plot, Section
from defectscout.reporting.report.models import models
from defectscout.reporting.table import Cell, Column, Table
from defectscout.reporting.wording import (
    count,
    funnel_lines,
    lengths_text,
    place_text,
    short_label,
    siblings_in_short,
    symmetry_text,
)
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.record import SCOUT
from defectscout.workflow.results import RankedMinimum

SPINS = {1: "singlet", 2: "doublet", 3: "triplet", 4: "quartet"}


def answer(
    host: str,
    key: str,
    overview: Overview,
    item: DefectOverview,
    baseline: DefectOverview | None,
    names: Sequence[str],
) -> Answer:
    """The answer for one defect.

    Args:
        host: what its campaign is called.
        key: of its section.
        overview: its campaign.
        item: the defect.
        baseline: the same defect in a reference-only search; None without one.
        names: what each minimum is, see `motif_names`.
    """
    ground = item.ground_state
    return Answer(
        host=host,
        defect=item.defect.label,
        anchor=key,
        sentence=sentence(overview, item, names),
        level=item.result.confidence.level,
        finished=item.finished,
        status=status(overview, item),
        lowering=ground.lowering if ground is not None else None,
        calls=item.cost.reference_calls,
        saved=saved(item, baseline),
    )


def status(overview: Overview, item: DefectOverview) -> str:
    """What a search waits for, or how it ended."""
    if not item.finished and overview.settings.reference.name == "none":
        return f"waits for {item.step}, which are run by hand (no reference was chosen)"
    if not item.finished:
        return f"has not ended: it waits for {item.step}"
    if item.ground_state is None:
        return "has ended without a minimum"
    if item.result.trust is not None:
        return "has ended and converged" if item.result.trust.converged else "has ended, but not converged"
    return "has ended"


def saved(item: DefectOverview, baseline: DefectOverview | None) -> float | None:
    """Share of reference force calls saved; None unless both searches have ended, or if this one missed a minimum."""
    if baseline is None or not baseline.cost.reference_calls or item.lower is not None:
        return None
    if not (item.finished and baseline.finished):
        return None
    return 1 - item.cost.reference_calls / baseline.cost.reference_calls


def sentence(overview: Overview, item: DefectOverview, names: Sequence[str]) -> str:
    """Ground state, energy lowering and new bonds; what there is instead where there is no ground state."""
    ground = item.ground_state
    if ground is None:
        return _without_minimum(overview, item)
    begin = "Lowest minimum so far, while the search has not ended"
    if item.lower is not None:
        begin = f"{item.lower.sentence} The lowest minimum here"
    elif item.finished:
        begin = "Ground state"
    name, symmetry = names[0], symmetry_text(ground, item.result.symmetry_before)
    parts = [name]
    if ground.minimum.new_bonds:
        parts.append(f"new bonds {lengths_text(ground)}")
    if f"({symmetry})" not in name and symmetry != "C1":  # in an alloy there is no symmetry to lose
        parts.append(f"point group {symmetry}")
    parts += siblings_in_short(item.result)
    parts.append(_lowering(ground))
    if not ground.minimum.converged:
        parts.append("its relaxation stopped at the step limit")
    return f"{begin}: {'; '.join(parts)}."


def motif_names(item: DefectOverview) -> tuple[str, ...]:
    """What each minimum is, in words."""
    return tuple(motif_of(item.defect, one.minimum, item.result.symmetry_before)[1] for one in item.result.minima)


def _lowering(ground: RankedMinimum) -> str:
    if UNPERTURBED in ground.candidates:
        return "the unperturbed structure relaxes to it"
    if ground.lowering is None:
        return "energy lowering not known, for want of a relaxed unperturbed structure"
    return f"{-ground.lowering:.2f} eV below the relaxed unperturbed structure"


def _without_minimum(overview: Overview, item: DefectOverview) -> str:
    candidates = item.result.funnel.candidates
    if item.finished:
        return "No ground state: every relaxation with the reference failed or was set aside."
    if overview.settings.reference.name == "none" and candidates:
        wait = "waits" if candidates == 1 else "wait"
        return f"No ground state yet: {count(candidates, 'candidate')} {wait} for a reference that is run by hand."
    return f"No minimum on the reference's surface yet: the search has not ended and waits for {item.step}."


def section(
    host: str,
    key: str,
    overview: Overview,
    item: DefectOverview,
    baseline: DefectOverview | None,
    plots: tuple[Plot, ...],
) -> Section:
    """Everything of one defect.

    Args:
        host: what its campaign is called.
        key: of the section, unique.
        overview: its campaign.
        item: the defect.
        baseline: the same defect in a reference-only search; None without one.
        plots: its figures.
    """
    names = motif_names(item)
    found = answer(host, key, overview, item, baseline, names)
    return Section(
        key=key,
        title=f"{item.defect.label} in {host}",
        answer=found,
        facts=tuple(_facts(overview, item)),
        reasons=item.result.confidence.reasons,
        lines=tuple(_lines(item, found, baseline)),
        models=models(key, item),
        minima=minima_table(key, item, names),
        set_aside=set_aside_table(key, item),
        plots=plots,
    )


def _facts(overview: Overview, item: DefectOverview) -> Iterator[tuple[str, str]]:
    defect, host = item.defect, overview.host
    yield "Host", f"{host.formula}, {host.space_group}"
    yield "Kind", str(defect.kind)
    yield "Charge state", f"{defect.charge:+d}" if defect.charge else "0"
    yield "Excess charge", defect.excess_charge_in_words
    yield "Site symmetry in the host", defect.site_symmetry
    yield "Equivalent sites in the primitive cell", str(defect.multiplicity)
    yield "Symmetry of the unperturbed supercell", item.result.symmetry_before
    yield "Atoms", f"{len(defect.atoms)} in a supercell of {host.supercell_atoms}"
    yield "Between periodic images", f"{host.image_distance:.1f} Å"
    if item.result.state is not None:
        yield "Electrons of the reference", _state(item.result.state)
    yield "Sampling structures", str(item.result.funnel.sampling)
    if item.result.trust is not None:
        yield "Rounds of learning", str(item.result.trust.rounds)


def _state(state: ElectronicState) -> str:
    spin = "" if state.multiplicity is None else SPINS.get(state.multiplicity, f"multiplicity {state.multiplicity}")
    charge = f"charge {state.charge:+d}" if state.charge else "neutral"
    spin = "" if spin in state.note else spin
    return "; ".join(part for part in (charge, spin, state.note) if part)


def _lines(item: DefectOverview, found: Answer, baseline: DefectOverview | None) -> Iterator[str]:
    if not item.finished:
        yield f"This search has not ended: it waits for {item.step}. What follows is what it has found so far."
    for line in funnel_lines(item.result):
        yield line if line.endswith(".") else f"{line}."
    if baseline is not None and found.saved is not None and item.result.funnel.reference_only_calls is None:
        alone = baseline.cost.reference_calls
        saved = f"{found.saved:.0%} saved" if found.saved >= 0 else f"{-found.saved:.0%} more"
        yield f"The reference-only search took {alone} force calls of the reference, this one {found.calls}: {saved}."


def minima_table(key: str, item: DefectOverview, names: Sequence[str]) -> Table:
    """All minima of one defect, the lowest first."""
    notes = [
        "ΔE: above the lowest minimum. Lowering: energy less that of the relaxed unperturbed structure. Surrogate: the "
        "minimum of the surrogate that the relaxation began from, above the lowest of those. From: sampling structures "
        "that led there; a number is a bond distortion."
    ]
    if not item.finished:
        notes.append("The search has not ended: a lower minimum may still be found.")
    if item.result.minima and all(minimum.lowering is None for minimum in item.result.minima):
        notes.append("Lowerings are not known: the unperturbed structure has no relaxed energy.")
    return Table(
        f"{key}-minima",
        f"Minima of {item.defect.label}" + ("" if item.finished else " so far"),
        (
            Column("minimum", "minimum"),
            Column("ΔE", "relative_energy_eV", "eV", numeric=True),
            Column("lowering", "lowering_eV", "eV", numeric=True, signed=True),
            Column("surrogate", "surrogate_relative_energy_eV", "eV", numeric=True),
            Column("what it is", "motif"),
            Column("new bonds", "new_bonds"),
            Column("point group", "point_group"),
            Column("converged", "converged"),
            Column("starts", "starts", digits=0, numeric=True),
            Column("from", "sampled_by"),
        ),
        tuple(_minimum_row(item, minimum, name) for minimum, name in zip(item.result.minima, names, strict=True)),
        tuple(notes),
    )


def _minimum_row(item: DefectOverview, minimum: RankedMinimum, name: str) -> tuple[Cell, ...]:
    return (
        place_text(item, minimum.rank),
        minimum.relative_energy,
        minimum.lowering,
        minimum.surrogate_energy,
        name,
        lengths_text(minimum),
        symmetry_text(minimum, item.result.symmetry_before),
        minimum.minimum.converged,
        len(minimum.sampled_by),
        ", ".join(short_label(label) for label in minimum.sampled_by),
    )


def set_aside_table(key: str, item: DefectOverview) -> Table:
    """Relaxations that failed, lost their host or were left, and why."""
    scouted = {label for label, _ in item.result.candidates.flagged}
    rows = [
        (label, "surrogate" if label in scouted else "reference", reason) for label, reason in item.result.set_aside
    ]
    known = {(label, surface) for label, surface, _ in rows}
    named = {candidate.label for candidate in item.result.candidates.candidates}
    for descent in item.descents:
        surface = "surrogate" if descent.stage == SCOUT else "reference"
        left = descent.state is RelaxationState.UNCONVERGED and surface == "reference" and descent.label not in named
        if (descent.state is RelaxationState.FAILED or left) and (descent.label, surface) not in known:
            rows.append((descent.label, surface, descent.reason or descent.state.value))
    return Table(
        f"{key}-set-aside",
        f"Relaxations of {item.defect.label} that were set aside",
        (Column("relaxation", "relaxation"), Column("surface", "surface"), Column("why", "reason")),
        tuple(rows),
    )
