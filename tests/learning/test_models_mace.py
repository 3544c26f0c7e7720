"""MACE as something to train. Runs where mace-torch is installed, which excludes sevenn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.errors import ModelFileError, SettingsError, UnsupportedElementError
from defectscout.learning.models.mace import TrainableMace, load
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.surrogates import mace as adapter
from defectscout.surrogates.settings import SurrogateSettings
from trainable_checks import assert_agree, batch_of, salt_and_telluride, slopes

pytest.importorskip("mace", reason="mace-torch excludes sevenn: run these in an environment of their own")

SCRATCH = TrainSettings(base="mace", train="scratch", seed=3)
ELEMENTS = ("Na", "Cl", "Cd", "Te")
CPU = SurrogateSettings(device="cpu")


@cache
def _fresh(seed: int = 3) -> TrainableMace:
    return load("mace", SCRATCH.model_copy(update={"seed": seed}), ELEMENTS)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> TrainableMace:
    """The same network in double precision, read from a file."""
    import torch

    file = _fresh().save(tmp_path_factory.mktemp("mace"), {"Na": -1.0, "Te": -3.0}, tuned=False)
    module = torch.load(file, weights_only=False).double()
    torch.save(module, file)
    return load(f"mace:{file}", TrainSettings(base=f"mace:{file}"))


def test_mace_keeps_its_precision_and_references(double: TrainableMace) -> None:
    import torch

    before = torch.get_default_dtype()
    said = double.outputs(batch_of(double, salt_and_telluride()))
    assert torch.get_default_dtype() == before
    assert said.energies.dtype == said.forces.dtype == torch.float64
    assert dict(double.references) == {"Na": -1.0, "Cl": 0.0, "Cd": 0.0, "Te": -3.0}
    assert double.elements == ("Na", "Cl", "Cd", "Te")
    assert double.family == "mace"


def test_mace_energies_and_their_derivatives(double: TrainableMace) -> None:
    atoms = salt_and_telluride()[0]
    double.module.eval()
    said = double.outputs(batch_of(double, [atoms]))
    step = 1e-3
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(len(atoms), 3))
    strain = np.array([[0.2, 0.1, 0.0], [0.1, -0.3, 0.2], [0.0, 0.2, 0.1]])
    by_moves, by_strain = slopes(double, atoms, direction, strain, step)
    work = -(said.forces.detach().numpy() * direction).sum()
    assert abs(work) > 1e-3
    assert by_moves == pytest.approx(work, rel=1e-6)
    virial = atoms.cell.volume * (said.stresses.detach().numpy()[0] * strain).sum()
    assert by_strain == pytest.approx(virial, rel=1e-6)


def test_mace_forces_can_be_trained(double: TrainableMace) -> None:
    import torch

    batch = batch_of(double, salt_and_telluride())
    generator = torch.Generator().manual_seed(0)
    trained = [weights for weights in double.module.parameters() if weights.numel()]
    ways = [torch.randn(weights.shape, generator=generator, dtype=weights.dtype) for weights in trained]
    double.module.train()

    def loss() -> torch.Tensor:
        said = double.outputs(batch)
        return said.forces.square().mean() + 100 * said.stresses.square().mean()

    loss().backward()
    assert all(w.requires_grad and w.grad is not None and w.grad.abs().max() > 0 for w in trained)
    step = 1e-5
    values = []
    for shift in (-1, 2):
        with torch.no_grad():
            for weights, way in zip(trained, ways, strict=True):
                weights.add_(way, alpha=shift * step)
        values.append(float(loss()))
    slope = sum(float((weights.grad * way).sum()) for weights, way in zip(trained, ways, strict=True))
    assert slope == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-5)


def test_a_batch_of_mace_can_be_used_again() -> None:
    model = _fresh()
    batch = batch_of(model, salt_and_telluride())
    model.module.train()
    first = model.outputs(batch)
    second = model.outputs(batch)
    np.testing.assert_array_equal(first.forces.detach(), second.forces.detach())
    alone = [model.outputs(batch_of(model, [atoms])) for atoms in salt_and_telluride()]
    np.testing.assert_allclose(first.energies.detach(), [float(one.energies) for one in alone], atol=1e-5)


@pytest.mark.parametrize("tuned", [True, False])
def test_mace_that_is_saved_is_read_back(tmp_path: Path, tuned: bool) -> None:
    import torch
    from mace.calculators import MACECalculator

    model = _fresh()
    references = {"Na": -1.5, "Cl": -2.5, "Cd": -0.5}  # and nothing for Te
    file = model.save(tmp_path / "new", references, tuned=tuned)
    surrogate = adapter.load(f"mace:{file}", CPU)
    assert surrogate.info.tuned is tuned
    assert surrogate.info.elements == set(ELEMENTS)
    predictions = surrogate.predict(salt_and_telluride())
    for once, again in zip(predictions, adapter.load(f"mace:{file}", CPU).predict(salt_and_telluride()), strict=True):
        assert once.energy == again.energy
        np.testing.assert_array_equal(once.forces, again.forces)
        np.testing.assert_array_equal(once.stress, again.stress)
    assert_agree(model, references | {"Te": 0.0}, predictions)
    before = torch.get_default_dtype()
    calculator = MACECalculator(model_paths=str(file), device="cpu", default_dtype="float32")
    torch.set_default_dtype(before)
    atoms = salt_and_telluride()[1]
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(predictions[1].energy, abs=2e-5)

    # and trained further from there
    again = load(f"mace:{file}", TrainSettings(base=f"mace:{file}"))
    assert again.references == references | {"Te": 0.0}
    assert_agree(again, dict(again.references), predictions)


def test_a_file_of_mace_that_states_nothing_is_untuned(tmp_path: Path) -> None:
    import torch

    file = _fresh().save(tmp_path, {}, tuned=True)
    module = torch.load(file, weights_only=False)
    del module.defectscout
    torch.save(module, file)
    assert not adapter.load(f"mace:{file}", CPU).info.tuned


def test_seeds_give_weights_of_mace() -> None:
    import torch

    before = torch.random.get_rng_state()
    weights = [load("mace", SCRATCH, ELEMENTS).module.state_dict() for _ in range(2)]
    np.testing.assert_array_equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    key = "node_embedding.linear.weight"
    assert not torch.equal(weights[0][key], _fresh(seed=4).module.state_dict()[key])


def test_a_new_mace_is_as_the_settings_say() -> None:
    settings = SCRATCH.model_copy(update={"architecture": ArchitectureSettings(cutoff=4.0)})
    model = load("mace", settings)
    assert model.cutoff == 4.0
    assert len(model.elements) == 94
    assert set(model.references.values()) == {0.0}
    assert str(model.module.products[0].linear.irreps_out) == "32x0e"


def test_last_layers_of_mace() -> None:
    model = _fresh()
    names = {id(weights): ".".join(name.split(".")[:2]) for name, weights in model.module.named_parameters()}
    last = {names[id(weights)] for weights in model.last_layers(1)}
    assert last == {"readouts.0", "readouts.1"}
    assert {names[id(weights)] for weights in model.last_layers(2)} - last == {"interactions.1", "products.1"}


def test_what_cannot_be_asked_of_mace() -> None:
    charged = TrainSettings(architecture=ArchitectureSettings(charge_as_input=True))
    with pytest.raises(SettingsError, match="MACE takes no charge"):
        load("mace:file.model", charged)
    with pytest.raises(SettingsError, match=r"base = 'mace:file.model' and train = 'scratch'"):
        load("mace:file.model", SCRATCH)
    with pytest.raises(ModelFileError, match="does not exist"):
        load("mace:./no_such.model", TrainSettings())
    with pytest.raises(UnsupportedElementError, match="Reference energies of Xe"):
        _fresh().save(Path("unused"), {"Xe": 1.0}, tuned=True)


def test_a_training_from_scratch_is_a_surrogate(tmp_path: Path) -> None:
    """The settings under the paper's table S4, for two epochs."""
    from defectscout.surrogates.registry import load_surrogate
    from defectscout.surrogates.settings import SurrogateSettings
    from defectscout.workflow.training import train
    from defectscout.workflow.training_data import training_data
    from trained_on_toys import toy_dataset

    data = training_data(toy_dataset(tmp_path / "data.db"), charge=None, any_charge=False, method=None)
    settings = TrainSettings(base="mace", train="scratch", batch_size=20, epochs=2, learning_rate=0.01, device="cpu")
    trained = train(data, settings, tmp_path / "model")
    (fit,) = trained.fits
    assert fit.history[-1].val_loss < fit.history[0].val_loss
    surrogate = load_surrogate(SurrogateSettings(name=str(tmp_path / "model"), device="cpu"))
    assert surrogate.info.tuned
    assert surrogate.info.elements == {"Mg", "S"}
    assert len(surrogate.predict([data.frames(data.test)[0].atoms])) == 1
