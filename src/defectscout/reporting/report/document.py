"""What a report says, apart from how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from defectscout.core.defect import Bond
from defectscout.core.frames import FloatArray
from defectscout.reporting.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A structure to look at and to download.

    Attributes:
        key: unique in the report, fit for a file name: `CdTe-v_Cd_0-ground-state`.
        title: such as `Ground state` or `Unperturbed, relaxed`.
        caption: energy, new bonds and symmetry in one line.
        atoms: the whole supercell.
        site: the defect site, Cartesian, shape (3,), Å.
        displacements: how far each atom lies from its place in the unperturbed supercell, shape (n,), Å.
        new_bonds: bonds that the unperturbed structure lacks; `Bond.atoms` are indices of `atoms`.
    """

    key: str
    title: str
    caption: str
    atoms: Atoms
    site: FloatArray
    displacements: FloatArray
    new_bonds: tuple[Bond, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """An interactive figure, with the table of what it shows.

    Attributes:
        key: unique in the report.
        title: one line.
        caption: what is seen, in words, for whoever cannot see it.
        data: traces in plotly's form, JSON-ready.
        layout: axes and shapes in plotly's form, JSON-ready; no colours of paper, text or grid: those are the
            reader's, light or dark.
        table: the same in numbers.
    """

    key: str
    title: str
    caption: str
    data: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any]
    table: Table


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one defect, as the report opens with it.

    Attributes:
        host: formula.
        defect: label.
        anchor: key of its section.
        sentence: ground state, energy lowering and new bonds in one sentence.
        level: high, moderate or low.
        finished: whether its search has ended.
        status: what it waits for, or how it ended.
        lowering: of the ground state, eV; None if not known.
        calls: reference force calls.
        saved: share of reference force calls saved against a reference-only search; None without one.
    """

    host: str
    defect: str
    anchor: str
    sentence: str
    level: str
    finished: bool
    status: str
    lowering: float | None
    calls: int
    saved: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One defect.

    Attributes:
        key: unique in the report, fit for an anchor and a file name: `CdTe-v_Cd_0`.
        title: such as `v_Cd_0 in CdTe`.
        answer: as at the top.
        facts: name and value of what is known of it: holes, symmetry, atoms, electronic state.
        reasons: why it is as sure as it is.
        lines: funnel, agreement and trust in sentences.
        models: unperturbed structures first, then minima, the ground state first; keys of the former begin alike.
        minima: table of minima.
        set_aside: relaxations that failed or lost their host, and why.
        plots: energy against distortion, trajectories.
    """

    key: str
    title: str
    answer: Answer
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    lines: tuple[str, ...]
    models: tuple[Model, ...]
    minima: Table
    set_aside: Table
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Citation:
    """A work to cite.

    Attributes:
        key: of its BibTeX entry.
        why: what it was used for.
        text: authors, title, journal, year in one line.
        doi: without `https://doi.org/`; empty if there is none.
        bibtex: the whole entry.
    """

    key: str
    why: str
    text: str
    doi: str
    bibtex: str


@dataclass(frozen=True, slots=True, eq=False)
class AlloyPart:
    """One study of an alloy.

    Attributes:
        key: unique in the report, fit for an anchor.
        title: the alloy, such as `Cd(Te,Se)`.
        kinds: labels of defects without their sites, such as `v_Cd_0`.
        facts: name and value of what was asked for: parent crystal, mixed sublattices, arrangement, lattice, sites.
        supercells: one row for each.
        tables: results by site, by environment, and beside a coarse search.
        plots: formation energies and bonds by environment, and a coarse search beside the fine one.
    """

    key: str
    title: str
    kinds: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    supercells: Table
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything a report says, in the order in which it says it.

    Attributes:
        title: one line.
        subtitle: surrogate, reference, supercells in one line.
        status: whether the searches have ended, in one sentence.
        finished: whether all have.
        answers: one for each defect, in the campaigns' order.
        costs: sentences on what it cost and saved.
        notes: what could not be read or shown, and why.
        sections: one for each defect.
        plots: figures over all defects.
        tables: tables over all defects that no plot has.
        methods: paragraphs for the paper that the user will write.
        citations: of all methods used.
        settings: name of a campaign and its settings as TOML.
        versions: packages.
        alloys: one for each study of an alloy, shown before the sections.
    """

    title: str
    subtitle: str
    status: str
    finished: bool
    answers: tuple[Answer, ...]
    costs: tuple[str, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...]
    methods: tuple[str, ...]
    citations: tuple[Citation, ...]
    settings: tuple[tuple[str, str], ...]
    versions: Table
    alloys: tuple[AlloyPart, ...] = ()
