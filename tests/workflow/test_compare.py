"""Two searches side by side, on relaxations made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign, Source, open_campaign
from defectscout.workflow.compare import compare
from defectscout.workflow.learn.view import LEFT
from defectscout.workflow.record import TaskKey
from defectscout.workflow.serial import defects_to_json
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin, write_candidates
from minima.vacancy_cases import CUBIC, FCC, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)


def campaign(
    folder: Path, ends: dict[str, tuple[Atoms, float]], defect: Defect = DEFECT, reference: str = "gfn1-xtb"
) -> Path:
    settings = merge(SearchSettings(), {"reference": {"name": reference}, "strategy": "scout"}, "test")
    with open_campaign(folder, settings, Source("mp-406", "")) as opened:
        opened.record.write_document("defects", defects_to_json((defect,)))
        for label, (atoms, energy) in ends.items():
            relaxed(opened, TaskKey("reference", defect.label, label), atoms, energy)
    return folder


def relaxed(
    opened: Campaign,
    key: TaskKey,
    atoms: Atoms,
    energy: float,
    state: RelaxationState = RelaxationState.CONVERGED,
    reason: str = "",
    calls: int = 10,
) -> None:
    opened.record.add_tasks(key.stage, key.defect, [(key.label, DEFECT.atoms)])
    zeros = np.zeros((len(atoms), 3))
    step = Checkpoint(Frame(atoms, Prediction(energy, zeros), 9), FireState(zeros, 0.1, 0.1, 0), energy)
    opened.record.write_steps([(key, step)], seconds=0.0)
    opened.record.finish(key, state, reason, calls)


def learned(folder: Path, labels: tuple[str, ...]) -> Path:
    """A loop that has relaxed the symmetric structure and a dimer, and left or merged what is no candidate."""
    settings = merge(SearchSettings(), {"reference": {"name": "gfn1-xtb"}, "strategy": "learn"}, "test")
    symmetric, one, other = breathing(DEFECT), dimer(DEFECT, (0, 1)), dimer(DEFECT, (2, 3))
    with open_campaign(folder, settings, Source("mp-406", "")) as opened:
        opened.record.write_document("defects", defects_to_json((DEFECT,)))
        of = DEFECT.label
        relaxed(opened, TaskKey("reference", of, UNPERTURBED), symmetric, -10.0, calls=4)
        relaxed(opened, TaskKey("reference", of, "Dimer_from_r2"), one, -11.0, calls=9)
        left = RelaxationState.UNCONVERGED
        relaxed(opened, TaskKey("reference", of, "Rattled_from_r3"), other, -14.0, left, LEFT, calls=12)
        relaxed(opened, TaskKey("check", of, "Rattled"), one, -10.9, RelaxationState.MERGED, "Dimer_from_r2", calls=7)
        relaxed(opened, TaskKey("ask", of, "r01/Dimer"), other, -15.0, calls=1)
        if labels:
            candidates = tuple(Candidate(label, (label,), Origin.LEARNED, None) for label in labels)
            write_candidates(opened, {of: DefectCandidates(candidates)})
    return folder


def test_which_minima_each_search_found(tmp_path: Path) -> None:
    symmetric, one, other = breathing(DEFECT), dimer(DEFECT, (0, 1)), dimer(DEFECT, (2, 3))
    scouted = campaign(tmp_path / "scouted", {UNPERTURBED: (symmetric, -10.0)})
    whole = campaign(tmp_path / "whole", {UNPERTURBED: (symmetric, -10.01), "a": (one, -11.0), "b": (other, -11.0)})
    (found,) = compare(scouted, whole)
    assert (found.label, found.first_calls, found.second_calls) == ("v_Cd_0", 10, 30)
    assert not found.first_found
    assert found.second_found
    ground, metastable = found.minima
    assert (ground.energy, ground.in_first, ground.in_second) == (0.0, None, 0.0)
    assert ground.bonds == ("Te–Te 2.75 Å",)
    assert metastable.in_first == pytest.approx(1.0)
    assert metastable.in_second == pytest.approx(0.99)
    (reverse,) = compare(whole, scouted)
    assert (reverse.first_found, reverse.second_found) == (True, False)


def test_what_a_learning_loop_found_and_spent(tmp_path: Path) -> None:
    symmetric, one = breathing(DEFECT), dimer(DEFECT, (0, 1))
    whole = campaign(tmp_path / "whole", {UNPERTURBED: (symmetric, -10.0), "Dimer": (one, -11.0)})
    loop = learned(tmp_path / "loop", (UNPERTURBED, "Dimer_from_r2"))
    (found,) = compare(loop, whole)
    assert [minimum.energy for minimum in found.minima] == pytest.approx(
        [0.0, 1.0]
    )  # points and the left are no minima
    assert found.first_found
    assert found.second_found
    assert (found.first_calls, found.second_calls) == (4 + 9 + 12 + 7 + 1, 20)
    with pytest.raises(CampaignError, match=r"has not ended its learning loop.*defectscout resume"):
        compare(whole, learned(tmp_path / "going", ()))


def test_a_search_that_found_nothing_found_no_ground_state(tmp_path: Path) -> None:
    (found,) = compare(campaign(tmp_path / "one", {}), campaign(tmp_path / "two", {}))
    assert not found.first_found
    assert not found.second_found
    assert found.minima == ()


def test_energies_of_different_supercells_are_not_compared(tmp_path: Path) -> None:
    first = campaign(tmp_path / "first", {})
    with pytest.raises(CampaignError, match="different supercells"):
        compare(first, campaign(tmp_path / "smaller", {}, vacancy(FCC)))
    swollen = vacancy(CUBIC)
    for atoms in (swollen.atoms, swollen.bulk):
        atoms.set_cell(1.01 * atoms.cell.array, scale_atoms=True)
    with pytest.raises(CampaignError, match=r"Cd31Te32, 13\.08"):
        compare(first, campaign(tmp_path / "swollen", {}, swollen))


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    first = campaign(tmp_path / "first", {})
    with pytest.raises(CampaignError, match="different methods"):
        compare(first, campaign(tmp_path / "other", {}, reference="gfn2-xtb"))
    charged = Defect(DEFECT.name, -2, DEFECT.kind, DEFECT.atoms, DEFECT.bulk, DEFECT.site, DEFECT.multiplicity, "Td", 0)
    with pytest.raises(CampaignError, match="no defect in common"):
        compare(first, campaign(tmp_path / "charged", {}, charged))
    with pytest.raises(CampaignError, match="holds no campaign"):
        compare(first, tmp_path / "nowhere")
