"""What a report says of a study of an alloy, before it comes to the defects one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

from defectscout.analysis.alloys import AlloyAnalysis
from defectscout.defects.environments import SiteChoice
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.report.alloy_plots import alloy_plots
from defectscout.reporting.report.document import AlloyPart
from defectscout.reporting.report.methods_words import reference_name
from defectscout.reporting.report.names import method_name
from defectscout.reporting.table import Cell, Column, Table, known, without
from defectscout.reporting.wording import count
from defectscout.workflow.alloys.lattices import settled_lattice
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.settings import Lattice
from defectscout.workflow.alloys.study import StudiedSupercell, Study
from defectscout.workflow.overview import Overview

_MAY_GO: Final = (
    "defect",
    "realisation",
    "atoms",
    "sampling_structures",
    "coarse_structures",
    "fine_structures",
    "finished",
)
"""Columns that a sentence stands in for where they say the same in every row: these tables are wide."""

_LATTICE: Final = 6
"""Place of the lattice's change in a row on a supercell."""

ARRANGEMENTS: Final = {"random": "at random", "sqs": "as special quasirandom structures"}


@dataclass(frozen=True, slots=True, eq=False)
class Alloy:
    """A study and what was found.

    Attributes:
        overview: the study.
        found: its analysis.
    """

    overview: AlloyOverview
    found: AlloyAnalysis

    @property
    def study(self) -> Study:
        return self.overview.study


def alloy_part(key: str, alloy: Alloy, coarse: Sequence[AlloyOverview] = ()) -> AlloyPart:
    """The part on one study.

    Args:
        key: of the part, unique.
        alloy: the study and what was found.
        coarse: studies that it was compared with.
    """
    found = replace(alloy.found, notes=())  # they stand with the report's own
    tables = [environment_table(found), without(site_table(found), "realisation")]  # its supercell's name says it
    if found.comparisons:
        tables.insert(0, comparison_table(found))
    return AlloyPart(
        key=key,
        title=found.title,
        kinds=tuple(dict.fromkeys(site.kind for site in found.sites)),
        facts=tuple(_facts(alloy, coarse)),
        supercells=compact(known(_supercell_table(key, alloy)), _MAY_GO),
        tables=tuple(compact(replace(known(table), key=f"{key}-{table.key}"), _MAY_GO) for table in tables),
        plots=tuple(alloy_plots(key, found)),
    )


def compact(table: Table, keys: Sequence[str]) -> Table:
    """The table with those columns as a note that say the same in each of its rows.

    Args:
        table: any.
        keys: of the columns that may go.
    """
    if len(table.rows) < 2:
        return table
    alike = {
        column.key: f"{column.name}: {column.text(table.rows[0][number])}"
        for number, column in enumerate(table.columns)
        if column.key in keys and len({row[number] for row in table.rows}) == 1
    }
    if not alike:
        return table
    return replace(without(table, *alike), notes=(f"In every row: {'; '.join(alike.values())}.", *table.notes))


def _facts(alloy: Alloy, coarse: Sequence[AlloyOverview]) -> Iterator[tuple[str, str]]:
    study, settings = alloy.study, alloy.study.alloy
    compositions = {item.composition for item in study.supercells}
    yield "Parent crystal", PurePath(study.source.name).name
    for item in study.supercells[0].occupations if study.supercells else ():
        yield f"On the {item.element} sites", ", ".join(symbol for symbol, _ in item.counts)
    number, arrangement = count(len(compositions), "composition"), ARRANGEMENTS[settings.arrangement]
    yield (
        "Supercells",
        f"{len(study.supercells)}, of {number}; elements shared out {arrangement} (seed {settings.seed})",
    )
    yield "Lattice", lattice_words(study)
    yield "Sites", sites_words(study)
    if coarse:
        yield "Compared with", ", ".join(one.folder.resolve().name for one in coarse)


def lattice_of(study: Study) -> Lattice:
    """Where the lattices of a study's supercells come from."""
    return settled_lattice(study.alloy, study.search)


def lattice_words(study: Study) -> str:
    """Where the lattices of the supercells come from."""
    lattice = lattice_of(study)
    if lattice == "surrogate":
        return f"relaxed with the surrogate ({method_name(study.search.surrogate.name)})"
    reference = reference_name(study.search.reference.name)
    ends = "the end members that were given" if study.alloy.end_members else f"end members relaxed with {reference}"
    law = f"Vegard's law between {ends}"
    return f"kept at {law}" if lattice == "vegard" else f"relaxed with {reference}, starting from {law}"


def sites_words(study: Study) -> str:
    """Which sites of a supercell get a defect."""
    shells = study.alloy.shells
    by = "neighbours" if shells == 1 else f"neighbours up to shell {shells}"
    if study.alloy.sites is SiteChoice.ENVIRONMENTS:
        return f"one of each environment, told apart by the elements of their {by}"
    return f"all that symmetry does not map onto each other, named by the elements of their {by}"


def _supercell_table(key: str, alloy: Alloy) -> Table:
    follows_law = lattice_of(alloy.study) == "reference"
    rows = [_supercell_row(item, alloy.overview.campaigns.get(item.name), follows_law)
            for item in alloy.study.supercells]  # fmt: skip
    notes = ["Shares: of the sites of each mixed sublattice."]
    if any(row[_LATTICE] for row in rows):
        notes.append("Lattice: change of the lattice parameters on relaxation with the reference, from Vegard's law.")
    return Table(
        f"{key}-supercells",
        f"Supercells of {alloy.found.title}",
        (
            Column("supercell", "supercell"),
            Column("asked for", "asked"),
            Column("held", "held"),
            Column("realisation", "realisation", digits=0, numeric=True),
            Column("atoms", "atoms", digits=0, numeric=True),
            Column("volume per atom", "volume_per_atom_A3", "Å³", digits=2, numeric=True),
            Column("lattice less Vegard's law", "lattice_change_percent", "%"),
            Column("sites searched", "sites", digits=0, numeric=True),
            Column("searches", "searches"),
        ),
        tuple(rows),
        tuple(notes),
    )


def _supercell_row(item: StudiedSupercell, overview: Overview | None, follows_law: bool) -> tuple[Cell, ...]:
    asked = "; ".join(", ".join(f"{symbol} {share:g}" for symbol, share in held.asked) for held in item.occupations)
    atoms = volume = None
    changes = ""
    if overview is not None:
        atoms, volume = len(overview.bulk), overview.bulk.get_volume() / len(overview.bulk)
        changes = length_changes(overview) if follows_law else ""
    return (item.name, asked, item.composition, item.realisation, atoms, volume, changes, len(item.sites),
            _progress(item, overview))  # fmt: skip


def length_changes(overview: Overview) -> str:
    """How far lattice parameters have gone from Vegard's law, %: one number where they agree."""
    texts = dict.fromkeys(f"{round(100 * change, 1) + 0.0:+.1f}" for change in overview.host.length_changes)
    return " / ".join(texts)


def _progress(item: StudiedSupercell, overview: Overview | None) -> str:
    if overview is None:
        return "not come to its defects"
    ended = sum(one.finished for one in overview.defects.values())
    total = len(overview.defects)
    return "ended" if ended == total else f"{ended} of {total} ended"
