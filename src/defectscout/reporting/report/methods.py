"""Paragraphs on methods, for the paper that the user will write: what was done, with which settings, and nothing else.

Campaigns that were searched in the same way share their paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defectscout.core.defect import UNPERTURBED
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.reporting.report.alloys import Alloy
from defectscout.reporting.report.campaign_facts import (
    asked,
    collected,
    items,
    learned,
    reference_answered,
    same_ways,
    scouted,
)
from defectscout.reporting.report.methods_alloys import (
    change_from_law,
    group_of,
    lattice_sentences,
    left_sentences,
    site_sentences,
    supercell_sentences,
)
from defectscout.reporting.report.methods_learning import learning
from defectscout.reporting.report.methods_words import (
    named_packages,
    number,
    reference_name,
    signed,
    span,
    surrogate_name,
)
from defectscout.reporting.wording import listed
from defectscout.sampling.labels import DIMER, RATTLED, energy_key
from defectscout.workflow.overview import Overview
from defectscout.workflow.related_minima import RATTLE
from defectscout.workflow.stages.candidates import SADDLE_RATTLE

MOST_NAMED = 12
"""Defects that are listed one by one."""


def methods(overviews: Sequence[Overview], alloys: Sequence[Alloy] = ()) -> tuple[str, ...]:
    """Paragraphs for each way of searching among the campaigns, and for each study of an alloy.

    Args:
        overviews: the campaigns, those of studies among them.
        alloys: the studies.
    """
    of_studies = {one.folder for alloy in alloys for one in alloy.overview.campaigns.values()}
    alone = [one for one in overviews if one.folder not in of_studies]
    groups: list[tuple[list[Overview], Alloy | None]] = [(group, None) for group in same_ways(alone)]
    groups += [(group_of(alloy), alloy) for alloy in alloys]
    return tuple(paragraph for group, alloy in groups for paragraph in _paragraphs(group, alloy))


def _paragraphs(group: Sequence[Overview], alloy: Alloy | None) -> Iterator[str]:
    made = [*supercell_sentences(alloy), *lattice_sentences(alloy, group)] if alloy is not None else []
    sites = list(site_sentences(alloy)) if alloy is not None else []
    left = list(left_sentences(alloy)) if alloy is not None else []
    for sentences in (
        [
            *_unfinished(group),
            *left,
            *_hosts(group, alloy),
            *made,
            *_supercells(group, alloy),
            *_host_relaxation(group, alloy),
        ],
        [*sites, *_defects(group, alloy), *_sampling(group)],
        [*_scouting(group), *_minima(group)],
        learning(group),
        [*_reference(group), *_corrections(group)],
        _software(group),
    ):
        if sentences:
            yield " ".join(sentences)


def _unfinished(group: Sequence[Overview]) -> Iterator[str]:
    names = [
        f"{item.defect.label} in {overview.formula}"
        for overview in group
        for item in overview.defects.values()
        if not item.finished
    ]
    if names:
        which = listed(names) if len(names) <= MOST_NAMED else f"{len(names)} defects"
        searches, had = ("search", "had") if len(names) == 1 else ("searches", "had")
        yield f"[Not final: the {searches} for {which} {had} not ended when this was written.]"


def _hosts(group: Sequence[Overview], alloy: Alloy | None) -> Iterator[str]:
    first = group[0]
    tuned = (
        "by relaxing distorted structures with a machine-learned force field that was tuned, between rounds, on the "
        "answers of a reference method to what it had proposed"
    )
    by = {
        "learn": tuned if learned(group) else "by a learning loop, of which only the first round has begun",
        "scout": "by relaxing distorted structures with a machine-learned force field, whose distinct minima were then "
        "relaxed with a reference method",
        "reference-only": "by relaxing distorted structures with a reference method",
    }.get(first.settings.strategy, "by relaxing distorted structures")
    if first.settings.strategy == "scout" and not (asked(group) or collected(group)):
        by = "by relaxing distorted structures with a machine-learned force field"
    hosts = dict.fromkeys(f"{overview.formula} (space group {overview.host.space_group})" for overview in group)
    where = listed(list(hosts)) if alloy is None else f"the alloy {alloy.found.title}"
    yield f"The structures of point defects in {where} were searched {by}."


def _supercells(group: Sequence[Overview], alloy: Alloy | None) -> Iterator[str]:
    if alloy is not None:
        atoms = span([one.host.supercell_atoms for one in group])
        least = min(one.host.image_distance for one in group)
        yield (
            f"A pristine supercell holds {atoms} atoms, with at least {least:.1f} Å between periodic images of a "
            "defect."
        )
        return
    one_by_one = dict.fromkeys(
        f"{overview.formula} {overview.host.supercell_atoms} atoms and {overview.host.image_distance:.1f} Å"
        for overview in group
    )
    if len(one_by_one) == 1:
        host = group[0].host
        yield (
            f"The pristine supercell holds {host.supercell_atoms} atoms, with {host.image_distance:.1f} Å between "
            "periodic images of a defect."
        )
    else:
        yield (
            "Pristine supercells and the least distances between periodic images of a defect are: "
            f"{'; '.join(one_by_one)}."
        )


def _host_relaxation(group: Sequence[Overview], alloy: Alloy | None) -> Iterator[str]:
    kept = [overview for overview in group if overview.host.kept]
    relaxed = [overview for overview in group if not overview.host.kept and overview.host.evaluations]
    if kept and alloy is None:
        where = "" if len(kept) == len(group) else f" of {listed([one.formula for one in kept])}"
        yield f"Lattice and atomic positions of the host{where} were used as given."
    if relaxed:
        settings = relaxed[0].settings.host
        cell = (
            " as a supercell" if any(one.reference is not None and one.reference.gamma_only for one in relaxed) else ""
        )
        where = "" if len(relaxed) == len(group) else f" of {listed([one.formula for one in relaxed])}"
        subject = f"the host{where}" if alloy is None else "each supercell"
        what, stress = "Lattice and atomic positions", f" and no stress component {number(settings.smax)} GPa"
        if settings.fixed_cell:
            what, stress = "Atomic positions", ", in a fixed cell"
        yield (
            f"{what} of {subject} were relaxed with the reference{cell}, with the symmetry kept (L-BFGS), until no "
            f"force exceeded {number(settings.fmax)} eV/Å{stress}, or for at most {settings.max_steps} steps"
            f"{'' if settings.fixed_cell else _changes(relaxed, group, alloy)}."
        )
    tested = [overview for overview in group if overview.host.energy_gain is not None]
    if tested:
        settings = tested[0].settings.host
        stable = [overview for overview in tested if not overview.host.unstable]
        unstable = [overview for overview in tested if overview.host.unstable]
        yield (
            f"To test its stability, the host was rattled with a standard deviation of {number(settings.rattle)} Å and "
            f"relaxed again for at most {settings.stability_steps} steps"
            + ("; it kept its structure." if not unstable else ".")
        )
        if unstable:
            yield (
                f"{listed([one.formula for one in unstable])} did not keep its structure there, which was accepted; "
                f"{listed([one.formula for one in stable])} did."
                if stable
                else "It did not keep its structure, which was accepted."
            )


def _changes(relaxed: Sequence[Overview], group: Sequence[Overview], alloy: Alloy | None) -> str:
    known = [one for one in relaxed if one.host.length_changes]
    if not known:
        return ""
    if alloy is not None:
        return f"; lattice parameters differ from Vegard's law by {change_from_law(known)}"
    changes = listed(list(dict.fromkeys(_length_changes(overview, len(group) > 1) for overview in known)))
    return f"; lattice parameters changed by {changes}"


def _length_changes(overview: Overview, several: bool) -> str:
    changes = dict.fromkeys(signed(100 * change, 1) for change in overview.host.length_changes)
    text = f"{' / '.join(changes)} %"
    return f"{text} ({overview.formula})" if several else text


def _defects(group: Sequence[Overview], alloy: Alloy | None) -> Iterator[str]:
    of = [(overview, item.defect) for overview in group for item in overview.defects.values()]
    made_elsewhere = all(overview.source.endswith((".json", ".json.gz")) for overview in group)
    how = (
        "Defects were taken as made elsewhere with doped"
        if made_elsewhere
        else "They were set up with doped"
        if alloy is not None
        else "Defects were set up with doped at sites that were named"
        if all(overview.settings.defects.sites for overview in group)
        else "Symmetry-inequivalent defects were generated with doped"
    )
    if len(of) <= MOST_NAMED:
        names = listed([f"{defect.label} in {overview.formula} ({defect.excess_charge_in_words})"
                        for overview, defect in of])  # fmt: skip
        yield (
            f"{how}: {names}. A label ends in the charge state; holes are electrons that the bonds around the site "
            "lack, from oxidation states."
        )
    else:
        charges = sorted({defect.charge for _, defect in of})
        states = (
            f"charge states {signed(charges[0])} to {signed(charges[-1])}"
            if len(charges) > 1
            else f"charge state {signed(charges[0])}"
        )
        yield f"{how}: {len(of)} defects in all, in {states}."


def _sampling(group: Sequence[Overview]) -> Iterator[str]:
    settings = group[0].settings.sampling
    structures = [structure.label for item in items(group) for structure in item.sampling]
    if not structures:
        return
    labels = set(structures)
    if settings.none or labels == {UNPERTURBED}:
        yield "Each defect was relaxed from its unperturbed structure alone."
        return
    carried = {label for label in labels if energy_key(label) is None}
    own = [[structure for structure in item.sampling if structure.label not in carried] for item in items(group)]
    sizes = [len(structures) for structures in own if structures]
    if settings.folder is not None:
        yield f"The {span(sizes)} starting structures of each defect were supplied from files."
        return
    parts = ["the unperturbed supercell"] if UNPERTURBED in labels else []
    parts += list(_distortions(group, labels))
    if DIMER in labels:
        parts.append("for vacancies one with two neighbours of the site pushed together to a bond (dimer)")
    if RATTLED in labels:
        parts.append("where there is no excess charge one that is rattled only")
    rattle = (
        "a standard deviation of 10 % of the shortest interatomic distance in the host"
        if settings.rattle is None
        else f"a standard deviation of {number(settings.rattle)} Å"
    )
    seeds = sorted({overview.settings.sampling.seed for overview in group})
    seed = f"{'seed' if len(seeds) == 1 else 'seeds'} {listed([str(seed) for seed in seeds])}"
    rattled = "" if settings.rattle == 0 else f" Distorted structures were rattled with {rattle} ({seed})."
    with_ = "" if settings.pairs else " with ShakeNBreak"
    yield f"For each defect {span(sizes)} sampling structures were made{with_}: {listed(parts)}.{rattled}"
    if carried:
        deviation = number(RATTLE if settings.rattle is None else min(RATTLE, settings.rattle))
        first = ", and the lowest was relaxed with the reference first" if group[0].settings.strategy == "learn" else ""
        yield (
            "To these were added low minima of the same defect in related hosts that had been searched before "
            f"({listed(sorted(carried))}): displacements were carried over as fractions of the lattice vectors, and "
            f"structures with a symmetry rattled within {number(group[0].settings.minima.cutoff)} Å of the site, with "
            f"a standard deviation of {deviation} Å{first}."
        )
    if settings.pairs:
        yield (
            "Bonds were distorted as in ShakeNBreak, but those of two neighbours at a time, so that each pair may form "
            "a bond, whatever its elements."
        )
    if group[0].settings.defects.cross_charges:
        yield (
            "Minima found in one charge state of a defect were tried in its other charge states as well, those with a "
            f"symmetry rattled with a standard deviation of {number(SADDLE_RATTLE)} Å."
        )


def _distortions(group: Sequence[Overview], labels: set[str]) -> Iterator[str]:
    keys = {label: energy_key(label) for label in labels}
    percent = sorted({100 * key for key in keys.values() if isinstance(key, float)})
    pairs = sorted({float(str(key).partition("%")[0]) for label, key in keys.items()
                    if isinstance(key, str) and "%_from_" in key and "-" in str(key).partition("_from_")[2]
                    and group[0].settings.sampling.pairs})  # fmt: skip
    neighbours = ("the neighbours of the site", "every pair of neighbours of the site in turn")
    for values, what in zip((percent, pairs), neighbours, strict=True):
        if len(values) == 1:
            yield f"a bond distortion of {signed(values[0])} % of {what}"
        elif values:
            yield f"bond distortions of {what} ({len(values)} from {signed(values[0])} % to {signed(values[-1])} %)"


def _scouting(group: Sequence[Overview]) -> Iterator[str]:
    if not scouted(group):
        return
    yield (
        f"The surrogate was {surrogate_name(group[0])}. With it structures were relaxed by FIRE in a fixed cell "
        f"{_until(group[0].settings.scouting)}."
    )
    info = group[0].surrogate
    if info is not None and info.trained_on is not None:
        seen = info.trained_on
        yield (
            f"It had been tuned on relaxations in {listed(list(seen.hosts))} with {reference_name(seen.method)} before "
            "this search began."
        )


def _until(settings: RelaxationSettings) -> str:
    force = "largest force on an atom" if settings.criterion == "fmax" else "mean force on the atoms"
    return f"until the {force} was below {number(settings.force)} eV/Å, or for at most {settings.max_steps} steps"


def _minima(group: Sequence[Overview]) -> Iterator[str]:
    ended = any(item.result.minima or item.result.candidates.n_minima for item in items(group))
    if not ended and not scouted(group):
        return
    settings = group[0].settings.minima
    yield (
        "Relaxed structures count as one minimum if the SOAP vectors of the defect site (cutoff "
        f"{number(settings.cutoff)} Å, n_max {settings.n_max}, l_max {settings.l_max}, width "
        f"{number(settings.sigma)} Å; DScribe) lie within a cosine distance of {number(settings.threshold)} and the "
        f"energies within {number(settings.energy_tolerance)} eV."
    )
    if scouted(group) and group[0].settings.strategy != "learn":
        yield (
            "Every distinct minimum of the surrogate was a candidate for the reference, whatever its energy there, and "
            "so was the unperturbed structure as it stands."
        )


def _reference(group: Sequence[Overview]) -> Iterator[str]:
    settings = group[0].settings
    if collected(group):
        yield "Candidates were relaxed with VASP outside of this search, and their energies and structures read back."
        yield from _ranking(group)
        return
    if not asked(group):
        if settings.reference.name == "none":
            yield "No reference method has been applied: energies of minima on the reference's surface are not known."
        return
    info = group[0].reference
    gamma = ", at the Γ point" if info is not None and info.gamma_only else ""
    package = f" ({info.package})" if info is not None else ""
    yield f"The reference was {reference_name(settings.reference.name)}{package}{gamma}."
    if group[0].settings.strategy != "learn":
        what = "every sampling structure" if group[0].is_reference_only else "every candidate"
        yield f"With it {what} was relaxed by FIRE in a fixed cell {_until(settings.refinement)}."
    states = [item.result.state for item in items(group) if item.result.state is not None]
    spins = {state.multiplicity for state in states if state.multiplicity is not None}
    if spins:
        which = {1: "singlets", 2: "doublets"}
        named = [which.get(spin, f"multiplicity {spin}") for spin in sorted(spins)]
        yield f"Defects were calculated as {listed(named)}."
    yield from _ranking(group)


def _ranking(group: Sequence[Overview]) -> Iterator[str]:
    if reference_answered(group):
        yield (
            "The ground state is the minimum that is lowest in energy with the reference, and energy lowerings are "
            "relative to the unperturbed structure as relaxed with it."
        )


def _corrections(group: Sequence[Overview]) -> Iterator[str]:
    if asked(group) or collected(group):
        charged = any(item.defect.charge for item in items(group))
        more = "; energies of different charge states were not compared" if charged else ""
        yield f"No correction was made for the finite size of the supercell, nor for its charge{more}."


def _software(group: Sequence[Overview]) -> list[str]:
    known = [named_packages(overview) for overview in group]
    if not known[0]:
        return []
    if all(one == known[0] for one in known):
        return [f"Versions: {', '.join(known[0])}."]
    return [f"Versions for {overview.formula}: {', '.join(one)}." for overview, one in zip(group, known, strict=True)]
