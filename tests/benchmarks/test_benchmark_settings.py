"""Each strategy of the benchmark of the learning loop is what it says."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def benchmark(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("learning_loop")


def test_every_strategy_is_run_as_what_it_says(benchmark: ModuleType) -> None:
    ran = {
        run.strategy: benchmark.settings(run, "chgnet")
        for run in benchmark.runs([benchmark.HOSTS["CdTe"]], tuple(benchmark.STRATEGIES), ("3",))
    }
    assert ran.keys() == benchmark.STRATEGIES.keys()
    assert {name: settings.strategy for name, settings in ran.items()} == {
        name: "reference-only" if name == "reference-only" else "learn" if name.startswith("learn") else "scout"
        for name in ran
    }
    asks = {name: settings.learn.ask for name, settings in ran.items() if settings.strategy == "learn"}
    assert asks == {
        "learn": "mixed",
        "learn-related": "mixed",
        "learn-minima": "minima",
        "learn-uncertain": "uncertain",
        "learn-corrected": "corrected",
        "learn-related-probed": "mixed",
    }
    probed = {name for name in asks if ran[name].learn.curvature_calls}
    assert probed == {"learn-related-probed"}
    assert {(ran[name].sampling.seed, ran[name].learn.tuning.seed) for name in asks} == {(3, 3)}
    assert {settings.reference.name for settings in ran.values()} == {benchmark.METHOD}


def test_the_reference_only_search_is_always_among_them(benchmark: ModuleType) -> None:
    hosts = [benchmark.HOSTS[name] for name in ("CdTe", "GaCuS2")]
    names = [run.name for run in benchmark.runs(hosts, ("learn-related",), ("0", "1"))]
    assert names[:2] == ["CdTe-reference-only", "GaCuS2-reference-only"]
    assert names[2:] == ["CdTe-learn-related-0", "CdTe-learn-related-1"]  # GaCuS2 has no related host among them
