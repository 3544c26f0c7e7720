from __future__ import annotations

from dataclasses import replace

import pytest

from defectscout.evaluation.funnel import Funnel

FUNNEL = Funnel(15, 15, 1, 0, 4, 4, 3, 950, 240, 960)


def test_the_sentence_counts_in_good_english() -> None:
    assert FUNNEL.sentence == "15 → 4 candidates → 3 minima"
    assert replace(FUNNEL, candidates=1, minima=1).sentence == "15 → 1 candidate → 1 minimum"
    assert replace(FUNNEL, candidates=0, minima=0).sentence == "15 → 0 candidates → 0 minima"


def test_calls_saved_against_the_reference_only_search() -> None:
    assert FUNNEL.calls_saved == 720
    assert FUNNEL.share_saved == pytest.approx(0.75)


def test_a_surrogate_that_costs_more_than_it_saves_is_said_so() -> None:
    worse = replace(FUNNEL, reference_calls=1200)
    assert worse.calls_saved == -240
    assert worse.share_saved == pytest.approx(-0.25)


def test_without_a_baseline_nothing_is_claimed() -> None:
    assert replace(FUNNEL, reference_only_calls=None).calls_saved is None
    assert replace(FUNNEL, reference_only_calls=None).share_saved is None
    assert replace(FUNNEL, reference_only_calls=0).share_saved is None
