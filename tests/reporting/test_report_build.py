"""What a report says, from campaigns put together by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from analysis.overviews import defect_overview, descent, overview
from defectscout.analysis.paths import paths
from defectscout.core.errors import CampaignError
from defectscout.core.frames import RelaxationState
from defectscout.reporting.report.build import build_report
from defectscout.reporting.report.document import Plot, Report
from defectscout.reporting.report.models import overlaid
from defectscout.reporting.report.names import campaign_names, unique_keys
from defectscout.reporting.report.plots import path_plots
from defectscout.reporting.report.traces import MOST_POINTS
from defectscout.workflow.overview import Cost, DefectOverview, Overview
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin
from minima.vacancy_cases import breathing, dimer, vacancy

STATES = {"Cd": 2.0, "Te": -2.0}
DIMERS = ("Dimer", "Bond_Distortion_-40.0%", "Bond_Distortion_-50.0%")


def reconstructed(strategy: str = "reference-only", **more: Any) -> DefectOverview:
    """A vacancy whose ground state is a dimer, 0.75 eV below the relaxed unperturbed structure."""
    defect = vacancy()
    minima = [(dimer(defect), -1.0, DIMERS), (breathing(defect), -0.25, ("Unperturbed", "Bond_Distortion_10.0%"))]
    return defect_overview(defect, minima, strategy=strategy, **more)


def renamed(item: DefectOverview, name: str) -> DefectOverview:
    return replace(item, result=replace(item.result, defect=replace(item.defect, name=name)))


def campaign(*items: DefectOverview, formula: str = "CdTe", **more: Any) -> Overview:
    return overview(formula, items, oxidation_states=STATES, **more)


def without_reference(item: DefectOverview) -> Overview:
    none = merge(SearchSettings(), {"reference": {"name": "none"}}, "test")
    return replace(campaign(item, strategy="scout", settings=none), reference=None, host_calls=0)


def all_plots(report: Report) -> Iterator[Plot]:
    yield from report.plots
    for section in report.sections:
        yield from section.plots


def test_it_opens_with_the_ground_state_and_what_it_gained() -> None:
    report = build_report([campaign(reconstructed())])
    (found,) = report.answers
    assert found.sentence.startswith("Ground state: Te–Te dimer; new bonds Te–Te 2.75 Å;")
    assert found.sentence.endswith("0.75 eV below the relaxed unperturbed structure.")
    assert found.lowering == pytest.approx(-0.75)
    assert (found.host, found.defect, found.finished, found.status) == ("CdTe", "v_Cd_0", True, "has ended")
    assert report.finished
    assert report.status == "The search has ended."


def test_an_unperturbed_structure_that_is_the_ground_state_gains_nothing() -> None:
    defect = vacancy()
    item = defect_overview(defect, [(breathing(defect), -0.25, ("Unperturbed", "Dimer"))])
    (found,) = build_report([campaign(item)]).answers
    assert found.sentence.endswith("the unperturbed structure relaxes to it.")
    assert "below" not in found.sentence


def test_a_lowering_without_its_zero_is_not_known() -> None:
    defect = vacancy()
    report = build_report([campaign(defect_overview(defect, [(dimer(defect), -1.0, DIMERS)]))])
    assert report.answers[0].lowering is None
    assert "energy lowering not known" in report.answers[0].sentence
    assert any("not known" in note for note in report.sections[0].minima.notes)


def test_a_half_finished_search_is_called_so_wherever_its_ground_state_is_named() -> None:
    items = reconstructed("scout", step="3 reference relaxations"), renamed(reconstructed("scout"), "v_Cd_2")
    report = build_report([campaign(*items, strategy="scout")])
    (section,) = [one for one in report.sections if not one.answer.finished]
    assert not report.finished
    assert "1 of 2 searches has not ended" in report.status
    assert section.answer.sentence.startswith("Lowest minimum so far, while the search has not ended:")
    assert "waits for 3 reference relaxations" in section.answer.status
    assert "waits for 3 reference relaxations" in section.lines[0]
    assert section.minima.title.endswith("so far")
    assert any("lower minimum may still be found" in note for note in section.minima.notes)
    assert section.minima.rows[0][0] == "lowest so far"
    lowest = next(model for model in section.models if model.key.endswith("ground-state"))
    assert lowest.title == "Lowest so far"
    assert all("not ended" in plot.caption for plot in section.plots)
    shown = {plot.key: plot for plot in report.plots}
    for key in ("lowerings", "funnel", "acceleration"):
        assert "not ended" in shown[key].caption
    (other,) = [one for one in report.sections if one.answer.finished]
    assert not any("not ended" in plot.caption for plot in other.plots)
    words = json.dumps([other.answer.sentence, other.lines, other.minima.title, other.minima.notes])
    assert "so far" not in words


def test_a_defect_without_any_minimum_says_why() -> None:
    failed = [descent("Unperturbed", [], state=RelaxationState.FAILED, reason="no self-consistency", calls=1)]
    item = defect_overview(vacancy(), [], failed, set_aside=[("Unperturbed", "no self-consistency")])
    report = build_report([campaign(item)])
    (section,) = report.sections
    assert section.answer.sentence.startswith("No ground state: every relaxation")
    assert section.answer.status == "has ended without a minimum"
    assert section.set_aside.rows == (("Unperturbed", "reference", "no self-consistency"),)
    assert section.minima.rows == ()
    waiting = build_report([campaign(defect_overview(vacancy(), [], [], step="scouting"))])
    assert "waits for scouting" in waiting.answers[0].sentence


def test_relaxations_that_failed_or_were_left_are_listed_once() -> None:
    item = reconstructed(set_aside=[("Rattled", "the host fell apart")])
    failed = descent("Bond_Distortion_60.0%", [1.0], "scout", RelaxationState.FAILED, reason="forces exploded")
    left = descent("Dimer_from_r2", [0.5], "reference", RelaxationState.UNCONVERGED, reason="left where it was")
    twice = descent("Rattled", [0.5], "reference", RelaxationState.FAILED, reason="the host fell apart")
    item = replace(item, descents=(*item.descents, failed, left, twice))
    (section,) = build_report([campaign(item)]).sections
    assert section.set_aside.rows == (
        ("Rattled", "reference", "the host fell apart"),
        ("Bond_Distortion_60.0%", "surrogate", "forces exploded"),
        ("Dimer_from_r2", "reference", "left where it was"),
    )


def test_without_a_reference_candidates_are_shown_and_no_ground_state() -> None:
    defect = vacancy()
    scouts = [
        descent("Dimer", [1.0, 0.4], "scout", final=dimer(defect)),
        descent("Unperturbed", [0.5, 0.1], "scout", final=breathing(defect)),
    ]
    item = defect_overview(defect, [], scouts, strategy="scout", step="2 reference relaxations")
    chosen = DefectCandidates(
        (
            Candidate("Unperturbed", ("Unperturbed",), Origin.SAMPLED, 0.1),
            Candidate("Dimer", ("Dimer", "Rattled"), Origin.SCOUTED, 0.4),
        ),
        n_minima=2,
    )
    funnel = replace(item.result.funnel, candidates=2)
    item = replace(item, result=replace(item.result, candidates=chosen, funnel=funnel))
    report = build_report([without_reference(item)])
    (section,) = report.sections
    assert section.answer.sentence == "No ground state yet: 2 candidates wait for a reference that is run by hand."
    assert "run by hand" in section.answer.status
    assert [model.title for model in section.models] == ["Unperturbed, as made", "Candidate Dimer"]
    assert [str(bond) for bond in section.models[1].new_bonds] == ["Te–Te 2.75 Å"]
    assert "0.300 eV above the lowest on the surrogate's surface" in section.models[1].caption
    assert report.costs[0] == "The reference has not been asked."


def test_structures_lie_over_the_unperturbed_one_however_they_were_stored() -> None:
    defect = vacancy()
    plain, lengths = overlaid(defect, dimer(defect))
    shifted = dimer(defect)
    shifted.positions += [3.1, -4.2, 0.7]
    shifted.wrap()
    other, same = overlaid(defect, shifted)
    assert other.positions == pytest.approx(plain.positions, abs=1e-6)
    assert same == pytest.approx(lengths, abs=1e-6)
    places = defect.atoms.get_positions()
    assert np.linalg.norm(plain.positions - places, axis=1) == pytest.approx(lengths, abs=1e-9)


def test_models_begin_with_the_structure_as_made_and_go_up_in_energy() -> None:
    (section,) = build_report([campaign(reconstructed())]).sections
    titles = [model.title for model in section.models]
    assert titles == ["Unperturbed, as made", "Ground state", "Metastable 1: the unperturbed structure, relaxed"]
    assert section.models[0].displacements.max() == pytest.approx(0.0, abs=1e-9)
    bond = section.models[1].new_bonds[0]
    distance = section.models[1].atoms.get_distance(*bond.atoms, mic=True)
    assert distance == pytest.approx(bond.length, abs=1e-6)
    sites = {tuple(np.round(model.site, 6)) for model in section.models}
    assert len(sites) == 1


def test_the_relaxed_unperturbed_structure_is_shown_beside_a_minimum_that_another_start_stands_for() -> None:
    defect = vacancy()
    item = defect_overview(
        defect,
        [(breathing(defect), -0.25, ("Bond_Distortion_10.0%", "Unperturbed"))],
        [descent("Unperturbed", [0.0, -0.24], rank=0, final=breathing(defect, -0.09))],
    )
    (section,) = build_report([campaign(item)]).sections
    assert [model.title for model in section.models][:2] == ["Unperturbed, as made", "Unperturbed, relaxed"]


def test_several_campaigns_on_one_host_keep_apart() -> None:
    one = campaign(reconstructed(), folder=Path("runs/first"))
    two = campaign(reconstructed(), folder=Path("runs/second"))
    assert campaign_names([one, two]) == ("CdTe (first)", "CdTe (second)")
    report = build_report([one, two])
    keys = [section.key for section in report.sections]
    assert keys == ["CdTe-v_Cd_0", "CdTe-v_Cd_0-2"]
    assert [answer.anchor for answer in report.answers] == keys
    models = [model.key for section in report.sections for model in section.models]
    plots = [plot.key for plot in all_plots(report)]
    assert len(set(models)) == len(models)
    assert len(set(plots)) == len(plots)
    assert [name for name, _ in report.settings] == ["CdTe (first)", "CdTe (second)"]


def test_keys_fit_for_anchors_and_stay_apart() -> None:
    keys = unique_keys(["v_Te_+1", "v_Te_-1", "v_Te_plus1", 'a "<b>" %'])
    assert keys == ("v_Te_plus1", "v_Te_-1", "v_Te_plus1-2", "a-b")


def test_what_was_saved_is_told_only_where_both_searches_have_ended() -> None:
    cost = Cost(25, 50.0, 100, 10.0, 0.0)
    searched = campaign(reconstructed("scout", cost=cost), strategy="scout")
    alone = campaign(reconstructed(cost=Cost(100, 200.0, 0, 0.0, 0.0)))
    report = build_report([searched], [alone])
    assert report.answers[0].saved == pytest.approx(0.75)
    assert any("75% saved" in line for line in report.sections[0].lines)
    assert any("100 force calls of the reference there, 25 here, 75% saved" in line for line in report.costs)
    unfinished = campaign(reconstructed(step="2 reference relaxations", cost=Cost(50, 100.0, 0, 0.0, 0.0)))
    report = build_report([searched], [unfinished])
    assert report.answers[0].saved is None
    assert any("has not ended" in note for note in report.notes)
    assert build_report([searched]).answers[0].saved is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"strategy": "scout"}, "no reference-only search"),
        ({"reference": {"name": "gfn2-xtb"}}, "the reference here is"),
    ],
)
def test_searches_that_cannot_be_compared_are_not(change: dict[str, Any], why: str) -> None:
    searched = campaign(reconstructed("scout"), strategy="scout")
    other = campaign(reconstructed())
    other = replace(other, settings=merge(other.settings, change, "test"))
    report = build_report([searched], [other])
    assert any(why in note for note in report.notes)
    assert report.answers[0].saved is None


def test_estimates_are_marked() -> None:
    report = build_report([campaign(reconstructed("scout"), strategy="scout")])
    (plot,) = [plot for plot in report.plots if plot.key == "acceleration"]
    assert "estimate" in plot.caption
    assert set(plot.data[0]["marker"]["pattern"]["shape"]) == {"/"}
    assert any(line.startswith("By estimate only") for line in report.costs)


def test_plots_are_plain_json_with_traces_of_the_kinds_that_the_page_can_draw() -> None:
    items = [reconstructed("scout"), renamed(reconstructed("scout", step="1 reference relaxation"), "v_Cd_2")]
    plots = list(all_plots(build_report([campaign(*items, strategy="scout")])))
    assert len(plots) >= 10
    for plot in plots:
        json.dumps([plot.data, plot.layout], allow_nan=False)
        assert plot.caption
        assert plot.table.columns
        assert not {"paper_bgcolor", "plot_bgcolor", "font", "template"} & set(plot.layout)
        for trace in plot.data:
            assert trace["type"] in ("scatter", "bar", "pie")
            lengths = {len(trace[name]) for name in ("x", "y", "text", "customdata") if name in trace}
            lengths |= {len(value) for value in trace.get("marker", {}).values() if isinstance(value, list)}
            assert len(lengths) == 1


def test_relaxations_that_begin_far_up_do_not_flatten_the_others() -> None:
    item = defect_overview(
        vacancy(), [], [descent("Dimer", [80.0, 3.0, 0.5, 0.0]), descent("Unperturbed", [0.9, 0.8])], step="more"
    )
    (plot,) = path_plots("key", paths("CdTe", item), finished=True)
    low, high = plot.layout["yaxis"]["range"]
    assert low < 0
    assert 0.8 < high < 5
    assert "1 relaxation began above it" in plot.caption


def test_long_relaxations_are_thinned_and_keep_their_ends() -> None:
    energies = np.linspace(5.0, 0.0, 700)
    item = defect_overview(vacancy(), [], [descent("Dimer", energies)], step="more")
    (plot,) = path_plots("key", paths("CdTe", item), finished=True)
    line = next(trace for trace in plot.data if trace["mode"] == "lines")
    assert len(line["x"]) <= MOST_POINTS
    assert (line["x"][0], line["x"][-1]) == (0, 699)
    assert (line["y"][0], line["y"][-1]) == (5.0, 0.0)


def test_versions_and_settings_come_with_it() -> None:
    report = build_report([campaign(reconstructed())])
    assert ("ase", "3.26.0") in report.versions.rows
    assert 'strategy = "reference-only"' in report.settings[0][1]


def test_what_could_not_be_read_is_said() -> None:
    report = build_report([campaign(reconstructed(), notes=["Charges are not shown."])])
    assert report.notes == ("Charges are not shown.",)


def test_without_a_campaign_there_is_no_report() -> None:
    with pytest.raises(CampaignError, match="no campaign to report on"):
        build_report([])


def test_the_map_is_drawn_only_if_asked_for() -> None:
    found = campaign(reconstructed())
    assert not any(plot.key.startswith("map") for plot in build_report([found]).plots)


def test_atoms_are_not_changed_by_reporting() -> None:
    item = reconstructed()
    before: list[Atoms] = [minimum.minimum.atoms.copy() for minimum in item.result.minima]
    build_report([campaign(item)])
    for minimum, atoms in zip(item.result.minima, before, strict=True):
        assert np.array_equal(minimum.minimum.atoms.positions, atoms.positions)


def test_a_reference_only_search_in_a_swollen_cell_is_not_compared_with() -> None:
    """As many atoms, and another cell: energies do not compare."""
    swollen = vacancy()
    for atoms in (swollen.atoms, swollen.bulk):
        atoms.set_cell(1.01 * atoms.cell.array, scale_atoms=True)
    item = defect_overview(swollen, [(breathing(swollen), -99.0, ("Unperturbed",))])
    baseline = campaign(item, strategy="reference-only")
    report = build_report([campaign(reconstructed())], [baseline])
    assert any("is not compared with: the supercell here" in note for note in report.notes)
    assert report.answers[0].saved is None
    assert report.answers[0].sentence.startswith("Ground state")
