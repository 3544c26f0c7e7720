"""Whole studies of Mg(S,Se) on the model crystal, and the manifest that they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from conftest import model
from defectscout.core.errors import CampaignError
from defectscout.workflow.alloys.overview import read_alloy
from defectscout.workflow.alloys.run import AlloyResult, check_outcomes, search_alloy
from defectscout.workflow.alloys.settings import AlloySettings
from defectscout.workflow.alloys.study import MANIFEST_NAME, campaign_folders, is_study, read_study, write_study
from defectscout.workflow.results import DefectResult
from workflow.alloy_parents import quick, write_parent

FINE: dict[str, Any] = {
    "supercell": {"matrix": ((3, 0, 0), (0, 3, 0), (0, 0, 3))},
    "surrogate": {"name": model("weak")},
    "reference": {"name": model("weak")},
    "scouting": {"force": 0.1},
    "refinement": {"force": 0.1},
}
ALLOY = AlloySettings(substitute=("S:Se",), x=(1 / 27, 26 / 27))
SITES = ("v_Mg_S5Se", "v_Mg_SSe5")
"""One site of each composition: next to the only atom of the rarer element."""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parent(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def fine(parent: Path) -> AlloyResult:
    """Every pair of neighbours is brought together once at each site, by the surrogate."""
    own = quick(
        **FINE,
        strategy="scout",
        defects={"select": SITES},
        sampling={"none": False, "pairs": True, "distortions": (-0.4,)},
    )
    return search_alloy(parent, parent.parent / "fine", ALLOY, own)


@pytest.fixture(scope="module")
def coarse(parent: Path) -> AlloyResult:
    own = quick(**FINE, defects={"select": SITES}, sampling={"none": False, "distortions": (-0.4,)})
    return search_alloy(parent, parent.parent / "coarse", ALLOY, own)


def of_site(result: AlloyResult, number: int) -> DefectResult:
    found = result.outcomes[number].result
    assert found is not None
    (defect,) = found.defects.values()
    return defect


@pytest.mark.parametrize("study", ["fine", "coarse"])
def test_a_study_has_an_answer_at_each_site(study: str, request: pytest.FixtureRequest) -> None:
    result: AlloyResult = request.getfixturevalue(study)
    check_outcomes(result)
    assert [item.supercell.name for item in result.outcomes] == ["Mg27Se1S26-1", "Mg27Se26S1-1"]
    assert [item.supercell.x for item in result.outcomes] == pytest.approx([1 / 27, 26 / 27])
    assert [item.supercell.composition for item in result.outcomes] == ["S 0.963, Se 0.037", "S 0.037, Se 0.963"]
    for number, name in enumerate(("S5Se", "SSe5")):
        (site,) = result.outcomes[number].supercell.sites
        assert (site.name, site.environment, site.sites) == (name, name, 6)
        assert site.share == pytest.approx(6 / 27)
        assert site.defects == (f"v_Mg_{name}_0",)
        assert result.outcomes[number].supercell.site_of(f"v_Mg_{name}_0") is site
        assert of_site(result, number).defect.excess_charge == 2


def test_each_site_is_sampled_at_all_its_pairs(fine: AlloyResult) -> None:
    for number, rare in enumerate(("Se", "S")):
        found = of_site(fine, number)
        sampled = [label for item in found.minima for label in item.sampled_by] + [
            label for label, _ in found.set_aside
        ]
        assert len(sampled) == len(set(sampled)) == 16  # 6 × 5 / 2 pairs, and the unperturbed structure
        pairs = [label.rpartition("_")[2].split("-") for label in sampled if label != "Unperturbed"]
        symbols = [{atom.rstrip("0123456789") for atom in pair} for pair in pairs]
        assert sum(rare in pair for pair in symbols) == 5


def test_reconstructions_of_both_elements_are_found(fine: AlloyResult) -> None:
    species = []
    for number in range(2):
        ground = of_site(fine, number).minima[0]
        assert ground.lowering is not None
        assert ground.lowering < -0.3
        species.append({bond.species for bond in ground.minimum.new_bonds})
    assert ("S", "Se") in species[0]
    assert ("Se", "Se") in species[1]


def test_the_fine_search_finds_what_the_coarse_one_does_and_lower(fine: AlloyResult, coarse: AlloyResult) -> None:
    for number in range(2):
        lowest, other = (of_site(result, number).minima[0].minimum.energy for result in (fine, coarse))
        assert lowest <= other + 0.05


def test_lattices_lie_between_those_of_the_end_members(coarse: AlloyResult) -> None:
    """Those of the supercells' files by Vegard's law to the last digit; the relaxed ones nearby."""
    small, large = (read_lattice(coarse.folder / "end-members" / name) for name in ("MgS", "MgSe"))
    assert 1.015 < large / small < 1.06
    for outcome in coarse.outcomes:
        supercell = outcome.supercell
        made = Structure.from_file(coarse.folder / "supercells" / f"{supercell.name}.vasp")
        x = supercell.x
        assert made.lattice.a == pytest.approx((1 - x) * small + x * large, rel=1e-9)
        assert read_lattice(coarse.folder / supercell.name) == pytest.approx(made.lattice.a, rel=0.01)


def read_lattice(campaign: Path) -> float:
    """Length of the first vector of a campaign's relaxed supercell, Å."""
    from defectscout.workflow.campaign import RECORD_NAME
    from defectscout.workflow.record import Record
    from defectscout.workflow.serial import host_from_json

    stored = Record(campaign / RECORD_NAME).read_document("host")
    assert stored is not None
    return float(host_from_json(stored).supercell.lattice.a)


