"""What the paragraphs on methods say of an alloy: its supercells, their lattices, and the sites that were searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defectscout.defects.environments import SiteChoice
from defectscout.reporting.report.alloys import Alloy, lattice_of
from defectscout.reporting.report.campaign_facts import asked, scouted
from defectscout.reporting.report.methods_words import reference_name, signed, span, surrogate_name
from defectscout.reporting.report.subject import missing
from defectscout.reporting.wording import count, listed
from defectscout.workflow.alloys.settings import corners
from defectscout.workflow.alloys.study import StudiedSupercell, Study
from defectscout.workflow.overview import Overview

MOST_COMPOSITIONS = 8
"""Compositions that are listed one by one."""


def group_of(alloy: Alloy) -> list[Overview]:
    """The campaigns of a study, those that have come farthest first: they know how all are searched."""
    campaigns = list(alloy.overview.campaigns.values())
    return sorted(campaigns, key=lambda one: (not asked([one]), not scouted([one])))


def left_sentences(alloy: Alloy) -> Iterator[str]:
    """How many supercells have not come to their defects."""
    left = missing(alloy.overview)
    if left:
        of = count(len(alloy.study.supercells), "supercell")
        yield f"[Not final: {left} of {of} had not come to {'its' if left == 1 else 'their'} defects.]"


def supercell_sentences(alloy: Alloy) -> Iterator[str]:
    """How the supercells were made, and which compositions they hold."""
    study = alloy.study
    first = study.supercells[0]
    parent = _formula(first, {})
    sharing = listed([f"the {item.element} sites among {listed([symbol for symbol, _ in item.counts])}"
                      for item in first.occupations])  # fmt: skip
    yield (
        f"Supercells of {alloy.found.title} were made from one of {parent} by sharing out {sharing} "
        f"{_arrangement(study)}, with the number of atoms of each element fixed by the composition."
    )
    held = list(dict.fromkeys(_composition(item) for item in study.supercells))
    if len(held) <= MOST_COMPOSITIONS:
        yield f"{'The composition is' if len(held) == 1 else 'Compositions are'} {'; '.join(held)}."
    else:
        yield f"There are {len(held)} compositions."
    numbers = [sum(_composition(item) == one for item in study.supercells) for one in held]
    made = "One supercell was" if set(numbers) == {1} else f"{span(numbers)} supercells were"
    yield f"{made} made of {'it' if len(held) == 1 else 'each'}."


def lattice_sentences(alloy: Alloy, group: Sequence[Overview]) -> Iterator[str]:
    """Where the lattices of the supercells come from, before a supercell is relaxed as a host."""
    study = alloy.study
    lattice = lattice_of(study)
    if lattice == "surrogate":
        name = surrogate_name(group[0])
        yield f"The lattice and the atoms of each supercell were relaxed with the surrogate, {name}."
        return
    ends = listed(list(dict.fromkeys(
        _formula(item, corner) for item in study.supercells for corner in corners(item.occupations)
    )))  # fmt: skip
    reference = reference_name(study.search.reference.name)
    relaxed = "taken as relaxed before" if study.alloy.end_members else f"relaxed with {reference}"
    law = f"the lattice that Vegard's law gives between the end members {ends}, {relaxed}"
    if lattice == "vegard":
        yield f"Each supercell was kept at {law}."
        if study.search.reference.name == "none":
            yield f"Its atoms were relaxed there with the surrogate, {surrogate_name(group[0])}."
    else:
        yield f"Each supercell started from {law}."


def change_from_law(group: Sequence[Overview]) -> str:
    """How far lattice parameters have gone from Vegard's law on relaxation: `−0.1 to +0.3 %`."""
    changes = [100 * change for one in group for change in one.host.length_changes]
    least, most = signed(min(changes), 1), signed(max(changes), 1)
    return f"{least} %" if least == most else f"{least} to {most} %"


def site_sentences(alloy: Alloy) -> Iterator[str]:
    """Which sites were searched."""
    settings = alloy.study.alloy
    shell = (
        "the elements of their nearest neighbours"
        if settings.shells == 1
        else f"the elements in each of {settings.shells} shells of neighbours"
    )
    yield f"Sites were told apart by {shell}, on the ideal sites of the parent crystal."
    if settings.sites is SiteChoice.ENVIRONMENTS:
        yield "In each supercell defects were made at one site of every such environment."
    else:
        yield "In each supercell defects were made at every site that its symmetry does not map onto another one."


def _arrangement(study: Study) -> str:
    seed = study.alloy.seed
    if study.alloy.arrangement == "sqs":
        return f"as special quasirandom structures (sqsgenerator, seed {seed})"
    return f"at random (seed {seed})"


def _composition(item: StudiedSupercell) -> str:
    return " and ".join(held.in_words for held in item.occupations)


def _formula(item: StudiedSupercell, species: dict[str, str]) -> str:
    """The parent's formula, or that of an end member, from what stands on each sublattice of a supercell."""
    from pymatgen.core import Composition

    amounts = Composition(item.formula).get_el_amt_dict()
    for held in item.occupations:
        for symbol, number in held.counts:
            amounts[symbol] = amounts.get(symbol, 0) - number
        stands = species.get(held.element, held.element)
        amounts[stands] = amounts.get(stands, 0) + held.sites
    left = {symbol: number for symbol, number in amounts.items() if number > 0}
    return str(Composition(left).reduced_formula)
