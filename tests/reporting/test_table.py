"""One table, shown in every way."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from defectscout.reporting.table import (
    UNKNOWN,
    Column,
    Table,
    csv_text,
    known,
    least_width,
    markdown_text,
    records,
    rich_table,
    without,
)

ENERGY = Column("energy", "energy_eV", "eV", digits=2, numeric=True, signed=True)
NAME = Column("name", "name")


def table(*rows: tuple[str | None, float | None]) -> Table:
    return Table("energies", "Energies", (NAME, ENERGY), rows, ("A note.",))


def printed(shown: Table, width: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(rich_table(shown))
    return text.getvalue()


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (True, "yes"),
        (False, "no"),
        (1.005, "+1.00"),
        (-0.001, "0.00"),  # no minus before nothing
        (-1.5, "-1.50"),
        (3, "+3"),
        (0, "0"),
        ("Te–Te", "Te–Te"),
    ],
)
def test_what_a_reader_sees_of_a_cell(cell: str | float | bool | None, text: str) -> None:
    assert ENERGY.text(cell) == text


def test_the_unit_stands_beside_the_name() -> None:
    assert (ENERGY.heading, NAME.heading) == ("energy / eV", "name")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_files_keep_every_digit(value: float) -> None:
    shown = table(("a", value))
    rows = list(csv.DictReader(io.StringIO(csv_text(shown))))
    assert float(rows[0]["energy_eV"]) == value
    assert records(shown)[0]["energy_eV"] == value


def test_files_hold_nothing_where_nothing_is_known() -> None:
    shown = table(("a", None), ("b", float("nan")), ("c", float("inf")), ("d, e", 1.0))
    assert csv_text(shown) == 'name,energy_eV\na,\nb,\nc,\n"d, e",1.0\n'
    assert json.loads(json.dumps(records(shown), allow_nan=False))[1] == {"name": "b", "energy_eV": None}


def test_markdown_aligns_numbers_and_keeps_bars_out_of_cells() -> None:
    text = markdown_text(table(("a|b\nc", -0.5)))
    assert text.splitlines() == ["| name | energy / eV |", "| :--- | ---: |", "| a\\|b c | -0.50 |", "", "A note."]
    assert markdown_text(table()).startswith("*Nothing to show.*")


def test_columns_can_be_left_out() -> None:
    assert without(table(("a", 1.0)), "name").rows == ((1.0,),)
    assert known(table(("a", None), ("b", float("nan")))).columns == (NAME,)
    assert known(table(("", None), ("b", 0.0))).columns == (NAME, ENERGY)
    assert known(table()).columns == (NAME, ENERGY)


def test_at_its_least_width_no_word_is_broken_and_no_column_lost() -> None:
    columns = tuple(Column(f"a rather long heading {number}", f"k{number}") for number in range(8))
    shown = Table("wide", "Wide", columns, (("reconstruction",) * 8,))
    text = printed(shown, least_width(shown))
    assert text.count("reconstruction") == 8
    assert all(f"{number}" in text for number in range(8))
    assert all(len(line) <= least_width(shown) for line in text.splitlines())
    assert "[/b]" in printed(table(("[/b]", 1.0)), 80)  # brackets are no markup
