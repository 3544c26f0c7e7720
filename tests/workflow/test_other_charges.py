"""Charge states that try each other's structures, on relaxations made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from conftest import model
from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.errors import SamplingError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign, fork_campaign, open_campaign, source_of
from defectscout.workflow.record import Record, TaskKey
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages import other_charges
from defectscout.workflow.stages.borrowed import Borrowed, read_borrowed, record_borrowed
from defectscout.workflow.stages.candidates import (
    SADDLE_RATTLE,
    Candidate,
    DefectCandidates,
    Origin,
    borrowed_structures,
    candidate_structures,
    read_candidates,
    write_candidates,
)
from defectscout.workflow.stages.other_charges import (
    borrowed_starts,
    charge_states,
    check_charge_states,
    relax_borrowed,
)
from listening import Listening
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

CONVERGED, UNCONVERGED, FAILED = RelaxationState.CONVERGED, RelaxationState.UNCONVERGED, RelaxationState.FAILED
SETTINGS = merge(SearchSettings(), {"strategy": "reference-only", "reference": {"name": model("reference")}}, "test")


@pytest.fixture
def neutral() -> Defect:
    return vacancy(CUBIC)


@pytest.fixture
def ionised(neutral: Defect) -> Defect:
    return replace(neutral, charge=-2, excess_charge=0)


@pytest.fixture
def campaign(tmp_path: Path, model_host: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path / "out", SETTINGS, source_of(str(model_host))) as campaign:
        yield campaign


def relax(
    campaign: Campaign,
    defect: Defect,
    label: str,
    end: Atoms,
    energy: float,
    state: RelaxationState = CONVERGED,
    start: Atoms | None = None,
) -> None:
    """A recorded relaxation, from a start that nothing else resembles unless one is given."""
    key = TaskKey("reference", defect.label, label)
    if start is None:
        start = breathing(defect, 0.2 + 0.02 * len(campaign.record.tasks("reference")))
    campaign.record.add_tasks("reference", defect.label, [(label, start)])
    zeros = np.zeros((len(end), 3))
    checkpoint = Checkpoint(Frame(end, Prediction(energy, zeros), 0), FireState(zeros, 0.1, 0.1, 0), energy)
    campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    if state.is_finished:
        campaign.record.finish(key, state, "" if state is CONVERGED else "as told", 1)


def names(borrowed: tuple[Borrowed, ...]) -> list[tuple[str, str]]:
    return [(item.defect, item.label) for item in borrowed]


def test_each_state_is_offered_what_it_lacks(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    relax(campaign, neutral, UNPERTURBED, breathing(neutral), 0.0)
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    relax(campaign, ionised, UNPERTURBED, breathing(ionised), 0.0)
    (item,) = borrowed_starts(campaign, [neutral, ionised])
    assert (item.defect, item.label, item.came_from, item.source) == ("v_Cd_-2", "Dimer_from_0", "v_Cd_0", "Dimer")
    np.testing.assert_array_equal(item.atoms.positions, dimer(neutral).positions)
    assert read_borrowed(campaign) == ()


def test_ground_states_come_first(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    single = replace(neutral, charge=-1, excess_charge=1)
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    relax(campaign, neutral, "Rattled", dimer(neutral, length=3.1), -0.5)
    relax(campaign, single, "Dimer", dimer(neutral, length=2.4), -0.2)
    relax(campaign, ionised, UNPERTURBED, breathing(ionised), 0.0)
    found = names(borrowed_starts(campaign, [neutral, single, ionised]))
    assert [label for defect, label in found if defect == "v_Cd_-2"] == [
        "Dimer_from_-1", "Dimer_from_0", "Rattled_from_0",
    ]  # fmt: skip


def test_energies_of_different_charge_states_do_not_matter(
    campaign: Campaign, neutral: Defect, ionised: Defect
) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), 5000.0)
    relax(campaign, ionised, UNPERTURBED, breathing(ionised), -5000.0)
    assert names(borrowed_starts(campaign, [neutral, ionised])) == [
        ("v_Cd_0", "Unperturbed_from_-2"),
        ("v_Cd_-2", "Dimer_from_0"),
    ]


@pytest.mark.parametrize("state", [CONVERGED, UNCONVERGED])
def test_a_structure_that_is_there_is_not_offered(
    campaign: Campaign, neutral: Defect, ionised: Defect, state: RelaxationState
) -> None:
    """Symmetry-equivalent copies are the same structure."""
    relax(campaign, neutral, "Dimer", dimer(neutral, (0, 1)), -1.0)
    relax(campaign, ionised, "Rattled", dimer(ionised, (2, 3)), 0.0, state)
    assert borrowed_starts(campaign, [neutral, ionised]) == ()


def test_a_structure_that_was_tried_is_not_offered(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    relax(campaign, ionised, "Rattled", breathing(ionised), 0.0, FAILED, start=dimer(ionised))
    assert borrowed_starts(campaign, [neutral, ionised]) == ()


def test_what_the_caller_has_tried_is_not_offered(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    tried = {"v_Cd_-2": [dimer(neutral)]}
    assert names(borrowed_starts(campaign, [neutral, ionised])) == [("v_Cd_-2", "Dimer_from_0")]
    assert borrowed_starts(campaign, [neutral, ionised], tried) == ()


def test_only_structures_that_ended_well_are_offered(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    molten = neutral.atoms.copy()
    molten.positions += np.random.default_rng(0).normal(scale=1.0, size=molten.positions.shape)
    relax(campaign, neutral, "a", dimer(neutral, length=2.4), -1.0, FAILED)
    relax(campaign, neutral, "b", dimer(neutral, length=2.75), -1.0, RelaxationState.RUNNING)
    relax(campaign, neutral, "c", molten, -9.0)
    assert borrowed_starts(campaign, [neutral, ionised]) == ()


def test_a_minimum_is_tried_once_whichever_start_stands_for_it(
    campaign: Campaign, neutral: Defect, ionised: Defect
) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    record_borrowed(campaign, borrowed_starts(campaign, [neutral, ionised]))
    assert borrowed_starts(campaign, [neutral, ionised]) == ()
    relax(campaign, neutral, "Rattled", dimer(neutral, length=2.751), -1.001)
    assert borrowed_starts(campaign, [neutral, ionised]) == ()


def test_two_states_that_offer_the_same_give_it_once(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    single = replace(neutral, charge=-1, excess_charge=1)
    for state in (neutral, single):
        relax(campaign, state, "Dimer", dimer(state), -1.0)
    assert names(borrowed_starts(campaign, [neutral, single, ionised])) == [("v_Cd_-2", "Dimer_from_-1")]


def test_what_the_learning_loop_has_left_is_no_minimum(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    relax(campaign, neutral, "left", dimer(neutral, length=3.1), -0.5, UNCONVERGED)
    assert len(borrowed_starts(campaign, [neutral, ionised])) == 2
    own = DefectCandidates((Candidate("Dimer", ("Dimer",), Origin.SAMPLED, None),))
    write_candidates(campaign, {neutral.label: own})
    assert names(borrowed_starts(campaign, [neutral, ionised])) == [("v_Cd_-2", "Dimer_from_0")]


def test_names_stay_apart(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    """A folder of the user's may hold what ShakeNBreak's own regenerate has written."""
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    campaign.record.add_tasks("sampling", ionised.label, [("Dimer_from_0", ionised.atoms)])
    assert names(borrowed_starts(campaign, [neutral, ionised])) == [("v_Cd_-2", "Dimer_from_0_from_0")]


def test_only_charge_states_of_one_defect_belong_together(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    other = replace(ionised, name="v_Cd_Td")
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    assert charge_states([neutral, other]) == ()
    assert borrowed_starts(campaign, [neutral, other]) == ()
    assert not relax_borrowed(campaign, [neutral, other], {}, SilentProgress())
    assert not relax_borrowed(campaign, [neutral], {}, SilentProgress())
    assert [[d.charge for d in states] for states in charge_states([neutral, other, ionised])] == [[0, -2]]


def test_charge_states_in_different_supercells(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    order = np.arange(len(ionised.atoms))[::-1]
    strained = ionised.atoms.copy()
    strained.set_cell(strained.cell * 1.03, scale_atoms=True)
    rotated = ionised.atoms.copy()
    rotated.positions = np.roll(rotated.positions[:31], 1, axis=0).tolist() + rotated.positions[31:].tolist()
    elsewhere = (ionised.site + 0.25) % 1
    check_charge_states([neutral, ionised, replace(ionised, charge=1, site=ionised.site + 1.0)])
    for changes, says in (
        ({"atoms": ionised.atoms[order]}, "come in another order"),
        ({"atoms": rotated}, "come in another order"),
        ({"atoms": strained}, "different lattice vectors"),
        ({"site": elsewhere}, "defect sites lie at different places"),
    ):
        with pytest.raises(SamplingError, match=rf"v_Cd_0 and v_Cd_-2 cannot .*{says}.*--charge instead"):
            borrowed_starts(campaign, [neutral, replace(ionised, **changes)])  # type: ignore[arg-type]


def test_a_structure_is_not_passed_to_and_fro_for_ever(
    campaign: Campaign, neutral: Defect, ionised: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relaxations that end a little farther each time would go on without an end."""
    relax(campaign, neutral, "Dimer", dimer(neutral, length=2.4), -1.0)
    tried = []

    def drifting(campaign: Campaign, *_: object) -> None:
        for item in read_borrowed(campaign)[len(tried) :]:
            tried.append(item.label)
            taker = neutral if item.defect == neutral.label else ionised
            end = dimer(neutral, length=2.4 + 0.3 * len(tried))
            relax(campaign, taker, item.label, end, -1.0 - 0.1 * len(tried), start=item.atoms)

    progress = Listening()
    monkeypatch.setattr(other_charges, "relax_candidates", drifting)
    assert relax_borrowed(campaign, [neutral, ionised], {}, progress)
    chain = "Dimer_from_0_from_-2_from_0_from_-2"
    assert tried == [chain[: len("Dimer") + end] for end in (7, 15, 22, 30)]
    assert [text for text in progress.warnings if "is not tried" in text] == [
        f"v_Cd_-2: {chain} of v_Cd_0 is not tried: it has come through 4 charge states before."
    ]


