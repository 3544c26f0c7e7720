"""Which structures go to the reference, and that none is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect, DefectKind
from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign, open_campaign, source_of
from defectscout.workflow.record import TaskKey
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.candidates import (
    SADDLE_RATTLE,
    UNPERTURBED_SCOUTED,
    Origin,
    candidate_structures,
    choose_candidates,
)
from defectscout.workflow.stages.sampling import sampling_structures
from minima.vacancy_cases import CUBIC, breathing, dimer, neighbours, vacancy, vectors_from_site

SILENT = SilentProgress()


@pytest.fixture
def campaign(tmp_path: Path, model_host: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path / "out", SearchSettings(), source_of(str(model_host))) as campaign:
        yield campaign


def start(campaign: Campaign, defect: Defect, labels: list[str]) -> None:
    for stage in ("sampling", "scout"):
        campaign.record.add_tasks(stage, defect.label, [(label, defect.atoms) for label in labels])


def end(campaign: Campaign, defect: Defect, label: str, atoms: Atoms, energy: float) -> None:
    key = TaskKey("scout", defect.label, label)
    zeros = np.zeros((len(atoms), 3))
    checkpoint = Checkpoint(Frame(atoms, Prediction(energy, zeros), 0), FireState(zeros, 0.1, 0.1, 0), energy)
    campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    campaign.record.finish(key, RelaxationState.CONVERGED, "", 1)


def test_distinct_minima_and_the_unperturbed_structure(campaign: Campaign) -> None:
    defect = vacancy(CUBIC)
    start(campaign, defect, [UNPERTURBED, "back", "Dimer"])
    end(campaign, defect, UNPERTURBED, breathing(defect), -1.0)
    end(campaign, defect, "back", breathing(defect), -1.0)
    end(campaign, defect, "Dimer", dimer(defect), -2.0)
    (chosen,) = choose_candidates(campaign, [defect], SILENT).values()
    assert sorted((item.label, item.members, item.origin) for item in chosen.candidates) == [
        ("Dimer", ("Dimer",), Origin.SCOUTED),
        (UNPERTURBED, (UNPERTURBED,), Origin.SAMPLED),
        ("back", ("back",), Origin.RATTLED),
    ]
    structures = {item.label: atoms for item, atoms in candidate_structures(campaign, defect, chosen)}
    np.testing.assert_array_equal(structures[UNPERTURBED].positions, defect.atoms.positions)
    np.testing.assert_array_equal(structures["Dimer"].positions, dimer(defect).positions)


def test_a_symmetric_minimum_is_sent_rattled_too(campaign: Campaign) -> None:
    """The unperturbed start cannot leave a saddle point of the reference's surface; this one can."""
    defect = vacancy(CUBIC)
    start(campaign, defect, [UNPERTURBED, "back"])
    end(campaign, defect, UNPERTURBED, breathing(defect), -1.0)
    end(campaign, defect, "back", breathing(defect), -1.0)
    (chosen,) = choose_candidates(campaign, [defect], SILENT).values()
    (_, (item, atoms)) = candidate_structures(campaign, defect, chosen)
    assert (item.label, item.origin) == ("back", Origin.RATTLED)
    moved = atoms.positions - breathing(defect).positions
    assert 0.5 * SADDLE_RATTLE < moved.std() < 1.5 * SADDLE_RATTLE
    (_, (_, again)) = candidate_structures(campaign, defect, chosen)
    np.testing.assert_array_equal(atoms.positions, again.positions)


def test_a_bond_that_the_surrogate_makes_by_itself_is_a_candidate(campaign: Campaign) -> None:
    defect = vacancy(CUBIC)
    start(campaign, defect, [UNPERTURBED])
    end(campaign, defect, UNPERTURBED, dimer(defect), -2.0)
    (chosen,) = choose_candidates(campaign, [defect], SILENT).values()
    assert [item.label for item in chosen.candidates] == [UNPERTURBED, UNPERTURBED_SCOUTED]
    (_, (_, atoms)) = candidate_structures(campaign, defect, chosen)
    np.testing.assert_array_equal(atoms.positions, dimer(defect).positions)


@pytest.mark.parametrize(("move", "labels"), [(0.2, [UNPERTURBED]), (0.8, [UNPERTURBED, UNPERTURBED_SCOUTED])])
def test_without_symmetry_an_atom_that_moves_away_is_noticed(
    campaign: Campaign, move: float, labels: list[str]
) -> None:
    """A defect of no symmetry keeps its point group wherever an atom goes."""
    symmetric = vacancy(CUBIC)
    random = np.random.default_rng(0)
    rough = symmetric.atoms.copy()
    rough.positions += random.normal(scale=0.15, size=rough.positions.shape)
    defect = Defect(symmetric.name, 0, DefectKind.VACANCY, rough, symmetric.bulk, symmetric.site, 1, "C1", 0)
    moved, neighbour = rough.copy(), neighbours(symmetric)[0]
    direction = vectors_from_site(symmetric)[neighbour]
    moved.positions[neighbour] -= move * direction / np.linalg.norm(direction)
    start(campaign, defect, [UNPERTURBED])
    end(campaign, defect, UNPERTURBED, moved, -2.0)
    (chosen,) = choose_candidates(campaign, [defect], SILENT).values()
    assert [item.label for item in chosen.candidates] == labels


def test_candidates_are_not_chosen_before_the_scouting_has_ended(campaign: Campaign) -> None:
    """They are chosen once; what was scouted later would be lost without a word."""
    defect = vacancy(CUBIC)
    with pytest.raises(CampaignError, match="has not begun"):
        choose_candidates(campaign, [defect], SILENT)
    start(campaign, defect, [UNPERTURBED, "Dimer"])
    end(campaign, defect, UNPERTURBED, breathing(defect), -1.0)
    with pytest.raises(CampaignError, match="1 of 2 surrogate relaxations are still to do"):
        choose_candidates(campaign, [defect], SILENT)
    assert campaign.record.read_document("candidates") is None
    end(campaign, defect, "Dimer", dimer(defect), -2.0)
    assert len(choose_candidates(campaign, [defect], SILENT)[defect.label].candidates) == 2
    assert [item.label for item in sampling_structures(campaign, defect)] == [UNPERTURBED, "Dimer"]
