"""Studies of alloys, analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from analysis.alloy_overviews import a_study, a_vacancy, alloy_crystal, environment_of, only, paired, searched
from defectscout.analysis.alloy_words import alloy_title, bond_words, composition_variable, environment_order
from defectscout.analysis.alloys import AlloyAnalysis, SiteResult, Verdict, analyse_alloy
from defectscout.analysis.elsewhere import beside_each_other
from defectscout.core.defect import Bond, Defect, Minimum
from defectscout.core.errors import NothingFoundError
from defectscout.hosts.substitution import Occupation
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.study import StudiedSupercell
from minima.vacancy_cases import breathing

HALF = alloy_crystal(16)
TE3SE = a_vacancy(HALF, "Te3Se")
TE2SE2 = a_vacancy(HALF, "Te2Se2")


def found_in(
    defect: Defect, energy: float, *kinds: str, symmetric: float = 0.0
) -> list[tuple[Atoms, float, list[str]]]:
    """A dimer, or several, below the structure that the unperturbed one relaxes to."""
    return [(paired(defect, *kinds), energy, ["Dimer", "Rattled"]), (breathing(defect), symmetric, ["Unperturbed"])]


def site_of(found: AlloyAnalysis, environment: str) -> SiteResult:
    (site,) = (item for item in found.sites if item.environment == environment)
    return site


# Sites


def test_a_site_has_what_its_search_and_its_manifest_say() -> None:
    item = searched(TE3SE, found_in(TE3SE, -101.0, "Te-Te", symmetric=-100.25), confidence="moderate")
    (site,) = analyse_alloy(a_study(only(item), energies=[-103.5])).sites
    assert (site.supercell, site.formula, site.realisation) == ("Cd32Te16Se16-1", "Cd32Te16Se16", 1)
    assert (site.composition, site.x) == ("Te 0.500, Se 0.500", 0.5)
    assert (site.defect, site.kind, site.environment) == ("v_Cd_Te3Se_0", "v_Cd_0", "Te3Se")
    count = sum(environment_of(HALF, int(i)) == "Te3Se" for i in np.flatnonzero(HALF.symbols == "Cd"))
    assert (site.sites, site.share) == (count, count / 32)
    assert (site.sampling, site.surrogate_minima, site.minima) == (3, 0, 2)
    assert (site.bonds, site.symmetry, site.motif) == ("Te–Te", "C1", "Te–Te dimer")
    assert site.lowering == pytest.approx(-0.75)
    assert site.formation_energy == pytest.approx(2.5)
    assert site.relative == 0.0
    assert (site.confidence, site.finished) == ("moderate", True)


def test_a_site_without_a_ground_state_has_no_energies_and_no_bonds() -> None:
    (site,) = analyse_alloy(a_study(only(searched(TE3SE, step="scouting")))).sites
    assert (site.bonds, site.symmetry, site.motif, site.reconstruction) == ("", "", "", "")
    assert (site.lowering, site.formation_energy, site.relative, site.finished) == (None, None, None, False)


def test_the_unperturbed_structure_as_ground_state_has_no_new_bonds_and_lowers_nothing() -> None:
    item = searched(TE3SE, [(breathing(TE3SE), -1.0, ["Unperturbed"])])
    (site,) = analyse_alloy(a_study(only(item))).sites
    assert (site.bonds, site.reconstruction, site.lowering) == ("none", "none", 0.0)


@pytest.mark.parametrize(
    ("environment", "kinds", "words"),
    [
        ("Te3Se", ["Te-Te"], "Te–Te"),
        ("Te3Se", ["Se-Te"], "Se–Te"),
        ("Te2Se2", ["Te-Te", "Se-Se"], "Se–Se + Te–Te"),
        ("Te2Se2", ["Se-Te", "Se-Te"], "2 Se–Te"),
    ],
)
def test_bonds_are_told_by_kind_and_number(environment: str, kinds: list[str], words: str) -> None:
    defect = a_vacancy(HALF, environment)
    (site,) = analyse_alloy(a_study(only(searched(defect, found_in(defect, -1.0, *kinds))))).sites
    assert site.bonds == words


def test_the_most_frequent_bonds_come_first_and_ionic_ones_do_not_count() -> None:
    bonds = [("Se", "Te"), ("Te", "Te"), ("Te", "Te"), ("Cd", "Te")]
    found = tuple(Bond(species, 2.7, (number, number + 1)) for number, species in enumerate(bonds))
    assert bond_words(Minimum("a", ("a",), TE3SE.atoms, 0.0, found)) == "2 Te–Te + Se–Te"


def test_sites_of_all_searched_places_are_of_one_kind() -> None:
    """With every site searched, the label names the atom as well."""
    names = ("Te3Se_s1", "Te3Se_s2")
    defects = [a_vacancy(HALF, "Te3Se", name, which=number) for number, name in enumerate(names)]
    charged = a_vacancy(HALF, "Te2Se2", charge=-2)
    found = analyse_alloy(a_study(only(*(searched(defect) for defect in (*defects, charged)))))
    assert [(site.kind, site.environment) for site in found.sites] == [
        ("v_Cd_-2", "Te2Se2"), ("v_Cd_0", "Te3Se"), ("v_Cd_0", "Te3Se")
    ]  # fmt: skip
    assert [site.defect for site in found.sites[1:]] == ["v_Cd_Te3Se_s1_0", "v_Cd_Te3Se_s2_0"]


def test_sites_stand_by_composition_realisation_and_environment() -> None:
    bulks = {0.25: alloy_crystal(8), 0.5: HALF, 0.51: alloy_crystal(16, seed=1)}

    def items(x: float, *environments: str) -> list[object]:
        return [searched(a_vacancy(bulks[x], name)) for name in environments]

    study = a_study([(2, items(0.51, "TeSe3", "Te3Se")), (1, items(0.5, "Te2Se2", "TeSe3", "Te3Se")),
                     (1, items(0.25, "Te2Se2", "Te4"))])  # type: ignore[list-item] # fmt: skip
    found = analyse_alloy(study)
    assert [(site.x, site.realisation, site.environment) for site in found.sites] == [
        (0.25, 1, "Te4"), (0.25, 1, "Te2Se2"),
        (0.5, 1, "Te3Se"), (0.5, 1, "Te2Se2"), (0.5, 1, "TeSe3"),
        (0.5, 2, "Te3Se"), (0.5, 2, "TeSe3"),
    ]  # fmt: skip
    assert [item.environment for item in found.environments] == ["Te4", "Te3Se", "Te2Se2", "TeSe3"]


def test_environments_begin_with_those_of_the_parent() -> None:
    held = (Occupation("Te", (("Te", 0.5), ("Se", 0.5)), (("Te", 16), ("Se", 16))),)
    names = ["Se4", "Te2Se2-Te7Se5", "Te3Se", "Te2Se2-Te8Se4", "Te4", "TeSe3"]
    assert sorted(names, key=lambda name: environment_order(name, held)) == [
        "Te4", "Te3Se", "Te2Se2-Te8Se4", "Te2Se2-Te7Se5", "TeSe3", "Se4"
    ]  # fmt: skip


# Energies


def two_supercells(energies: Sequence[float | None]) -> AlloyAnalysis:
    quarter = alloy_crystal(8)
    first, second = a_vacancy(quarter, "Te4"), a_vacancy(quarter, "Te3Se")
    study = a_study(
        [
            (1, [searched(first, found_in(first, -10.0, "Te-Te")), searched(second, found_in(second, -10.5, "Se-Te"))]),
            (1, [searched(TE3SE, found_in(TE3SE, -20.0, "Te-Te")), searched(TE2SE2, found_in(TE2SE2, -19.0, "Se-Te"))]),
        ],
        energies=energies,
    )
    return analyse_alloy(study)


def test_formation_energies_compare_between_supercells() -> None:
    found = two_supercells([-13.0, -22.0])
    assert [site.formation_energy for site in found.sites] == pytest.approx([3.0, 2.5, 2.0, 3.0])
    assert [site.relative for site in found.sites] == pytest.approx([1.0, 0.5, 0.0, 1.0])
    by_name = {item.environment: item for item in found.environments}
    assert by_name["Te3Se"].energies == pytest.approx((0.0, 0.25, 0.5))
    assert by_name["Te3Se"].bonds == (("Se–Te", 1), ("Te–Te", 1))
    assert by_name["Te3Se"].searched == 2


def test_supercells_without_an_energy_have_a_zero_of_their_own() -> None:
    found = two_supercells([None, -22.0])
    assert [site.formation_energy for site in found.sites] == [None, None, pytest.approx(2.0), pytest.approx(3.0)]
    assert [site.relative for site in found.sites] == pytest.approx([0.5, 0.0, 0.0, 1.0])


def test_kinds_have_zeros_of_their_own() -> None:
    charged = a_vacancy(HALF, "Te2Se2", charge=-2)
    items = [searched(TE3SE, found_in(TE3SE, -20.0, "Te-Te")), searched(charged, found_in(charged, -25.0, "Se-Te"))]
    found = analyse_alloy(a_study(only(*items)))
    assert [site.relative for site in found.sites] == [0.0, 0.0]


# Fine and coarse searches


def fine(*items: object, **others: object) -> AlloyOverview:
    return a_study(only(*items), strategy="scout", **others)  # type: ignore[arg-type]


def coarse(*items: object, folder: str = "coarse", **others: object) -> AlloyOverview:
    return a_study(only(*items), folder=folder, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("energy", "kind", "verdict"),
    [
        (-10.021, "Te-Te", Verdict.LOWER),
        (-10.019, "Te-Te", Verdict.SAME),
        (-9.981, "Te-Te", Verdict.SAME),
        (-9.981, "Se-Te", Verdict.LEVEL),
        (-9.979, "Te-Te", Verdict.MISSED),
    ],
)
def test_verdicts_follow_energy_and_structure(energy: float, kind: str, verdict: Verdict) -> None:
    here = fine(searched(TE3SE, found_in(TE3SE, energy, kind), "scout"))
    there = coarse(searched(TE3SE, found_in(TE3SE, -10.0, "Te-Te")))
    found = analyse_alloy(here, [there])
    (item,) = found.comparisons
    assert item.verdict is verdict
    assert item.difference == pytest.approx(energy + 10.0)
    assert item.reconstruction == f"Te–Te → {kind.replace('-', '–')}"
    assert item.fine is found.sites[0]
    assert not found.notes


def test_what_has_not_ended_is_left_open() -> None:
    here = fine(searched(TE3SE, found_in(TE3SE, -11.0, "Te-Te"), "scout", step="one relaxation"))
    there = coarse(searched(TE3SE, found_in(TE3SE, -10.0, "Te-Te")))
    (item,) = analyse_alloy(here, [there]).comparisons
    assert (item.verdict, item.difference) == (Verdict.OPEN, pytest.approx(-1.0))
    (item,) = analyse_alloy(here, [coarse(searched(TE3SE, step="all"))]).comparisons
    assert (item.verdict, item.difference, item.reconstruction) == (Verdict.OPEN, None, "")


def test_a_lower_minimum_of_the_coarse_search_makes_the_fine_one_unsure() -> None:
    here = fine(searched(TE3SE, found_in(TE3SE, -9.0, "Se-Te"), "scout", confidence="high"))
    there = coarse(searched(TE3SE, found_in(TE3SE, -10.0, "Te-Te"), confidence="high"))
    (item,) = analyse_alloy(here, [there]).comparisons
    assert (item.verdict, item.fine.confidence, item.coarse.confidence) == (Verdict.MISSED, "low", "high")
    assert here.campaigns["Cd32Te16Se16-1"].defects["v_Cd_Te3Se_0"].result.confidence.level == "high"
    (item,) = analyse_alloy(there, [here]).comparisons
    assert (item.verdict, item.fine.confidence, item.coarse.confidence) == (Verdict.LOWER, "high", "low")


def test_which_study_has_the_lower_minimum_is_said() -> None:
    """Campaigns of two studies have folders of one name."""
    here = fine(searched(TE3SE, found_in(TE3SE, -9.0, "Se-Te"), "scout"))
    there = coarse(searched(TE3SE, found_in(TE3SE, -10.0, "Te-Te")))
    told, _ = beside_each_other([*here.campaigns.values(), *there.campaigns.values()])
    reason = told.defects["v_Cd_Te3Se_0"].result.confidence.reasons[0]
    assert "the search in coarse/Cd32Te16Se16-1 has a minimum 1.00 eV lower" in reason


def test_sites_are_known_by_their_place_whatever_they_are_called() -> None:
    name = "Te3Se_s1"
    there = a_vacancy(HALF, "Te3Se", name)
    other = a_vacancy(HALF, "Te3Se", "Te3Se_s2", which=1)
    here = fine(searched(TE3SE, found_in(TE3SE, -9.0, "Te-Te"), "scout"))
    beside = coarse(searched(other, found_in(other, -20.0, "Te-Te")), searched(there, found_in(there, -9.5, "Te-Te")))
    (item,) = analyse_alloy(here, [beside]).comparisons
    assert item.coarse.defect == "v_Cd_Te3Se_s1_0"
    assert (item.difference, item.fine.confidence) == (pytest.approx(0.5), "low")


def test_the_first_of_several_coarse_searches_counts_and_the_others_are_named() -> None:
    here = fine(searched(TE3SE, found_in(TE3SE, -9.0, "Te-Te"), "scout"))
    beside = [coarse(searched(TE3SE, found_in(TE3SE, energy, "Te-Te")), folder=name)
              for name, energy in (("one", -9.0), ("two", -9.9))]  # fmt: skip
    found = analyse_alloy(here, beside)
    assert [item.difference for item in found.comparisons] == [0.0]
    assert found.notes == ("v_Cd_Te3Se_0 in Cd32Te16Se16-1 is not compared with two: it is with one.",)


def other_cell(study: AlloyOverview) -> AlloyOverview:
    """The same crystal, stretched."""
    ((name, overview),) = study.campaigns.items()
    (item,) = overview.defects.values()
    stretched = []
    for atoms in (item.defect.atoms, item.defect.bulk):
        larger = atoms.copy()
        larger.set_cell(atoms.cell[:] * 1.02, scale_atoms=True)
        stretched.append(larger)
    defect = replace(item.defect, atoms=stretched[0], bulk=stretched[1])
    changed = replace(item, result=replace(item.result, defect=defect))
    told = replace(overview, bulk=stretched[1], defects={defect.label: changed})
    return replace(study, campaigns={name: told})


def fewer_campaigns(study: AlloyOverview) -> AlloyOverview:
    return replace(study, campaigns={})


ANOTHER = a_vacancy(alloy_crystal(16, seed=5), "Te3Se")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (lambda: coarse(searched(TE3SE), reference="gfn2-xtb"), "the reference here is gfn1-xtb"),
        (lambda: coarse(searched(ANOTHER)), "the elements are arranged otherwise"),
        (lambda: other_cell(coarse(searched(TE3SE))), "the supercell here (Cd31Se16Te16"),
        (lambda: coarse(searched(TE2SE2)), "no defect was searched at a site of both"),
        (lambda: coarse(searched(a_vacancy(HALF, "Te3Se", charge=-2))), "no defect was searched at a site of both"),
        (lambda: coarse(searched(a_vacancy(alloy_crystal(8), "Te3Se"))), "Cd32Te24Se8-1 of coarse is no supercell"),
        (lambda: fewer_campaigns(coarse(searched(TE3SE))), "it has no defects yet in coarse"),
        (lambda: fine(searched(TE3SE)), "fine is not compared with itself"),
    ],
)  # fmt: skip
def test_why_nothing_is_compared_is_said(there: object, words: str) -> None:
    here = fine(searched(TE3SE, found_in(TE3SE, -9.0, "Te-Te"), "scout"))
    found = analyse_alloy(here, [there()])  # type: ignore[operator]
    assert not found.comparisons
    assert words in found.notes[0]
    assert found.notes[-1] == "No coarse search to compare with: v_Cd_Te3Se_0 in Cd32Te16Se16-1."
    assert found.sites[0].confidence == "high"


# The study


def test_nothing_to_analyse_is_said() -> None:
    study = fewer_campaigns(coarse(searched(TE3SE), notes=["Cd32Te16Se16-1 (Te 0.500, Se 0.500) has not been begun."]))
    with pytest.raises(NothingFoundError, match=r"no defect to analyse yet: Cd32Te16Se16-1 .* has not been begun"):
        analyse_alloy(study)


def test_what_was_not_begun_is_noted() -> None:
    study = coarse(searched(TE3SE), notes=["Another has not been begun."])
    assert analyse_alloy(study).notes == ("Another has not been begun.",)


def supercell(formula: str, *held: Occupation) -> StudiedSupercell:
    return StudiedSupercell(f"{formula}-1", formula, held, 1, ())


def shared(element: str, **counts: int) -> Occupation:
    total = sum(counts.values())
    return Occupation(element, tuple((one, n / total) for one, n in counts.items()), tuple(counts.items()))


@pytest.mark.parametrize(
    ("item", "title", "variable"),
    [
        (supercell("Cd27Te14Se13", shared("Te", Te=14, Se=13)), "Cd(Te,Se)", "Se"),
        (supercell("Cd32Te32", shared("Te", Te=32, Se=0)), "Cd(Te,Se)", "Se"),
        (supercell("Zn4Cd12Te8Se4S4", shared("Cd", Cd=12, Zn=4), shared("Te", Te=8, Se=4, S=4)),
         "(Cd,Zn)(Te,Se,S)", ""),
        (supercell("Ga16Cu12Ag4S32", shared("Cu", Cu=12, Ag=4)), "Ga(Cu,Ag)S2", "Ag"),
        (supercell("Cd16Te8Se4S4", shared("Te", Te=8, Se=4, S=4)), "Cd(Te,Se,S)", ""),
    ],
)  # fmt: skip
def test_alloys_are_named_by_their_sublattices(item: StudiedSupercell, title: str, variable: str) -> None:
    assert alloy_title([item]) == title
    assert composition_variable([item]) == variable