def test_a_campaign_of_a_study_is_like_any_other(fine: AlloyResult) -> None:
    from defectscout.core.progress import SilentProgress
    from defectscout.workflow.search import Until, resume

    name = fine.outcomes[0].supercell.name
    again = resume(fine.folder / name, Until.ANSWER, SilentProgress())
    assert again["v_Mg_S5Se_0"].minima[0].minimum.energy == of_site(fine, 0).minima[0].minimum.energy
    assert (fine.folder / name / "v_Mg_S5Se_0" / "Unperturbed" / "CONTCAR").is_file()
    assert campaign_folders(fine.folder, fine.study.supercells) == tuple(
        fine.folder / item.supercell.name for item in fine.outcomes
    )


def test_the_manifest_gives_the_study_back(fine: AlloyResult, tmp_path: Path) -> None:
    assert is_study(fine.folder)
    assert read_study(fine.folder) == fine.study
    write_study(tmp_path, fine.study)
    assert (tmp_path / MANIFEST_NAME).read_bytes() == (fine.folder / MANIFEST_NAME).read_bytes()
    overview = read_alloy(fine.folder)
    assert list(overview.campaigns) == [item.supercell.name for item in fine.outcomes]
    assert not overview.notes


def test_a_study_that_has_hardly_begun(fine: AlloyResult, tmp_path: Path) -> None:
    write_study(tmp_path, fine.study)
    overview = read_alloy(tmp_path)
    assert not overview.campaigns
    assert overview.notes == (
        "Mg27Se1S26-1 (S 0.963, Se 0.037) has not been begun.",
        "Mg27Se26S1-1 (S 0.037, Se 0.963) has not been begun.",
    )
    assert campaign_folders(tmp_path, fine.study.supercells) == ()


def damaged(text: str) -> dict[str, str]:
    content = json.loads(text)
    newer = {**content, "schema": 99, "version": "9.9"}
    lacking = {**content, "study": {key: value for key, value in content["study"].items() if key != "search"}}
    wrong = json.loads(text)
    wrong["study"]["alloy"]["realisations"] = "many"
    return {
        "torn": text[: len(text) // 2],
        "list": "[]",
        "empty": "",
        "newer": json.dumps(newer),
        "lacking": json.dumps(lacking),
        "wrong": json.dumps(wrong),
    }


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("torn", r"alloy\.json cannot be read: .*Restore it from a copy"),
        ("list", r"alloy\.json cannot be read"),
        ("empty", r"alloy\.json cannot be read"),
        ("newer", r"was written in format 99 by defectscout 9\.9; this one reads format 1"),
        ("lacking", r"cannot be read: 1 entries do not fit"),
        ("wrong", r"cannot be read: 1 entries do not fit"),
    ],
)
def test_a_damaged_manifest(fine: AlloyResult, tmp_path: Path, how: str, message: str) -> None:
    text = damaged((fine.folder / MANIFEST_NAME).read_text())[how]
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(CampaignError, match=message):
        read_study(tmp_path)
    with pytest.raises(CampaignError, match=message):
        search_alloy(fine.study.source.name, tmp_path, ALLOY, fine.study.search)
    assert (tmp_path / MANIFEST_NAME).read_text() == text


def test_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"holds no study of an alloy \(no alloy.json\)\. Start one with"):
        read_study(tmp_path)


def test_arrangements_do_not_depend_on_the_method(fine: AlloyResult, coarse: AlloyResult) -> None:
    for item in fine.outcomes:
        first, second = (
            Structure.from_file(result.folder / "supercells" / f"{item.supercell.name}.vasp")
            for result in (fine, coarse)
        )
        assert first.species == second.species
        np.testing.assert_allclose(first.frac_coords, second.frac_coords, atol=1e-12)
