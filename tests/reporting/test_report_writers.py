"""Reports as Markdown, JSON and PDF."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import MissingExtraError, SettingsError
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.report.document import Model, Plot, Report
from defectscout.reporting.report.drawings import draw
from defectscout.reporting.report.markdown import markdown_report
from defectscout.reporting.report.pdf import pdf_report
from defectscout.reporting.report.pictures import direction, pictures
from defectscout.reporting.report.plain import json_report
from defectscout.reporting.report.write import write_report
from defectscout.reporting.table import Column, Table
from reporting.report_samples import HOSTILE, half_finished, one_defect, vacancy_models, with_failures

NOTHING = Table("nothing", "Nothing", (Column("x", "x"),), ())


def hostile() -> Report:
    """A report whose texts mean something to Markdown, to XML and to reportlab."""
    report = one_defect()
    section = report.sections[0]
    text = f"{HOSTILE} | *a* _b_ `c` <b>&amp;"
    marked = replace(section, title=text, lines=(text,), reasons=(text,), answer=replace(section.answer, sentence=text))
    return replace(report, title=text, sections=(marked,), settings=(("a`b", "x = '```'\n# |"),))


def outside_of_code(markdown: str) -> str:
    return re.sub(r"^(`{3,})[^`]*\n.*?^\1$", "", markdown, flags=re.M | re.S)


def test_markdown_says_all_that_the_report_says() -> None:
    report = with_failures()
    text = markdown_report(report)
    plain = text.replace("\\", "")
    for section in report.sections:
        assert f"## {section.title}" in plain
        assert section.answer.sentence in plain
        for line in (*section.lines, *section.reasons):
            assert f"- {line}" in plain
        for row in (*section.set_aside.rows, *section.minima.rows):
            assert str(row[1]) in plain
        for model in section.models:
            assert model.key in plain
    for sentence in (*report.costs, *report.methods):
        assert sentence in plain
    for item in report.citations:
        assert item.bibtex in text
    assert report.settings[0][1].rstrip() in text


def test_markdown_has_one_title_and_tables_of_even_width() -> None:
    text = outside_of_code(markdown_report(one_defect()))
    assert len(re.findall(r"^# ", text, flags=re.M)) == 1
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(blocks) > 4
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1


def test_markdown_takes_no_text_for_markup() -> None:
    text = markdown_report(hostile())
    assert HOSTILE not in outside_of_code(text)
    assert "\\*a\\* \\_b\\_ \\`c\\`" in text
    assert "````toml\nx = '```'\n# |\n````" in text


def test_an_unfinished_report_is_marked_in_markdown() -> None:
    report = half_finished()
    text = markdown_report(report).replace("\\", "")
    assert f"**{report.status}**" in text
    open_ones = [answer for answer in report.answers if not answer.finished]
    assert open_ones
    assert all(f"**{answer.sentence}**" in text for answer in open_ones)


def test_json_holds_structures_as_they_are() -> None:
    report = one_defect()
    content = json.loads(json_report(report))
    model = report.sections[0].models[1]
    stored = content["sections"][0]["structures"][1]
    assert stored["key"] == model.key
    assert stored["positions_A"] == model.atoms.positions.tolist()
    assert stored["cell_A"] == model.atoms.cell.array.tolist()
    assert stored["symbols"] == model.atoms.get_chemical_symbols()
    assert stored["new_bonds"][0]["atoms"] == list(model.new_bonds[0].atoms)
    assert stored["displacements_A"] == model.displacements.tolist()
    assert content["format"] == 1
    assert content["finished"] is True


def test_json_holds_tables_and_figures_and_no_nan() -> None:
    report = one_defect()
    rows = ((1.5, "a"), (math.nan, None))
    table = Table("numbers", "Numbers", (Column("E", "E_eV", "eV"), Column("s", "s")), rows)
    plot = Plot("p", "P", "", ({"type": "scatter", "x": [1], "y": [np.float64("nan")]},), {}, table)
    text = json_report(replace(report, plots=(plot,), tables=(table,)))
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["tables"][0]["rows"] == [{"E_eV": 1.5, "s": "a"}, {"E_eV": None, "s": None}]
    assert content["plots"][0]["data"][0]["y"] == [None]


def test_json_leaves_out_nothing() -> None:
    report = with_failures()
    content = json.loads(json_report(report))
    assert set(content) == {*Report.__slots__, "format"}
    assert [item["key"] for item in content["sections"]] == [section.key for section in report.sections]
    assert [len(item["plots"]) for item in content["sections"]] == [len(section.plots) for section in report.sections]


def test_the_pdf_has_a_page_for_each_defect_bookmarks_and_its_fonts() -> None:
    report = with_failures()
    content = pdf_report(report)
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) >= len(report.sections) + 2
    assert b"/Outlines" in content
    assert len(re.findall(rb"/Title", content)) >= len(report.sections) + 5
    assert b"DejaVuSans" in content


def test_the_same_report_gives_the_same_pdf() -> None:
    assert pdf_report(one_defect()) == pdf_report(one_defect())


def test_no_text_breaks_the_pdf() -> None:
    assert pdf_report(hostile()).startswith(b"%PDF-")
    empty = replace(one_defect(), sections=(), answers=(), plots=(), tables=(), citations=(), methods=())
    assert pdf_report(empty).startswith(b"%PDF-")


def test_the_pdf_needs_reportlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reportlab", None)
    with pytest.raises(MissingExtraError, match="reportlab"):
        pdf_report(one_defect())


def turned(model: Model, rotation: np.ndarray) -> Model:
    atoms = model.atoms.copy()
    atoms.set_cell(atoms.cell.array @ rotation.T)
    atoms.set_positions(atoms.positions @ rotation.T)
    return replace(model, atoms=atoms, site=model.site @ rotation.T)


def test_new_bonds_lie_in_the_paper() -> None:
    models = vacancy_models("key")[:2]
    bond = models[1].new_bonds[0]
    vector = models[1].atoms.get_distance(*bond.atoms, mic=True, vector=True)
    view = direction(models)
    assert view @ view.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(view) == pytest.approx(1.0)
    assert np.linalg.norm((view @ vector)[:2]) > 0.95 * bond.length


def test_the_direction_turns_with_the_structures() -> None:
    models = vacancy_models("key")[:2]
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    bond = models[1].new_bonds[0]
    seen = []
    for shown in (models, tuple(turned(model, rotation) for model in models)):
        vector = shown[1].atoms.get_distance(*bond.atoms, mic=True, vector=True)
        seen.append(np.abs((direction(shown) @ vector)[2]))
    assert seen[0] == pytest.approx(seen[1], abs=0.15)


def pixels(png: bytes) -> np.ndarray:
    import io

    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(png)))[..., :3]


def test_pictures_show_new_bonds_only_where_there_are_some() -> None:
    models = vacancy_models("key")[:2]
    blue = np.array([0x00, 0x72, 0xB2]) / 255

    def strong(shown: tuple[Model, ...]) -> int:
        return int((np.abs(pixels(pictures(shown, 1, 3.0)) - blue).max(axis=2) < 0.02).sum())

    assert strong(models[1:]) > 100
    assert strong((replace(models[1], new_bonds=()),)) == 0


def test_a_drawing_holds_the_traces_of_its_figure() -> None:
    data = (
        {"type": "scatter", "mode": "lines+markers", "name": "a", "x": [0, 1, 2], "y": [1.0, None, 3.0],
         "line": {"dash": "dash"}, "marker": {"symbol": ["circle", "square-open", "circle"]}},
        {"type": "scatter", "mode": "markers", "name": "b", "x": [0, 1], "y": [2.0, 2.5], "marker": {"size": [4, 9]}},
    )  # fmt: skip
    plot = Plot("p", "P", "", data, {"yaxis": {"title": {"text": "E / eV"}, "range": [-1, 5]}}, NOTHING)
    with new_figure(3, 3, 1, 1) as (_, axes):
        draw(axes[0, 0], plot)
        assert axes[0, 0].get_ylim() == (-1, 5)
        assert axes[0, 0].get_ylabel() == "E / eV"
        (line,) = axes[0, 0].lines
        assert line.get_ydata()[[0, 2]].tolist() == [1.0, 3.0]
        assert sum(len(dots.get_offsets()) for dots in axes[0, 0].collections) == 5
        assert [text.get_text() for text in axes[0, 0].get_legend().texts] == ["a", "b"]


@pytest.mark.parametrize(("mode", "tops"), [("stack", [1.0, 2.0, 4.0, 6.0]), ("group", [1.0, 2.0, 3.0, 4.0])])
def test_bars_stand_beside_or_on_each_other(mode: str, tops: list[float]) -> None:
    data = tuple(
        {"type": "bar", "name": name, "x": ["v_Cd_0", "v_Te_0"], "y": values,
         "marker": {"color": "#0072B2", "pattern": {"shape": ["", "/"]}}}
        for name, values in (("a", [1.0, 2.0]), ("b", [3.0, 4.0]))
    )  # fmt: skip
    with new_figure(3, 3, 1, 1) as (_, axes):
        draw(axes[0, 0], Plot("p", "P", "", data, {"barmode": mode}, NOTHING))
        bars = axes[0, 0].patches
        assert [bar.get_y() + bar.get_height() for bar in bars] == tops
        assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False, True]
        assert [text.get_text() for text in axes[0, 0].get_xticklabels()] == ["v_Cd_0", "v_Te_0"]
        centres = sorted({round(bar.get_x() + bar.get_width() / 2, 6) for bar in bars})
        assert len(centres) == (2 if mode == "stack" else 4)


@pytest.mark.parametrize("kind", ["html", "md", "pdf", "json"])
def test_a_file_is_written_whole(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"report.{kind}"
    size = write_report(one_defect(), kind, path)  # type: ignore[arg-type]
    assert path.stat().st_size == size > 1000
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="Cannot write"):
        write_report(one_defect(), "md", tmp_path / "file" / "report.md")
