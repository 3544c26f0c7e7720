"""Tables of analyses made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defectscout.analysis.acceleration import Acceleration
from defectscout.analysis.lowerings import Lowerings
from defectscout.analysis.trend import Trend
from defectscout.reporting.acceleration_tables import funnel_table, time_table
from defectscout.reporting.analysis_tables import (
    bond_share_table,
    distortion_summary_table,
    distortion_table,
    element_table,
    lowering_share_table,
    lowering_table,
    map_summary_table,
    map_table,
    motif_member_table,
    motif_table,
    off_trend_table,
    path_step_table,
    path_table,
    trend_table,
)
from defectscout.reporting.table import Table, csv_text, markdown_text, records, rich_table
from reporting.landscape_cases import (
    a_distortion_plot,
    a_map,
    a_trend,
    an_acceleration,
    many_lowerings,
    some_elements,
    some_motifs,
    some_paths,
)

TABLES = {
    table.key: table
    for table in (
        trend_table(a_trend()),
        off_trend_table(a_trend()),
        bond_share_table(a_trend()),
        motif_table(some_motifs()),
        motif_member_table(some_motifs()),
        lowering_table(many_lowerings(9)),
        lowering_share_table(many_lowerings(9)),
        distortion_table([a_distortion_plot()]),
        distortion_summary_table([a_distortion_plot()]),
        map_table(a_map()),
        map_summary_table(a_map()),
        element_table(some_elements()),
        funnel_table(an_acceleration()),
        time_table(an_acceleration()),
        path_table([some_paths()]),
        path_step_table([some_paths()]),
    )
}


def column(table: Table, key: str) -> list[object]:
    return [row[key] for row in records(table)]


def test_each_has_files_of_its_own() -> None:
    assert len(TABLES) == 16
    assert all(key == key.lower() and " " not in key for key in TABLES)


@pytest.mark.parametrize("key", TABLES)
def test_each_can_be_shown_in_every_way(key: str) -> None:
    table = TABLES[key]
    assert table.rows
    keys = [item.key for item in table.columns]
    assert len(set(keys)) == len(keys)
    assert csv_text(table).splitlines()[0] == ",".join(keys)
    assert markdown_text(table).count("\n") > len(table.rows)
    assert rich_table(table).row_count == len(table.rows)
    for item in table.columns:  # who reads a file sees the unit in the key
        assert item.unit in ("", "×") or item.key.split("_")[-1] in ("eV", "percent", "h", "s", "A")


@pytest.mark.parametrize(
    "table",
    [
        trend_table(Trend((), (), None)),
        lowering_table(Lowerings((), ())),
        distortion_table([]),
        distortion_summary_table([]),
        motif_table([]),
        element_table([]),
        funnel_table(Acceleration((), (), None, None)),
        time_table(Acceleration((), (), None, None)),
        path_table([]),
    ],
)
def test_nothing_gives_an_empty_table(table: Table) -> None:
    assert table.rows == ()
    assert "Nothing to show" in markdown_text(table)


def test_the_trend_counts_who_follows_and_leaves_out_who_cannot() -> None:
    table = TABLES["bonds"]
    assert any(note.startswith("4 of 5 defects follow the trend") for note in table.notes)
    assert any("0.71" in note for note in table.notes)
    assert column(table, "anion_anion_bonds") == [1, 0, 0, 2, 1, 0, None]
    assert column(TABLES["off-trend"], "reason") == ["Cu can be oxidised", "S–S bond near the site"]
    unexplained = replace(a_trend(), rows=(replace(a_trend().rows[5], reasons=()),))
    assert column(off_trend_table(unexplained), "reason") == ["nothing known explains it"]


def test_shares_of_lowerings_are_percentages_of_what_is_known() -> None:
    found = many_lowerings(9)
    rows = records(lowering_share_table(found))
    known = [row.lowering for row in found.rows if row.lowering is not None]
    for row in rows:
        beyond = sum(-value > float(str(row["threshold_eV"])) for value in known)
        assert row["lowered_percent"] == pytest.approx(100 * beyond / len(known))
        assert row["found_by_rattling_percent"] == pytest.approx(50.0)
    nothing = replace(found.shares[0], defects=0, significant=0, judged=0, by_rattling=0)
    table = lowering_share_table(Lowerings((), (nothing,)))
    assert (column(table, "lowered_percent"), column(table, "found_by_rattling_percent")) == ([None], [None])


def test_estimates_are_marked_in_a_column_and_in_a_note() -> None:
    table = TABLES["times"]
    assert column(table, "estimated") == [False, True, True]
    assert any("ESTIMATES" in note for note in table.notes)
    result = an_acceleration()
    measured = replace(result, times=result.times[:1])
    assert not any("ESTIMATES" in note for note in time_table(measured).notes)
    assert column(table, "reference_only_h")[0] == pytest.approx(0.75)  # 2700 s


def test_searches_that_go_on_are_said_to() -> None:
    assert any("not finished" in note for note in TABLES["funnel"].notes)
    assert any("not finished" in note for note in TABLES["times"].notes)
    assert any("not finished" in note for note in TABLES["lowerings"].notes)
    done = many_lowerings(1)
    assert not any("not finished" in note for note in lowering_table(done).notes)


def test_what_could_not_be_compared_is_in_the_notes_of_the_funnel() -> None:
    result = replace(an_acceleration(), notes=("CdTe v_Cd_0: the supercell is another",))
    assert "CdTe v_Cd_0: the supercell is another." in funnel_table(result).notes
    assert any("in 1 of 1 finished searches" in note for note in funnel_table(result).notes)


def test_starts_that_led_to_the_same_stand_together() -> None:
    table = TABLES["distortion-ends"]
    own = [row for row in records(table) if row["search"] == "scouted, then reference"]
    assert [(row["minimum"], row["energy_eV"]) for row in own] == [(0, -0.72), (1, 0.0), (None, None)]
    assert own[0]["starts"] == "-50.0%, -40.0%, -30.0%, Dimer"
    assert (own[2]["starts"], own[2]["note"]) == ("60.0%", "SCF failed")
    starts = sum(str(row["starts"]).count(",") + 1 for row in records(table))
    assert starts == len(TABLES["distortions"].rows)  # none is lost


def test_distortions_are_percentages_and_missing_ones_stay_unknown() -> None:
    found = column(TABLES["distortions"], "distortion_percent")
    assert found[0] == pytest.approx(-60.0)
    assert found[13:15] == [None, None]


def test_every_step_of_every_relaxation_is_in_the_data() -> None:
    paths = some_paths().paths
    assert len(TABLES["paths"].rows) == sum(len(path.steps) for path in paths)
    assert column(TABLES["relaxations"], "merged_into")[2] == "Bond_Distortion_-40.0%"
    assert column(TABLES["relaxations"], "first_energy_eV")[1] == pytest.approx(60.0)


def test_structures_of_the_map_are_counted_by_relaxation() -> None:
    rows = records(TABLES["structure-map-counts"])
    assert len(rows) == 4
    assert all((row["relaxations"], row["structures"]) == (4, 28) for row in rows)
    again = a_map()
    points = (*again.points, *(replace(point, campaign=1) for point in again.points))
    doubled = records(map_summary_table(replace(again, points=points)))
    assert all((row["relaxations"], row["structures"]) == (8, 56) for row in doubled)
