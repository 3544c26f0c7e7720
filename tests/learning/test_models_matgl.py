"""Training of matgl's models: derivatives, parity with the surrogate adapter, files, fresh weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("matgl")

from defectscout.core.errors import ModelFileError, SettingsError, UnsupportedElementError
from defectscout.learning.models.matgl import load
from defectscout.learning.settings import ArchitectureSettings, TrainSettings
from defectscout.surrogates.matgl import load as load_adapter
from defectscout.surrogates.matgl_network import three_body_pairs
from defectscout.surrogates.settings import SurrogateSettings
from trainable_checks import (
    check_finite_differences,
    check_last_layers,
    check_loss_reaches_parameters,
    check_no_chance_in_training,
    check_parity,
    check_saved,
    example_structures,
    outputs,
    same_weights,
)

CPU = SurrogateSettings(device="cpu")
ELEMENTS = ("Na", "Cl", "Cd", "Te")
WEIGHTS = {"m3gnet": 2.0, "tensornet": 1.7}
"""Factors for the initial weights of the small models, so that their forces come near to 1 eV/Å."""


def _potential(family: str, **arguments: Any) -> Any:
    """A small network with random weights, scaled as a trained one is."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet, TensorNet

    torch.manual_seed(7)
    if family == "m3gnet":
        sizes = {"dim_node_embedding": 8, "dim_edge_embedding": 8, "units": 8, "nblocks": 2, "is_intensive": False}
        model = M3GNet(ELEMENTS, **{**sizes, **arguments})
    else:
        model = TensorNet(ELEMENTS, units=8, nblocks=2, num_rbf=8, is_intensive=False)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(WEIGHTS[family])
    return Potential(model, data_mean=0.3, data_std=1.5, element_refs=[-3.0, -2.0, -1.5, -2.5])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models; `old` is an M3GNet as matgl before 3.0 saved it."""
    root = tmp_path_factory.mktemp("models")
    for name in ("m3gnet", "tensornet", "old"):
        _potential("m3gnet" if name == "old" else name).save(root / name)
    record = json.loads((root / "old" / "model.json").read_text())
    for argument in ("compile_model", "compile_mode"):
        del record["kwargs"][argument]
    (root / "old" / "model.json").write_text(json.dumps(record))
    return {name: root / name for name in ("m3gnet", "tensornet", "old")}


@pytest.fixture(params=["m3gnet", "tensornet", "old"])
def name(request: pytest.FixtureRequest, folders: dict[str, Path]) -> str:
    family = "m3gnet" if request.param == "old" else request.param
    return f"{family}:{folders[request.param]}"


@pytest.fixture
def trainable(name: str) -> Any:
    return load(name, TrainSettings(base=name))


def _scratch(family: str, seed: int = 0, **architecture: Any) -> Any:
    settings = TrainSettings(base=family, train="scratch", seed=seed, architecture=ArchitectureSettings(**architecture))
    return load(family, settings)


def test_what_it_says_of_itself(trainable: Any, name: str) -> None:
    assert trainable.family == name.partition(":")[0]
    assert trainable.elements == ELEMENTS
    assert trainable.cutoff == 5.0
    assert trainable.references == pytest.approx({"Na": -3.0, "Cl": -2.0, "Cd": -1.5, "Te": -2.5})


def test_parity_with_the_surrogate(trainable: Any, name: str) -> None:
    check_parity(trainable, load_adapter(name, CPU), energy=1e-4, force=1e-4, stress=1e-6)


def test_parity_with_matgl(folders: dict[str, Path]) -> None:
    """matgl's own Potential, which differentiates by positions and strain, says the same."""
    import matgl
    from matgl.ext.ase import PESCalculator

    potential = matgl.load_model(folders["m3gnet"])
    atoms = example_structures()[0]
    atoms.calc = PESCalculator(potential, stress_unit="eV/A3")
    trainable = load(f"m3gnet:{folders['m3gnet']}", TrainSettings())
    found = outputs(trainable, [atoms])
    offset = sum(trainable.references[symbol] for symbol in atoms.get_chemical_symbols())
    assert found.energies.item() + offset == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(found.forces.detach(), atoms.get_forces(), atol=1e-4)
    np.testing.assert_allclose(found.stresses[0].detach(), atoms.get_stress(voigt=False), atol=1e-6)


def test_finite_differences(trainable: Any) -> None:
    trainable.module.double()
    check_finite_differences(trainable, step=1e-4, force=1e-6, stress=1e-8)


def test_losses_of_forces_reach_the_weights(trainable: Any) -> None:
    check_loss_reaches_parameters(trainable)


def test_last_layers(trainable: Any) -> None:
    check_last_layers(trainable)


def test_nothing_is_dropped_out(trainable: Any) -> None:
    check_no_chance_in_training(trainable)


def test_saved_and_read_again(trainable: Any, name: str, tmp_path: Path) -> None:
    family = name.partition(":")[0]
    check_saved(trainable, tmp_path, lambda path: load_adapter(f"{family}:{path}", CPU), energy=1e-4, force=1e-5)
    again = load(f"{family}:{tmp_path}", TrainSettings())
    assert again.references == {"Na": -3.0, "Cl": -2.0, "Cd": -100.25, "Te": -50.5}


