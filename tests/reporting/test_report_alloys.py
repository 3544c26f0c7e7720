"""Reports of studies of alloys, put together by hand: what is said of the alloy, and which searches are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.alloy_overviews import a_study, a_vacancy, alloy_crystal, only, paired, searched
from defectscout.analysis.alloys import analyse_alloy
from defectscout.core.defect import SamplingStructure
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.references.base import ReferenceInfo
from defectscout.reporting.report.alloys import Alloy, compact
from defectscout.reporting.report.build import build_report
from defectscout.reporting.report.citations import citations
from defectscout.reporting.report.document import Plot, Report
from defectscout.reporting.report.html import html_report
from defectscout.reporting.report.markdown import markdown_report
from defectscout.reporting.report.methods import methods
from defectscout.reporting.report.names import campaign_names
from defectscout.reporting.report.pdf import pdf_report
from defectscout.reporting.report.plain import json_report
from defectscout.reporting.table import Column, Table
from defectscout.sampling.pairs import pair_distortions
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.settings import merge
from reporting.alloy_reports import the_study, without


@pytest.fixture(scope="module")
def fine() -> AlloyOverview:
    """Two compositions, two realisations of each."""
    return the_study("scout", (8, 16), 2, depth=-1.2)


@pytest.fixture(scope="module")
def coarse() -> AlloyOverview:
    """The same supercells, the dimers less deep: the fine search is lower everywhere."""
    return the_study("reference-only", (8, 16), 2, folder="coarse", calls=400)


@pytest.fixture(scope="module")
def report(fine: AlloyOverview, coarse: AlloyOverview) -> Report:
    return build_report((), (), (fine,), (coarse,))


def changed(study: AlloyOverview, **values: object) -> AlloyOverview:
    """The study with other settings of the alloy."""
    alloy = study.study.alloy.model_copy(update=values)
    return replace(study, study=replace(study.study, alloy=alloy))


def column(table: Table, key: str) -> list[object]:
    (place,) = [number for number, one in enumerate(table.columns) if one.key == key]
    return [row[place] for row in table.rows]


def said(study: AlloyOverview) -> str:
    return " ".join(methods(list(study.campaigns.values()), [Alloy(study, analyse_alloy(study))]))


def test_every_site_of_every_supercell_has_its_answer_and_section(report: Report, fine: AlloyOverview) -> None:
    sites = sum(len(campaign.defects) for campaign in fine.campaigns.values())
    assert len(report.answers) == len(report.sections) == sites
    assert len({section.key for section in report.sections}) == sites
    hosts = {answer.host for answer in report.answers}
    assert hosts == {f"Cd32Te{te}Se{32 - te} (realisation {number})" for te in (24, 16) for number in (1, 2)}
    assert report.title == "v_Cd_0 in Cd(Te,Se): structures and energies"
    assert report.finished


def test_hosts_of_one_formula_are_told_apart_by_realisation_then_by_study(fine: AlloyOverview) -> None:
    single = the_study("scout", (8, 16))
    campaigns = list(single.campaigns.values())
    assert campaign_names(campaigns, [single]) == ("Cd32Te24Se8", "Cd32Te16Se16")
    other = the_study("scout", (8,), folder="again")
    both = [*single.campaigns.values(), *other.campaigns.values()]
    names = campaign_names(both, [single, other])
    assert [name.partition(" ")[2] for name in names] == ["(fine)", "", "(again)"]
    several = [*fine.campaigns.values(), *other.campaigns.values()]
    assert "(fine, realisation 2)" in campaign_names(several, [fine, other])[1]
    assert campaign_names(both)[0].endswith("(fine/Cd32Te24Se8-1)")


def test_each_search_is_compared_with_its_own_realisation(report: Report, fine: AlloyOverview) -> None:
    """Realisations of one composition have one formula, one cell, and defects of one name."""
    assert [answer.saved for answer in report.answers] == pytest.approx([1 - 60 / 400] * len(report.answers))
    deep = the_study("reference-only", (8,), 2, folder="deep", depth=-9.0)
    first, second = deep.campaigns.values()
    searches = [overview for overview in fine.campaigns.values() if overview.formula == first.formula]
    told = build_report(searches, (first,))
    saved = {answer.host: answer.saved for answer in told.answers}
    missed = [answer for answer in told.answers if "not the ground state" in answer.sentence]
    assert {answer.host for answer in missed} == {next(host for host in saved if host.endswith("-1)"))}
    assert len(missed) == len(first.defects)
    both = build_report(searches, (first, second))
    assert all("not the ground state" in answer.sentence for answer in both.answers)


def test_realisations_are_no_searches_of_one_defect() -> None:
    """A lower minimum in one is none of the other."""
    bulks = [alloy_crystal(16, seed) for seed in (1, 2)]
    sites = [a_vacancy(bulk, "Te3Se") for bulk in bulks]
    items = [
        searched(site, [(paired(site, "Te-Te"), energy, ("Dimer",)), (site.atoms, 0.0, ("Unperturbed",))])
        for site, energy in zip(sites, (-1.0, -3.0), strict=True)
    ]
    study = a_study([(1, [items[0]]), (2, [items[1]])])
    told = build_report((), (), (study,))
    assert all(answer.sentence.startswith("Ground state") for answer in told.answers)
    assert {answer.lowering for answer in told.answers} == {-1.0, -3.0}
    (plot,) = [plot for plot in told.plots if plot.key == "lowerings"]
    assert len(set(plot.data[0]["x"])) == 2


def test_only_another_realisation_is_left_out_without_a_word(fine: AlloyOverview, coarse: AlloyOverview) -> None:
    """Lattices of realisations differ, too; another reference is a reason that must be told."""
    first, second = list(fine.campaigns.values())[:2]
    baseline = next(iter(coarse.campaigns.values()))
    assert not build_report((first, second), (baseline,)).notes
    other = replace(second, settings=merge(second.settings, {"reference": {"name": "gfn2-xtb"}}, "test"))
    assert not build_report((first, other), (baseline,)).notes
    copy = replace(first, folder=Path("copy"), settings=other.settings)
    (note,) = build_report((first, copy), (baseline,)).notes
    assert "the reference here is gfn2-xtb" in note
    (note,) = build_report((second,), (baseline,)).notes
    assert "the elements are arranged otherwise" in note


def test_two_reference_only_searches_of_one_supercell_are_refused(fine: AlloyOverview, coarse: AlloyOverview) -> None:
    first = next(iter(coarse.campaigns.values()))
    with pytest.raises(SettingsError, match="Give one for each"):
        build_report((), (replace(first, folder=Path("other")),), (fine,), (coarse,))


def test_a_coarse_study_that_fits_nothing_is_not_dropped_in_silence(fine: AlloyOverview) -> None:
    elsewhere = the_study("reference-only", (3,), folder="elsewhere")
    scouted = the_study("scout", (8,), folder="scouted")
    told = build_report((), (), (fine,), (elsewhere, scouted))
    assert "elsewhere is not compared with: it has none of the supercells that are shown here." in told.notes
    assert "scouted is not compared with: it is no reference-only search." in told.notes
    assert "alloy-comparison" not in json_report(told)
    alone = next(iter(fine.campaigns.values()))
    told = build_report((alone,), (), (), (elsewhere,))
    assert any("elsewhere/Cd32Te29Se3-1 is not compared with: no campaign here" in note for note in told.notes)


def test_the_alloy_comes_with_its_supercells_sites_and_comparison(report: Report) -> None:
    (alloy,) = report.alloys
    assert alloy.title == "Cd(Te,Se)"
    assert alloy.kinds == ("v_Cd_0",)
    facts = dict(alloy.facts)
    assert facts["On the Te sites"] == "Te, Se"
    assert facts["Supercells"] == "4, of 2 compositions; elements shared out at random (seed 42)"
    assert facts["Lattice"].endswith("starting from Vegard's law between end members relaxed with GFN1-xTB")
    assert facts["Compared with"] == "coarse"
    assert column(alloy.supercells, "held") == ["Te 0.750, Se 0.250"] * 2 + ["Te 0.500, Se 0.500"] * 2
    assert column(alloy.supercells, "realisation") == [1, 2, 1, 2]
    assert column(alloy.supercells, "searches") == ["ended"] * 4
    keys = [table.key.removeprefix(alloy.key) for table in alloy.tables]
    assert keys == ["-alloy-comparison", "-alloy-environments", "-alloy-sites"]
    comparison, _, sites = alloy.tables
    assert len(comparison.rows) == len(sites.rows) == len(report.sections)
    assert set(column(comparison, "verdict")) == {"lower"}
    assert any(note.startswith("In every row: defect: v_Cd_0") for note in comparison.notes)


def test_lattices_are_compared_with_vegards_law(fine: AlloyOverview) -> None:
    name, first = next(iter(fine.campaigns.items()))
    moved = replace(first, host=replace(first.host, length_changes=(0.004, 0.004, -0.0021)))
    study = replace(fine, campaigns={**fine.campaigns, name: moved})
    (alloy,) = build_report((), (), (study,)).alloys
    assert column(alloy.supercells, "lattice_change_percent")[:2] == ["+0.4 / -0.2", ""]
    assert "differ from Vegard's law by −0.2 to +0.4 %" in said(study)
    held = changed(study, lattice="vegard")
    assert dict(build_report((), (), (held,)).alloys[0].facts)["Lattice"].startswith("kept at Vegard's law")


def test_supercells_that_have_not_been_begun_are_said_and_nothing_is_called_finished(fine: AlloyOverview) -> None:
    names = list(fine.campaigns)
    part = without(fine, *names[1:])
    told = build_report((), (), (part,))
    assert not told.finished
    assert told.status == (
        "The searches have ended in those supercells that have been begun. 3 of 4 supercells have not come to their "
        "defects."
    )
    assert sum("has not been begun" in note for note in told.notes) == 3
    assert column(told.alloys[0].supercells, "searches") == ["ended"] + ["not come to its defects"] * 3
    assert told.methods[0].startswith("[Not final: 3 of 4 supercells had not come to their defects.]")
    with pytest.raises(CampaignError, match="No supercell of fine has come to its defects yet"):
        build_report((), (), (without(fine, *names),))


def plots_of(report: Report) -> Iterator[Plot]:
    for alloy in report.alloys:
        yield from alloy.plots


def test_figures_are_plain_json_of_kinds_that_the_page_can_draw(report: Report) -> None:
    plots = list(plots_of(report))
    assert [plot.key.removeprefix(report.alloys[0].key) for plot in plots] == [
        "-v_Cd_0-energies",
        "-v_Cd_0-bonds",
        "-minima",
        "-differences",
    ]
    for plot in plots:
        json.dumps([plot.data, plot.layout], allow_nan=False)
        assert plot.table.rows
        assert {trace["type"] for trace in plot.data} <= {"scatter", "bar"}
        for trace in plot.data:
            assert len(trace["x"]) == len(trace["y"]) == len(trace.get("text", trace["x"]))


def test_energies_stand_by_environment_one_symbol_for_each_composition(report: Report) -> None:
    energies, bonds, minima, differences = plots_of(report)
    span, mean, *groups = energies.data
    assert [trace["name"] for trace in groups] == ["x = 0.250", "x = 0.500"]
    assert sum(len(trace["x"]) for trace in groups) == len(report.sections)
    assert min(value for trace in groups for value in trace["y"]) == 0.0
    for number, environment in enumerate(mean["x"]):
        of = [value for trace in groups for name, value in zip(trace["x"], trace["y"], strict=True)
              if name == environment]  # fmt: skip
        assert span["y"][3 * number : 3 * number + 2] == [min(of), max(of)]
        assert mean["y"][number] == pytest.approx(sum(of) / len(of), abs=1e-4)
    assert sum(sum(trace["y"]) for trace in bonds.data) == len(report.sections)
    assert {trace["name"] for trace in bonds.data} <= {"Te–Te", "Se–Te", "Se–Se"}
    assert [trace["name"] for trace in minima.data] == ["coarse search", "fine search"]
    assert differences.data[0]["name"] == "lower"
    assert set(differences.data[0]["y"]) == {-0.2}
    assert len(set(differences.data[0]["x"])) == len(report.sections)


def test_what_has_not_ended_is_marked_in_the_figures() -> None:
    study = the_study("scout", (16,), open_last=True)
    energies, bonds = plots_of(build_report((), (), (study,)))
    symbols = [symbol for trace in energies.data[2:] for symbol in trace["marker"]["symbol"]]
    assert sum(symbol.endswith("-open") for symbol in symbols) == 1
    assert "has not ended" in energies.caption
    assert "not ended" in bonds.caption


def test_a_study_shows_its_settings_once_and_versions_in_one_column(report: Report) -> None:
    ((name, toml),) = report.settings
    assert name == "Cd(Te,Se) (fine)"
    assert "[alloy]\n" in toml
    assert 'substitute = ["Te:Se"]' in toml
    assert [one.key for one in report.versions.columns] == ["package", "version_0"]


def test_versions_of_campaigns_that_do_not_agree_stand_apart(fine: AlloyOverview) -> None:
    name, first = next(iter(fine.campaigns.items()))
    older = replace(first, packages={**first.packages, "ase": "3.0"})
    waiting = replace(first, reference=None)
    told = build_report((), (), (replace(fine, campaigns={**fine.campaigns, name: waiting}),))
    assert len(told.versions.columns) == 2
    told = build_report((), (), (replace(fine, campaigns={**fine.campaigns, name: older}),))
    assert len(told.versions.columns) == 3
    (ase,) = [row for row in told.versions.rows if row[0] == "ase"]
    assert ase == ("ase", "3.0", "3.26.0")


def test_two_studies_have_a_part_each(fine: AlloyOverview, coarse: AlloyOverview) -> None:
    told = build_report((), (), (fine, coarse))
    assert len({alloy.key for alloy in told.alloys}) == 2
    anchors = [section.key for section in told.sections]
    assert len(set(anchors)) == len(anchors)
    hosts = {answer.host.partition("(")[2] for answer in told.answers}
    assert hosts == {f"{name}, realisation {number})" for name in ("fine", "coarse") for number in (1, 2)}


def test_what_every_row_says_becomes_a_note() -> None:
    table = Table("t", "T", (Column("a", "a"), Column("b", "b")), ((1, 2), (1, 3)), ("More.",))
    told = compact(table, ("a", "b"))
    assert [one.key for one in told.columns] == ["b"]
    assert told.notes == ("In every row: a: 1.", "More.")
    assert compact(table, ("b",)) == table
    one = replace(table, rows=((1, 2),))
    assert compact(one, ("a",)) == one


KEPT = "was kept at the lattice that Vegard's law gives between the end members CdTe and CdSe, relaxed with GFN1-xTB."
SURROGATE = "The lattice and the atoms of each supercell were relaxed with the surrogate, CHGNet"


@pytest.mark.parametrize(
    ("values", "words", "works"),
    [
        ({}, "among Te and Se at random (seed 42)", {"Vegard1921"}),
        ({"arrangement": "sqs"}, "as special quasirandom structures", {"Vegard1921", "Zunger1990", "Gehringer2023"}),
        ({"lattice": "vegard"}, KEPT, {"Vegard1921"}),
        ({"lattice": "surrogate"}, SURROGATE, set()),
        ({"end_members": (Path("a"), Path("b"))}, "CdTe and CdSe, taken as relaxed before", {"Vegard1921"}),
        ({"sites": "all"}, "at every site that its symmetry does not map onto another one", {"Vegard1921"}),
        ({"shells": 2}, "the elements in each of 2 shells of neighbours", {"Vegard1921"}),
    ],
)
def test_methods_say_how_the_alloy_was_made(
    fine: AlloyOverview, values: dict[str, object], words: str, works: set[str]
) -> None:
    settings = AlloySettings.model_validate({**fine.study.alloy.model_dump(), **values})
    study = changed(fine, **{name: getattr(settings, name) for name in values})
    text = said(study)
    assert words in text
    assert "Te 24, Se 8 of 32 sites" in text
    assert "2 supercells were made of each." in text
    cited = {item.key for item in citations(list(study.campaigns.values()), [study])}
    assert cited & {"Vegard1921", "Zunger1990", "Gehringer2023"} == works


def test_a_running_study_shares_its_paragraphs(fine: AlloyOverview) -> None:
    """Supercells that wait for the reference yet are of the same study."""
    name, first = next(iter(fine.campaigns.items()))
    waiting = replace(first, reference=None, host_calls=0)
    paragraphs = build_report((), (), (replace(fine, campaigns={**fine.campaigns, name: waiting}),)).methods
    assert sum("DScribe) lie within" in one for one in paragraphs) == 1


def test_a_fixed_cell_is_said_to_be_fixed(fine: AlloyOverview) -> None:
    info = ReferenceInfo("gfn1-xtb", "tblite 0.8.0", "10.1021/acs.jctc.7b00118", gamma_only=True)
    name, first = next(iter(fine.campaigns.items()))
    settings = merge(first.settings, {"host": {"fixed_cell": True}}, "test")
    held = replace(first, settings=settings, reference=info, host=replace(first.host, length_changes=(0.0, 0.0, 0.0)))
    text = " ".join(build_report((replace(held, folder=Path("alone")),)).methods)
    assert "Atomic positions of the host were relaxed with the reference as a supercell" in text
    assert "eV/Å, in a fixed cell, or for at most" in text
    assert "lattice parameters" not in text
    assert name


def test_sampling_of_every_pair_is_described_and_cited() -> None:
    site = a_vacancy(alloy_crystal(16), "Te2Se2")
    structures = [SamplingStructure("Unperturbed", site.atoms.copy())]
    structures += [SamplingStructure(one.label, site.atoms.copy()) for one in pair_distortions(site)]
    item = searched(site, [(paired(site, "Se-Te"), -1.0, (structures[1].label,))], sampling=structures)
    study = a_study(only(item))
    (campaign,) = study.campaigns.values()
    campaign = replace(campaign, settings=merge(campaign.settings, {"sampling": {"pairs": True}}, "test"))
    told = build_report((campaign,))
    text = " ".join(told.methods)
    assert "31 sampling structures were made: the unperturbed supercell and bond distortions of every pair of " \
           "neighbours of the site in turn (5 from −60 % to −20 %)." in text  # fmt: skip
    assert "with ShakeNBreak" not in text
    uses = {item.key: item.why for item in told.citations}
    assert "every pair" in uses["MosqueraLois2024"]
    assert "MosqueraLois2022" not in uses


def test_all_formats_hold_the_alloy_before_the_defects(report: Report) -> None:
    page = html_report(report)
    assert page.index('id="alloys"') < page.index('id="defects"') < page.index(f'id="{report.sections[0].key}"')
    assert 'href="#alloys"' in page
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    ids = re.findall(r'\bid="([^"]+)"', body)
    assert len(set(ids)) == len(ids)
    assert {link for link in re.findall(r'href="#([^"]+)"', body) if not link.startswith("icon-")} <= set(ids)
    assert "Cd<sub>32</sub>Te<sub>24</sub>Se<sub>8</sub> (realisation 1)" in page
    for plot in plots_of(report):
        assert f'data-plot="{plot.key}"' in page
    text = markdown_report(report)
    assert text.index("## The alloy Cd(Te,Se)") < text.index(f"## {report.sections[0].title}".replace("_", "\\_"))
    assert "### Coarse and fine searches of Cd(Te,Se)" in text
    (alloy,) = json.loads(json_report(report))["alloys"]
    assert [table["key"] for table in alloy["tables"]] == [table.key for table in report.alloys[0].tables]
    assert alloy["defects"] == ["v_Cd_0"]
    assert alloy["plots"][0]["data"]


def test_the_pdf_holds_the_alloy() -> None:
    report = build_report((), (), (the_study("scout", (8,), open_last=True),))
    content = pdf_report(replace(report, sections=()))
    assert b"/Title (The alloy Cd\\(Te,Se\\))" in content


def test_a_report_without_an_alloy_has_no_part_on_one() -> None:
    (campaign,) = the_study("scout", (8,)).campaigns.values()
    told = build_report((campaign,))
    assert told.alloys == ()
    assert 'id="alloys"' not in html_report(told)
    assert json.loads(json_report(told))["alloys"] == []


def test_paragraphs_on_alloys_read_well(fine: AlloyOverview) -> None:
    part = without(fine, *list(fine.campaigns)[1:])
    for study in (fine, part, changed(fine, arrangement="sqs", lattice="surrogate"), changed(fine, lattice="vegard")):
        for paragraph in methods(list(study.campaigns.values()), [Alloy(study, analyse_alloy(study))]):
            assert paragraph[0].isupper() or paragraph[0] == "["
            assert paragraph[-1] in ".]"
            assert not re.search(r" [,.;:]|\.\.|,,|  |\bNone\b|\bnan\b|[{}]|\(\)|\bthe every\b", paragraph)
            assert paragraph.count("(") == paragraph.count(")")
            assert not re.search(r"\b1 (defects|supercells|compositions|shells)\b", paragraph)
