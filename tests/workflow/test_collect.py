"""Reading VASP relaxations back, on real output files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase import Atom
from ase.io import read

from defectscout.core.errors import CampaignError, InputFileError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.record import Record, TaskKey
from defectscout.workflow.search import collect_results, search
from defectscout.workflow.settings import SearchSettings, merge
from listening import Listening

# The 2 x 2 x 2 conventional cells of the data, from the primitive cell that is found in them.
MATRIX = ((0, 2, -2), (0, 2, 2), (4, -2, -2))


@pytest.fixture
def campaign(shared_data: Path, tmp_path: Path) -> Path:
    """A campaign on v_Cd_-2 whose reference relaxations are to be run by hand."""
    folder = shared_data / "dft_raw" / "CdTe_HSE"
    bulk = read(folder / "v_Cd_-2" / "Unperturbed" / "POSCAR")
    bulk.append(Atom("Cd", (0, 0, 0)))
    bulk.write(tmp_path / "bulk.vasp", sort=True, direct=True)
    overrides: dict[str, Any] = {
        "defects": {"select": ("v_Cd",), "charges": (-2,)},
        "sampling": {"folder": folder},
        "supercell": {"matrix": MATRIX},
        "reference": {"name": "none"},
        "strategy": "reference-only",
    }
    search(tmp_path / "bulk.vasp", tmp_path / "out", merge(SearchSettings(), overrides, "test"))
    return tmp_path / "out"


def test_outcars_become_the_answer(campaign: Path, shared_data: Path) -> None:
    result = collect_results(campaign, shared_data / "dft_raw" / "CdTe_HSE", SilentProgress())
    # v_Cd_-2 does not reconstruct: both starts end in the symmetric structure.
    (minimum,) = result.minima
    assert set(minimum.candidates) == {"Unperturbed", "Rattled"}
    assert minimum.minimum.site_symmetry == "Td"
    assert minimum.minimum.converged
    assert minimum.minimum.energy == pytest.approx(-202.8023034)  # what grep finds at the end of OUTCAR
    frames = Record(campaign / "campaign.db").frames(TaskKey("reference", "v_Cd_-2", "Rattled"))
    assert len(frames) > 10
    assert frames[-1].prediction.fmax < 0.02


def test_collecting_again_changes_nothing(campaign: Path, shared_data: Path) -> None:
    first = collect_results(campaign, shared_data / "dft_raw" / "CdTe_HSE", SilentProgress())
    second = collect_results(campaign, shared_data / "dft_raw" / "CdTe_HSE", SilentProgress())
    assert second.funnel == first.funnel
    assert second.minima[0].minimum.energy == first.minima[0].minimum.energy


def test_nothing_to_collect(campaign: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No relaxation of this campaign"):
        collect_results(campaign, None, SilentProgress())
    with pytest.raises(InputFileError, match="does not exist"):
        collect_results(campaign, tmp_path / "nowhere", SilentProgress())


def test_a_broken_outcar_is_named_and_the_others_are_read(campaign: Path, shared_data: Path, tmp_path: Path) -> None:
    import shutil

    source = shared_data / "dft_raw" / "CdTe_HSE" / "v_Cd_-2"
    target = tmp_path / "runs" / "v_Cd_-2"
    for label in ("Unperturbed", "Rattled"):
        (target / label).mkdir(parents=True)
    shutil.copy(source / "Unperturbed" / "OUTCAR.gz", target / "Unperturbed" / "OUTCAR.gz")
    (target / "Rattled" / "OUTCAR").write_text("killed before the first step\n")

    notes = Listening()
    result = collect_results(campaign, tmp_path / "runs", notes)
    assert [item.candidates for item in result.minima] == [("Unperturbed",)]
    assert any("Rattled/OUTCAR" in text for text in notes.warnings)


def test_methods_are_not_mixed(tmp_path: Path, model_host: Path) -> None:
    from conftest import model

    settings = merge(
        SearchSettings(),
        {
            "sampling": {"none": True},
            "surrogate": {"name": model("surrogate")},
            "reference": {"name": model("reference")},
        },
        "test",
    )
    search(model_host, tmp_path / "out", settings)
    with pytest.raises(CampaignError, match="cannot be mixed"):
        collect_results(tmp_path / "out", tmp_path, SilentProgress())