def test_three_body_pairs_are_matgls() -> None:
    import torch
    from matgl.graph._compute import create_line_graph

    generator = np.random.default_rng(5)
    centres = np.sort(generator.integers(0, 6, 40))
    distances = generator.uniform(2, 5, 40)
    expected = create_line_graph(
        torch.tensor(np.stack([centres, centres])), torch.tensor(distances), torch.zeros(40, 3), None, 6, 4.0
    )
    found = three_body_pairs(centres, distances <= 4.0)
    np.testing.assert_array_equal(found, expected["line_edge_index"])


@pytest.mark.parametrize(
    ("family", "architecture"),
    [
        ("m3gnet", {"cutoff": 4.5, "three_body_cutoff": 3.5}),
        ("m3gnet", {"readout": "reduce"}),
        ("m3gnet", {"readout": "set2set"}),
        ("tensornet", {}),
        ("tensornet", {"readout": "reduce"}),
    ],
)
def test_from_scratch(family: str, architecture: dict[str, Any], tmp_path: Path) -> None:
    trainable = _scratch(family, **architecture)
    assert len(trainable.elements) == 89
    assert set(trainable.references.values()) == {0.0}
    assert trainable.cutoff == architecture.get("cutoff", 5.0)
    check_loss_reaches_parameters(trainable)
    check_last_layers(trainable)
    check_saved(trainable, tmp_path, lambda path: load_adapter(f"{family}:{path}", CPU), energy=1e-4, force=1e-5)


@pytest.mark.parametrize("readout", ["weighted_atom", "reduce", "set2set"])
def test_energies_grow_with_the_cell(readout: str) -> None:
    trainable = _scratch("m3gnet", readout=readout)
    cell = bulk("CdTe", "zincblende", a=6.5)
    cell.rattle(0.1, seed=2)
    found = outputs(trainable, [cell, cell * (2, 1, 1)])
    np.testing.assert_allclose(found.energies[1].item(), 2 * found.energies[0].item(), rtol=1e-4)
    np.testing.assert_allclose(found.forces[:2].detach(), found.forces[2:4].detach(), atol=1e-5)
    np.testing.assert_allclose(found.stresses[0].detach(), found.stresses[1].detach(), atol=1e-6)


def test_seeds_of_fresh_weights() -> None:
    import torch

    state = torch.get_rng_state()
    assert same_weights(_scratch("m3gnet", seed=3), _scratch("m3gnet", seed=3))
    assert not same_weights(_scratch("m3gnet", seed=3), _scratch("m3gnet", seed=4))
    assert bool((torch.get_rng_state() == state).all())  # the loop's own random numbers are left alone


def test_charge_as_input(tmp_path: Path) -> None:
    import torch

    trainable = _scratch("m3gnet", charge_as_input=True)
    with torch.no_grad():
        for weights in trainable.module.parameters():  # as in a trained model, interactions matter
            weights.mul_(1.5)
    atoms = example_structures()[0]
    found = outputs(trainable, [atoms, atoms], charges=[0, -2])
    neutral, charged = found.energies.detach().numpy()
    assert abs(neutral - charged) > 1e-3
    # Each structure sees its own charge alone.
    assert outputs(trainable, [atoms], charges=[-2]).energies.item() == pytest.approx(charged, abs=1e-5)
    path = trainable.save(tmp_path, {}, tuned=True)
    surrogate = load_adapter(f"m3gnet:{path}", CPU)
    other = atoms.copy()
    other.info["charge"] = -2
    energies = [prediction.energy for prediction in surrogate.predict([atoms, other])]
    np.testing.assert_allclose(energies, [neutral, charged], atol=1e-4)
    assert load(f"m3gnet:{path}", TrainSettings(architecture=ArchitectureSettings(charge_as_input=True))).cutoff == 5.0


def test_states_of_others_are_no_charges(tmp_path: Path) -> None:
    """A state or an intensive output means what we mean by them only if we saved the model."""
    _potential("m3gnet", include_state=True, dim_state_embedding=1).save(tmp_path / "state")
    with pytest.raises(ModelFileError, match="needs a total charge or a state"):
        load(f"m3gnet:{tmp_path / 'state'}", TrainSettings())
    _potential("m3gnet", is_intensive=True).save(tmp_path / "intensive")
    with pytest.raises(ModelFileError, match="is intensive"):
        load(f"m3gnet:{tmp_path / 'intensive'}", TrainSettings())


def test_architectures_that_there_are_not(folders: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="takes no total charge"):
        _scratch("tensornet", charge_as_input=True)
    with pytest.raises(SettingsError, match="no such readout"):
        _scratch("tensornet", readout="set2set")
    with pytest.raises(SettingsError, match="trained without charges"):
        load(f"m3gnet:{folders['m3gnet']}", TrainSettings(architecture=ArchitectureSettings(charge_as_input=True)))
    with pytest.raises(SettingsError, match="contradict each other"):
        load(f"m3gnet:{folders['m3gnet']}", TrainSettings(train="scratch"))


def test_references_of_elements_that_it_lacks(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedElementError, match="Ga"):
        load(f"m3gnet:{folders['m3gnet']}", TrainSettings()).save(tmp_path, {"Ga": -1.0}, tuned=True)