def test_borrowed_candidates_stand_beside_the_others(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    relax(campaign, neutral, "Dimer", asymmetric(dimer(neutral)), -1.0)
    (new,) = borrowed_starts(campaign, [neutral, ionised])
    record_borrowed(campaign, [new])
    known = read_candidates(campaign)
    ((candidate, atoms),) = candidate_structures(campaign, ionised, known["v_Cd_-2"])
    assert (candidate.label, candidate.members, candidate.origin) == (new.label, (new.label,), Origin.BORROWED)
    np.testing.assert_array_equal(atoms.positions, new.atoms.positions)
    np.testing.assert_array_equal(atoms.cell, new.atoms.cell)
    assert atoms.pbc.all()


def asymmetric(atoms: Atoms) -> Atoms:
    """Two neighbouring atoms moved along different axes, by more than any tolerance of symmetry."""
    atoms.positions[0] += [0.3, 0.0, 0.1]
    atoms.positions[1] += [0.0, 0.2, 0.0]
    return atoms


def test_what_keeps_a_symmetry_is_rattled(campaign: Campaign, neutral: Defect, ionised: Defect) -> None:
    """A minimum of one charge state may be a saddle point of another, which no force leads away from."""
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)  # C2v
    record_borrowed(campaign, borrowed_starts(campaign, [neutral, ionised]))
    (one,), (again,) = (candidate_structures(campaign, ionised, read_candidates(campaign)["v_Cd_-2"]) for _ in range(2))
    moved = one[1].positions - dimer(neutral).positions
    assert np.std(moved) == pytest.approx(SADDLE_RATTLE, rel=0.2)
    assert np.array_equal(one[1].positions, again[1].positions)
    ((label, atoms),) = borrowed_structures(campaign, ionised)
    assert label == one[0].label
    assert np.array_equal(atoms.positions, one[1].positions)
    assert borrowed_starts(campaign, [neutral, ionised]) == ()  # it counts as tried, rattled as it is


def test_a_fork_that_relaxes_anew_borrows_anew(
    campaign: Campaign, neutral: Defect, ionised: Defect, model_host: Path
) -> None:
    relax(campaign, neutral, "Dimer", dimer(neutral), -1.0)
    record_borrowed(campaign, borrowed_starts(campaign, [neutral, ionised]))
    folder, source = campaign.folder, source_of(str(model_host))
    with open_campaign(folder.with_name("other"), SETTINGS, source) as other:
        copy = other.folder
    (copy / "campaign.db").write_bytes((folder / "campaign.db").read_bytes())
    fork = fork_campaign(copy, merge(SETTINGS, {"refinement": {"force": 0.1}}, "test"), source)
    assert Record(fork / "campaign.db").read_document("borrowed") is None
    kept = fork_campaign(copy, SETTINGS, source)
    assert Record(kept / "campaign.db").read_document("borrowed") is not None
