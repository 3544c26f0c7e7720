"""What to cite: the works that a search has used, each for what it was used for, and no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from defectscout.reporting.report import works
from defectscout.reporting.report.alloys import lattice_of
from defectscout.reporting.report.campaign_facts import asked, collected, items, learned, reference_answered, scouted
from defectscout.reporting.report.document import Citation
from defectscout.reporting.report.methods_words import family_name, reference_name
from defectscout.reporting.report.works import Work
from defectscout.sampling.labels import energy_key
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.overview import Overview

_MATGL = ("m3gnet", "tensornet")


def citations(overviews: Sequence[Overview], studies: Sequence[AlloyOverview] = ()) -> tuple[Citation, ...]:
    """Works to cite, each once, with everything that it was used for.

    Args:
        overviews: the campaigns, those of studies among them.
        studies: of alloys.
    """
    uses: dict[str, tuple[Work, list[str]]] = {}
    for work, why in (*_used(overviews), *_alloyed(studies)):
        known = uses.setdefault(work.key, (work, []))[1]
        if why not in known:
            known.append(why)
    return tuple(citation(work, "; ".join(whys)) for work, whys in uses.values())


def citation(work: Work, why: str) -> Citation:
    """A work as text and as BibTeX."""
    return Citation(work.key, why, _text(work), work.doi, bibtex(work))


def _used(overviews: Sequence[Overview]) -> Iterator[tuple[Work, str]]:
    for overview in overviews:
        version = overview.packages.get("defectscout", "")
        yield replace(works.DEFECTSCOUT, title=f"{works.DEFECTSCOUT.title} {version}".strip()), "the search"
    if scouted(overviews):
        yield works.PAPER, "searching defect structures with a machine-learned surrogate"
    labels = {structure.label for item in items(overviews) for structure in item.sampling}
    if any(overview.settings.sampling.pairs for overview in overviews):
        yield works.PAPER, "bond distortions of every pair of neighbours"
        yield works.STRUCTURE_SEARCH, "sampling structures: bond distortions and rattling"
    if any(isinstance(energy_key(label), float) for label in labels):
        yield works.STRUCTURE_SEARCH, "sampling structures: bond distortions and rattling"
        yield works.SHAKENBREAK, "making the sampling structures"
    yield works.DOPED, "generating defects and their excess charge"
    yield works.PYMATGEN, "structures"
    yield works.ASE, "structures and their record"
    yield works.SPGLIB, "symmetry"
    if scouted(overviews) or reference_answered(overviews):
        yield works.SOAP, "telling minima apart"
        yield works.DSCRIBE, "SOAP vectors"
    yield from _relaxed(overviews)
    for overview in overviews:
        yield from _surrogate(overview)
        yield from _reference(overview)


def _alloyed(studies: Sequence[AlloyOverview]) -> Iterator[tuple[Work, str]]:
    for study in studies:
        if lattice_of(study.study) != "surrogate":
            yield works.VEGARD, "lattices of alloys between those of their end members"
        if study.study.alloy.arrangement == "sqs":
            yield works.SQS, "supercells of alloys"
            yield works.SQSGENERATOR, "special quasirandom structures"


def _relaxed(overviews: Sequence[Overview]) -> Iterator[tuple[Work, str]]:
    alone = [one for one in overviews if one.settings.strategy != "learn" and asked([one])]
    if scouted(overviews) or alone:
        yield works.FIRE, "relaxing defects"
    if any(not one.host.kept and one.host.evaluations for one in overviews):
        yield works.LBFGS, "relaxing the host"
    if any(one.settings.strategy == "learn" and asked([one]) for one in overviews):
        yield works.GAUSSIAN_PROCESS, "relaxing defects with few force calls of the reference"
        yield works.PRECONDITIONER, "distances between structures, counted by their bonds, in these relaxations"
    trusts = [item.result.trust for item in items(overviews)]
    if any(told is not None and told.probed is not None for told in trusts):
        yield works.DAVIDSON, "the lowest curvature around ground states"


def _surrogate(overview: Overview) -> Iterator[tuple[Work, str]]:
    info = overview.surrogate
    if info is None or not scouted([overview]):
        return
    family = overview.settings.surrogate.name.partition(":")[0]
    for doi in _dois(info):
        work = works.BY_DOI.get(doi)
        if work is not None:
            yield work, f"the surrogate, {family_name(info.name)}"
    if info.package.startswith("matgl") or family in _MATGL:
        yield works.MATGL, "evaluating the surrogate"
    if "torch" in overview.packages and family != "ase":
        yield works.TORCH, "evaluating and tuning the surrogate" if learned([overview]) else "evaluating the surrogate"
    if learned([overview]):
        yield works.ADAM, "tuning the surrogate"


def _dois(info: SurrogateInfo) -> list[str]:
    """What an adapter names; a foundation model has been named by its own DOI, and stands on the architecture's."""
    dois = [part for part in info.citation.replace(",", " ").replace(";", " ").split() if part]
    if works.MACE_FOUNDATION.doi in dois and works.MACE.doi not in dois:
        dois.insert(0, works.MACE.doi)
    return dois


def _reference(overview: Overview) -> Iterator[tuple[Work, str]]:
    if collected([overview]):
        yield works.VASP, "the reference, run outside of the search"
    info = overview.reference
    if info is None or not (asked([overview]) or overview.host_calls):
        return
    work = works.BY_DOI.get(info.citation)
    if work is not None:
        yield work, f"the reference, {reference_name(info.name)}"
    if info.package.startswith("tblite"):
        yield works.TBLITE, "evaluating the reference"


def bibtex(work: Work) -> str:
    """The entry of a work."""
    kind = "article" if work.year else "misc"
    fields = {
        "author": " and ".join(work.authors),
        "title": f"{{{work.title}}}",
        "journal" if work.year else "howpublished": _published(work),
        "year": str(work.year or ""),
        "volume": work.volume,
        "pages": work.pages.replace("-", "--"),
        "doi": work.doi,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return f"@{kind}{{{work.key},\n" + ",\n".join(lines) + "\n}"


def _published(work: Work) -> str:
    return f"\\url{{{work.journal}}}" if work.journal.startswith("https:") else work.journal


def _text(work: Work) -> str:
    names = [_short(author) for author in work.authors]
    authors = f"{', '.join(names[:-1])} et al." if names[-1] == "others" else ", ".join(names)
    place = f"{work.journal} {work.volume}".strip() or "Software"
    pages = f", {work.pages.replace('-', '–')}" if work.pages else ""
    year = f" ({work.year})" if work.year else ""
    return f"{authors}: {work.title}. {place}{pages}{year}."


def _short(author: str) -> str:
    """`Kavanagh, Seán R.` as `S. R. Kavanagh`."""
    family, comma, given = author.strip("{}").partition(", ")
    if not comma:
        return family
    initials = " ".join("-".join(f"{part[0]}." for part in name.split("-") if part) for name in given.split())
    return f"{initials} {family}"
