"""Fixtures for searches that learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import model
from defectscout.core.defect import Defect
from defectscout.workflow.campaign import Campaign, open_campaign, source_of
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import CUBIC, vacancy


@pytest.fixture(scope="module")
def learning_family() -> Iterator[None]:
    """A family of surrogates that learn, installed until the module has ended."""
    from workflow.learning_crystal import learning_crystal

    with learning_crystal():
        yield


@pytest.fixture(scope="module")
def template(learning_family: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign up to its sampling structures, for `begun`."""
    from workflow.learning_crystal import write_template

    return write_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def defect() -> Defect:
    """A vacancy in a cubic crystal."""
    return vacancy(CUBIC)


@pytest.fixture
def campaign(tmp_path: Path, model_host: Path) -> Iterator[Campaign]:
    """An empty campaign that learns from a model of a reference."""
    overrides = {"strategy": "learn", "reference": {"name": model("reference")}}
    settings = merge(SearchSettings(), overrides, "test")
    with open_campaign(tmp_path / "out", settings, source_of(str(model_host))) as opened:
        yield opened
