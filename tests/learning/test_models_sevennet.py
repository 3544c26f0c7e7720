"""SevenNet as something to train: the same predictions, true derivatives, files that are read back."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import ModelFileError, SettingsError, UnsupportedElementError
from defectscout.learning.models.sevennet import TrainableSevenNet, load
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.surrogates import sevennet as adapter
from defectscout.surrogates.settings import SurrogateSettings
from trainable_checks import assert_agree, batch_of, salt_and_telluride, slopes

pytest.importorskip("sevenn")

SCRATCH = TrainSettings(base="7net", train="scratch", seed=3)
ELEMENTS = ("Na", "Cl", "Cd", "Te")
CPU = SurrogateSettings(device="cpu")


@cache
def _fresh() -> TrainableSevenNet:
    """New weights, with a readout that brings forces near to 1 eV/Å; tests leave it as it is."""
    return _steep()


def _steep() -> TrainableSevenNet:
    import torch

    model = load("7net", SCRATCH, ELEMENTS)
    with torch.no_grad():
        model.module.reduce_hidden_to_energy.linear.weight.mul_(300.0)
    return model


def test_sevennet_predicts_what_the_surrogate_predicts(tmp_path: Path) -> None:
    model = load("7net-0", TrainSettings(base="7net-0"))
    surrogate = adapter.load("7net-0", CPU)
    predictions = surrogate.predict(salt_and_telluride())
    assert max(p.fmax for p in predictions) > 0.5
    assert set(model.elements) == surrogate.info.elements
    assert model.cutoff == surrogate.cutoff
    assert len(set(model.references.values())) > 80
    assert model.family == "7net"
    assert_agree(model, dict(model.references), predictions)

    file = model.save(tmp_path, {}, tuned=False)
    again = adapter.load(f"7net:{file}", CPU)
    assert [p.energy for p in again.predict(salt_and_telluride())] == [p.energy for p in predictions]
    assert not again.info.tuned


def test_sevennet_energies_and_their_derivatives() -> None:
    model, atoms = _fresh(), salt_and_telluride()[0]
    model.module.eval()
    said = model.outputs(batch_of(model, [atoms]))
    step = 1e-2
    forces = said.forces.detach().numpy()
    direction = forces / np.abs(forces).max()  # where the slope stands out of single precision's noise
    strain = np.array([[0.2, 0.1, 0.0], [0.1, -0.3, 0.2], [0.0, 0.2, 0.1]])
    by_moves, by_strain = slopes(model, atoms, direction, strain, step)
    work = -(forces * direction).sum()
    assert abs(work) > 1
    assert by_moves == pytest.approx(work, rel=5e-3)
    virial = atoms.cell.volume * (said.stresses.detach().numpy()[0] * strain).sum()
    assert by_strain == pytest.approx(virial, rel=5e-3)


def test_forces_can_be_trained() -> None:
    import torch

    model = _steep()
    batch = batch_of(model, salt_and_telluride())
    model.module.train()

    def loss() -> torch.Tensor:
        said = model.outputs(batch)
        return said.forces.square().mean() + 100 * said.stresses.square().mean()

    loss().backward()
    trained = {name: weights for name, weights in model.module.named_parameters() if weights.numel()}
    assert all(weights.grad is not None and weights.grad.abs().max() > 0 for weights in trained.values())
    assert not any(name.startswith("rescale_atomic_energy") or "denominator" in name for name in trained)
    step = 1e-2  # along the gradient: single precision allows no smaller one
    norm = torch.stack([weights.grad.norm() for weights in trained.values()]).norm()
    values = []
    for shift in (-2, 3, 1):
        with torch.no_grad():
            for weights in trained.values():
                weights.add_(weights.grad, alpha=float(shift * step / norm))
        values.append(float(loss()))
    downhill, uphill, further = values  # at -2, 1 and 2 steps
    with torch.no_grad():
        for weights in trained.values():
            weights.sub_(weights.grad, alpha=float(3 * step / norm))
    slope = (downhill - 8 * float(loss()) + 8 * uphill - further) / (12 * step)
    assert slope == pytest.approx(float(norm), rel=5e-3)


def test_a_batch_can_be_used_again() -> None:
    model = _fresh()
    batch = batch_of(model, salt_and_telluride())
    model.module.train()
    first = model.outputs(batch)
    second = model.outputs(batch)
    np.testing.assert_array_equal(first.forces.detach(), second.forces.detach())
    alone = [model.outputs(batch_of(model, [atoms])) for atoms in salt_and_telluride()]
    np.testing.assert_allclose(first.energies.detach(), [float(one.energies) for one in alone], rtol=5e-6)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    from sevenn.calculator import SevenNetCalculator

    model = _fresh()
    references = {"Na": -1.5, "Cl": -2.5, "Cd": -0.5}  # and nothing for Te
    file = model.save(tmp_path / "new", references, tuned=True)
    surrogate = adapter.load(f"7net:{file}", CPU)
    assert surrogate.info.tuned
    assert surrogate.info.elements == set(ELEMENTS)
    predictions = surrogate.predict(salt_and_telluride())
    for once, again in zip(predictions, adapter.load(f"7net:{file}", CPU).predict(salt_and_telluride()), strict=True):
        assert once.energy == again.energy
        np.testing.assert_array_equal(once.forces, again.forces)
        np.testing.assert_array_equal(once.stress, again.stress)
    assert_agree(model, references | {"Te": 0.0}, predictions)
    atoms = salt_and_telluride()[1]
    atoms.calc = SevenNetCalculator(str(file), device="cpu")
    assert atoms.get_potential_energy() == pytest.approx(predictions[1].energy, abs=2e-5)

    # and trained further from there
    again = load(f"7net:{file}", TrainSettings(base=f"7net:{file}"))
    assert again.references == references | {"Te": 0.0}
    assert_agree(again, dict(again.references), predictions)


def test_a_scalar_shift_becomes_one_for_each_element(tmp_path: Path) -> None:
    import torch
    from sevenn.checkpoint import SevenNetCheckpoint
    from sevenn.nn.scale import Rescale

    record = torch.load(_fresh().save(tmp_path, {}, tuned=False), weights_only=False)
    record["config"] |= {"shift": -2.0, "scale": 1.5}
    record["model_state_dict"] |= {
        "rescale_atomic_energy.shift": torch.tensor([-2.0]),
        "rescale_atomic_energy.scale": torch.tensor([1.5]),
    }
    torch.save(record, tmp_path / "scalar.pth")
    name = f"7net:{tmp_path / 'scalar.pth'}"
    assert isinstance(SevenNetCheckpoint(tmp_path / "scalar.pth").build_model().rescale_atomic_energy, Rescale)
    model = load(name, TrainSettings(base=name))
    assert dict(model.references) == dict.fromkeys(ELEMENTS, -2.0)
    assert_agree(model, dict(model.references), adapter.load(name, CPU).predict(salt_and_telluride()))
    file = model.save(tmp_path / "tuned", {"Cl": -3.0}, tuned=True)
    references = dict(model.references) | {"Cl": -3.0}
    assert_agree(model, references, adapter.load(f"7net:{file}", CPU).predict(salt_and_telluride()))


def test_seeds_give_weights() -> None:
    import torch

    before = torch.random.get_rng_state()
    weights = [load("7net", SCRATCH, ELEMENTS).module.state_dict() for _ in range(2)]
    np.testing.assert_array_equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    key = "reduce_hidden_to_energy.linear.weight"
    other = load("7net", SCRATCH.model_copy(update={"seed": 4}), ELEMENTS).module.state_dict()
    assert not torch.equal(weights[0][key], other[key])


def test_a_new_network_is_as_the_settings_say() -> None:
    settings = SCRATCH.model_copy(update={"architecture": ArchitectureSettings(cutoff=4.0)})
    model = load("7net", settings)
    assert model.cutoff == 4.0
    assert len(model.elements) == 94
    assert set(model.references.values()) == {0.0}


def test_last_layers() -> None:
    model = _fresh()
    names = {id(weights): name.split(".")[0] for name, weights in model.module.named_parameters()}
    last = {names[id(weights)] for weights in model.last_layers(1)}
    assert last == {"reduce_input_to_hidden", "reduce_hidden_to_energy"}
    assert {names[id(weights)] for weights in model.last_layers(2)} - last == {
        "2_self_connection_intro",
        "2_self_interaction_1",
        "2_convolution",
        "2_self_interaction_2",
    }


def test_what_cannot_be_asked() -> None:
    charged = TrainSettings(architecture=ArchitectureSettings(charge_as_input=True))
    with pytest.raises(SettingsError, match="SevenNet takes no charge"):
        load("7net-0", charged)
    with pytest.raises(SettingsError, match=r"base = '7net-0' and train = 'scratch'"):
        load("7net-0", SCRATCH)
    with pytest.raises(ModelFileError, match="does not exist"):
        load("7net:./no_such.pth", TrainSettings())
    with pytest.raises(UnsupportedElementError, match="Reference energies of Xe"):
        _fresh().save(Path("unused"), {"Xe": 1.0}, tuned=True)
