"""The HTML report as a file: its parts, what can't escape into it, and its size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from defectscout.reporting.report.document import Report
from defectscout.reporting.report.html import LIBRARIES, html_report
from defectscout.reporting.report.html_text import defect_markup, formula_markup, minus_signs, typesetter
from defectscout.reporting.report.models_json import script_json, section_models, shown_first
from reporting import report_samples as samples


class Page(HTMLParser):
    """Elements with their attributes, scripts with their text, headings in order, and all ids."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text: list[str] = []
        self._script: dict[str, str] | None = None
        self._raw = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.elements.append((tag, known))
        if tag in ("script", "style"):
            self._script, self._raw = known, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._script is not None:
            self.scripts.append((self._script, self._raw))
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text.append(data)
        else:
            self._raw += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def data(self) -> list[str]:
        return [text for attributes, text in self.scripts if attributes.get("type") == "application/json"]

    def programs(self) -> list[str]:
        return [text for attributes, text in self.scripts if "type" not in attributes]


@pytest.fixture(scope="module")
def three() -> str:
    return html_report(samples.three_defects())


def test_says_everything_in_order(three: str) -> None:
    page = Page(three)
    ids = [
        attributes["id"] for tag, attributes in page.elements if tag in ("section", "details") and "id" in attributes
    ]
    keys = [section.key for section in samples.three_defects().sections]
    assert ids == ["answers", "costs", "defects", *keys, "figures", "tables", "methods", "citations", "provenance"]
    text = " ".join(page.text)
    for part in (
        "412 reference force calls",
        "All 3 searches have ended.",
        "Distinct minima were relaxed",
        "rattle = 0.15",
    ):
        assert part in text


def test_ids_are_unique_and_links_inside_lead_somewhere(three: str) -> None:
    page = Page(three)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"][1:] for link in page.of("a") if link["href"].startswith("#")}
    assert targets <= set(ids)
    assert {section.key for section in samples.three_defects().sections} <= targets
    named = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert named <= set(ids)


def test_headings_skip_no_level(three: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(three).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_refers_to_nothing_outside_but_dois(three: str) -> None:
    page = Page(three)
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href", "formaction")
    ]
    outside = [value for value in references if not value.startswith(("#", "data:"))]
    assert outside == ["https://doi.org/10.1038/s41524-024-01303-9"]
    style = re.search(r"<style>(.*?)</style>", three, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    program = page.programs()[-1]
    assert "http:" not in program
    assert "https:" not in program


def test_policy_names_each_program_and_allows_no_other(three: str) -> None:
    page = Page(three)
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'none'"
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.programs()]
    assert rules["script-src"].split() == [f"'sha256-{value}'" for value in hashes]
    assert len(hashes) == len(LIBRARIES) + 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_holds_the_licences_of_what_it_brings(three: str) -> None:
    text = " ".join(Page(three).text)
    assert "University of Pittsburgh" in text
    assert "Plotly Technologies" in text or "Plotly, Inc" in text


def test_asks_for_progress_only_where_it_is_served() -> None:
    report = samples.half_finished()
    still, live = html_report(report), html_report(report, live="/progress?a=1&b=2")
    assert "fetch(" not in Page(still).programs()[-1]
    assert "data-live" not in still
    assert ".live" not in still
    page = Page(live)
    assert "fetch(" in page.programs()[-1]
    assert next(one["data-live"] for one in page.of("div") if "data-live" in one) == "/progress?a=1&b=2"
    policies = [one["content"] for one in page.of("meta") if "http-equiv" in one]
    assert len(policies) == 1
    assert "connect-src 'self'" in policies[0]


def test_names_that_look_like_markup_are_text() -> None:
    html = html_report(samples.with_failures())
    page = Page(html)
    assert samples.HOSTILE not in html
    assert samples.HOSTILE in "".join(page.text)
    assert len(page.programs()) == len(LIBRARIES) + 1
    assert json.loads(page.data()[-1])["answers"][1]["defect"] == samples.HOSTILE
    for text in page.data():
        assert "<" not in text
        json.loads(text)


def test_settings_that_end_their_element_are_text() -> None:
    report = replace(samples.one_defect(), settings=(("</details>", "</pre><script>x</script>"),))
    assert "</pre><script>x" not in html_report(report)


def test_unfinished_is_unmistakable() -> None:
    report = samples.half_finished()
    page = Page(html_report(report))
    text = "".join(page.text)
    assert "Not finished: " + report.title in text
    assert "Not finished." in text
    assert text.count("not finished") == 2  # in the answers and at the section
    assert "waits for 3 reference relaxations" in text
    done = "".join(Page(html_report(samples.one_defect())).text)
    assert "Not finished" not in done
    assert "not finished" not in done


