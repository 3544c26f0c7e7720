"""Trained models as surrogates, alone and as ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.errors import ModelFileError, UnsupportedElementError
from defectscout.core.frames import Prediction
from defectscout.relaxation.batch import relax_batch
from defectscout.relaxation.records import Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import Surrogate, SurrogateInfo
from defectscout.surrogates.charge import with_charge
from defectscout.surrogates.ensemble import EnsembleSurrogate
from defectscout.surrogates.matgl import save
from defectscout.surrogates.model_folder import Manifest, Member, TrainedOn, weights_digest, write_manifest
from defectscout.surrogates.registry import load_surrogate
from defectscout.surrogates.settings import SurrogateSettings

pytest.importorskip("matgl")

ELEMENTS = ("Cd", "Cl", "Te")
SEEN = TrainedOn(("CdTe",), ("Cd", "Te"), (0, -2), "HSE06", "better", "Better on 1 unseen defect.")
INFO = SurrogateInfo("two", "tests", "", "", None)


def _potential(seed: int, **state: Any) -> Any:
    """A small M3GNet with random weights, scaled so that its forces come near to 1 eV/Å."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    torch.manual_seed(seed)
    model = M3GNet(
        ELEMENTS, dim_node_embedding=8, dim_edge_embedding=8, units=8, nblocks=2, is_intensive=False, **state
    )
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(2.0)
    return Potential(model, element_refs=[-1.0, -2.0, -3.0])


def write_model(folder: Path, *potentials: Any, base: str = "m3gnet", trained_on: TrainedOn = SEEN) -> Path:
    """A model folder as training writes it."""
    members = []
    for number, potential in enumerate(potentials):
        weights = folder / f"member-{number}" / "weights"
        weights.mkdir(parents=True)
        save(potential, weights, tuned=True)
        members.append(Member(str(weights.relative_to(folder)), weights_digest(weights)))
    write_manifest(folder, Manifest("m3gnet", base, tuple(members), trained_on, {}, "", {}, {}, {}))
    return folder


def load(folder: Path) -> Surrogate:
    return load_surrogate(SurrogateSettings(name=str(folder), device="cpu"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("alone"), _potential(1))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("together"), _potential(1), _potential(2), _potential(3))


def test_what_is_recorded_of_a_trained_model(alone: Path, together: Path) -> None:
    info = load(alone).info
    assert info.name == str(alone)
    assert info.tuned
    assert info.trained_on == SEEN
    assert info.elements == frozenset(ELEMENTS)  # what its base knows: chlorine is new to it, and no error
    assert info.package.startswith("matgl ")
    assert info.weights == weights_digest(alone / "member-0" / "weights")
    assert load(together).info.weights == "+".join(
        weights_digest(together / f"member-{number}" / "weights") for number in range(3)
    )


def test_it_says_what_its_weights_say(alone: Path, rattled: Atoms) -> None:
    bare = load_surrogate(SurrogateSettings(name=f"m3gnet:{alone / 'member-0' / 'weights'}", device="cpu"))
    (expected,), (found,) = bare.predict([rattled]), load(alone).predict([rattled])
    assert found.energy == expected.energy
    np.testing.assert_array_equal(found.forces, expected.forces)


def test_from_scratch_it_knows_no_more_than_its_frames(tmp_path: Path) -> None:
    surrogate = load(write_model(tmp_path, _potential(1), base=""))
    assert surrogate.info.elements == {"Cd", "Te"}
    with pytest.raises(UnsupportedElementError, match="Cl"):
        surrogate.predict([bulk("CdCl", "zincblende", a=6.0)])


def test_without_defects_it_is_not_tuned_on_defects(tmp_path: Path) -> None:
    assert not load(write_model(tmp_path, _potential(1), trained_on=replace(SEEN, charges=()))).info.tuned


