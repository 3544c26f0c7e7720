"""The paragraphs for a paper and the works to cite: nothing that was not done, in words that fit every search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from analysis.overviews import defect_overview, descent, overview
from defectscout.core.defect import SamplingStructure
from defectscout.core.frames import RelaxationState
from defectscout.evaluation.trust import Ending, Probed, Surprise, Trust
from defectscout.references.base import ElectronicState, ReferenceInfo
from defectscout.reporting.report import works
from defectscout.reporting.report.citations import citation, citations
from defectscout.reporting.report.document import Citation
from defectscout.reporting.report.methods import methods
from defectscout.reporting.report.methods_words import number, signed, span, surrogate_name
from defectscout.reporting.report.works import Work
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.overview import Cost, Overview
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import breathing, dimer, vacancy

XTB = ReferenceInfo("gfn1-xtb", "tblite 0.8.0", "10.1021/acs.jctc.7b00118", gamma_only=True)
CHGNET = SurrogateInfo("chgnet", "chgnet 0.4.2", "0.3.0", "10.1038/s42256-023-00716-3", None)
TRUST = Trust(4, 2, 2, 3, True, Ending.QUIET, 0, 8, 0.9, 0.1, 2.0, 1, 0, (Surprise("Dimer", 0.9),), 0.5)
STARTS = ("Dimer", "Bond_Distortion_-60.0%", "Bond_Distortion_60.0%")


def searched(
    strategy: str,
    *,
    formula: str = "CdTe",
    step: str = "",
    charge: int = 0,
    tuned: float = 0.0,
    told: Trust | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Overview:
    defect = replace(vacancy(), charge=charge)
    minima = [(dimer(defect), -1.0, STARTS), (breathing(defect), -0.25, ("Unperturbed",))]
    calls = 0 if strategy == "reference-only" else 200
    item = defect_overview(
        defect, minima, strategy=strategy, step=step, trust=told, cost=Cost(40, 80.0, calls, 20.0, tuned)
    )
    item = replace(item, result=replace(item.result, state=ElectronicState(charge, 1)))
    found = overview(
        formula,
        [item],
        strategy=strategy,
        oxidation_states={"Cd": 2.0, "Te": -2.0},
        space_group="F-43m",
        settings=merge(SearchSettings(), settings or {}, "test"),
    )
    host = replace(found.host, length_changes=(0.017, 0.017, 0.017), energy_gain=1e-4)
    packages = {"defectscout": "0.1.0", "doped": "3.2.1", "torch": "2.9", "ase": "3.26.0"}
    surrogate = None if strategy == "reference-only" else CHGNET
    return replace(found, host=host, reference=XTB, surrogate=surrogate, packages=packages)


def candidates_only() -> Overview:
    defect = vacancy()
    scouts = [descent("Dimer", [1.0, 0.4], "scout", final=dimer(defect))]
    item = defect_overview(defect, [], scouts, strategy="scout", step="2 reference relaxations")
    settings = merge(SearchSettings(), {"reference": {"name": "none"}}, "test")
    found = overview("CdTe", [item], strategy="scout", oxidation_states={"Cd": 2.0, "Te": -2.0}, settings=settings,
                     host_calls=0)  # fmt: skip
    return replace(found, reference=None, surrogate=CHGNET, host=replace(found.host, kept="none", energy=None))


def collected() -> Overview:
    defect = vacancy()
    descents = [
        descent("Dimer", [1.0, 0.4], "scout", final=dimer(defect)),
        descent("Dimer", [-1.0], final=dimer(defect), rank=0),
    ]
    item = defect_overview(defect, [(dimer(defect), -1.0, ("Dimer",))], descents, strategy="scout")
    settings = merge(SearchSettings(), {"reference": {"name": "none"}}, "test")
    found = overview("CdTe", [item], strategy="scout", oxidation_states={"Cd": 2.0, "Te": -2.0}, settings=settings)
    return replace(found, reference=None, surrogate=CHGNET)


def unstable() -> Overview:
    found = searched("scout")
    return replace(found, host=replace(found.host, unstable=("the lattice grew by 8 %",)))


def failed() -> Overview:
    descents = [descent("Unperturbed", [], state=RelaxationState.FAILED, reason="no energy", calls=1)]
    item = defect_overview(vacancy(), [], descents)
    return replace(overview("CdTe", [item], oxidation_states={"Cd": 2.0, "Te": -2.0}), reference=XTB)


CASES = {
    "reference-only": (searched("reference-only"),),
    "scout": (searched("scout"),),
    "learn": (searched("learn", tuned=30.0, told=TRUST),),
    "learn, first round": (searched("learn", step="round 1 of the learning loop"),),
    "not converged": (
        searched("learn", tuned=30.0, told=replace(TRUST, converged=False, ending=Ending.MAX_ROUNDS, rounds=1)),
    ),
    "unfinished": (searched("scout", step="2 reference relaxations"),),
    "none": (candidates_only(),),
    "collected": (collected(),),
    "kept host": (replace(searched("scout"), host=replace(searched("scout").host, kept="asked for", evaluations=0)),),
    "unstable": (unstable(),),
    "failed": (failed(),),
    "charged": (searched("scout", charge=-2),),
    "paper": (searched("scout", settings={"scouting": {"criterion": "fmean", "force": 1e-5, "max_steps": 1500}}),),
    "unrattled": (searched("scout", settings={"sampling": {"rattle": 0.0}}),),
    "minima": (searched("learn", tuned=1.0, told=TRUST, settings={"learn": {"ask": "minima", "checks": 0}}),),
    "several": (
        searched("learn", tuned=30.0, told=TRUST),
        searched("learn", formula="CdSe", tuned=30.0, told=TRUST),
        searched("reference-only", formula="ZnTe", step="4 reference relaxations"),
    ),
}


def text(*overviews: Overview) -> str:
    return " ".join(methods(overviews))


def keys(*overviews: Overview) -> list[str]:
    return [item.key for item in citations(overviews)]


@pytest.mark.parametrize("name", CASES)
def test_every_paragraph_reads_well(name: str) -> None:
    paragraphs = methods(CASES[name])
    assert paragraphs
    for paragraph in paragraphs:
        assert paragraph[0].isupper() or paragraph[0] == "["
        assert paragraph[-1] in ".]"
        assert "  " not in paragraph
        assert not re.search(r" [,.;:]|\.\.|,,|\bNone\b|\bnan\b|[{}]|\(\)", paragraph)
        assert paragraph.count("(") == paragraph.count(")")
        assert not re.search(r"\b1 (defects|minima|rounds|structures|loops|steps|others)\b", paragraph)
        assert not re.search(r"\b([2-9]|\d\d+) (defect|minimum|round|loop)\b", paragraph)


def test_a_reference_only_search_has_no_surrogate() -> None:
    said = text(*CASES["reference-only"])
    assert "surrogate" not in said
    assert "machine-learned" not in said
    assert "every sampling structure was relaxed by FIRE" in said
    assert "GFN1-xTB (tblite 0.8.0), at the Γ point" in said
    assert "2 sampling structures" not in said
    assert "4 sampling structures" in said
    assert "(2 from −60 % to +60 %)" in said


def test_scouting_names_the_surrogate_and_its_thresholds() -> None:
    said = text(*CASES["scout"])
    assert "The surrogate was CHGNet (chgnet 0.4.2, weights 0.3.0)." in said
    assert "below 0.01 eV/Å, or for at most 500 steps" in said
    assert "cosine distance of 4 × 10⁻⁴" in said
    assert "tuned" not in said
    assert "mean force on the atoms was below 10⁻⁵ eV/Å, or for at most 1500 steps" in text(*CASES["paper"])
    assert "rattled with" not in text(*CASES["unrattled"]).replace("the host was rattled with", "")


def test_the_learning_loop_says_how_it_ended_and_what_its_check_found() -> None:
    said = text(*CASES["learn"])
    assert "It converged." in said
    assert "it took 4 rounds" in said
    assert "As a check 1 sampling structure was relaxed by the reference alone, which led to 1 minimum that the loop "\
           "had not found, outside the window given above." in said  # fmt: skip
    assert "every candidate was relaxed by FIRE" not in said
    assert "It did not converge." in text(*CASES["not converged"])
    assert "Both loops converged." in text(*CASES["several"])
    found = replace(TRUST, surprises=(Surprise("Dimer", 0.1),))
    assert "within the window" in text(searched("learn", tuned=1.0, told=found))
    none = replace(TRUST, surprises=())
    foreseen = replace(none, foreseen=1)
    said = text(searched("learn", tuned=1.0, told=foreseen))
    assert "by the reference alone (until the surrogate, right about how far it fell, foresaw an end more than 0.5 eV "\
           "above the ground state), which led to nothing" in said  # fmt: skip
    assert "led to nothing near the ground state that was not known" in text(searched("learn", tuned=1.0, told=none))


@pytest.mark.parametrize(
    ("probed", "said"),
    [
        (Probed(0.134, 9, settled=True, saddle=False), "It was found to be a minimum (0.13 eV/Å² or more)."),
        (Probed(-0.12, 8, settled=False, saddle=True), "It stood on a saddle point, below which nothing was found."),
        (Probed(0.4, 2, settled=False, saddle=False), "For it this was not settled within these calls."),
    ],
)
def test_a_curvature_that_was_probed_is_told_and_its_method_cited(probed: Probed, said: str) -> None:
    overview = searched("learn", tuned=1.0, told=replace(TRUST, probed=probed))
    assert f"Davidson's method, from forces at {probed.calls} displaced structures. {said}" in text(overview)
    assert {"Davidson1975", "Packwood2016"} <= set(keys(overview))
    assert "Davidson" not in text(*CASES["learn"])
    assert "Davidson1975" not in keys(*CASES["learn"])


def test_curvatures_of_several_ground_states_are_told_together() -> None:
    ends = (Probed(0.2, 9, settled=True, saddle=False), Probed(0.3, 4, settled=True, saddle=False))
    said = text(*(searched("learn", tuned=1.0, told=replace(TRUST, probed=one)) for one in ends))
    assert "around 2 ground states was sought by Davidson's method, from forces at 4 to 9 displaced structures each. "\
           "2 of them were found to be a minimum each (0.20 eV/Å² or more)." in said  # fmt: skip


def test_nothing_is_claimed_that_was_not_done() -> None:
    first = text(*CASES["learn, first round"])
    assert "was tuned on all answers" not in first
    assert "converged" not in first
    none = text(*CASES["none"])
    assert "No reference method has been applied" in none
    assert "ground state is" not in none
    assert "GFN" not in none
    assert "VASP" not in none
    assert "Lattice and atomic positions of the host were used as given." in none
    assert "ground state is" not in text(*CASES["failed"])
    assert "VASP outside of this search" in text(*CASES["collected"])
    assert "did not keep its structure" in text(*CASES["unstable"])
    assert "it kept its structure" in text(*CASES["scout"])


def test_what_is_not_final_is_said_first() -> None:
    assert methods(CASES["unfinished"])[0].startswith("[Not final: the search for v_Cd_0 in CdTe had not ended")
    assert "Not final" not in text(*CASES["scout"])


def test_no_correction_is_claimed() -> None:
    for name in ("reference-only", "scout", "learn", "collected", "charged"):
        assert "No correction was made for the finite size of the supercell, nor for its charge" in text(*CASES[name])
    assert "different charge states were not compared" in text(*CASES["charged"])
    assert "different charge states" not in text(*CASES["scout"])


def test_campaigns_that_were_searched_alike_share_their_paragraphs() -> None:
    paragraphs = methods(CASES["several"])
    alike = [one for one in paragraphs if "CdTe (space group F-43m) and CdSe (space group F-43m)" in one]
    assert len(alike) == 1
    assert sum("DScribe) lie within" in one for one in paragraphs) == 2  # the loops, and the reference-only search
    seeds = [searched("scout", settings={"sampling": {"seed": seed}}) for seed in (0, 1)]
    assert sum("seeds 0 and 1" in one for one in methods(seeds)) == 1


def test_every_work_is_cited_once_with_its_use() -> None:
    for overviews in CASES.values():
        cited = citations(overviews)
        assert len({item.key for item in cited}) == len(cited)
        assert all(item.why for item in cited)


def test_only_what_was_used_is_cited() -> None:
    alone = keys(*CASES["reference-only"])
    assert not {"Deng2023", "Paszke2019", "MosqueraLois2024", "Kingma2014", "GarijodelRio2019"} & set(alone)
    assert {"Grimme2017", "tblite", "Bitzek2006", "Togo2024", "Bartok2013", "Kavanagh2024"} <= set(alone)
    scout = keys(*CASES["scout"])
    assert {"Deng2023", "Paszke2019", "MosqueraLois2024", "MosqueraLois2022"} <= set(scout)
    assert not {"Kingma2014", "Chen2022", "Ko2025", "Park2024", "Kresse1996"} & set(scout)
    assert {"Kingma2014", "GarijodelRio2019"} <= set(keys(*CASES["learn"]))
    assert "Kresse1996" in keys(*CASES["collected"])
    none = keys(*CASES["none"])
    assert not {"Grimme2017", "tblite", "Kresse1996"} & set(none)
    m3gnet = SurrogateInfo("m3gnet:X", "matgl 4.1.2", "sha256:00", "10.1038/s43588-022-00349-3", None)
    tuned = replace(searched("scout", settings={"surrogate": {"name": "m3gnet:X"}}), surrogate=m3gnet)
    assert {"Chen2022", "Ko2025"} <= set(keys(tuned))
    assert "Deng2023" not in keys(tuned)


def test_methods_say_in_which_lattice_the_surrogate_scouted() -> None:
    there = replace(searched("scout"), surrogate=replace(CHGNET, lattice_scale=1.0219))
    assert "in its own lattice" not in surrogate_name(searched("scout"))
    assert "shown all structures +2.2% in every length, in its own lattice)" in surrogate_name(there)


def test_methods_say_what_was_carried_over_from_related_hosts() -> None:
    plain = searched("learn")
    (label,) = plain.defects
    item = plain.defects[label]
    more = (*item.sampling, SamplingStructure("v_Cd_0_of_CdSe", item.defect.atoms))
    text = " ".join(methods([replace(plain, defects={label: replace(item, sampling=more)})]))
    assert "(v_Cd_0_of_CdSe): displacements were carried over as fractions of the lattice vectors" in text
    assert "rattled within 5 Å of the site, with a standard deviation of 0.1 Å, and the lowest was relaxed" in text
    sentence = f"For each defect {len(item.sampling)} sampling structures were made with ShakeNBreak"
    assert sentence in text
    assert sentence in " ".join(methods([plain]))
    assert "related hosts" not in " ".join(methods([plain]))


def all_works() -> list[Work]:
    return [value for value in vars(works).values() if isinstance(value, Work)]


def test_dois_have_the_form_of_dois_and_belong_to_one_work() -> None:
    dois = [work.doi for work in all_works() if work.doi]
    assert len(set(dois)) == len(dois)
    assert all(re.fullmatch(r"10\.\d{4,5}/[^\s{}]+", doi) for doi in dois)
    assert len({work.key for work in all_works()}) == len(all_works())


@pytest.mark.parametrize("work", all_works(), ids=lambda work: work.key)
def test_bibtex_is_well_formed(work: Work) -> None:
    item: Citation = citation(work, "a test")
    assert re.match(r"@(article|misc)\{[A-Za-z0-9]+,\n", item.bibtex)
    assert item.bibtex.count("{") == item.bibtex.count("}")
    assert all(re.fullmatch(r"  [a-z]+ = \{.+\},?", line) for line in item.bibtex.splitlines()[1:-1])
    assert (f"doi = {{{work.doi}}}" in item.bibtex) == bool(work.doi)
    assert "others" not in item.text
    assert item.text.endswith(".")


def test_numbers_are_written_as_in_a_paper() -> None:
    assert [number(value) for value in (0.03, 4e-4, 1e-5, 0.01, 100.0, 2.5e-6)] == [
        "0.03", "4 × 10⁻⁴", "10⁻⁵", "0.01", "100", "2.5 × 10⁻⁶",
    ]  # fmt: skip
    assert [signed(value, 1) for value in (1.74, -0.85, 0.01)] == ["+1.7", "−0.8", "0"]
    assert (span([15, 15]), span([12, 15])) == ("15", "12 to 15")