def test_sections_are_open_when_there_are_few() -> None:
    def opened(report: Report) -> list[bool]:
        return ["open" in one for one in Page(html_report(report)).of("details") if one.get("class") == "one"]

    assert opened(samples.many_defects(10, minima=0)) == [True] * 10
    many = samples.many_defects(11, minima=0)
    assert opened(many) == [False] * 11
    html = html_report(many)
    assert "data-filter" in html
    assert "<input" not in html_report(samples.many_defects(10, minima=0))


def test_structures_survive_to_eight_decimals() -> None:
    section = samples.section("CdTe", "v_Cd_0")
    data = json.loads(script_json(section_models(section)))
    assert data["compositions"] == [data["compositions"][0]]
    for given, model in zip(section.models, data["models"], strict=True):
        symbols = [name for name, count in data["compositions"][model["composition"]] for _ in range(count)]
        assert symbols == given.atoms.get_chemical_symbols()
        positions = np.array(model["positions"]).reshape(-1, 3)
        np.testing.assert_allclose(positions, given.atoms.positions, rtol=0, atol=5.1e-9)
        np.testing.assert_allclose(np.array(model["cell"]).reshape(3, 3), given.atoms.cell.array, atol=5.1e-9)
        np.testing.assert_allclose(model["displacements"], given.displacements, rtol=0, atol=5.1e-5)
    assert data["models"][1]["bonds"][0][:2] == list(section.models[1].new_bonds[0].atoms)


def test_displacement_that_is_not_known_is_null() -> None:
    section = samples.with_failures().sections[0]
    assert section_models(section)["models"][1]["displacements"][-1] is None


def test_views_open_with_the_ground_state_beside_the_unperturbed_structure() -> None:
    section = samples.section("CdTe", "v_Cd_0")
    assert shown_first(section) == (0, 1)
    relaxed = replace(section.models[0], key="CdTe-v_Cd_0-unperturbed-relaxed")
    assert shown_first(replace(section, models=(section.models[0], relaxed, *section.models[1:]))) == (0, 2)
    assert shown_first(replace(section, models=(section.models[0], relaxed))) == (0, 1)
    assert shown_first(replace(section, models=section.models[:1])) == (0,)
    assert shown_first(replace(section, models=())) == ()


def test_fifty_defects_stay_under_15_megabytes() -> None:
    report = samples.many_defects(50, sizes=(4, 4, 5), minima=5)
    assert {len(model.atoms) for section in report.sections for model in section.models} == {159}
    assert len(report.sections[0].models) == 6
    assert len(html_report(report).encode()) < 15e6


def test_no_defects_and_no_extras_make_a_page() -> None:
    report = replace(
        samples.one_defect(),
        answers=(),
        sections=(),
        plots=(),
        tables=(),
        costs=(),
        methods=(),
        citations=(),
        settings=(),
    )
    assert "No defects." in "".join(Page(html_report(report)).text)


@pytest.mark.parametrize(
    ("label", "base", "below", "above"),
    [
        ("v_Cd_0", "V", "Cd", "0"),
        ("v_Cd_-2", "V", "Cd", "−2"),
        ("Te_Cd_+1", "Te", "Cd", "+1"),
        ("Cd_i_Td_Te2.83_+2", "Cd", "i,Td,Te2.83", "+2"),
    ],
)
def test_defect_names_are_typeset(label: str, base: str, below: str, above: str) -> None:
    markup = str(defect_markup(label))
    assert f">{base}<span" in markup
    assert f"<sub>{below}</sub><sup>{above}</sup>" in markup
    assert f'<span class="plain">{label}</span>' in markup


def test_other_names_stand_as_they_are() -> None:
    assert str(defect_markup("a & b")) == "a &amp; b"
    assert str(formula_markup("CdTe-learn-0")) == "CdTe-learn-0"
    assert str(formula_markup("Cd0.5Zn0.5Te")) == "Cd<sub>0.5</sub>Zn<sub>0.5</sub>Te"


def test_minus_signs_are_for_numbers_only() -> None:
    assert minus_signs("-0.76 eV, (-1), v_Cd_-2, Bond_Distortion_-60.0%, 3-5, GFN1-xTB") == (
        "−0.76 eV, (−1), v_Cd_-2, Bond_Distortion_-60.0%, 3-5, GFN1-xTB"
    )


def test_prose_typesets_whole_names_only() -> None:
    names = typesetter(["v_Cd_0", "v_Cd_0_more_0"], ["GaCuS2"])
    text = str(names.prose("v_Cd_0 in GaCuS2, not CdTe-v_Cd_0 & xv_Cd_0"))
    assert text.count('class="defect"') == 1
    assert "GaCuS<sub>2</sub>" in text
    assert text.endswith("not CdTe-v_Cd_0 &amp; xv_Cd_0")
