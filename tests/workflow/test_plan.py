"""The dry run: what it promises is what the search does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import model
from defectscout.core.errors import DefectSelectionError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.plan import Plan, plan
from defectscout.workflow.settings import SearchSettings, merge


def planned(path: Path, **overrides: Any) -> Plan:
    quick = {
        "sampling": {"distortions": (-0.4, 0.4)},
        "surrogate": {"name": model("surrogate")},
        "reference": {"name": model("reference"), "workers": 2},
    }
    return plan(str(path), merge(merge(SearchSettings(), quick, "test"), overrides, "test"), SilentProgress())


def test_a_scouted_search(model_host: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    found = planned(model_host)
    assert sorted(tmp_path.iterdir()) == before
    (defect,) = found.defects
    assert (defect.label, defect.atoms, defect.excess_charge) == ("v_Mg_0", found.supercell_atoms - 1, 2)
    assert (defect.sampling, defect.candidates) == (3, (2, 3))
    assert found.surrogate_calls > 0
    assert found.host_calls > 0
    typical, most = found.reference_calls
    assert 0 < typical < most
    assert found.surrogate_seconds is not None
    assert found.surrogate_seconds > 0
    assert found.seconds is not None
    assert found.seconds[0] < found.seconds[1]


def test_a_reference_only_search_of_a_kept_host(model_host: Path) -> None:
    found = planned(model_host, strategy="reference-only", host={"keep": True})
    assert (found.host_calls, found.surrogate_calls, found.surrogate_seconds) == (0, 0, None)
    assert found.defects[0].candidates == (3, 3)
    assert found.reference_calls[0] == found.reference_calls[1]
    assert found.seconds is not None
    assert found.reference_seconds is not None
    assert found.seconds[0] == pytest.approx(found.reference_calls[0] * found.reference_seconds / 2)


def test_without_a_reference_no_time_is_promised(model_host: Path) -> None:
    found = planned(model_host, reference={"name": "none"})
    assert (found.host_calls, found.reference_calls, found.reference_seconds) == (0, (0, 0), None)
    assert found.seconds is None


def test_it_raises_what_the_search_would(model_host: Path) -> None:
    with pytest.raises(DefectSelectionError, match="v_Cd"):
        planned(model_host, defects={"select": ("v_Cd",)})
