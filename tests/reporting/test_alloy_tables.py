"""Tables of alloys made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defectscout.analysis.alloys import AlloyAnalysis, Verdict
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.table import Table, csv_text, markdown_text, records, rich_table
from reporting.alloy_cases import a_quinary_alloy, an_alloy

TABLES = {
    f"{name} {table.key}": table
    for name, found in (("ternary", an_alloy()), ("quinary", a_quinary_alloy()))
    for table in (site_table(found), environment_table(found), comparison_table(found))
}


def column(table: Table, key: str) -> list[object]:
    return [row[key] for row in records(table)]


@pytest.mark.parametrize("name", TABLES)
def test_each_can_be_shown_in_every_way(name: str) -> None:
    table = TABLES[name]
    assert table.rows
    keys = [item.key for item in table.columns]
    assert len(set(keys)) == len(keys)
    assert csv_text(table).splitlines()[0] == ",".join(keys)
    assert markdown_text(table).count("\n") > len(table.rows)
    assert rich_table(table).row_count == len(table.rows)
    for item in table.columns:
        assert item.unit == "" or item.key.split("_")[-1] in ("eV", "percent")


def test_nothing_gives_empty_tables_without_notes() -> None:
    nothing = AlloyAnalysis("Cd(Te,Se)", (), (), ())
    for table in (site_table(nothing), environment_table(nothing), comparison_table(nothing)):
        assert (table.rows, table.notes) == ((), ())


def test_one_share_is_a_number_and_several_are_words() -> None:
    assert column(TABLES["ternary alloy-sites"], "x")[:4] == [0.2, 0.2, 0.2, 0.5]
    assert TABLES["ternary alloy-sites"].columns[0].heading == "x (Se)"
    assert str(column(TABLES["quinary alloy-sites"], "composition")[0]).startswith("Cd 0.750, Zn 0.250; Te")


def test_sites_say_what_is_known_of_them() -> None:
    rows = records(TABLES["ternary alloy-sites"])
    assert len(rows) == 11
    assert (rows[2]["defect"], rows[2]["environment"], rows[2]["new_bonds"]) == (
        "v_Cd_Te2Se2_0",
        "Te2Se2",
        "2 Te–Te + Se–Te",
    )
    assert rows[2]["share_percent"] == pytest.approx(25.0)
    assert (rows[7]["relative_energy_eV"], rows[7]["less_pristine_eV"], rows[7]["lowering_eV"]) == (None, None, None)
    assert "Searches that have not finished may find lower minima yet." in TABLES["ternary alloy-sites"].notes


def test_without_a_surrogate_it_has_no_minima() -> None:
    found = an_alloy()
    alone = replace(found, sites=tuple(replace(site, surrogate_minima=0) for site in found.sites))
    assert set(column(site_table(alone), "surrogate_minima")) == {None}


def test_environments_have_their_bonds_counted_and_their_spread() -> None:
    row = records(TABLES["ternary alloy-environments"])[2]
    assert (row["ground_states"], row["new_bonds"]) == (3, "Se–Te (2), 2 Te–Te + Se–Te (1)")
    assert row["lowest_relative_energy_eV"] == 0.21
    assert row["mean_relative_energy_eV"] == pytest.approx(1.1 / 3)
    assert row["spread_eV"] == pytest.approx(0.26)


def test_energies_without_a_common_zero_and_charges_are_warned_of() -> None:
    plain, quinary = TABLES["ternary alloy-sites"].notes, TABLES["quinary alloy-sites"].notes
    assert not any("band edges" in note or "of their own" in note for note in plain)
    assert any("band edges" in note for note in quinary)
    assert any("relative to the lowest in the same supercell" in note for note in quinary)


# Table S15


def test_lines_are_those_of_table_s15() -> None:
    table = TABLES["ternary alloy-comparison"]
    first, second = records(table)[:2]
    assert (first["x"], first["environment"], first["coarse_minima"], first["fine_surrogate_minima"]) == (
        0.2, "Te3Se", 3, 9
    )  # fmt: skip
    assert (first["fine_minima"], first["fine_less_coarse_eV"], first["verdict"]) == (5, -0.4, "lower")
    assert first["reconstruction"] == "Se–Se → Se–Te"
    assert second["reconstruction"] == "Td → 2 Te–Te + Se–Te"
    assert column(table, "verdict") == ["lower", "lower", "same", "level", "open", "open", "missed"]


def test_notes_sum_up_only_what_was_judged() -> None:
    notes = TABLES["ternary alloy-comparison"].notes
    assert (
        "The fine search finds a lower ground state at 2 of 5 sites (40%), by 0.30 eV on average over those." in notes
    )
    assert "It misses the coarse search's ground state at 1 of 5 sites." in notes
    assert any(note.startswith("At 1 site the two ground states are level") for note in notes)
    assert any(note.startswith("At 2 sites one of the searches has not ended") for note in notes)


def test_a_search_that_is_no_finer_is_named() -> None:
    found = an_alloy()
    first = found.comparisons[0]
    same = replace(first, coarse=replace(first.coarse, sampling=first.fine.sampling))
    notes = comparison_table(replace(found, comparisons=(same, *found.comparisons[1:]))).notes
    assert "At 1 site the fine search has no more structures than the coarse one." in notes
    assert not any("no more structures" in note for note in comparison_table(found).notes)


def test_no_mean_is_given_where_nothing_is_lower() -> None:
    found = an_alloy()
    same = tuple(item for item in found.comparisons if item.verdict is Verdict.SAME)
    notes = comparison_table(replace(found, comparisons=same)).notes
    assert "The fine search finds a lower ground state at 0 of 1 site (0%)." in notes
    waiting = tuple(item for item in found.comparisons if item.verdict is Verdict.OPEN)
    assert not any("lower ground state" in note for note in comparison_table(replace(found, comparisons=waiting)).notes)
