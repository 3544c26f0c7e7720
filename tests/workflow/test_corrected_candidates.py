"""Candidates of a search that scouts once relax with steps that the surrogate proposes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import model
from defectscout.core.errors import CampaignError
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE, compare
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import search
from defectscout.workflow.settings import SearchSettings, changed, merge

QUICK: dict[str, Any] = {
    "host": {"rattle": 0.0},
    "sampling": {"distortions": (-0.4,)},
    "surrogate": {"name": model("surrogate")},
    "reference": {"name": model("reference"), "workers": 2},
    "strategy": "scout",
}
CORRECTED = {"refinement": {"optimiser": "corrected"}}


def settings(**overrides: Any) -> SearchSettings:
    return merge(merge(SearchSettings(), QUICK, "test"), overrides, "test")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ase.build import bulk
    from ase.io import write

    path = tmp_path_factory.mktemp("host") / "MgS.cif"
    write(path, bulk("MgS", "rocksalt", a=5.8))
    return path


@pytest.fixture(scope="module")
def folder(host: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searched") / "mgs"


@pytest.fixture(scope="module")
def by_fire(host: Path, folder: Path) -> SearchResult:
    return search(host, folder, settings())


@pytest.fixture(scope="module")
def corrected(host: Path, folder: Path, by_fire: SearchResult) -> SearchResult:
    return search(host, folder, settings(**CORRECTED), fork=True)


def test_the_same_minima_for_fewer_force_calls(by_fire: SearchResult, corrected: SearchResult) -> None:
    (found,) = compare(by_fire.folder, corrected.folder)
    assert found.first_found
    assert found.second_found
    assert corrected.ground_state.minimum.energy == pytest.approx(
        by_fire.ground_state.minimum.energy, abs=GROUND_STATE_TOLERANCE
    )
    assert corrected.ground_state.minimum.converged
    assert corrected.funnel.reference_calls < 0.7 * by_fire.funnel.reference_calls


def test_scouting_is_kept_when_only_the_optimiser_changes(by_fire: SearchResult, corrected: SearchResult) -> None:
    assert corrected.folder != by_fire.folder
    assert corrected.funnel.surrogate_calls == by_fire.funnel.surrogate_calls


def test_a_campaign_goes_on_with_its_own_optimiser(host: Path, by_fire: SearchResult) -> None:
    with pytest.raises(CampaignError, match=r"refinement\.optimiser was 'fire', now 'corrected'"):
        search(host, by_fire.folder, settings(**CORRECTED))


@pytest.mark.parametrize("strategy", ["learn", "reference-only"])
def test_the_optimiser_means_nothing_to_other_strategies(strategy: str) -> None:
    before = settings(strategy=strategy)
    assert changed(before, merge(before, CORRECTED, "test")) == []


def test_how_steps_are_corrected_counts_where_they_are() -> None:
    trust = {"corrected": {"trust_start": 0.1}}
    assert changed(settings(), settings(refinement=trust)) == []
    both = settings(**CORRECTED)
    assert changed(both, merge(both, {"refinement": trust}, "test")) == ["refinement.corrected.trust_start"]
