"""Tables of what the landscapes of campaigns have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from defectscout.analysis.distortions import DistortionPlot
from defectscout.analysis.lowerings import Lowerings
from defectscout.analysis.motifs import MotifGroup
from defectscout.analysis.paths import Paths
from defectscout.analysis.structure_map import ElementCoverage, MapPoint, StructureMap
from defectscout.analysis.trend import BondKind, Trend
from defectscout.core.defect import Bond
from defectscout.reporting.table import Cell, Column, Table
from defectscout.reporting.wording import short_label

HOST: Final = Column("host", "host")
DEFECT: Final = Column("defect", "defect")
FINISHED: Final = Column("finished", "finished")
UNFINISHED_NOTE: Final = "Searches that have not finished may find lower minima yet."

_LOWERING: Final = Column("energy lowering", "lowering_eV", "eV", numeric=True, signed=True)
_RANK: Final = Column("minimum", "minimum", numeric=True)

_LOWERING_NOTE: Final = "Energy lowering: energy of the ground state less that of the relaxed Unperturbed structure."
_RANK_NOTE: Final = "Minimum: 0 is the ground state on the reference's surface, 1 the next, and so on."


def trend_table(trend: Trend) -> Table:
    """Excess charge and new bonds of each defect (paper, section II A)."""
    known = [row.follows for row in trend.rows if row.follows is not None]
    notes = ["Holes: valence electrons that are missing around the defect; negative for excess electrons."]
    if known:
        rule = "two holes or more make an anion–anion bond, fewer make none"
        notes.append(f"{sum(known)} of {len(known)} defects follow the trend: {rule}.")
    if trend.spearman is not None:
        notes.append(f"Spearman's rank correlation of holes and anion–anion bonds: {trend.spearman:.2f}.")
    return Table(
        "bonds",
        "Excess charge and the bonds that it makes",
        (
            HOST,
            DEFECT,
            count("holes", "holes_e"),
            count(f"{BondKind.ANION_ANION} bonds", "anion_anion_bonds"),
            count(f"{BondKind.CATION_CATION} bonds", "cation_cation_bonds"),
            count(f"{BondKind.MIXED} bonds", "cation_anion_bonds"),
            _LOWERING,
            Column("follows the trend", "follows_trend"),
            Column("why it may not", "reasons"),
        ),
        tuple(
            (row.host, row.defect, row.holes, row.anion_anion, row.cation_cation, row.mixed, row.lowering, row.follows,
             "; ".join(row.reasons))
            for row in trend.rows
        ),
        tuple(notes),
    )  # fmt: skip


def off_trend_table(trend: Trend) -> Table:
    """Defects that do not follow the trend, with each reason that may be why."""
    return Table(
        "off-trend",
        "Defects off the trend",
        (HOST, DEFECT, Column("why it may not follow", "reason")),
        tuple(
            (row.host, row.defect, reason)
            for row in trend.rows
            if row.follows is False
            for reason in row.reasons or ("nothing known explains it",)
        ),
    )


def bond_share_table(trend: Trend) -> Table:
    """Share of the defects with so many holes that made so many anion–anion bonds (paper, fig. 3b)."""
    return Table(
        "bond-shares",
        "Anion–anion bonds against holes",
        (
            count("holes", "holes_e"),
            count(f"{BondKind.ANION_ANION} bonds", "anion_anion_bonds"),
            count("defects", "defects"),
            _percent("of those with as many holes", "share_percent"),
        ),
        tuple((item.holes, item.bonds, item.count, 100 * item.share) for item in trend.shares),
    )


def motif_table(groups: Sequence[MotifGroup]) -> Table:
    """How often each motif occurs, and where (paper, fig. S2)."""
    return Table(
        "motif-counts",
        "Reconstruction motifs",
        (
            Column("motif", "motif"),
            count("ground states", "ground_states"),
            count("minima", "minima"),
            Column("hosts", "hosts"),
        ),
        tuple((str(item.motif), item.ground_states, len(item.members), ", ".join(item.hosts)) for item in groups),
    )


def motif_member_table(groups: Sequence[MotifGroup]) -> Table:
    """Every minimum with its motif."""
    return Table(
        "motifs",
        "Minima by motif",
        (
            Column("motif", "motif"),
            HOST,
            DEFECT,
            _RANK,
            Column("what it is", "name"),
            Column("above ground state", "relative_energy_eV", "eV", numeric=True),
            Column("against Unperturbed", "lowering_eV", "eV", numeric=True, signed=True),
            Column("point group", "point_group"),
            Column("new bonds", "new_bonds_A"),
        ),
        tuple(
            (str(group.motif), item.host, item.defect, item.rank, item.name, item.relative_energy, item.lowering,
             item.symmetry, _bonds_text(item.bonds))
            for group in groups
            for item in group.members
        ),
        (_RANK_NOTE,),
    )  # fmt: skip


def lowering_table(lowerings: Lowerings) -> Table:
    """What searching gained for each defect (paper, fig. S1)."""
    notes = [_LOWERING_NOTE, "By rattling: the same for the lowest minimum that rattled starts lead to."]
    if not all(row.finished for row in lowerings.rows):
        notes.append(UNFINISHED_NOTE)
    return Table(
        "lowerings",
        "Energy lowering of each defect",
        (
            HOST,
            DEFECT,
            count("holes", "holes_e"),
            _LOWERING,
            Column("by rattling", "by_rattling_eV", "eV", numeric=True, signed=True),
            FINISHED,
        ),
        tuple((row.host, row.defect, row.holes, row.lowering, row.rattled, row.finished) for row in lowerings.rows),
        tuple(notes),
    )


def lowering_share_table(lowerings: Lowerings) -> Table:
    """Share of defects that are lowered by more than each threshold (paper, table S1)."""
    return Table(
        "lowering-shares",
        "Defects lowered by more than a threshold",
        (
            Column("threshold", "threshold_eV", "eV", digits=2, numeric=True),
            count("defects", "defects"),
            count("lowered by more", "lowered"),
            _percent("share", "lowered_percent"),
            count("with a rattled start", "with_rattled_start"),
            count("of these found by rattling", "found_by_rattling"),
            _percent("share found", "found_by_rattling_percent"),
        ),
        tuple(
            (item.threshold, item.defects, item.significant, _share(item.significant, item.defects), item.judged,
             item.by_rattling, _share(item.by_rattling, item.judged))
            for item in lowerings.shares
        ),
        ("Found by rattling: a start that is only rattled leads to within 20 meV of the ground state.",),
    )  # fmt: skip


def distortion_table(plots: Sequence[DistortionPlot]) -> Table:
    """Where each start led (paper, figs S18 and S22)."""
    return Table(
        "distortions",
        "Energy against distortion",
        (
            HOST,
            DEFECT,
            Column("search", "search"),
            Column("start", "start"),
            Column("distortion", "distortion_percent", "%", digits=1, numeric=True, signed=True),
            Column("energy", "energy_eV", "eV", numeric=True, signed=True),
            Column("relative to", "relative_to"),
            _RANK,
            Column("relaxed from here by", "relaxed_by"),
            Column("note", "note"),
        ),
        tuple(
            (plot.host, plot.defect, series.name, point.start,
             None if point.distortion is None else 100 * point.distortion, point.energy, plot.zero, point.rank,
             None if point.rank is None else "reference" if point.direct else "surrogate, then reference", point.note)
            for plot in plots
            for series in plot.series
            for point in series.points
        ),
        (_RANK_NOTE,),
    )  # fmt: skip


def distortion_summary_table(plots: Sequence[DistortionPlot]) -> Table:
    """Where the starts led, those together that led to the same."""
    rows: list[tuple[Cell, ...]] = []
    for plot in plots:
        for series in plot.series:
            groups: dict[tuple[int | None, float | None, str], list[str]] = defaultdict(list)
            for point in series.points:
                groups[point.rank, point.energy, point.note].append(short_label(point.start))
            order = sorted(groups, key=lambda key: (key[0] is None, key[0] or 0, key[2]))
            rows += [(plot.host, plot.defect, series.name, *key[:2], ", ".join(groups[key]), key[2]) for key in order]
    zeros = dict.fromkeys(plot.zero for plot in plots)
    return Table(
        "distortion-ends",
        "Where the starts led",
        (
            HOST,
            DEFECT,
            Column("search", "search"),
            _RANK,
            Column("energy", "energy_eV", "eV", numeric=True, signed=True),
            Column("starts", "starts"),
            Column("note", "note"),
        ),
        tuple(rows),
        (f"Energies: relative to the {' or the '.join(zeros)}.", _RANK_NOTE),
    )


def path_table(items: Sequence[Paths]) -> Table:
    """Every relaxation, and what became of it."""
    return Table(
        "relaxations",
        "Relaxations",
        (
            HOST,
            DEFECT,
            Column("surface", "surface"),
            Column("stage", "stage"),
            Column("start", "start"),
            Column("state", "state"),
            _RANK,
            Column("merged into", "merged_into"),
            Column("first energy", "first_energy_eV", "eV", numeric=True),
            Column("last energy", "last_energy_eV", "eV", numeric=True),
            count("force calls", "force_calls"),
            Column("time", "time_s", "s", digits=1, numeric=True),
            Column("note", "note"),
        ),
        tuple(
            (item.host, item.defect, path.surface, path.stage, path.label, str(path.state), path.rank,
             path.merged_into, path.energies[0] if path.energies else None,
             path.energies[-1] if path.energies else None, path.calls, path.seconds, path.reason)
            for item in items
            for path in item.paths
        ),
        (_RANK_NOTE, "Energies: above the lowest end of a relaxation of the defect on the same surface."),
    )  # fmt: skip


def path_step_table(items: Sequence[Paths]) -> Table:
    """Energies of all relaxations, step by step."""
    return Table(
        "paths",
        "Relaxations step by step",
        (
            HOST,
            DEFECT,
            Column("surface", "surface"),
            Column("stage", "stage"),
            Column("start", "start"),
            _RANK,
            Column("merged into", "merged_into"),
            count("step", "step"),
            Column("energy", "energy_eV", "eV", numeric=True),
        ),
        tuple(
            (item.host, item.defect, path.surface, path.stage, path.label, path.rank, path.merged_into, step, energy)
            for item in items
            for path in item.paths
            for step, energy in zip(path.steps, path.energies, strict=True)
        ),
        (_RANK_NOTE, "Energies: above the lowest end of a relaxation of the defect on the same surface."),
    )


def map_table(structures: StructureMap) -> Table:
    """Every structure of the map."""
    return Table(
        "structure-map",
        "Map of structures",
        (
            HOST,
            DEFECT,
            Column("start", "start"),
            Column("stage", "stage"),
            count("step", "step"),
            Column("end", "end"),
            Column("energy", "energy_eV", "eV", numeric=True),
            *(Column(f"PCA {number}", f"pca_{number}", numeric=True) for number in (1, 2)),
            *(Column(f"t-SNE {number}", f"tsne_{number}", numeric=True) for number in (1, 2)),
            count("campaign", "campaign"),
        ),
        tuple(
            (point.host, point.defect, point.label, point.stage, point.step, point.last, point.energy, *point.pca,
             *point.tsne, point.campaign)
            for point in structures.points
        ),
        _map_notes(structures),
    )  # fmt: skip


def map_summary_table(structures: StructureMap) -> Table:
    """How many structures of each defect and stage are on the map."""
    groups: dict[tuple[str, str, str], list[MapPoint]] = defaultdict(list)
    for point in structures.points:
        groups[point.host, point.defect, point.stage].append(point)
    return Table(
        "structure-map-counts",
        "Structures on the map",
        (
            HOST,
            DEFECT,
            Column("stage", "stage"),
            count("relaxations", "relaxations"),
            count("structures", "structures"),
        ),
        tuple(
            (*key, len({(point.campaign, point.label) for point in points}), len(points))
            for key, points in groups.items()
        ),
        _map_notes(structures),
    )  # fmt: skip


def element_table(coverage: Sequence[ElementCoverage]) -> Table:
    """How often each element occurs (paper, fig. 2b)."""
    return Table(
        "elements",
        "Element coverage",
        (
            Column("element", "element"),
            count("hosts", "hosts"),
            count("defects", "defects"),
            count("configurations", "configurations"),
        ),
        tuple((item.symbol, item.hosts, item.defects, item.configurations) for item in coverage),
        ("Configurations: structures that the reference has evaluated and that hold the element.",),
    )


def _bonds_text(bonds: Sequence[Bond]) -> str:
    return ", ".join(str(bond) for bond in bonds)


def _map_notes(structures: StructureMap) -> tuple[str, ...]:
    first, second = (100 * share for share in structures.explained)
    return (
        f"Features: {structures.features}.",
        f"The first two principal components hold {first:.0f} and {second:.0f} % of the variance.",
        "Energies: above the lowest structure of the same defect on the same surface.",
    )


def count(name: str, key: str) -> Column:
    """A column of whole numbers."""
    return Column(name, key, digits=0, numeric=True)


def _percent(name: str, key: str) -> Column:
    return Column(name, key, "%", digits=1, numeric=True)


def _share(part: int, whole: int) -> Cell:
    return 100 * part / whole if whole else None