def test_weights_of_another_training(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", _potential(1), _potential(2))
    save(_potential(3), folder / "member-1" / "weights", tuned=True)
    with pytest.raises(ModelFileError, match="member-1/weights are not those that were trained"):
        load(folder)


def test_a_folder_without_members(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="names no weights"):
        load(write_model(tmp_path))


def test_an_ensemble_is_the_mean_of_its_members(together: Path, rattled: Atoms) -> None:
    surrogate = load(together)
    assert isinstance(surrogate, EnsembleSurrogate)
    structures = [rattled, bulk("CdTe", "zincblende", a=6.5)]
    members = [member.predict(structures) for member in surrogate.members]
    for index, found in enumerate(surrogate.predict(structures)):
        assert found.energy == pytest.approx(np.mean([member[index].energy for member in members]), abs=1e-9)
        np.testing.assert_allclose(found.forces, np.mean([member[index].forces for member in members], axis=0))
        stresses = [member[index].stress for member in members]
        assert found.stress is not None
        np.testing.assert_allclose(found.stress, np.mean(np.array(stresses), axis=0))
    energies = [member[0].energy for member in members]
    assert np.ptp(energies) > 0.01  # they differ, or nothing was tested
    assert surrogate.spread(structures)[0].energy == pytest.approx(np.std(energies))


def test_forces_of_the_mean_are_its_gradient(together: Path, rattled: Atoms) -> None:
    """Five-point slope along the forces; step and tolerance as for single models (test_surrogate_physics)."""
    surrogate, step = load(together), 0.02
    forces = surrogate.predict([rattled])[0].forces
    direction = forces / np.linalg.norm(forces)
    energy = []
    for n in (-2, -1, 1, 2):
        atoms = rattled.copy()
        atoms.positions += n * step * direction
        energy.append(surrogate.predict([atoms])[0].energy)
    slope = (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * step)
    assert slope == pytest.approx(-float((forces * direction).sum()), rel=2e-3, abs=5e-3)


def test_members_that_are_the_same_do_not_disagree(alone: Path, rattled: Atoms) -> None:
    member = load(alone)
    ensemble = EnsembleSurrogate(member.info, (member, member, member))
    (spread,) = ensemble.spread([rattled])
    assert spread.energy == 0.0
    np.testing.assert_allclose(spread.forces, 0.0, atol=1e-12)
    (expected,), (found,) = member.predict([rattled]), ensemble.predict([rattled])
    assert found.energy == pytest.approx(expected.energy, abs=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)


@dataclass(frozen=True)
class Known:
    """Says the same of every structure."""

    energy: float
    force: tuple[float, float, float]
    stress: float | None = None
    info: SurrogateInfo = INFO

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        stress = None if self.stress is None else np.full(6, self.stress)
        return [Prediction(self.energy, np.tile(self.force, (len(atoms), 1)), stress) for atoms in structures]


def test_the_spread_of_two_known_members() -> None:
    atoms = bulk("CdTe", "zincblende", a=6.5)
    ensemble = EnsembleSurrogate(INFO, (Known(1.0, (3.0, 0.0, 0.0)), Known(2.0, (0.0, 4.0, 0.0))))
    (spread,) = ensemble.spread([atoms])
    assert spread.energy == pytest.approx(0.5)
    # The forces are 5 eV/Å apart, so that each is 2.5 away from their mean.
    np.testing.assert_allclose(spread.forces, [2.5, 2.5])
    (mean,) = ensemble.predict([atoms])
    assert mean.energy == 1.5
    np.testing.assert_allclose(mean.forces, [[1.5, 2.0, 0.0]] * 2)


def test_a_stress_that_a_member_lacks_is_not_made_up() -> None:
    atoms = bulk("CdTe", "zincblende", a=6.5)
    zero = (0.0, 0.0, 0.0)
    assert EnsembleSurrogate(INFO, (Known(0, zero, 1.0), Known(0, zero))).predict([atoms])[0].stress is None
    (both,) = EnsembleSurrogate(INFO, (Known(0, zero, 1.0), Known(0, zero, 3.0))).predict([atoms])
    np.testing.assert_allclose(both.stress, 2.0)


def test_the_charge_goes_through_a_whole_relaxation(tmp_path: Path) -> None:
    """A model with the charge as its input relaxes each charge state on its own surface."""
    potential = _potential(4, include_state=True, dim_state_embedding=1)
    surrogate = load(write_model(tmp_path, potential))
    atoms = bulk("CdTe", "zincblende", a=6.5, cubic=True)
    atoms.rattle(0.1, seed=3)
    starts = [Start(str(charge), with_charge(atoms, charge)) for charge in (0, -2)]
    ends = relax_batch(surrogate, starts, RelaxationSettings(max_steps=4, force=1e-6))
    finals = [end.final for end in ends]
    energies = []
    for charge, final in zip((0, -2), finals, strict=True):
        assert final is not None
        assert final.step == 4
        (again,) = surrogate.predict([with_charge(final.atoms, charge)])
        assert final.prediction.energy == pytest.approx(again.energy, abs=1e-5)
        energies.append(again.energy)
    assert abs(energies[0] - energies[1]) > 1e-3
    assert atoms.info == {}  # the caller's structure is left as it was
